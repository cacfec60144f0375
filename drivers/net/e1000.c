// SPDX-License-Identifier: Apache-2.0
/*
 * Intel Gigabit NICs: 8254x and 82574L. Reset, address, link, filters, interrupts. Spec: SDM 14
 * (initialisation), 13.4 (registers); 82574 Datasheet 10.2. One vector or line serves everything;
 * the interval register moderates it.
 */
#include "e1000.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/world.h"

#define LOG_MODULE "e1000"

STAT(interrupts, "e1000.interrupts", "interrupts");
STAT(mmio, "e1000.mmio", "registers read and written");
STAT(resets, "e1000.resets", "resets of devices that no longer sent");

static uint32_t e1000_read(const struct e1000 *e, unsigned reg)
{
	stat_inc(mmio);
	return mmio_read32(e->regs + reg);
}

void e1000_write(struct e1000 *e, unsigned reg, uint32_t v)
{
	stat_inc(mmio);
	mmio_write32(e->regs + reg, v);
}

/*
 * Reading ICR acknowledges; the causes stay masked until the bottom half has looked at the rings.
 */
static enum irq_return e1000_irq(void *arg)
{
	struct e1000 *e = arg;
	uint32_t icr = e1000_read(e, E1000_ICR);

	if (!icr || icr == ~0u)
		return IRQ_NONE;
	stat_inc(interrupts);
	e1000_write(e, E1000_IMC, ~0u);
	(void)__atomic_fetch_or(&e->causes, icr, __ATOMIC_ACQ_REL);
	bottom_raise(&e->bottom);
	return IRQ_HANDLED;
}

/* 14.3; the datasheet asks for nothing to be read for a moment. */
static int reset(struct e1000 *e)
{
	e1000_write(e, E1000_IMC, ~0u);
	e1000_write(e, E1000_RCTL, 0);
	e1000_write(e, E1000_TCTL, (uint32_t)E1000_TCTL_PSP);
	(void)e1000_read(e, E1000_STATUS);
	world_sleep_until(time_now() + E1000_RESET_WAIT);
	e1000_write(e, E1000_CTRL, e1000_read(e, E1000_CTRL) | (uint32_t)E1000_CTRL_RST);
	world_sleep_until(time_now() + E1000_RESET_WAIT);
	if (e1000_read(e, E1000_STATUS) == ~0u)
		return -ENODEV;
	if (e1000_read(e, E1000_CTRL) & E1000_CTRL_RST)
		return -ETIMEDOUT;
	e1000_write(e, E1000_IMC, ~0u);
	(void)e1000_read(e, E1000_ICR);
	return 0;
}

/* Reset loads the address from the EEPROM into the first receive address, 12.1. */
static int read_mac(struct e1000 *e)
{
	uint32_t low = e1000_read(e, E1000_RAL), high = e1000_read(e, E1000_RAH);

	memcpy(e->up.mac, &low, 4);
	memcpy(e->up.mac + 4, &high, 2);
	return low && low != ~0u && !(e->up.mac[0] & 1) ? 0 : -ENODEV;
}

static void read_link(struct e1000 *e)
{
	static const uint16_t speed[] = { 10, 100, 1000, 1000 };
	uint32_t status = e1000_read(e, E1000_STATUS);

	if (status == ~0u || !e->live)
		status = 0;
	uplink_link(&e->up, status & E1000_STATUS_LU, speed[GET(E1000_STATUS_SPEED, status)],
	            status & E1000_STATUS_FD);
}

