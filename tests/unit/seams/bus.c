// SPDX-License-Identifier: Apache-2.0
/*
 * The bus as a driver under test sees it: BARs lie where the test put them (the register seam
 * answers there), configuration space is an array, vectors are fired by the test. Units that bring
 * vmkernel/bus/ use none of this.
 */
#include "seam.h"
#include "hw/pci.h"
#include "vmk/boot.h"
#include "vmk/driver.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/pci.h"
#include "vmk/string.h"
#include "vmk/work.h"
#include "vmk/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { VECTORS_MAX = 64 };

SEAM uint8_t seam_config[PCIE_CONFIG_SIZE];
SEAM unsigned seam_vectors = 1; /* how many the device offers */
SEAM bool seam_master;          /* bus mastering is on */
SEAM int seam_reset_result;     /* of pci_reset_function */
SEAM unsigned seam_resets;
SEAM char seam_options[256]; /* boot options, separated by spaces */

static struct {
	irq_handler fn;
	void *arg;
} vectors[VECTORS_MAX];

/* Calls the handler of a vector; -1: none is attached. */
int seam_irq_fire(unsigned i)
{
	if (i >= VECTORS_MAX || !vectors[i].fn)
		return -1;
	uint64_t flags = irq_save();
	enum irq_return r = vectors[i].fn(vectors[i].arg);

	irq_restore(flags);
	return r;
}

SEAM uint32_t pci_read(struct pci_dev *p, unsigned off, unsigned size)
{
	uint32_t v = 0;

	memcpy(&v, seam_config + off, size);
	return p->dev.gone ? ~0u >> (32 - 8 * size) : v;
}

SEAM void pci_write(struct pci_dev *p, unsigned off, unsigned size, uint32_t v)
{
	memcpy(seam_config + off, &v, size);
}

SEAM unsigned pci_cap_find(struct pci_dev *p, uint8_t id, unsigned from)
{
	unsigned off = seam_config[from ? from + 1 : PCI_CAPABILITIES];

	while (off && seam_config[off] != id)
		off = seam_config[off + 1];
	return off;
}

SEAM void *pci_map_bar(struct pci_dev *p, unsigned bar)
{
	return p->bar[bar].io ? NULL : (void *)(uintptr_t)p->bar[bar].base;
}

SEAM uint16_t pci_io_bar(struct pci_dev *p, unsigned bar)
{
	return p->bar[bar].io ? (uint16_t)p->bar[bar].base : 0;
}

SEAM void pci_set_master(struct pci_dev *p, bool on)
{
	seam_master = on;
}

SEAM int pci_reset_function(struct pci_dev *p)
{
	seam_resets++;
	return seam_reset_result;
}

SEAM int pci_irq_setup(struct pci_dev *p, unsigned want)
{
	return (int)MIN(want, seam_vectors);
}

SEAM int pci_irq_attach(struct pci_dev *p, unsigned i, int cpu, irq_handler fn, void *arg)
{
	ASSERT(i < seam_vectors && !vectors[i].fn);
	vectors[i].fn = fn;
	vectors[i].arg = arg;
	return 0;
}

SEAM void pci_irq_teardown(struct pci_dev *p)
{
	memset(vectors, 0, sizeof(vectors));
}

SEAM void device_set_vmk_name(struct device *dev, const char *prefix)
{
	snprintf(dev->vmk_name, sizeof(dev->vmk_name), "%s0", prefix);
}

/* Registers mapped by the bus: the pointer is the machine address. */
SEAM void *kmap_device(pa_t pa, size_t len, enum kmap_cache cache)
{
	return (void *)(uintptr_t)pa;
}

SEAM void kunmap(void *va) {}

SEAM bool boot_option(const char *name, char *value, size_t size)
{
	size_t len = strlen(name);

	for (const char *s = seam_options; s && *s;
	     s = strchr(s, ' ') ? strchr(s, ' ') + 1 : NULL) {
		if (strncmp(s, name, len) || (s[len] && s[len] != '=' && s[len] != ' '))
			continue;
		const char *v = s + len + (s[len] == '=');

		snprintf(value, size, "%.*s", (int)strcspn(v, " "), v);
		return true;
	}
	return false;
}

uint32_t seam_world_id = 1;

SEAM uint32_t world_id(const struct world *w)
{
	return seam_world_id;
}

SEAM void world_sleep_until(ns_t deadline)
{
	if (deadline > seam_now)
		seam_advance(deadline - seam_now);
}

SEAM void bottom_flush(struct bottom *b)
{
	seam_run_bottoms();
}

/* lib/printf.c's, with the C library's formats. */
SEAM int vmk_snprintf(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(buf, size, fmt, ap);

	va_end(ap);
	return n;
}

SEAM size_t str_copy(char *dst, const char *src, size_t size)
{
	return (size_t)snprintf(dst, size, "%s", src);
}

SEAM struct pci_dev *seam_pci_new(void)
{
	struct pci_dev *p = calloc(1, sizeof(*p));

	list_init(&p->link);
	list_init(&p->dev.link);
	p->dev.dma_mask = ~0ull;
	snprintf(p->dev.name, sizeof(p->dev.name), "0000:00:03.0");
	return p;
}
