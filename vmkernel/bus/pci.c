// SPDX-License-Identifier: Apache-2.0
/*
 * Finding PCI functions, and the list of them. Scan, hot plug and removal change the list in one
 * world at a time (boot, then the hot-plug work), under the mutex; others read it under the mutex.
 * It is no spin lock: there may be thousands of functions, and whoever walks them may sleep.
 * Spec: PCI 3.0 6.2, PCI-to-PCI Bridge 1.2 3.2.
 */
#include "bus/pci_impl.h"
#include "hw/pci.h"
#include "vmk/lock.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"

#define LOG_MODULE "pci"

enum { PCI_SLOTS = 32, PCI_FUNCS = 8, PCI_BUSES = 256, PCI_DEPTH_MAX = 32 };
enum { CLASS_BRIDGE = 0x06, CLASS_USB = 0x0c03 };

static struct list functions = LIST_INIT(functions);
static struct mutex functions_lock = { SPINLOCK_INIT("pci functions", RANK_WAIT), NULL,
	                               LIST_INIT(functions_lock.waiters) };
static unsigned function_count; /* in the list; under functions_lock */

static bool known(uint16_t segment, uint8_t bus, uint8_t slot, uint8_t func)
{
	struct pci_dev *p;

	list_for_each(p, &functions, link)
		if (p->segment == segment && p->bus == bus && p->slot == slot && p->func == func)
			return true;
	return false;
}

static void read_header(struct pci_dev *p)
{
	uint32_t code = pci_read(p, PCI_CLASS, 4);

	p->vendor = (uint16_t)pci_read(p, PCI_VENDOR, 2);
	p->device = (uint16_t)pci_read(p, PCI_DEVICE, 2);
	p->class_code = code >> 8;
	p->revision = code & 0xff;
	p->header = (uint8_t)pci_read(p, PCI_HEADER, 1);
	p->irq_line = (uint8_t)pci_read(p, PCI_IRQ_LINE, 1);
	p->irq_pin = (uint8_t)pci_read(p, PCI_IRQ_PIN, 1);
	/* Offsets of capabilities do not change: looked up once. 0: it has none. */
	p->cap_pm = (uint16_t)pci_cap_find(p, PCI_CAP_PM, 0);
	p->cap_msi = (uint16_t)pci_cap_find(p, PCI_CAP_MSI, 0);
	p->cap_msix = (uint16_t)pci_cap_find(p, PCI_CAP_MSIX, 0);
	p->cap_pcie = (uint16_t)pci_cap_find(p, PCI_CAP_PCIE, 0);
	if ((p->header & PCI_HEADER_TYPE) == PCI_HEADER_NORMAL) {
		p->subvendor = (uint16_t)pci_read(p, PCI_SUBVENDOR, 2);
		p->subdevice = (uint16_t)pci_read(p, PCI_SUBDEVICE, 2);
	} else if ((p->header & PCI_HEADER_TYPE) == PCI_HEADER_BRIDGE) {
		p->secondary = (uint8_t)pci_read(p, PCI_BRIDGE_SECONDARY, 1);
		p->subordinate = (uint8_t)pci_read(p, PCI_BRIDGE_SUBORDINATE, 1);
	}
}

static struct pci_dev *function_add(const struct pci_dev *at, struct pci_dev *parent)
{
	struct pci_dev *p = kzalloc(sizeof(*p));

	if (!p) {
		log_err("no memory for function %02x:%02x.%x", at->bus, at->slot, at->func);
		return NULL;
	}
	*p = *at;
	p->parent = parent;
	p->dev.bus = HCL_BUS_PCI;
	p->dev.dma_mask = ~0ull;
	vmk_snprintf(p->dev.name, sizeof(p->dev.name), "%04x:%02x:%02x.%x", p->segment, p->bus,
	             p->slot, p->func);
	read_header(p);
	pci_bars_probe(p);
	/* Nothing does DMA without a driver, but for firmware that emulates a keyboard from USB. */
	if (p->class_code >> 16 != CLASS_BRIDGE && p->class_code >> 8 != CLASS_USB)
		pci_set_master(p, false);
	list_init(&p->dev.link);
	mutex_lock(&functions_lock);
	p->index = function_count++;
	list_push_back(&functions, &p->link);
	mutex_unlock(&functions_lock);
	return p;
}

static unsigned depth_of(const struct pci_dev *p)
{
	unsigned n = 0;

	for (; p; p = p->parent)
		n++;
	return n;
}

/* Functions on one bus and below, appended to the list of all; returns how many are new. */
static unsigned scan_bus(uint16_t segment, uint8_t bus, struct pci_dev *parent);

