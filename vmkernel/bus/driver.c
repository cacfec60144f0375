// SPDX-License-Identifier: Apache-2.0
/*
 * Binding: the .drivers section of the image is the compatibility list, and what it does not hold
 * is left alone. Runs in the boot world, then in the hot-plug work, never in two at once.
 */
#include "bus/pci_impl.h"
#include "vmk/boot.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "vmk/string.h"

#define LOG_MODULE "hcl"

STAT(bound, "hcl.bound", "devices that a driver took");
STAT(left, "hcl.left_alone", "devices without a driver of the list");
STAT(failed, "hcl.failed", "devices whose driver gave up");

struct binding {
	const struct hcl_driver *driver;
	const struct hcl_match *match;
	int score;
};

static const char *const level_name[] = { "BLOCKED", "SUPPORTED", "EMULATED", "TESTED" };

/* How exactly a row names the function; 0: not at all. */
static int pci_score(const struct hcl_match *m, const struct pci_dev *p, bool permissive)
{
	enum { BY_CLASS_LOOSE = 1, BY_CLASS, BY_ID, BY_SUBSYSTEM };

	if (m->kind == HCL_MATCH_PCI_CLASS) {
		if (m->class_code == p->class_code)
			return BY_CLASS;
		return permissive && m->class_code >> 8 == p->class_code >> 8 ? BY_CLASS_LOOSE : 0;
	}
	if (m->kind != HCL_MATCH_PCI_ID || m->vendor != p->vendor || m->device != p->device)
		return 0;
	if (!m->subvendor && !m->subdevice)
		return BY_ID;
	return m->subvendor == p->subvendor && m->subdevice == p->subdevice ? BY_SUBSYSTEM : 0;
}

static bool option_permissive(void)
{
	char value[16];

	return boot_option("hcl", value, sizeof(value)) && !strcmp(value, "permissive");
}

static struct binding best_match(const struct pci_dev *p)
{
	struct binding best = { 0 };
	bool permissive = option_permissive();

	SECTION_FOR_EACH(struct hcl_driver, drv, drivers) {
		if (drv->bus != HCL_BUS_PCI)
			continue;
		for (unsigned i = 0; i < drv->match_count; i++) {
			int score = pci_score(&drv->match[i], p, permissive);

			if (score > best.score)
				best = (struct binding){ drv, &drv->match[i], score };
		}
	}
	return best;
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9'                 ? c - '0'
	       : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
	                                            : -1;
}

static bool parse_id(const char **s, uint16_t *id)
{
	unsigned v = 0;

	for (int n = 0; n < 4; n++) {
		int digit = hex_digit(**s);

		if (digit < 0)
			return false;
		v = v << 4 | (unsigned)digit;
		(*s)++;
	}
	*id = (uint16_t)v;
	return true;
}

/* hcl.block=VVVV:DDDD[,VVVV:DDDD...] */
static bool option_blocks(const char *list, uint16_t vendor, uint16_t device)
{
	while (*list) {
		uint16_t v, d;

		if (!parse_id(&list, &v) || *list++ != ':' || !parse_id(&list, &d))
			return false;
		if (v == vendor && d == device)
			return true;
		if (*list && *list++ != ',')
			return false;
	}
	return false;
}

static bool blocked_by_option(const struct pci_dev *p)
{
	char list[256];

	return boot_option("hcl.block", list, sizeof(list)) &&
	       option_blocks(list, p->vendor, p->device);
}

static void leave(struct pci_dev *p, const char *reason)
{
	p->dev.reason = reason;
	stat_inc(left);
	log_info("%s %04x:%04x class %06x: left alone: %s", p->dev.name, p->vendor, p->device,
	         p->class_code, reason);
}

static void bind(struct pci_dev *p, const struct binding *b)
{
	p->dev.driver = b->driver;
	p->dev.match = b->match;
	p->dev.quirks = b->match->quirks;
	p->dev.reason = b->match->kind == HCL_MATCH_PCI_CLASS ? "bound by class"
	                                                      : "bound by device id";
	/* Whatever the firmware left running stops before the driver sets up rings of its own. */
	pci_quiesce(p);
	int err = b->driver->probe(&p->dev);

	if (!err) {
		stat_inc(bound);
		log_info("%s %04x:%04x class %06x: %s to %s%s%s (%s, %s)", p->dev.name, p->vendor,
		         p->device, p->class_code, p->dev.reason, b->driver->name,
		         p->dev.vmk_name[0] ? " as " : "", p->dev.vmk_name, b->match->name,
		         level_name[b->match->level]);
		return;
	}
	pci_quiesce(p);
	p->dev.driver = NULL;
	p->dev.match = NULL;
	p->dev.reason = "its driver failed to start it";
	stat_inc(failed);
	log_err("%s %04x:%04x class %06x: %s could not start it: error %d", p->dev.name, p->vendor,
	        p->device, p->class_code, b->driver->name, -err);
}

void driver_attach(struct device *dev)
{
	struct pci_dev *p = to_pci(dev);
	struct binding b = best_match(p);

	if (!b.driver)
		leave(p, "not in the compatibility list");
	else if (b.match->level == HCL_BLOCKED)
		leave(p, "blocked by the compatibility list");
	else if (blocked_by_option(p))
		leave(p, "blocked by the boot option hcl.block");
	else
		bind(p, &b);
}

void driver_detach(struct device *dev)
{
	if (!dev->driver)
		return;
	/* The driver first, while its interrupts and mappings still work; then no DMA any more. */
	dev->driver->remove(dev);
	pci_quiesce(to_pci(dev));
	log_info("%s: %s left it", dev->name, dev->driver->name);
	dev->driver = NULL;
	dev->match = NULL;
	dev->reason = "its driver was taken off";
	dev->vmk_name[0] = '\0';
}

void device_set_vmk_name(struct device *dev, const char *prefix)
{
	static struct {
		const char *prefix;
		unsigned next;
	} names[8];

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].prefix && strcmp(names[i].prefix, prefix))
			continue;
		names[i].prefix = prefix;
		vmk_snprintf(dev->vmk_name, sizeof(dev->vmk_name), "%s%u", prefix, names[i].next++);
		return;
	}
}
