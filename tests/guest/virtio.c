// SPDX-License-Identifier: Apache-2.0
/*
 * A driver of virtio's block and network devices, and what a read and a frame cost on their whole
 * way: the instructions that this guest, which never halts, did not run itself while it waited.
 * Spec: VIRTIO 1.2, 2.7, 4.1, 5.1, 5.2.
 */
#include "guest.h"

enum { SLOTS = 32, QUEUE = 128, DEPTH = 32, ROUNDS = 20, BUFFER = 4096 };
/*
 * A pass of the waiting loop takes fewer; no exit does. That many in a row: nothing follows any
 * more.
 */
enum { STEP = 120, QUIET = 20000, LOST = 2000000 };
enum { NET = 0x1000, BLOCK = 0x1001, CAP_VENDOR = 9, CAP_MSIX = 0x11 };
enum { COMMON = 1, NOTIFY = 2, VERSION_1 = 1, READ = 0, WRITTEN = 2, MORE = 1, QUIETLY = 1 };
enum { FRAME = 64, HEADER = 12, ETHERTYPE = 0xb588, GUEST = 1, ECHO, OUTSIDE };

struct descriptor {
	uint64_t at;
	uint32_t len;
	uint16_t flags, next;
};
struct queue {
	struct descriptor *desc;
	volatile uint16_t *avail, *used; /* flags, index, entries */
	uint8_t *buffers;                /* one for each descriptor */
	uint64_t notify;
	uint16_t sent, seen;
	bool port, frames; /* frames: received ones */
};
struct device {
	volatile uint8_t *common;
	uint64_t notify;
	uint32_t step;
	bool port;
};
struct cost {
	uint64_t instructions, exits, mmio, interrupts;
};

static uint64_t arena = ARENA + 0x1000; /* first_touch writes to the first byte */

static uint32_t config(unsigned slot, unsigned reg)
{
	out(0xcf8, 4, 0x80000000 | slot << 11 | (reg & ~3u));
	return in(0xcfc, 4) >> 8 * (reg & 3);
}

static uint64_t bar(unsigned slot, unsigned number, bool *port)
{
	uint32_t v = config(slot, 0x10 + 4 * number);

	*port = v & 1;
	return *port ? v & ~3u : v & ~15u;
}

static void capability(struct device *d, unsigned slot, unsigned at)
{
	bool msix = (config(slot, at) & 0xff) == CAP_MSIX, port;
	uint64_t base = bar(slot, config(slot, at + 4) & 7, &port);

	if (msix) {
		volatile uint32_t *entry = (void *)(base + (config(slot, at + 4) & ~7u));
		uint32_t control = config(slot, at) | 1u << 31;

		entry[0] = LAPIC;
		entry[1] = entry[3] = 0;
		entry[2] = VECTOR_DEVICE;
		out(0xcf8, 4, 0x80000000 | slot << 11 | at);
		out(0xcfc, 4, control);
	} else if ((config(slot, at) & 0xff) == CAP_VENDOR) {
		uint32_t type = config(slot, at + 3) & 0xff;

		base += config(slot, at + 8);
		if (type == COMMON)
			d->common = (void *)base;
		if (type == NOTIFY && !d->notify) { /* the first is the one preferred */
			d->notify = base;
			d->port = port;
			d->step = config(slot, at + 16);
		}
	}
}

/* The device with that transitional or, 41h above it, modern number; false: there is none. */
static bool find(struct device *d, uint32_t id)
{
	*d = (struct device){ 0 };
	for (unsigned slot = 1; slot < SLOTS && !d->common; slot++) {
		uint32_t found = config(slot, 0) - 0x1af4;

		if (found != id << 16 && found != (id + 0x41) << 16)
			continue;
		out(0xcf8, 4, 0x80000000 | slot << 11 | 4);
		out(0xcfc, 2, 7); /* ports, memory, bus master */
		for (unsigned at = config(slot, 0x34) & 0xff; at; at = config(slot, at + 1) & 0xff)
			capability(d, slot, at);
	}
	return d->common;
}

static void put(const struct device *d, unsigned off, unsigned size, uint32_t v)
{
	if (size == 1)
		d->common[off] = (uint8_t)v;
	else if (size == 2)
		*(volatile uint16_t *)(d->common + off) = (uint16_t)v;
	else
		*(volatile uint32_t *)(d->common + off) = v;
}

