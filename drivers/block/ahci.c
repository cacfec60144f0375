// SPDX-License-Identifier: Apache-2.0
/*
 * The AHCI controller: binding, hand-over from firmware, interrupt. Spec: AHCI 1.3.1 3.1, 10.1,
 * 10.6.
 */
#include "ahci.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/world.h"

#define LOG_MODULE "ahci"

STAT(interrupts, "ahci.interrupts", "interrupts");

static int wait_clear(struct ahci *c, unsigned reg, uint32_t mask, ns_t timeout)
{
	ns_t deadline = time_now() + timeout;
	uint32_t v;

	while ((v = mmio_read32(c->regs + reg)) & mask) {
		if (v == ~0u)
			return -ENODEV;
		if (time_now() >= deadline)
			return -ETIMEDOUT;
		world_sleep_until(time_now() + NS_PER_MS);
	}
	return 0;
}

/* 10.6.3; a BIOS that does not let go within two seconds is overruled. */
static void take_over(struct ahci *c)
{
	if (!(mmio_read32(c->regs + AHCI_CAP2) & AHCI_CAP2_BOH))
		return;
	mmio_write32(c->regs + AHCI_BOHC, mmio_read32(c->regs + AHCI_BOHC) | AHCI_BOHC_OS);
	if (wait_clear(c, AHCI_BOHC, AHCI_BOHC_BIOS, 2 * NS_PER_S))
		log_warn("%s: the firmware does not hand it over", c->pci->dev.name);
}

static int reset(struct ahci *c)
{
	/*
	 * AE is set before any other register is used, and again after the reset that clears it
	 * (3.1.2).
	 */
	mmio_write32(c->regs + AHCI_GHC, AHCI_GHC_AE);
	mmio_write32(c->regs + AHCI_GHC, (uint32_t)(AHCI_GHC_AE | AHCI_GHC_RESET));
	int err = wait_clear(c, AHCI_GHC, AHCI_GHC_RESET, AHCI_RESET_TIMEOUT);

	mmio_write32(c->regs + AHCI_GHC, AHCI_GHC_AE);
	return err;
}

/*
 * A level interrupt stays up until the port's status is cleared, which the bottom half does; until
 * then its enable register holds it back.
 */
static enum irq_return ahci_irq(void *arg)
{
	struct ahci *c = arg;
	uint32_t is = mmio_read32(c->regs + AHCI_IS);

	if (!is || is == ~0u)
		return IRQ_NONE;
	stat_inc(interrupts);
	for (uint32_t left = is; left; left &= left - 1) {
		struct ahci_port *p = c->port[__builtin_ctz(left)];

		if (!p)
			continue;
		/* Turned on again by ahci_bottom, when the port's causes are cleared. */
		ahci_write(p, PORT_IE, 0);
		bottom_raise(&p->bottom);
	}
	/*
	 * After the ports: a bit that is cleared while its port still asserts is set again at once
	 * (10.7.2.1).
	 */
	mmio_write32(c->regs + AHCI_IS, is);
	return IRQ_HANDLED;
}

static int start(struct ahci *c)
{
	c->regs = pci_map_bar(c->pci, AHCI_BAR);
	if (!c->regs || mmio_read32(c->regs + AHCI_PI) == ~0u)
		return -ENODEV;
	take_over(c);
	int err = reset(c);

	if (err)
		return err;
	c->cap = mmio_read32(c->regs + AHCI_CAP);
	if (!(c->cap & AHCI_CAP_64))
		c->pci->dev.dma_mask = UINT32_MAX;
	pci_set_master(c->pci, true);
	err = pci_irq_setup(c->pci, 1);
	return err < 0 ? err : pci_irq_attach(c->pci, 0, -1, ahci_irq, c);
}

static void ports_find(struct ahci *c)
{
	uint32_t ports = mmio_read32(c->regs + AHCI_PI);

	for (unsigned i = 0; i < AHCI_PORTS_MAX; i++) {
		/* PI says which ports exist; the BAR must hold their registers. */
		if (!(ports & 1u << i) ||
		    c->pci->bar[AHCI_BAR].len < AHCI_PORTS + (i + 1) * AHCI_PORT_SIZE)
			continue;
		int err = ahci_port_open(c, i, &c->port[i]);

		if (!err && c->port[i])
			err = ahci_register(c->port[i]);
		if (!err)
			continue;
		log_warn("%s: port %u: error %d", c->pci->dev.vmk_name, i, -err);
		if (c->port[i])
			ahci_port_close(c->port[i]);
		c->port[i] = NULL;
	}
}

static int ahci_probe(struct device *dev)
{
	struct ahci *c = kzalloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->pci = to_pci(dev);
	dev->drvdata = c;
	int err = start(c);

	if (err) {
		pci_set_master(c->pci, false);
		pci_irq_teardown(c->pci);
		dev->drvdata = NULL;
		kfree(c);
		return err;
	}
	device_set_vmk_name(dev, "vmhba");
	mmio_write32(c->regs + AHCI_GHC, (uint32_t)(AHCI_GHC_AE | AHCI_GHC_IE));
	ports_find(c);
	return 0;
}

/*
 * Disks go first, each after its requests have ended; the ports' memory last, when no interrupt can
 * reach them.
 */
static void ahci_remove(struct device *dev)
{
	struct ahci *c = dev->drvdata;

	WRITE_ONCE(c->removing, true);
	for (unsigned i = 0; i < AHCI_PORTS_MAX; i++) {
		struct ahci_port *p = c->port[i];

		if (!p)
			continue;
		/* Requests of a device that is gone never come back: the recovery ends them. */
		if (dev->gone)
			work_queue(&p->recover);
		work_flush(&p->recover);
		blk_unregister(p->blk);
		/* A time-out during the unregistering may have queued it again. */
		work_flush(&p->recover);
	}
	mmio_write32(c->regs + AHCI_GHC, AHCI_GHC_AE);
	pci_irq_teardown(c->pci);
	for (unsigned i = 0; i < AHCI_PORTS_MAX; i++)
		if (c->port[i])
			ahci_port_close(c->port[i]);
	pci_set_master(c->pci, false);
	dev->drvdata = NULL;
	kfree(c);
}

static const struct hcl_match ahci_match[] = {
	PCI_DEV(0x8086, 0x2922, EMULATED, "Intel ICH9 AHCI controller"),
	PCI_DEV(0x8086, 0x2829, SUPPORTED, "Intel ICH8M AHCI controller"),
	PCI_CLASS(0x010601, SUPPORTED, "any AHCI 1.x SATA controller"),
};
DRIVER(ahci, .desc = "SATA disks by AHCI", .spec = "AHCI 1.3.1", .bus = HCL_BUS_PCI,
       .class = HCL_CLASS_BLOCK, MATCH(ahci_match), .probe = ahci_probe, .remove = ahci_remove);
