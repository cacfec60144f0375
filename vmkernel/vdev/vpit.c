// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's 8254. Counts are computed from the clock when somebody looks; a timer runs for channel
 * 0 only, whose output is the interrupt. Modes 0 (and 1, 4, 5, which differ in their gates only)
 * are one-shot, 2 and 3 periodic.
 */
#include "vdev/vpit.h"
#include "vmk/string.h"

enum { PORT_PIT = 0x40, PORT_GATE = 0x61, CONTROL = 3, ACCESS_BOTH = 3 };
enum { GATE_2 = 1, SPEAKER = 2, REFRESH = 0x10, OUT_2 = 0x20 };
#define PERIOD_MIN (100 * NS_PER_US)

static uint64_t ns_to_ticks(ns_t ns)
{
	return ns / NS_PER_S * PIT_HZ + ns % NS_PER_S * PIT_HZ / NS_PER_S;
}

static ns_t ticks_to_ns(uint64_t ticks)
{
	return DIV_UP(ticks * NS_PER_S, PIT_HZ);
}

static uint64_t period(const struct vpit_channel *c)
{
	return c->reload ? c->reload : 65536;
}

static bool periodic(const struct vpit_channel *c)
{
	return c->mode == 2 || c->mode == 3;
}

static uint64_t elapsed(const struct vpit_channel *c)
{
	return c->gate ? c->ticks + ns_to_ticks(time_now() - c->start) : c->ticks;
}

static uint16_t count(const struct vpit_channel *c)
{
	uint64_t t = elapsed(c), n = period(c);

	if (!c->armed)
		return c->reload;
	/* Square wave: counts by two, twice a period (data sheet, mode 3). */
	if (c->mode == 3)
		return (uint16_t)(n - 2 * t % n);
	return (uint16_t)(periodic(c) ? n - t % n : n - t);
}

static bool output(const struct vpit_channel *c)
{
	uint64_t t = elapsed(c), n = period(c);

	if (!c->armed)
		return c->mode != 0;
	if (c->mode == 3)
		return t % n < DIV_UP(n, 2);
	if (c->mode == 2)
		return t % n != n - 1;
	return c->mode == 4 || c->mode == 5 ? t != n : t >= n;
}

static void expired(struct timer *t)
{
	struct vpit *p = container_of(t, struct vpit, timer);
	uint64_t flags = spin_lock_irq(&p->lock);
	struct vpit_channel *c = &p->channel[0];

	/*
	 * An edge for each period. While this waited for the lock, a control word may have stopped
	 * the channel, or a new count started it again: then its deadline is ahead.
	 */
	if (c->armed && time_now() >= t->deadline) {
		virq_set(p->irq, false);
		virq_set(p->irq, true);
		if (periodic(c)) {
			/*
			 * From the old deadline, so that lateness does not add up. Periods that
			 * were missed are dropped: the next one is never in the past.
			 */
			ns_t step = MAX(ticks_to_ns(period(c)), PERIOD_MIN),
			     next = t->deadline + step;

			timer_set(t, MAX(next, time_now()));
		}
	}
	spin_unlock_irq(&p->lock, flags);
}

static void load(struct vpit *p, unsigned i, uint16_t reload)
{
	struct vpit_channel *c = &p->channel[i];

	c->reload = reload;
	c->start = time_now();
	c->ticks = 0;
	c->armed = true;
	if (i == 0) {
		/*
		 * One-shot: the output is low until the count ends. Periodic: it is
		 * high already.
		 */
		if (!periodic(c))
			virq_set(p->irq, false);
		timer_set(&p->timer, c->start + MAX(ticks_to_ns(period(c)), PERIOD_MIN));
	}
}

static void data_write(struct vpit *p, unsigned i, uint8_t v)
{
	struct vpit_channel *c = &p->channel[i];

	if (c->access == 1) {
		load(p, i, v);
	} else if (c->access == 2) {
		load(p, i, (uint16_t)(v << 8));
	} else if (c->high_next_write) {
		c->high_next_write = false;
		load(p, i, (uint16_t)(v << 8 | c->low));
	} else {
		/* Counting goes on until the second byte, but in mode 0 it stops at the first. */
		c->low = v;
		c->high_next_write = true;
		if (c->mode == 0)
			c->armed = false;
	}
}

static uint8_t data_read(struct vpit_channel *c)
{
	uint16_t v;
	bool high;

	if (c->status_latched) {
		c->status_latched = false;
		return c->status;
	}
	v = c->latched ? c->latch : count(c);
	high = c->access == 2 || (c->access == ACCESS_BOTH && c->high_next_read);
	if (c->access == ACCESS_BOTH)
		c->high_next_read = !c->high_next_read;
	/* A latched count is released when it has been read whole. */
	if (c->access != ACCESS_BOTH || high)
		c->latched = false;
	return (uint8_t)(high ? v >> 8 : v);
}

