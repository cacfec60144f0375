// SPDX-License-Identifier: Apache-2.0
/*
 * Base address registers, decoding, bus mastering and the reset of one function. Addresses are the
 * firmware's; nothing is assigned here. Spec: PCI 3.0 6.2.5; PCIe Base 4.0 6.6.2 (FLR); PM 1.2.
 */
#include "bus/pci_impl.h"
#include "hw/pci.h"
#include "vmk/mm.h"
#include "vmk/time.h"
#include "vmk/world.h"

static unsigned bar_offset(unsigned bar)
{
	return PCI_BAR0 + 4 * bar;
}

static uint32_t bar_size_mask(struct pci_dev *p, unsigned bar)
{
	uint32_t old = pci_read(p, bar_offset(bar), 4);

	pci_write(p, bar_offset(bar), 4, ~0u);
	uint32_t mask = pci_read(p, bar_offset(bar), 4);

	pci_write(p, bar_offset(bar), 4, old);
	return mask;
}

/* Fills bar[i]; returns how many registers it takes. */
static unsigned bar_probe(struct pci_dev *p, unsigned i, unsigned count)
{
	struct pci_bar *b = &p->bar[i];
	uint32_t low = pci_read(p, bar_offset(i), 4);
	uint64_t mask = bar_size_mask(p, i);

	/* Address bits that stick are above the size: its two's complement (6.2.5.1). */
	if (mask == 0 || mask == ~0u)
		return 1;
	b->io = low & PCI_BAR_IO;
	if (b->io) {
		/* x86 has 16-bit ports; the upper half may or may not be implemented. */
		mask = (mask & PCI_BAR_IO_MASK) | ~0xffffull;
		b->base = low & PCI_BAR_IO_MASK & 0xffff;
		b->len = -mask;
		return 1;
	}
	b->prefetch = low & PCI_BAR_PREFETCH;
	b->is64 = GET(PCI_BAR_TYPE, mask) == PCI_BAR_TYPE_64 && i + 1 < count;
	b->base = low & PCI_BAR_MEM_MASK;
	mask &= PCI_BAR_MEM_MASK;
	if (b->is64) {
		b->base |= (pa_t)pci_read(p, bar_offset(i + 1), 4) << 32;
		mask |= (uint64_t)bar_size_mask(p, i + 1) << 32;
	} else {
		mask |= ~0ull << 32;
	}
	b->len = -mask;
	/* The firmware gave it no address, and nothing is assigned here: not usable. */
	if (!b->base)
		b->len = 0;
	return b->is64 ? 2 : 1;
}

