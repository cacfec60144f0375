// SPDX-License-Identifier: Apache-2.0
/* Operations on devices: PCI functions, drivers of the image (vmkernel/ctl/ops_device.c). */
#ifndef ABI_DEVICE_H
#define ABI_DEVICE_H
#include "abi/host.h"

enum ctl_device_op { CTL_DEVICE_PCI = CTL_BASE_DEVICE, CTL_DEVICE_DRIVERS };

struct ctl_pci {
	uint16_t segment;
	uint8_t bus;
	uint8_t slot;
	uint8_t func;
	uint8_t revision;
	uint8_t irq_line;
	uint8_t irq_pin; /* 0 none, 1 A .. 4 D */
	uint16_t vendor;
	uint16_t device;
	uint16_t subvendor;
	uint16_t subdevice;
	uint32_t class_code; /* 0xCCSSPP */
	uint8_t secondary;   /* bridges: the bus below */
	uint8_t has_flr;
	int16_t parent;    /* index in the whole list, -1: root */
	char vmk_name[16]; /* vmhba0, vmnic0 or "" */
	char driver[16];
	char reason[96]; /* why it is bound or left alone */
};
ABI_SIZE(struct ctl_pci, 152);
struct ctl_device_pci {
	struct ctl_page page;
	struct ctl_pci pci[256];
};

struct ctl_driver {
	char name[16];
	char desc[48];
	char spec[32];
	uint32_t bound; /* devices it drives */
	uint32_t rows;  /* of the HCL */
};
ABI_SIZE(struct ctl_driver, 104);
struct ctl_device_drivers {
	struct ctl_page page;
	struct ctl_driver driver[256];
};
#endif
