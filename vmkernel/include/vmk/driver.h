// SPDX-License-Identifier: Apache-2.0
/*
 * A driver's one declaration: match table, HCL rows and entry in the image. The kernel walks the
 * .drivers section; hcl/ reads the same section from the linked image through abi/hcl.h, so the
 * list and the kernel cannot disagree.
 *
 * 	static const struct hcl_match nvme_match[] = {
 * 		PCI_DEV(0x1b36, 0x0010, EMULATED, "QEMU NVMe controller"),
 * 		PCI_CLASS(0x010802, SUPPORTED, "any NVM Express 1.1+ controller"),
 * 	};
 * 	DRIVER(nvme, .desc = "NVM Express storage", .spec = "NVMe 1.4", .bus = HCL_BUS_PCI,
 * 	       .class = HCL_CLASS_BLOCK, MATCH(nvme_match), .probe = nvme_probe,
 * 	       .remove = nvme_remove);
 */
#ifndef VMK_DRIVER_H
#define VMK_DRIVER_H
#include "abi/hcl.h"
#include "vmk/list.h"

struct driver;

/* A device on a bus, embedded in pci_dev, usb_dev ... */
struct device {
	char name[16];                   /* "0000:00:03.0" */
	uint8_t bus;                     /* enum hcl_bus */
	const struct hcl_driver *driver; /* bound to, or NULL */
	const struct hcl_match *match;   /* by which row */
	const char *reason;              /* why it was bound or not, for the log and the shell */
	char vmk_name[16];               /* vmhba0, vmnic0 ... or "" */
	void *drvdata;
	uint64_t dma_mask;
	uint32_t quirks;
	bool gone; /* surprise removed: registers read all ones */
	struct list link;
};

#define PCI_DEV_Q(v, d, lvl, q, text)                                                       \
	{                                                                                   \
		.kind = HCL_MATCH_PCI_ID, .level = HCL_##lvl, .vendor = (v), .device = (d), \
		.quirks = (q), .name = (text)                                               \
	}
#define PCI_DEV(v, d, lvl, text) PCI_DEV_Q(v, d, lvl, 0, text)
/* 0xCCSSPP; the programming interface counts. */
#define PCI_CLASS(c, lvl, text)                                                                    \
	{                                                                                          \
		.kind = HCL_MATCH_PCI_CLASS, .level = HCL_##lvl, .class_code = (c), .name = (text) \
	}
#define MATCH(table) .match = (table), .match_count = ARRAY_SIZE(table)
#define DRIVER(id, ...)                                    \
	const struct hcl_driver driver_##id SECTION_ENTRY( \
		drivers) = { .name = #id, .source = __FILE__, __VA_ARGS__ }

/*
 * Matches a device against the list, binds it; called by the buses for each device they find. A row
 * by class binds as one by id does; boot options: hcl=permissive lets the programming interface
 * differ from a class row's, hcl.block=VVVV:DDDD[,...] leaves devices alone.
 */
void driver_attach(struct device *dev);
/* Orderly or surprise removal: drains, then drv->remove. */
void driver_detach(struct device *dev);
/* Names in order of binding: "vmhba", "vmnic". */
void device_set_vmk_name(struct device *dev, const char *prefix);
#endif