void pci_bars_probe(struct pci_dev *p)
{
	unsigned type = p->header & PCI_HEADER_TYPE;
	unsigned count = type == PCI_HEADER_NORMAL ? PCI_BARS : type == PCI_HEADER_BRIDGE ? 2 : 0;
	uint32_t command = pci_read(p, PCI_COMMAND, 2);

	/* All ones in a BAR would decode somewhere else while its size is read. */
	pci_write(p, PCI_COMMAND, 2, command & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
	for (unsigned i = 0; i < count;)
		i += bar_probe(p, i, count);
	pci_write(p, PCI_COMMAND, 2, command);
}

static void command_set(struct pci_dev *p, uint32_t set, uint32_t clear)
{
	uint32_t old = pci_read(p, PCI_COMMAND, 2);
	uint32_t updated = (old & ~clear) | set;

	if (updated != old)
		pci_write(p, PCI_COMMAND, 2, updated);
}

void *pci_map_bar(struct pci_dev *p, unsigned bar)
{
	if (bar >= PCI_BARS || p->bar[bar].io || !p->bar[bar].base)
		return NULL;
	if (!p->bar_va[bar])
		p->bar_va[bar] = kmap_device(p->bar[bar].base, p->bar[bar].len, KMAP_UC);
	if (p->bar_va[bar])
		command_set(p, PCI_COMMAND_MEMORY, 0);
	return p->bar_va[bar];
}

uint16_t pci_io_bar(struct pci_dev *p, unsigned bar)
{
	if (bar >= PCI_BARS || !p->bar[bar].io || !p->bar[bar].base)
		return 0;
	command_set(p, PCI_COMMAND_IO, 0);
	return (uint16_t)p->bar[bar].base;
}

void pci_set_master(struct pci_dev *p, bool on)
{
	command_set(p, on ? PCI_COMMAND_MASTER : 0, on ? 0 : PCI_COMMAND_MASTER);
}

void pci_quiesce(struct pci_dev *p)
{
	for (unsigned i = 0; i < PCI_BARS; i++) {
		if (p->bar_va[i])
			kunmap(p->bar_va[i]);
		p->bar_va[i] = NULL;
	}
	if (p->dev.gone)
		return;
	command_set(p, PCI_COMMAND_INTX_OFF,
	            PCI_COMMAND_MASTER | PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
	if (!p->cap_pm)
		return;
	uint32_t pm = pci_read(p, p->cap_pm + PCI_PM_CONTROL, 2);

	if (GET(PCI_PM_STATE, pm) == PCI_PM_D0)
		return;
	pci_write(p, p->cap_pm + PCI_PM_CONTROL, 2, SET(PCI_PM_STATE, pm, PCI_PM_D0));
	world_sleep_until(time_now() + 10 * NS_PER_MS); /* D3hot to D0, PM 5.4 */
}

/* Waits until the function has no transaction pending, at most 100 ms. */
static void wait_quiet(struct pci_dev *p, unsigned reg, uint32_t pending)
{
	for (unsigned i = 0; i < 10 && pci_read(p, reg, 1) & pending; i++)
		world_sleep_until(time_now() + 10 * NS_PER_MS);
}

/* The way to reset: triggers it and returns true, when there is one. */
static bool reset_trigger(struct pci_dev *p)
{
	unsigned af = pci_cap_find(p, PCI_CAP_AF, 0);

	if (p->cap_pcie && pci_read(p, p->cap_pcie + PCIE_DEVCAP, 4) & PCIE_DEVCAP_FLR) {
		wait_quiet(p, p->cap_pcie + PCIE_DEVSTA, PCIE_DEVSTA_PENDING);
		uint32_t ctl = pci_read(p, p->cap_pcie + PCIE_DEVCTL, 2);

		pci_write(p, p->cap_pcie + PCIE_DEVCTL, 2, ctl | PCIE_DEVCTL_FLR);
		return true;
	}
	if (af && pci_read(p, af + PCI_AF_CAP, 1) & PCI_AF_CAP_FLR) {
		wait_quiet(p, af + PCI_AF_STATUS, PCI_AF_PENDING);
		pci_write(p, af + PCI_AF_CONTROL, 1, PCI_AF_FLR);
		return true;
	}
	if (!p->cap_pm)
		return false;
	uint32_t pm = pci_read(p, p->cap_pm + PCI_PM_CONTROL, 2);

	/* D3hot to D0 resets the function, unless this bit says that it keeps its state. */
	if (pm & PCI_PM_NO_SOFT_RESET)
		return false;
	pci_write(p, p->cap_pm + PCI_PM_CONTROL, 2, SET(PCI_PM_STATE, pm, PCI_PM_D3));
	world_sleep_until(time_now() + 10 * NS_PER_MS);
	pci_write(p, p->cap_pm + PCI_PM_CONTROL, 2, SET(PCI_PM_STATE, pm, PCI_PM_D0));
	return true;
}

int pci_reset_function(struct pci_dev *p)
{
	enum { SAVED = 16 };
	uint32_t saved[SAVED];

	/* The reset clears the header: BARs, latency, interrupt line. */
	for (unsigned i = 0; i < SAVED; i++)
		saved[i] = pci_read(p, 4 * i, 4);
	pci_set_master(p, false);
	if (!reset_trigger(p))
		return -ENOTSUP;
	/* 6.6.2: the function may take 100 ms, and answers all ones until then. */
	world_sleep_until(time_now() + 100 * NS_PER_MS);
	if (pci_read(p, PCI_VENDOR, 2) != p->vendor)
		return -ENODEV;
	/* The command register last: decoding only with the addresses in place. */
	for (unsigned i = PCI_BAR0 / 4; i < SAVED; i++)
		pci_write(p, 4 * i, 4, saved[i]);
	pci_write(p, PCI_COMMAND, 2, saved[1] & 0xffff);
	return 0;
}
