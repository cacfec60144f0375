// SPDX-License-Identifier: Apache-2.0
/*
 * Interrupts of a PCI function: MSI-X, else one MSI, else its INTx pin. Without an AML interpreter
 * the routes of INTx are known only where the interrupt-line register names them (PIIX, ICH);
 * elsewhere the handler is polled. Set up and torn down by the function's driver in one world.
 * Spec: PCI 3.0 6.8.
 */
#include "bus/pci_impl.h"
#include "hw/pci.h"
#include "vmk/cpu.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/time.h"

#define LOG_MODULE "pci"

#define POLL_INTERVAL NS_PER_MS

enum pci_irq_kind { PCI_IRQ_MSIX, PCI_IRQ_MSI, PCI_IRQ_INTX, PCI_IRQ_POLL };

struct pci_irqs {
	enum pci_irq_kind kind;
	unsigned count;
	volatile struct pci_msix_entry *table; /* MSI-X */
	struct timer poll;
	irq_handler poll_fn;
	void *poll_arg;
	struct irq *irq[]; /* NULL: not attached */
};

static void msix_mask(struct pci_irqs *s, unsigned i, bool mask)
{
	mmio_write32(&s->table[i].control, mask ? PCI_MSIX_VECTOR_MASKED : 0);
}

/* -ENOTSUP: the function has none, or its table cannot be reached. */
static int msix_setup(struct pci_dev *p, struct pci_irqs *s, unsigned count)
{
	uint32_t where = pci_read(p, p->cap_msix + PCI_MSIX_TABLE, 4);
	unsigned bar = where & PCI_MSIX_BIR;
	uint64_t off = where & ~PCI_MSIX_BIR;

	if (bar >= PCI_BARS || off + count * PCI_MSIX_ENTRY_SIZE > p->bar[bar].len)
		return -ENOTSUP;
	uint8_t *va = pci_map_bar(p, bar);

	if (!va)
		return -ENOTSUP;
	s->kind = PCI_IRQ_MSIX;
	s->count = count;
	s->table = (void *)(va + off);
	uint32_t control = pci_read(p, p->cap_msix + PCI_MSIX_CONTROL, 2);

	pci_write(p, p->cap_msix + PCI_MSIX_CONTROL, 2, control | PCI_MSIX_ENABLE | PCI_MSIX_MASK);
	for (unsigned i = 0; i <= GET(PCI_MSIX_SIZE, control) &&
	                     (i + 1) * PCI_MSIX_ENTRY_SIZE + off <= p->bar[bar].len;
	     i++)
		msix_mask(s, i, true);
	pci_write(p, p->cap_msix + PCI_MSIX_CONTROL, 2,
	          (control | PCI_MSIX_ENABLE) & ~PCI_MSIX_MASK);
	return 0;
}

struct intel_bridges {
	bool found;
};

/*
 * The ISA bridges of Intel's desktop chipsets, 440FX to ICH10, whose firmware fills interrupt-line.
 */
static void find_isa_bridge(struct pci_dev *p, void *arg)
{
	static const uint16_t ids[] = { 0x7000, 0x7110, 0x2410, 0x2440, 0x24c0, 0x24d0,
		                        0x2640, 0x2670, 0x27b8, 0x2810, 0x2910, 0x2912,
		                        0x2914, 0x2916, 0x2918, 0x3a14, 0x3a16, 0x3a18 };
	struct intel_bridges *b = arg;

	for (unsigned i = 0; i < ARRAY_SIZE(ids); i++)
		if (p->vendor == 0x8086 && p->device == ids[i])
			b->found = true;
}

static bool intx_routed(const struct pci_dev *p)
{
	struct intel_bridges b = { false };

	pci_for_each(find_isa_bridge, &b);
	return b.found && p->irq_line > 2 && p->irq_line < 16;
}

static void poll_tick(struct timer *t)
{
	struct pci_irqs *s = container_of(t, struct pci_irqs, poll);
	/* Handlers expect interrupts off, as when an interrupt had come. */
	uint64_t flags = irq_save();

	s->poll_fn(s->poll_arg);
	irq_restore(flags);
	timer_set(t, time_now() + POLL_INTERVAL);
}

int pci_irq_setup(struct pci_dev *p, unsigned most)
{
	unsigned count = most ? most : 1;

	if (p->cap_msix) {
		unsigned size = GET(PCI_MSIX_SIZE, pci_read(p, p->cap_msix + PCI_MSIX_CONTROL, 2)) +
		                1;

		count = MIN(count, size);
	} else {
		count = 1;
	}
	struct pci_irqs *s = kzalloc(sizeof(*s) + count * sizeof(s->irq[0]));

	if (!s)
		return -ENOMEM;
	/* By falling worth: messages need no route; a pin only helps where its route is known. */
	if (!p->cap_msix || msix_setup(p, s, count)) {
		s->count = 1;
		s->kind = p->cap_msi ? PCI_IRQ_MSI : intx_routed(p) ? PCI_IRQ_INTX : PCI_IRQ_POLL;
	}
	p->irqs = s;
	return (int)s->count;
}

