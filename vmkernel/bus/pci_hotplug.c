// SPDX-License-Identifier: Apache-2.0
/*
 * Native hot plug of PCI Express slots: orderly removal (attention button or a request of the
 * machine) and surprise removal. Slots are looked at once a second by one work item, so that only
 * it and boot change the list of functions. What is plugged in later gets no addresses here, and is
 * used after the next boot. Spec: PCIe Base 4.0 6.7.
 */
#include "bus/pci_impl.h"
#include "hw/pci.h"
#include "vmk/log.h"
#include "vmk/time.h"
#include "vmk/work.h"
#include "vmk/world.h"

#define LOG_MODULE "pci"

enum { SLOTS_MAX = 32 };
#define SLOT_INTERVAL NS_PER_S

static struct pci_dev *slots[SLOTS_MAX];
static unsigned slot_count;
static struct timer slot_timer;
static struct work slot_work;

static uint32_t slot_read(struct pci_dev *bridge, unsigned reg)
{
	return pci_read(bridge, bridge->cap_pcie + reg, 2);
}

/* A bridge with a slot that announces hot plug is watched from now on. Under the list's lock. */
static void slot_add(struct pci_dev *bridge, void *arg)
{
	if ((bridge->header & PCI_HEADER_TYPE) != PCI_HEADER_BRIDGE || !bridge->cap_pcie ||
	    slot_count == SLOTS_MAX)
		return;
	if (!(slot_read(bridge, PCIE_FLAGS) & PCIE_FLAGS_SLOT) ||
	    !(pci_read(bridge, bridge->cap_pcie + PCIE_SLOTCAP, 4) & PCIE_SLOTCAP_HOTPLUG))
		return;
	slots[slot_count++] = bridge;
	/* What happened before the scan is no event. */
	pci_write(bridge, bridge->cap_pcie + PCIE_SLOTSTA, 2,
	          PCIE_SLOTSTA_BUTTON | PCIE_SLOTSTA_PRESENCE_CHANGED);
}

void pci_hotplug_init(void)
{
	pci_for_each(slot_add, NULL);
}

struct below {
	const struct pci_dev *bridge;
	struct pci_dev *found;
};

/* The last function of the list below a bridge: leaves before their bridges. */
static void find_below(struct pci_dev *p, void *arg)
{
	struct below *b = arg;

	for (const struct pci_dev *up = p->parent; up; up = up->parent)
		if (up == b->bridge)
			b->found = p;
}

static void slot_empty(struct pci_dev *bridge, bool surprise)
{
	for (;;) {
		struct below b = { .bridge = bridge };

		pci_for_each(find_below, &b);
		if (!b.found)
			return;
		b.found->dev.gone = surprise;
		driver_detach(&b.found->dev);
		log_info("%s: %s", b.found->dev.name, surprise ? "was pulled out" : "is taken out");
		pci_forget(b.found);
	}
}

/* 6.7.1.1: power and indicator off say that the card may go. */
static void slot_power_off(struct pci_dev *bridge)
{
	uint32_t ctl = slot_read(bridge, PCIE_SLOTCTL);

	ctl = SET(PCIE_SLOTCTL_POWER_LED, ctl, PCIE_LED_OFF) | PCIE_SLOTCTL_POWER_OFF;
	pci_write(bridge, bridge->cap_pcie + PCIE_SLOTCTL, 2, ctl);
}

static void slot_check(struct pci_dev *bridge)
{
	uint32_t events = slot_read(bridge, PCIE_SLOTSTA);

	if (events == 0xffff)
		return;
	uint32_t seen = events & (PCIE_SLOTSTA_BUTTON | PCIE_SLOTSTA_PRESENCE_CHANGED);

	if (!seen)
		return;
	pci_write(bridge, bridge->cap_pcie + PCIE_SLOTSTA, 2, seen);
	if (!(events & PCIE_SLOTSTA_PRESENT)) {
		slot_empty(bridge, true);
	} else if (events & PCIE_SLOTSTA_BUTTON) {
		slot_empty(bridge, false);
		slot_power_off(bridge);
	} else {
		log_info("%s: a device was plugged in; it is used after the next boot",
		         bridge->dev.name);
	}
}

static void slots_check(struct work *w)
{
	for (unsigned i = 0; i < slot_count; i++)
		slot_check(slots[i]);
	timer_set(&slot_timer, time_now() + SLOT_INTERVAL);
}

static void slots_tick(struct timer *t)
{
	work_queue(&slot_work);
}

void pci_hotplug_start(void)
{
	if (!slot_count)
		return;
	work_init(&slot_work, slots_check);
	timer_init(&slot_timer, slots_tick);
	timer_set(&slot_timer, time_now() + SLOT_INTERVAL);
}

void pci_hotplug_stop(void)
{
	if (!slot_count)
		return;
	timer_cancel_sync(&slot_timer);
	work_flush(&slot_work);
	timer_cancel_sync(&slot_timer);
	slot_count = 0;
}