/* Memory that nobody has written to: zeros. */
static void *take(uint64_t bytes)
{
	void *p = (void *)arena;

	arena += (bytes + 4095) & ~4095ull;
	return p;
}

/* Queue 0 interrupts, others do not. */
static void queue_start(const struct device *d, struct queue *q, unsigned number)
{
	*q = (struct queue){ .desc = take(sizeof(*q->desc) * QUEUE),
		             .avail = take(6 + 2 * QUEUE),
		             .used = take(6 + 8 * QUEUE),
		             .buffers = take((uint64_t)BUFFER * QUEUE),
		             .port = d->port };
	q->avail[0] = number ? QUIETLY : 0;
	put(d, 0x16, 2, number);
	put(d, 0x18, 2, QUEUE);
	put(d, 0x1a, 2, number ? 0xffff : 0);
	put(d, 0x20, 4, (uint32_t)(uint64_t)q->desc);
	put(d, 0x28, 4, (uint32_t)(uint64_t)q->avail);
	put(d, 0x30, 4, (uint32_t)(uint64_t)q->used);
	put(d, 0x1c, 2, 1);
	q->notify = d->notify + *(volatile uint16_t *)(d->common + 0x1e) * d->step;
}

static void device_start(const struct device *d, struct queue *q, unsigned queues)
{
	put(d, 0x14, 1, 0);
	while (d->common[0x14])
		;
	put(d, 0x14, 1, 3);
	put(d, 0x08, 4, 1);
	put(d, 0x0c, 4, VERSION_1);
	put(d, 0x08, 4, 0);
	put(d, 0x0c, 4, 0);
	put(d, 0x14, 1, 11);
	for (unsigned n = 0; n < queues; n++)
		queue_start(d, &q[n], n);
	put(d, 0x14, 1, 15);
}

static void describe(struct queue *q, unsigned n, uint32_t len, uint16_t flags)
{
	q->desc[n] = (struct descriptor){ (uint64_t)q->buffers + (uint64_t)BUFFER * n, len, flags,
		                          (uint16_t)(n + 1) };
}

static void submit(struct queue *q, unsigned head)
{
	q->avail[2 + q->sent % QUEUE] = (uint16_t)head;
	__asm__ volatile("" ::: "memory");
	q->avail[1] = ++q->sent;
}

/* true: the device wanted to be told. */
static bool kick(struct queue *q, unsigned number)
{
	__asm__ volatile("mfence" ::: "memory");
	if (q->used[0] & 1)
		return false;
	if (q->port)
		out((uint16_t)q->notify, 2, number);
	else
		*(volatile uint16_t *)q->notify = (uint16_t)number;
	return true;
}

static uint8_t *frame_of(const struct queue *q, unsigned n)
{
	return q->buffers + (uint64_t)BUFFER * n + HEADER;
}

/*
 * The next one that the device gave back: its head; -1: none. A received frame that is none of ours
 * does not count.
 */
static int collect(struct queue *q)
{
	while (q->seen != q->used[1]) {
		unsigned head = q->used[2 + q->seen++ % QUEUE * 4];

		if (!q->frames || *(uint16_t *)(frame_of(q, head) + 12) == ETHERTYPE)
			return (int)head;
		submit(q, head);
	}
	return -1;
}

/*
 * Tells q's device of what was submitted, then waits until `left` have come back on `answers` and
 * until nothing more happens. No instructions: they did not come.
 */
static struct cost round_of(struct queue *q, unsigned number, struct queue *answers, unsigned left)
{
	struct cost c = { 0 };
	uint64_t before = device_interrupts, start = rdtsc(), last, now;
	int head;

	if (kick(q, number)) {
		c.exits++;
		c.mmio += !q->port;
	}
	last = rdtsc();
	c.instructions = last - start;
	for (unsigned quiet = 0, lost = 0; left || quiet < QUIET; last = now) {
		if (left && (head = collect(answers)) >= 0) {
			left--;
			if (answers->frames)
				submit(answers, (unsigned)head);
		}
		now = rdtsc();
		quiet++;
		if (now - last > STEP) {
			c.instructions += now - last;
			c.exits++;
			quiet = 0;
		}
		if (lost++ == LOST)
			return (struct cost){ 0 };
	}
	c.interrupts = device_interrupts - before;
	c.exits += c.interrupts; /* each has an end */
	c.mmio += c.interrupts;
	return c;
}