static int msix_attach(struct pci_dev *p, unsigned i, int cpu, irq_handler fn, void *arg)
{
	uint64_t addr;
	uint32_t data;
	int err = irq_alloc_msi(p->dev.name, cpu, fn, arg, &p->irqs->irq[i], &addr, &data);

	if (err)
		return err;
	volatile struct pci_msix_entry *e = &p->irqs->table[i];

	/* The entry is masked until it is whole. */
	mmio_write32(&e->addr, (uint32_t)addr);
	mmio_write32(&e->addr_hi, (uint32_t)(addr >> 32));
	mmio_write32(&e->data, data);
	msix_mask(p->irqs, i, false);
	return 0;
}

static int msi_attach(struct pci_dev *p, int cpu, irq_handler fn, void *arg)
{
	uint64_t addr;
	uint32_t data, control = pci_read(p, p->cap_msi + PCI_MSI_CONTROL, 2);
	int err = irq_alloc_msi(p->dev.name, cpu, fn, arg, &p->irqs->irq[0], &addr, &data);

	if (err)
		return err;
	pci_write(p, p->cap_msi + PCI_MSI_ADDR, 4, (uint32_t)addr);
	if (control & PCI_MSI_64)
		pci_write(p, p->cap_msi + PCI_MSI_ADDR_HI, 4, (uint32_t)(addr >> 32));
	pci_write(p, p->cap_msi + (control & PCI_MSI_64 ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32), 2,
	          data);
	pci_write(p, p->cap_msi + PCI_MSI_CONTROL, 2, (control & ~PCI_MSI_COUNT) | PCI_MSI_ENABLE);
	return 0;
}

static void intx_enable(struct pci_dev *p, bool on)
{
	uint32_t command = pci_read(p, PCI_COMMAND, 2) & ~PCI_COMMAND_INTX_OFF;

	pci_write(p, PCI_COMMAND, 2, command | (on ? 0 : PCI_COMMAND_INTX_OFF));
}

int pci_irq_attach(struct pci_dev *p, unsigned i, int cpu, irq_handler fn, void *arg)
{
	struct pci_irqs *s = p->irqs;
	int err = 0;

	/* Each source has one handler; polling is the one of a function without a route. */
	if (!s || i >= s->count || s->irq[i] || s->poll_fn)
		return -EINVAL;
	switch (s->kind) {
	case PCI_IRQ_MSIX: return msix_attach(p, i, cpu, fn, arg);
	case PCI_IRQ_MSI: return msi_attach(p, cpu, fn, arg);
	case PCI_IRQ_INTX:
		err = irq_alloc_isa(p->dev.name, p->irq_line, fn, arg, &s->irq[0]);
		if (!err)
			intx_enable(p, true);
		return err;
	case PCI_IRQ_POLL:
		log_warn("%s: no route known for its interrupt pin: polled every millisecond",
		         p->dev.name);
		s->poll_fn = fn;
		s->poll_arg = arg;
		timer_init(&s->poll, poll_tick);
		timer_set(&s->poll, time_now() + POLL_INTERVAL);
		return 0;
	}
	return -EINVAL;
}

static void silence(struct pci_dev *p, struct pci_irqs *s)
{
	uint32_t control;

	switch (s->kind) {
	case PCI_IRQ_MSIX:
		for (unsigned i = 0; i < s->count; i++)
			msix_mask(s, i, true);
		control = pci_read(p, p->cap_msix + PCI_MSIX_CONTROL, 2);
		pci_write(p, p->cap_msix + PCI_MSIX_CONTROL, 2, control & ~PCI_MSIX_ENABLE);
		break;
	case PCI_IRQ_MSI:
		control = pci_read(p, p->cap_msi + PCI_MSI_CONTROL, 2);
		pci_write(p, p->cap_msi + PCI_MSI_CONTROL, 2, control & ~PCI_MSI_ENABLE);
		break;
	case PCI_IRQ_INTX: intx_enable(p, false); break;
	case PCI_IRQ_POLL: break;
	}
}

void pci_irq_teardown(struct pci_dev *p)
{
	struct pci_irqs *s = p->irqs;

	if (!s)
		return;
	/* Quiet at the source first: after irq_free() nothing may come on its vector. */
	if (!p->dev.gone)
		silence(p, s);
	if (s->poll_fn)
		timer_cancel_sync(&s->poll);
	for (unsigned i = 0; i < s->count; i++)
		if (s->irq[i])
			irq_free(s->irq[i]);
	p->irqs = NULL;
	kfree(s);
}
