// SPDX-License-Identifier: Apache-2.0
/*
 * virtio devices from a driver that means no good: random features, sizes, addresses, descriptors,
 * indices, kicks and resets at any time. Rings and buffers lie in the arena, or nowhere. Spec:
 * VIRTIO 1.2, 4.1.
 */
#include "guest.h"

enum { SLOTS = 32, QUEUES = 4, VENDOR = 0x1af4, TYPES = 4, COMMON_BAR = 4, NOTIFY_BAR = 0 };
enum { STATUS = 0x14, SELECT = 0x16, SIZE = 0x18, ENABLE = 0x1c, DESC = 0x20 };
enum { OK = 15, NEEDS_RESET = 64 };

struct device {
	volatile uint8_t *common;
	uint16_t notify;
};

static uint32_t config(unsigned slot, unsigned reg)
{
	out(0xcf8, 4, 0x80000000 | slot << 11 | reg);
	return in(0xcfc, 4);
}

static unsigned find(struct device *d)
{
	unsigned n = 0;

	for (unsigned slot = 1; slot < SLOTS; slot++) {
		if ((config(slot, 0) & 0xffff) != VENDOR)
			continue;
		config(slot, 4);
		out(0xcfc, 2, 7); /* ports, memory, bus master */
		d[n].common = (void *)(uint64_t)(config(slot, 0x10 + 4 * COMMON_BAR) & ~15u);
		d[n++].notify = (uint16_t)(config(slot, 0x10 + 4 * NOTIFY_BAR) & ~3u);
	}
	return n;
}

static uint64_t address(uint64_t align)
{
	switch (below(24)) {
	case 0: return random64();
	case 1: return 0x4000000 - below(64); /* the end of memory */
	case 2: return 0xc0000000 + below(0x40000000);
	default: return ARENA + (below(ARENA_SIZE / 2) & ~(align - 1));
	}
}

static void put(volatile uint8_t *c, unsigned off, unsigned size, uint64_t v)
{
	if (size == 1)
		c[off] = (uint8_t)v;
	else if (size == 2)
		*(volatile uint16_t *)(c + off) = (uint16_t)v;
	else if (size == 4)
		*(volatile uint32_t *)(c + off) = (uint32_t)v;
	else
		*(volatile uint64_t *)(c + off) = v;
}

static void descriptors(uint64_t table, unsigned n)
{
	if (table < ARENA || table + 16ull * n > ARENA + ARENA_SIZE)
		return;
	for (unsigned i = 0; i < n; i++) {
		volatile uint32_t *d = (void *)(table + 16ull * i);
		uint64_t at = address(1);
		uint32_t flags = (uint32_t)below(16) ? (uint32_t)below(4) : (uint32_t)random64();

		if (below(8) == 0)
			flags |= 4; /* indirect */
		d[0] = (uint32_t)at;
		d[1] = (uint32_t)(at >> 32);
		d[2] = below(16) ? (uint32_t)below(8192) : (uint32_t)random64();
		d[3] = (uint32_t)((below(16) ? below(n) : random64()) << 16) | (flags & 0xffff);
	}
}

static void ring(const struct device *d, unsigned queue)
{
	unsigned size = below(8) ? 1u << below(9) : (unsigned)below(0x10000);
	uint64_t table = address(16), avail = address(2), used = address(4);
	uint64_t inside = ARENA + ARENA_SIZE - 4096;

	put(d->common, SELECT, 2, queue);
	put(d->common, SIZE, 2, size);
	put(d->common, DESC, 8, table);
	put(d->common, DESC + 8, 8, avail);
	put(d->common, DESC + 16, 4, used);
	put(d->common, DESC + 20, 4, used >> 32);
	descriptors(table, size & 255);
	if (avail >= ARENA && avail < inside) {
		volatile uint16_t *a = (void *)avail;

		for (unsigned i = 0; i < 16; i++)
			a[2 + i] = (uint16_t)below(below(16) ? size + 1 : 0x10000);
		a[1] = (uint16_t)below(below(16) ? 16 : 0x10000);
		a[0] = (uint16_t)below(2);
	}
	put(d->common, ENABLE, 2, below(16) ? 1 : random64());
}

void fuzz_rings(uint64_t count)
{
	static uint64_t broken;
	struct device devices[SLOTS];
	unsigned n = find(devices);

	for (; n && count; count--) {
		const struct device *d = &devices[below(n)];
		volatile uint8_t *c = d->common;

		if (below(4) == 0) { /* otherwise into the middle of what is under way */
			put(c, STATUS, 1, 0);
			for (unsigned i = 0; i < 1000 && c[STATUS]; i++)
				;
			put(c, STATUS, 1, 3);
			for (unsigned half = 0; half < 2; half++) {
				put(c, 8, 4, half);
				put(c, 12, 4, half ? 1 : random64() & random64());
			}
			put(c, STATUS, 1, 11);
			for (unsigned q = 0; q < QUEUES; q++)
				ring(d, q);
			put(c, STATUS, 1, OK);
		}
		for (unsigned i = 0; i < 4; i++)
			out((uint16_t)(d->notify + 4 * below(QUEUES)), 2, 0);
		if (below(8) == 0)
			put(c, (unsigned)below(64), 1u << below(4), random64());
		if (c[STATUS] & NEEDS_RESET)
			broken++;
	}
	print("\nfuzz: %u devices, %u times in need of a reset\n", (uint64_t)n, broken);
}