static void report(const char *name, const struct cost *c, uint64_t ops)
{
	print("bench: %s %u instructions\n", name, c->instructions / ops);
	print("bench: %s.exits %u per_1000\n", name, c->exits * 1000 / ops);
	print("bench: %s.mmio %u per_1000\n", name, c->mmio * 1000 / ops);
	print("bench: %s.interrupts %u per_1000\n", name, c->interrupts * 1000 / ops);
}

static void keep_least(struct cost *least, struct cost c)
{
	if (c.instructions && (!least->instructions || c.instructions < least->instructions))
		*least = c;
}

static void reads(struct queue *q, const char *name, unsigned depth)
{
	struct cost least = { 0 };

	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < depth; i++) {
			uint64_t *header = (uint64_t *)(q->buffers + 3ull * BUFFER * i);

			header[0] = READ;
			header[1] = 64 * (i + DEPTH * (round + 1ull)); /* none follows another */
			describe(q, 3 * i, 16, MORE);
			describe(q, 3 * i + 1, 4096, MORE | WRITTEN);
			describe(q, 3 * i + 2, 1, WRITTEN);
			q->buffers[(3ull * i + 2) * BUFFER] = 0xff;
			submit(q, 3 * i);
		}
		keep_least(&least, round_of(q, 0, q, depth));
		for (unsigned i = 0; i < depth; i++)
			if (q->buffers[(3ull * i + 2) * BUFFER])
				print("bench: a read failed\n");
	}
	report(name, &least, depth);
}

/* A NIC's queues with buffers to receive in; false: there is none. */
static bool nic(struct queue *q)
{
	struct device d;

	if (!find(&d, NET))
		return false;
	device_start(&d, q, 2);
	q[0].frames = true;
	for (unsigned n = 0; n < QUEUE / 2; n++) {
		describe(&q[0], n, BUFFER, WRITTEN);
		submit(&q[0], n);
	}
	(void)kick(&q[0], 0);
	return true;
}

static void address(uint8_t *at, uint8_t station)
{
	static const uint8_t first[] = { 0x52, 0x54, 0, 0, 0 };

	for (unsigned i = 0; i < sizeof(first); i++)
		at[i] = first[i];
	at[5] = station;
}

static void send(struct queue *q, uint8_t to, uint8_t from)
{
	unsigned n = q->sent % QUEUE;
	uint8_t *frame = frame_of(q, n);

	while (collect(q) >= 0)
		;
	address(frame, to);
	address(frame + 6, from);
	*(uint16_t *)(frame + 12) = ETHERTYPE;
	describe(q, n, HEADER + FRAME, 0);
	submit(q, n);
}

/* There and back: half of it is a frame's. A station that does not answer yet is asked again. */
static void frames(struct queue *q, const char *name, uint8_t station)
{
	struct cost least = { 0 }, c;

	for (unsigned round = 0; round < ROUNDS; round += c.instructions != 0) {
		send(&q[1], station, GUEST);
		c = round_of(&q[1], 1, &q[0], 1);
		keep_least(&least, c);
	}
	report(name, &least, 2);
}

void devices_main(void)
{
	struct queue q[2];
	struct device d;

	interrupts_on();
	if (find(&d, BLOCK)) {
		device_start(&d, q, 1);
		reads(q, "vm.read4k.depth1", 1);
		reads(q, "vm.read4k.depth32", DEPTH);
	}
	if (nic(q)) {
		frames(q, "vm.frame.uplink", OUTSIDE);
		frames(q, "vm.frame.guest", ECHO);
	}
	print("bench: done\n");
}

/* Sends frames back to where they came from, for ever. */
void echo_main(void)
{
	struct queue q[2];
	int head;

	if (!nic(q))
		return;
	interrupts_on();
	for (;;) {
		__asm__ volatile("cli");
		while ((head = collect(&q[0])) >= 0) {
			const uint8_t *frame = frame_of(&q[0], (unsigned)head);

			send(&q[1], frame[11], frame[5]);
			submit(&q[0], (unsigned)head);
			(void)kick(&q[1], 1);
		}
		__asm__ volatile("sti; hlt");
	}
}
