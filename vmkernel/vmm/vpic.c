// SPDX-License-Identifier: Apache-2.0
/* A guest's pair of 8259s, with special mask mode, rotation, polling and ELCR. */
#include "vmm/vpic.h"
#include "vmk/string.h"

enum { CASCADE = 2, SPURIOUS = 7 };
enum { ICW1 = 0x10, ICW1_IC4 = 1, OCW3 = 0x08, ICW4_AEOI = 2 };

/* Inputs in the order of priority, starting behind the lowest. */
static int first(uint8_t map, uint8_t lowest)
{
	for (unsigned i = 1; i <= 8; i++) {
		unsigned line = (lowest + i) & 7;

		if (map & BIT(line))
			return (int)line;
	}
	return -1;
}

static unsigned rank(const struct vpic_chip *c, int line)
{
	return line < 0 ? 8 : ((unsigned)line - c->lowest - 1) & 7;
}

/* The input for which this chip raises INT now, or -1. */
static int request_of(const struct vpic_chip *c)
{
	uint8_t service = c->special_mask ? c->isr & ~c->imr : c->isr;
	/*
	 * Fully nested: only a request of higher priority than all in service. In special mask
	 * mode an input that is masked does not count as in service.
	 */
	int request = first(c->irr & ~c->imr, c->lowest);

	return rank(c, request) < rank(c, first(service, c->lowest)) ? request : -1;
}

static void input(struct vpic_chip *c, unsigned line, bool level)
{
	uint8_t bit = (uint8_t)BIT(line);

	/*
	 * An edge that goes away before it is acknowledged is lost: a spurious
	 * interrupt follows.
	 */
	if (c->elcr & bit) {
		c->irr = level ? c->irr | bit : c->irr & ~bit;
	} else if (level && !(c->lines & bit)) {
		c->irr |= bit;
	} else if (!level) {
		c->irr &= ~bit;
	}
	c->lines = level ? c->lines | bit : c->lines & ~bit;
}

static void update(struct vpic *p)
{
	bool output;

	/* The second chip's INT is the first one's input 2. */
	input(&p->chip[0], CASCADE, request_of(&p->chip[1]) >= 0);
	output = request_of(&p->chip[0]) >= 0;
	if (output != p->output) {
		p->output = output;
		p->changed(p, output);
	}
}

void vpic_set(struct vpic *p, unsigned line, bool level)
{
	uint64_t flags = spin_lock_irq(&p->lock);

	input(&p->chip[line / 8], line & 7, level);
	update(p);
	spin_unlock_irq(&p->lock, flags);
}

static void take(struct vpic_chip *c, unsigned line)
{
	if (!(c->elcr & BIT(line)))
		c->irr &= ~BIT(line);
	if (!c->auto_eoi)
		c->isr |= BIT(line);
	else if (c->rotate_auto)
		c->lowest = (uint8_t)line;
}

uint8_t vpic_acknowledge(struct vpic *p)
{
	uint64_t flags = spin_lock_irq(&p->lock);
	struct vpic_chip *c = &p->chip[0];
	int line = request_of(c);

	/*
	 * Both acknowledge cycles at once: the first chip names the second, which gives
	 * the vector.
	 */
	if (line >= 0) {
		take(c, (unsigned)line);
		if (line == CASCADE) {
			c = &p->chip[1];
			line = request_of(c);
			if (line >= 0)
				take(c, (unsigned)line);
		}
	}
	if (line < 0)
		/*
		 * The request went away after INTR was raised: input 7 of the chip that
		 * was asked.
		 */
		line = SPURIOUS;
	update(p);
	spin_unlock_irq(&p->lock, flags);
	return c->base + (uint8_t)line;
}

