// SPDX-License-Identifier: Apache-2.0
/* The byte streams of a guest's console. */
#include "vdev/vconsole.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"

STAT(dropped, "vm.console.dropped", "bytes of guests' consoles that nobody had read");

static void push(struct vring *r, uint8_t byte)
{
	r->data[(r->head + r->count++) % r->size] = byte;
}

static uint8_t pop(struct vring *r)
{
	uint8_t byte = r->data[r->head];

	r->head = (r->head + 1) % r->size;
	r->count--;
	return byte;
}

int vconsole_init(struct vconsole *c, void (*notify)(struct vconsole *))
{
	memset(c, 0, sizeof(*c));
	spin_init(&c->lock, "vconsole", RANK_FILE);
	waitq_init(&c->waitq, "vconsole");
	c->notify = notify;
	c->out = (struct vring){ .data = vmalloc(VCONSOLE_OUT), .size = VCONSOLE_OUT };
	c->in = (struct vring){ .data = kmalloc(VCONSOLE_IN), .size = VCONSOLE_IN };
	if (c->out.data && c->in.data)
		return 0;
	vconsole_destroy(c);
	return -ENOMEM;
}

void vconsole_destroy(struct vconsole *c)
{
	if (c->out.data)
		vfree(c->out.data);
	kfree(c->in.data);
	c->out.data = c->in.data = NULL;
}

bool vconsole_put(struct vconsole *c, uint8_t byte)
{
	uint64_t flags = spin_lock_irq(&c->lock);
	bool full = c->out.count == c->out.size, hold = full && c->readers;

	/* Nobody reads: the newest bytes are worth more than the oldest. */
	if (full && !hold) {
		pop(&c->out);
		stat_inc(dropped);
	}
	if (!hold)
		push(&c->out, byte);
	spin_unlock_irq(&c->lock, flags);
	waitq_wake_all(&c->waitq);
	return !hold;
}

uint32_t vconsole_room(struct vconsole *c)
{
	return READ_ONCE(c->readers) ? c->out.size - READ_ONCE(c->out.count) : UINT32_MAX;
}

bool vconsole_input(struct vconsole *c)
{
	return READ_ONCE(c->in.count);
}

int vconsole_get(struct vconsole *c)
{
	uint64_t flags = spin_lock_irq(&c->lock);
	int byte = c->in.count ? pop(&c->in) : -1;

	spin_unlock_irq(&c->lock, flags);
	if (byte >= 0)
		waitq_wake_all(&c->waitq);
	return byte;
}

void vconsole_close(struct vconsole *c)
{
	WRITE_ONCE(c->closed, true);
	waitq_wake_all(&c->waitq);
}

void vconsole_attach(struct vconsole *c, bool on)
{
	uint64_t flags = spin_lock_irq(&c->lock);

	c->readers += on ? 1 : -1u;
	spin_unlock_irq(&c->lock, flags);
	c->notify(c);
}

size_t vconsole_read(struct vconsole *c, void *buf, size_t size, bool *end)
{
	/* Once closed, no put comes any more: an empty ring read after that is the end. */
	bool closed = READ_ONCE(c->closed);
	uint64_t flags = spin_lock_irq(&c->lock);
	size_t n = 0;

	while (n < size && c->out.count)
		((uint8_t *)buf)[n++] = pop(&c->out);
	spin_unlock_irq(&c->lock, flags);
	*end = !n && closed;
	if (n)
		c->notify(c);
	return n;
}

uint32_t vconsole_space(const struct vconsole *c)
{
	return c->in.size - READ_ONCE(c->in.count);
}

size_t vconsole_write(struct vconsole *c, const void *buf, size_t size)
{
	uint64_t flags = spin_lock_irq(&c->lock);
	size_t n = 0;

	while (n < size && c->in.count < c->in.size)
		push(&c->in, ((const uint8_t *)buf)[n++]);
	spin_unlock_irq(&c->lock, flags);
	if (n)
		c->notify(c);
	return n;
}