static void start_device(struct e1000 *e)
{
	uint32_t ctrl = e1000_read(e, E1000_CTRL);

	e1000_write(e, E1000_CTRL,
	            ctrl | (uint32_t)(E1000_CTRL_SLU | E1000_CTRL_ASDE | E1000_CTRL_VME));
	e1000_write(e, E1000_VET, 0x8100);
	for (unsigned i = 0; i < E1000_MTA_WORDS; i++)
		e1000_write(e, E1000_MTA + 4 * i, 0);
	/* Before RCTL.EN and TCTL.EN: the device starts with whatever the ring registers say. */
	e1000_rings_start(e);
	e1000_write(e, E1000_RXCSUM, (uint32_t)(E1000_RXCSUM_IP | E1000_RXCSUM_TCP));
	e1000_write(e, E1000_TIPG, E1000_TIPG_VALUE);
	e1000_write(e, E1000_TCTL,
	            (uint32_t)(E1000_TCTL_EN | E1000_TCTL_PSP |
	                       PUT(E1000_TCTL_CT, E1000_TCTL_CT_VALUE) |
	                       PUT(E1000_TCTL_COLD, E1000_TCTL_COLD_FD)));
	e1000_write(e, E1000_RCTL,
	            (uint32_t)(E1000_RCTL_EN | E1000_RCTL_BAM | E1000_RCTL_SECRC | E1000_RCTL_LPE) |
	                    e->rctl_mode);
	e1000_write(e, E1000_ITR, E1000_ITR_INTERVAL);
	/* Last: from here on the interrupt handler runs. */
	e1000_write(e, E1000_IMS, (uint32_t)E1000_IMS_WANTED);
}

/* The device reads what it was given until its reset: only then are packets dropped. */
static void recover(struct e1000 *e)
{
	stat_inc(resets);
	log_warn("%s: sending does not go on: it is reset", e->up.name);
	e1000_rings_halt(e);
	e1000_write(e, E1000_IMC, ~0u);
	/* With interrupts masked and rings halted nobody touches the rings now. */
	bottom_flush(&e->bottom);
	int err = reset(e);

	if (err) {
		log_err("%s: it does not come back: error %d", e->up.name, -err);
		uplink_link(&e->up, false, 0, false);
		return;
	}
	e1000_rings_drop(e);
	e->rctl_mode |= (uint32_t)E1000_RCTL_MPE; /* the multicast table is gone */
	start_device(e);
}

static void link_work(struct work *w)
{
	struct e1000 *e = container_of(w, struct e1000, link_work);

	if (!e->registered || e->removing)
		return;
	if (e->stuck)
		recover(e);
	e->stuck = false;
	read_link(e);
}

static int e1000_set_mode(struct uplink *u, bool promisc, bool allmulti)
{
	struct e1000 *e = u->drvdata;
	uint32_t rctl = e1000_read(e, E1000_RCTL) & (uint32_t) ~(E1000_RCTL_UPE | E1000_RCTL_MPE);

	e->rctl_mode = (uint32_t)((promisc ? E1000_RCTL_UPE : 0) | (allmulti ? E1000_RCTL_MPE : 0));
	e1000_write(e, E1000_RCTL, rctl | e->rctl_mode);
	return 0;
}

/* 13.5.1: bits 47:36 of the address choose one of 4,096 bits. */
static int e1000_set_multicast(struct uplink *u, const uint8_t (*mac)[ETH_ALEN], unsigned n)
{
	struct e1000 *e = u->drvdata;
	uint32_t table[E1000_MTA_WORDS] = { 0 };

	for (unsigned i = 0; i < n; i++) {
		unsigned hash = (mac[i][4] >> 4 | (unsigned)mac[i][5] << 4) & 0xfff;

		table[hash >> 5] |= 1u << (hash & 31);
	}
	for (unsigned i = 0; i < E1000_MTA_WORDS; i++)
		e1000_write(e, E1000_MTA + 4 * i, table[i]);
	return 0;
}

static int e1000_set_mtu(struct uplink *u, unsigned mtu)
{
	if (mtu > u->mtu_max)
		return -EINVAL;
	u->mtu = (uint16_t)mtu;
	return 0;
}

/*
 * The rings run from probe to remove; what arrives while it is down is dropped by uplink_receive.
 */
static int e1000_set_up(struct uplink *u, bool up)
{
	u->admin_up = up;
	return 0;
}

static const struct uplink_ops e1000_ops = { .xmit = e1000_xmit,
	                                     .set_mode = e1000_set_mode,
	                                     .set_multicast = e1000_set_multicast,
	                                     .set_mtu = e1000_set_mtu,
	                                     .set_up = e1000_set_up };