static unsigned scan_below(struct pci_dev *bridge)
{
	if (bridge->secondary <= bridge->bus || bridge->subordinate < bridge->secondary ||
	    depth_of(bridge) > PCI_DEPTH_MAX) {
		log_warn("%s: bridge without valid bus numbers, nothing behind it is used",
		         bridge->dev.name);
		return 0;
	}
	return scan_bus(bridge->segment, bridge->secondary, bridge);
}

/* One function; *multi says whether the slot has more. */
static unsigned scan_function(struct pci_dev *at, struct pci_dev *parent, bool *multi)
{
	uint32_t vendor = pci_read(at, PCI_VENDOR, 2);

	if (vendor == 0xffff || vendor == 0 || known(at->segment, at->bus, at->slot, at->func))
		return 0;
	struct pci_dev *p = function_add(at, parent);

	if (!p)
		return 0;
	if (p->func == 0)
		*multi = p->header & PCI_HEADER_MULTI;
	unsigned found = 1;

	if ((p->header & PCI_HEADER_TYPE) == PCI_HEADER_BRIDGE)
		found += scan_below(p);
	return found;
}

static unsigned scan_bus(uint16_t segment, uint8_t bus, struct pci_dev *parent)
{
	unsigned found = 0;
	uint8_t *window = pci_ecam_bus(segment, bus);

	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		bool multi = false;

		for (unsigned func = 0; func < (multi ? PCI_FUNCS : 1); func++) {
			struct pci_dev at = { .segment = segment,
				              .bus = bus,
				              .slot = (uint8_t)slot,
				              .func = (uint8_t)func };

			at.ecam = window ? window + (slot << 15 | func << 12) : NULL;
			found += scan_function(&at, parent, &multi);
		}
	}
	return found;
}

static bool bus_seen(uint16_t segment, unsigned bus)
{
	struct pci_dev *p;

	list_for_each(p, &functions, link)
		if (p->segment == segment &&
		    (p->bus == bus ||
		     (p->secondary && bus >= p->secondary && bus <= p->subordinate)))
			return true;
	return false;
}

/* Through CF8/CFC where that reaches, so that no window is mapped for an empty bus. */
static bool bus_alive(uint16_t segment, uint8_t bus)
{
	for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
		struct pci_dev at = { .segment = segment, .bus = bus, .slot = (uint8_t)slot };

		if (segment)
			at.ecam = (uint8_t *)pci_ecam_bus(segment, bus) + (slot << 15);
		if (pci_read(&at, PCI_VENDOR, 2) != 0xffff)
			return true;
	}
	return false;
}

/* Root buses besides 0 (a second socket) are named by AML only; so look for functions. */
static unsigned scan_segment(uint16_t segment, unsigned first, unsigned last)
{
	unsigned found = 0;

	for (unsigned bus = first; bus <= last; bus++)
		if (!bus_seen(segment, bus) && bus_alive(segment, (uint8_t)bus))
			found += scan_bus(segment, (uint8_t)bus, NULL);
	return found;
}

void pci_scan(void)
{
	uint16_t segment;
	uint8_t first, last;
	unsigned found = scan_bus(0, 0, NULL), i;

	for (i = 0; !pci_ecam_region(i, &segment, &first, &last); i++)
		found += scan_segment(segment, first, last);
	log_info("%u functions, configuration through %s", found, i ? "ECAM" : "CF8/CFC");
}

void pci_forget(struct pci_dev *p)
{
	struct pci_dev *other;

	mutex_lock(&functions_lock);
	list_remove(&p->link);
	function_count--;
	/* The list is in the order of the indices, so that those behind p move up by one. */
	list_for_each(other, &functions, link)
		if (other->index > p->index)
			other->index--;
	mutex_unlock(&functions_lock);
	kfree(p);
}

void pci_for_each(void (*fn)(struct pci_dev *p, void *arg), void *arg)
{
	struct pci_dev *p;

	mutex_lock(&functions_lock);
	list_for_each(p, &functions, link)
		fn(p, arg);
	mutex_unlock(&functions_lock);
}

/*
 * Probing sleeps, so it walks without the lock: only this world and the hot-plug work change the
 * list.
 */
void pci_attach(void)
{
	struct pci_dev *p, *next;

	list_for_each_safe(p, next, &functions, link)
		if (!p->dev.driver)
			driver_attach(&p->dev);
}

void pci_shutdown(void)
{
	struct pci_dev *p, *next;

	list_for_each_safe(p, next, &functions, link)
		driver_detach(&p->dev);
}
