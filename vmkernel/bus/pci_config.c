// SPDX-License-Identifier: Apache-2.0
/*
 * Configuration space: through ECAM where MCFG covers the bus, else through CF8/CFC, where a spin
 * lock keeps address and data together. ECAM windows are mapped a bus at a time, by pci_scan in a
 * world.
 * Spec: PCI 3.0 3.2.2.3.2; PCIe Base 4.0 7.2.2.
 */
#include "bus/pci_impl.h"
#include "hw/pci.h"
#include "vmk/io.h"
#include "vmk/lock.h"
#include "vmk/mm.h"

enum { ECAM_REGIONS = 16, ECAM_BUS_SHIFT = 20, ECAM_FUNC_SHIFT = 12 };

struct ecam_region {
	uint16_t segment;
	uint8_t first, last;
	pa_t base; /* of bus 0, whether or not first is 0 */
	void *bus_va[256];
};

static struct ecam_region *regions[ECAM_REGIONS];
static unsigned region_count;
static struct spinlock cf8_lock = SPINLOCK_INIT("pci config", RANK_LEAF);

int pci_ecam_add(uint16_t segment, uint8_t first, uint8_t last, pa_t base)
{
	if (region_count == ECAM_REGIONS || first > last || !IS_ALIGNED(base, 1u << ECAM_BUS_SHIFT))
		return -EINVAL;
	struct ecam_region *r = kzalloc(sizeof(*r));

	if (!r)
		return -ENOMEM;
	*r = (struct ecam_region){ .segment = segment, .first = first, .last = last, .base = base };
	regions[region_count++] = r;
	return 0;
}

int pci_ecam_region(unsigned i, uint16_t *segment, uint8_t *first, uint8_t *last)
{
	if (i >= region_count)
		return -ENOENT;
	*segment = regions[i]->segment;
	*first = regions[i]->first;
	*last = regions[i]->last;
	return 0;
}

void *pci_ecam_bus(uint16_t segment, uint8_t bus)
{
	for (unsigned i = 0; i < region_count; i++) {
		struct ecam_region *r = regions[i];

		if (r->segment != segment || bus < r->first || bus > r->last)
			continue;
		if (!r->bus_va[bus])
			r->bus_va[bus] = kmap_device(r->base + ((pa_t)bus << ECAM_BUS_SHIFT),
			                             1u << ECAM_BUS_SHIFT, KMAP_UC);
		return r->bus_va[bus];
	}
	return NULL;
}

static volatile uint8_t *ecam_reg(const struct pci_dev *p, unsigned off)
{
	return (volatile uint8_t *)p->ecam + off;
}

static uint32_t cf8_address(const struct pci_dev *p, unsigned off)
{
	return PCI_CF8_ENABLE | (uint32_t)p->bus << 16 | (uint32_t)p->slot << 11 |
	       (uint32_t)p->func << 8 | (off & 0xfc);
}

static uint32_t cf8_read(const struct pci_dev *p, unsigned off, unsigned size)
{
	if (p->segment || off >= PCI_CONFIG_SIZE)
		return ~0u >> (32 - 8 * size);
	uint64_t flags = spin_lock_irq(&cf8_lock);

	out32(PCI_CF8, cf8_address(p, off));
	uint16_t port = PCI_CFC + (off & 3);
	uint32_t v = size == 1 ? in8(port) : size == 2 ? in16(port) : in32(port);

	spin_unlock_irq(&cf8_lock, flags);
	return v;
}

static void cf8_write(const struct pci_dev *p, unsigned off, unsigned size, uint32_t v)
{
	if (p->segment || off >= PCI_CONFIG_SIZE)
		return;
	uint64_t flags = spin_lock_irq(&cf8_lock);

	out32(PCI_CF8, cf8_address(p, off));
	uint16_t port = PCI_CFC + (off & 3);

	if (size == 1)
		out8(port, (uint8_t)v);
	else if (size == 2)
		out16(port, (uint16_t)v);
	else
		out32(port, v);
	spin_unlock_irq(&cf8_lock, flags);
}

uint32_t pci_read(struct pci_dev *p, unsigned off, unsigned size)
{
	if (!p->ecam)
		return cf8_read(p, off, size);
	volatile uint8_t *reg = ecam_reg(p, off);

	return size == 1 ? mmio_read8(reg) : size == 2 ? mmio_read16(reg) : mmio_read32(reg);
}

void pci_write(struct pci_dev *p, unsigned off, unsigned size, uint32_t v)
{
	if (!p->ecam) {
		cf8_write(p, off, size, v);
		return;
	}
	volatile uint8_t *reg = ecam_reg(p, off);

	if (size == 1)
		mmio_write8(reg, (uint8_t)v);
	else if (size == 2)
		mmio_write16(reg, (uint16_t)v);
	else
		mmio_write32(reg, v);
}

/* A list that a broken device links into a ring ends after as many entries as fit. */
unsigned pci_cap_find(struct pci_dev *p, uint8_t id, unsigned from)
{
	if (!(pci_read(p, PCI_STATUS, 2) & PCI_STATUS_CAPS))
		return 0;
	unsigned off = pci_read(p, from ? from + 1 : PCI_CAPABILITIES, 1) & 0xfc;

	for (unsigned left = (PCI_CONFIG_SIZE - 64) / 4; off >= 64 && left; left--) {
		uint32_t head = pci_read(p, off, 2);

		if (head == 0xffff)
			return 0;
		if ((head & 0xff) == id)
			return off;
		off = head >> 8 & 0xfc;
	}
	return 0;
}