static void describe(struct e1000 *e)
{
	struct uplink *u = &e->up;

	device_set_vmk_name(&e->pci->dev, "vmnic");
	str_copy(u->name, e->pci->dev.vmk_name, sizeof(u->name));
	u->mtu = 1500;
	u->mtu_max = 9000;
	u->caps = UPLINK_TX_CSUM | UPLINK_RX_CSUM | UPLINK_TSO4 | UPLINK_VLAN;
	u->tx_queues = u->rx_queues = 1;
	u->driver = e->express ? "e1000e" : "e1000";
	u->device = &e->pci->dev;
	u->ops = &e1000_ops;
	u->drvdata = e;
}

static int start(struct e1000 *e)
{
	e->regs = pci_map_bar(e->pci, 0);
	if (!e->regs || e->pci->bar[0].len < E1000_REGS_SIZE || e1000_read(e, E1000_STATUS) == ~0u)
		return -ENODEV;
	int err = reset(e);

	if (!err)
		err = read_mac(e);
	if (!err)
		err = e1000_rings_alloc(e);
	if (err)
		return err;
	/*
	 * One MSI: with MSI-X the 82574 would spread causes over vectors that one ring pair has no
	 * use for.
	 */
	e->pci->cap_msix = 0;
	err = pci_irq_setup(e->pci, 1);
	if (err >= 0)
		err = pci_irq_attach(e->pci, 0, -1, e1000_irq, e);
	if (err)
		return err;
	pci_set_master(e->pci, true);
	start_device(e);
	return 0;
}

static void stop(struct e1000 *e)
{
	/*
	 * The reset stops DMA; without bus mastering even a device that ignores it cannot reach
	 * memory.
	 */
	int err = e->regs ? reset(e) : -ENODEV;

	if (err == -ETIMEDOUT)
		log_warn("%s: does not reset", e->pci->dev.name);
	pci_set_master(e->pci, false);
	pci_irq_teardown(e->pci);
	bottom_flush(&e->bottom);
	e1000_rings_halt(e);
	e1000_rings_drop(e);
	e1000_rings_free(e);
	e->pci->dev.drvdata = NULL;
	kfree(e);
}

/* stop() copes with a device that got part of the way. */
static int e1000_probe(struct device *dev)
{
	struct e1000 *e = kzalloc(sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->pci = to_pci(dev);
	e->express = dev->quirks & E1000_Q_82574;
	dev->drvdata = e;
	spin_init(&e->tx_lock, "e1000 send", RANK_DEVICE);
	bottom_init(&e->bottom, e1000_bottom);
	work_init(&e->link_work, link_work);
	int err = start(e);

	if (!err) {
		describe(e);
		err = uplink_register(&e->up);
	}
	if (err) {
		stop(e);
		return err;
	}
	e->registered = true;
	read_link(e);
	return 0;
}

static void e1000_remove(struct device *dev)
{
	struct e1000 *e = dev->drvdata;

	WRITE_ONCE(e->removing, true);
	uplink_unregister(&e->up);
	/* It looks at `removing`; once flushed it does nothing any more. */
	work_flush(&e->link_work);
	stop(e);
}

static const struct hcl_match e1000_match[] = {
	PCI_DEV(0x8086, 0x100e, EMULATED, "Intel 82540EM Gigabit Ethernet"),
	PCI_DEV(0x8086, 0x100f, SUPPORTED, "Intel 82545EM Gigabit Ethernet"),
};
DRIVER(e1000, .desc = "Intel PRO/1000 (8254x)", .spec = "Intel SDM 317453-006", .bus = HCL_BUS_PCI,
       .class = HCL_CLASS_NET, MATCH(e1000_match), .probe = e1000_probe, .remove = e1000_remove);

static const struct hcl_match e1000e_match[] = {
	PCI_DEV_Q(0x8086, 0x10d3, EMULATED, E1000_Q_82574, "Intel 82574L Gigabit Ethernet"),
	PCI_DEV_Q(0x8086, 0x10f6, SUPPORTED, E1000_Q_82574, "Intel 82574LA Gigabit Ethernet"),
};
DRIVER(e1000e, .desc = "Intel PRO/1000 PCI Express (82574)", .spec = "82574 Datasheet 3.4",
       .bus = HCL_BUS_PCI, .class = HCL_CLASS_NET, MATCH(e1000e_match), .probe = e1000_probe,
       .remove = e1000_remove);