static void latch(struct vpit_channel *c)
{
	if (!c->latched) {
		c->latch = count(c);
		c->latched = true;
	}
}

static void read_back(struct vpit *p, uint8_t v)
{
	for (unsigned i = 0; i < 3; i++) {
		struct vpit_channel *c = &p->channel[i];

		if (!(v & (2u << i)))
			continue;
		/*
		 * Read-back: bits 5 and 4 are active low. What is latched stays until it
		 * is read.
		 */
		if (!(v & 0x20))
			latch(c);
		if (!(v & 0x10) && !c->status_latched) {
			c->status = (uint8_t)(output(c) << 7 | !c->armed << 6 | c->access << 4 |
			                      c->mode << 1);
			c->status_latched = true;
		}
	}
}

static void control(struct vpit *p, uint8_t v)
{
	unsigned i = v >> 6;
	struct vpit_channel *c = &p->channel[i % 3];

	if (i == 3) {
		read_back(p, v);
		return;
	}
	/* Access 0 is no mode but the counter latch command. */
	if (!(v & 0x30)) {
		latch(c);
		return;
	}
	c->access = (v >> 4) & 3;
	c->mode = (v >> 1) & 7;
	if (c->mode > 5)
		/* Modes 6 and 7 are 2 and 3: the third bit is ignored. */
		c->mode &= 3;
	c->armed = c->latched = c->status_latched = c->high_next_read = c->high_next_write = false;
	if (i == 0) {
		/* The output after a control word: low in mode 0, high in the others. */
		timer_cancel(&p->timer);
		virq_set(p->irq, c->mode != 0);
	}
}

static uint64_t pit_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct vpit *p = r->dev;
	uint64_t flags = spin_lock_irq(&p->lock);
	uint8_t v = off == CONTROL ? 0xff : data_read(&p->channel[off]);

	spin_unlock_irq(&p->lock, flags);
	return v;
}

static void pit_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vpit *p = r->dev;
	uint64_t flags = spin_lock_irq(&p->lock);

	if (off == CONTROL)
		control(p, (uint8_t)v);
	else
		data_write(p, (unsigned)off, (uint8_t)v);
	spin_unlock_irq(&p->lock, flags);
}

static uint64_t gate_read(struct io_range *r, uint64_t off, unsigned size)
{
	struct vpit *p = r->dev;
	uint64_t flags = spin_lock_irq(&p->lock);
	uint64_t v = (p->channel[2].gate ? GATE_2 : 0) | (p->speaker ? SPEAKER : 0) |
	             (output(&p->channel[2]) ? OUT_2 : 0);

	/* The refresh bit toggles every 15 us: old software counts it. */
	v |= time_now() / (15 * NS_PER_US) & 1 ? REFRESH : 0;
	spin_unlock_irq(&p->lock, flags);
	return v;
}

static void gate_write(struct io_range *r, uint64_t off, unsigned size, uint64_t v)
{
	struct vpit *p = r->dev;
	struct vpit_channel *c = &p->channel[2];
	uint64_t flags = spin_lock_irq(&p->lock);

	if ((v & GATE_2) && !c->gate) {
		c->start = time_now();
		if (c->mode != 0 && c->mode != 4) /* a rising gate starts these again */
			c->ticks = 0;
		c->gate = true;
	} else if (!(v & GATE_2) && c->gate) {
		c->ticks = elapsed(c);
		c->gate = false;
	}
	p->speaker = v & SPEAKER;
	spin_unlock_irq(&p->lock, flags);
}

int vpit_init(struct vpit *p, struct iobus *b, struct virq *irq)
{
	static const struct io_ops pit_ops = { pit_read, pit_write };
	static const struct io_ops gate_ops = { gate_read, gate_write };
	int err;

	memset(p, 0, sizeof(*p));
	spin_init(&p->lock, "vpit", RANK_VDEV);
	timer_init(&p->timer, expired);
	p->irq = irq;
	for (unsigned i = 0; i < 3; i++) {
		p->channel[i].access = ACCESS_BOTH;
		p->channel[i].gate = i != 2;
	}
	p->range[0] = (struct io_range){ .ops = &pit_ops, .dev = p, .base = PORT_PIT, .len = 4 };
	p->range[1] = (struct io_range){ .ops = &gate_ops, .dev = p, .base = PORT_GATE, .len = 1 };
	err = iobus_add_ports(b, &p->range[0]);
	return err ? err : iobus_add_ports(b, &p->range[1]);
}

void vpit_stop(struct vpit *p)
{
	timer_cancel_sync(&p->timer);
}
