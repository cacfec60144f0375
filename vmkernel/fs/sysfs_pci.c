// SPDX-License-Identifier: Apache-2.0
/* /sys/bus/pci/devices as lspci reads it. Spec: Linux Documentation/PCI/sysfs-pci. */
#include "fs/vfs.h"
#include "vmk/log.h"
#include "vmk/pci.h"
#include "vmk/string.h"

#define LOG_MODULE "sysfs"

static void pci_hex(struct text_buf *t, unsigned digits, uint32_t v)
{
	text_printf(t, "0x%0*x\n", (int)digits, v);
}

static void pci_vendor(struct text_buf *t, void *arg)
{
	pci_hex(t, 4, ((struct pci_dev *)arg)->vendor);
}

static void pci_device(struct text_buf *t, void *arg)
{
	pci_hex(t, 4, ((struct pci_dev *)arg)->device);
}

static void pci_subvendor(struct text_buf *t, void *arg)
{
	pci_hex(t, 4, ((struct pci_dev *)arg)->subvendor);
}

static void pci_subdevice(struct text_buf *t, void *arg)
{
	pci_hex(t, 4, ((struct pci_dev *)arg)->subdevice);
}

static void pci_class(struct text_buf *t, void *arg)
{
	pci_hex(t, 6, ((struct pci_dev *)arg)->class_code);
}

static void pci_revision(struct text_buf *t, void *arg)
{
	pci_hex(t, 2, ((struct pci_dev *)arg)->revision);
}

static void pci_irq(struct text_buf *t, void *arg)
{
	text_printf(t, "%u\n",
	            ((struct pci_dev *)arg)->irq_pin ? ((struct pci_dev *)arg)->irq_line : 0);
}

/* Start, end, flags as linux/ioport.h has them, for the BARs, the ROM and six of a bridge. */
static void pci_resource(struct text_buf *t, void *arg)
{
	enum { IO = 0x100, MEM = 0x200, PREFETCH = 0x2000, MEM64 = 0x100000, LINES = 13 };
	struct pci_dev *p = arg;

	for (unsigned i = 0; i < LINES; i++) {
		const struct pci_bar *b = i < PCI_BARS ? &p->bar[i] : NULL;
		uint64_t flags = 0;

		if (b && b->len)
			flags = 0x40000 | (b->io ? IO | 1 : MEM) |
			        (b->prefetch ? PREFETCH | 8 : 0) | (b->is64 ? MEM64 | 4 : 0);
		text_printf(t, "0x%016llx 0x%016llx 0x%016llx\n",
		            flags ? (unsigned long long)b->base : 0,
		            flags ? (unsigned long long)(b->base + b->len - 1) : 0,
		            (unsigned long long)flags);
	}
}

static ssize_t pci_config(void *arg, uint64_t off, void *buf, size_t n)
{
	uint8_t *out = buf;

	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)pci_read(arg, (unsigned)(off + i), 1);
	return (ssize_t)n;
}

static const struct pci_text {
	const char *name;
	void (*fn)(struct text_buf *t, void *arg);
} pci_texts[] = {
	{ "vendor", pci_vendor },
	{ "device", pci_device },
	{ "subsystem_vendor", pci_subvendor },
	{ "subsystem_device", pci_subdevice },
	{ "class", pci_class },
	{ "revision", pci_revision },
	{ "irq", pci_irq },
	{ "resource", pci_resource },
};

/* Functions stand flat below pci0000:BB, as if every bus hung from its own root. */
static void pci_add(struct pci_dev *p, void *arg)
{
	char slot[16], dir[64], path[96], target[96];
	int err = 0;

	vmk_snprintf(slot, sizeof(slot), "%04x:%02x:%02x.%x", p->segment, p->bus, p->slot, p->func);
	vmk_snprintf(dir, sizeof(dir), "devices/pci%04x:%02x/%s", p->segment, p->bus, slot);
	for (unsigned i = 0; !err && i < ARRAY_SIZE(pci_texts); i++) {
		vmk_snprintf(path, sizeof(path), "%s/%s", dir, pci_texts[i].name);
		err = sysfs_add(path, pci_texts[i].fn, p);
	}
	if (!err) {
		vmk_snprintf(path, sizeof(path), "%s/config", dir);
		err = sysfs_add_bin(path, p->cap_pcie ? 4096 : 256, pci_config, p);
	}
	if (!err) {
		vmk_snprintf(path, sizeof(path), "bus/pci/devices/%s", slot);
		vmk_snprintf(target, sizeof(target), "../../../%s", dir);
		err = sysfs_link(path, target);
	}
	if (err)
		log_warn("%s: error %d", slot, -err);
}

void sysfs_pci_init(void)
{
	pci_for_each(pci_add, NULL);
}