static void ocw2(struct vpic_chip *c, uint8_t v)
{
	bool rotate = v & 0x80, specific = v & 0x40, eoi = v & 0x20;
	int line = specific ? v & 7 : first(c->isr, c->lowest);

	if (!eoi && !specific) {
		c->rotate_auto = rotate;
		return;
	}
	if (line < 0)
		return;
	if (eoi)
		c->isr &= ~BIT(line);
	if (rotate)
		c->lowest = (uint8_t)line;
}

static void command(struct vpic_chip *c, uint8_t v)
{
	if (v & ICW1) {
		/*
		 * ICW1 starts the chip anew; edge or level and the state of the pins are not
		 * its own.
		 */
		uint8_t elcr = c->elcr, lines = c->lines;

		memset(c, 0, sizeof(*c));
		c->elcr = elcr;
		c->lines = lines;
		c->lowest = 7;
		c->icw = 2;
		c->icw4 = v & ICW1_IC4;
	} else if (v & OCW3) {
		if (v & 0x40)
			c->special_mask = v & 0x20;
		c->poll = v & 4;
		if (v & 2)
			c->read_isr = v & 1;
	} else {
		ocw2(c, v);
	}
}

static void data(struct vpic_chip *c, uint8_t v)
{
	switch (c->icw) {
	case 2:
		c->base = v & 0xf8;
		c->icw = 3;
		break;
	case 3: /* the cascade is wired as in every PC */ c->icw = c->icw4 ? 4 : 0; break;
	case 4:
		c->auto_eoi = v & ICW4_AEOI;
		c->icw = 0;
		break;
	default: c->imr = v;
	}
}

static uint64_t chip_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct vpic *p = r->dev;
	struct vpic_chip *c = &p->chip[r == &p->range[1]];
	uint64_t flags = spin_lock_irq(&p->lock);
	uint8_t v;

	if (c->poll) {
		int line = request_of(c);

		c->poll = false;
		v = line < 0 ? 0 : 0x80 | (uint8_t)line;
		if (line >= 0)
			take(c, (unsigned)line);
		update(p);
	} else {
		v = off ? c->imr : c->read_isr ? c->isr : c->irr;
	}
	spin_unlock_irq(&p->lock, flags);
	return v;
}

static void chip_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vpic *p = r->dev;
	struct vpic_chip *c = &p->chip[r == &p->range[1]];
	uint64_t flags = spin_lock_irq(&p->lock);

	if (off)
		data(c, (uint8_t)v);
	else
		command(c, (uint8_t)v);
	update(p);
	spin_unlock_irq(&p->lock, flags);
}

static uint64_t elcr_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct vpic *p = r->dev;

	return p->chip[off & 1].elcr;
}

static void elcr_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vpic *p = r->dev;
	uint64_t flags = spin_lock_irq(&p->lock);

	/* IRQ 0, 1, 2, 8 and 13 are always edges. */
	p->chip[off & 1].elcr = (uint8_t)(v & (off ? 0xde : 0xf8));
	update(p);
	spin_unlock_irq(&p->lock, flags);
}

int vpic_init(struct vpic *p, struct iobus *b, void (*changed)(struct vpic *, bool))
{
	static const struct io_ops chip_ops = { chip_read, chip_write };
	static const struct io_ops elcr_ops = { elcr_read, elcr_write };
	int err = 0;

	memset(p, 0, sizeof(*p));
	spin_init(&p->lock, "vpic", RANK_VLAPIC);
	p->changed = changed;
	p->range[0] = (struct io_range){ .ops = &chip_ops, .dev = p, .base = 0x20, .len = 2 };
	p->range[1] = (struct io_range){ .ops = &chip_ops, .dev = p, .base = 0xa0, .len = 2 };
	p->range[2] = (struct io_range){ .ops = &elcr_ops, .dev = p, .base = 0x4d0, .len = 2 };
	for (unsigned i = 0; i < 2; i++) {
		p->chip[i].lowest = 7;
		p->chip[i].imr = 0xff;
	}
	for (unsigned i = 0; i < 3 && !err; i++)
		err = iobus_add_ports(b, &p->range[i]);
	return err;
}
