// SPDX-License-Identifier: Apache-2.0
/* Control operations on PCI functions and the drivers of the image. */
#include "abi/device.h"

#include "ctl/page.h"
#include "vmk/pci.h"
#include "vmk/string.h"

static void fill_pci(struct pci_dev *p, void *arg)
{
	/* Read once: the hot-plug work may take the driver off while we look. */
	const struct hcl_driver *driver = READ_ONCE(p->dev.driver);
	struct ctl_pci *o = page_next(arg);

	if (!o)
		return;
	o->segment = p->segment;
	o->bus = p->bus;
	o->slot = p->slot;
	o->func = p->func;
	o->revision = p->revision;
	o->irq_line = p->irq_line;
	o->irq_pin = p->irq_pin;
	o->vendor = p->vendor;
	o->device = p->device;
	o->subvendor = p->subvendor;
	o->subdevice = p->subdevice;
	o->class_code = p->class_code;
	o->secondary = p->secondary;
	o->parent = p->parent ? (int16_t)p->parent->index : -1;
	str_copy(o->vmk_name, p->dev.vmk_name, sizeof(o->vmk_name));
	str_copy(o->driver, driver ? driver->name : "", sizeof(o->driver));
	str_copy(o->reason, p->dev.reason ? p->dev.reason : "", sizeof(o->reason));
}

CTL_LIST(CTL_DEVICE_PCI, device_pci, struct ctl_device_pci, pci)
{
	pci_for_each(fill_pci, page);
}

struct bound {
	const struct hcl_driver *driver;
	uint32_t count;
};

static void count_bound(struct pci_dev *p, void *arg)
{
	struct bound *b = arg;

	b->count += p->dev.driver == b->driver;
}

CTL_LIST(CTL_DEVICE_DRIVERS, device_drivers, struct ctl_device_drivers, driver)
{
	SECTION_FOR_EACH(struct hcl_driver, d, drivers) {
		struct ctl_driver *o = page_next(page);
		struct bound b = { d, 0 };

		if (!o)
			continue;
		/*
		 * A walk of its own for each driver: drivers are few, and a count needs no table.
		 */
		pci_for_each(count_bound, &b);
		str_copy(o->name, d->name, sizeof(o->name));
		str_copy(o->desc, d->desc, sizeof(o->desc));
		str_copy(o->spec, d->spec ? d->spec : "", sizeof(o->spec));
		o->bound = b.count;
		o->rows = d->match_count;
	}
}
