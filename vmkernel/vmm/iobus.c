// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's ports and MMIO: who answers. Ports are a byte map of 64 Ki entries, MMIO a sorted
 * table.
 *
 * Both are read without a lock while another vCPU may move a BAR. lock orders changes, and version
 * is odd during each. A reader takes what it finds as numbers only, in pieces of a machine word,
 * and uses them once it has seen that version is what it was before: then base, length and range
 * belong together.
 */
#include "vmk/iobus.h"
#include "vmk/cpu.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"

STAT(ports_unclaimed, "vm.io.ports_unclaimed", "accesses to ports that no device claims");
STAT(mmio_unclaimed, "vm.io.mmio_unclaimed", "accesses to memory that no device claims");

/* What answers where no device is: all ones, and writes vanish. */
static uint64_t no_port_read(struct io_range *r, uint64_t off, unsigned size)
{
	stat_inc(ports_unclaimed);
	return ~0ull;
}

static void no_port_write(struct io_range *r, uint64_t off, unsigned size, uint64_t value)
{
	stat_inc(ports_unclaimed);
}

static uint64_t no_memory_read(struct io_range *r, uint64_t off, unsigned size)
{
	stat_inc(mmio_unclaimed);
	return ~0ull;
}

static void no_memory_write(struct io_range *r, uint64_t off, unsigned size, uint64_t value)
{
	stat_inc(mmio_unclaimed);
}

static const struct io_ops no_port_ops = { no_port_read, no_port_write };
static const struct io_ops no_memory_ops = { no_memory_read, no_memory_write };
static struct io_range no_port = { .ops = &no_port_ops }, no_memory = { .ops = &no_memory_ops };

int iobus_init(struct iobus *b)
{
	memset(b, 0, sizeof(*b));
	spin_init(&b->lock, "iobus", RANK_VLAPIC);
	for (unsigned i = 0; i < IOBUS_PORT_RANGES; i++)
		b->port[i].range = &no_port;
	b->port_map = vmalloc(IOBUS_PORTS);
	return b->port_map ? 0 : -ENOMEM;
}

void iobus_destroy(struct iobus *b)
{
	vfree(b->port_map);
}

/* A change of the tables; readers that come meanwhile wait for its end. */
static uint64_t change_begin(struct iobus *b)
{
	uint64_t flags = spin_lock_irq(&b->lock);

	__atomic_fetch_add(&b->version, 1, __ATOMIC_SEQ_CST);
	return flags;
}

static void change_end(struct iobus *b, uint64_t flags)
{
	__atomic_fetch_add(&b->version, 1, __ATOMIC_SEQ_CST);
	spin_unlock_irq(&b->lock, flags);
}

static void place_set(struct io_place *p, struct io_place v)
{
	WRITE_ONCE(p->base, v.base);
	WRITE_ONCE(p->end, v.end);
	WRITE_ONCE(p->range, v.range);
}

static inline struct io_place place_get(const struct io_place *p)
{
	return (struct io_place){ READ_ONCE(p->base), READ_ONCE(p->end), READ_ONCE(p->range) };
}

/* The version that what is read from now on belongs to: even. During a change it does not hold. */
static inline uint32_t version_of(const struct iobus *b)
{
	return load_acquire(&b->version) & ~1u;
}

/* What was read since version_of is of one state of the tables. */
static inline bool settled(const struct iobus *b, uint32_t version)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return likely(READ_ONCE(b->version) == version);
}

static int ports_enter(struct iobus *b, struct io_range *r)
{
	unsigned slot = 1;

	/* Overlaps are refused as a whole: nothing is entered before all is checked. */
	for (uint64_t p = r->base; p < r->base + r->len; p++) {
		if (b->port_map[p])
			return -EBUSY;
	}
	while (slot < IOBUS_PORT_RANGES && b->port[slot].range != &no_port)
		slot++;
	if (slot == IOBUS_PORT_RANGES)
		return -ENOSPC;
	r->slot = (uint8_t)slot;
	place_set(&b->port[slot], (struct io_place){ r->base, r->base + r->len, r });
	memset(b->port_map + r->base, (int)slot, r->len);
	return 0;
}

int iobus_add_ports(struct iobus *b, struct io_range *r)
{
	uint64_t flags;
	int err;

	if (!r->len || r->base >= IOBUS_PORTS || r->len > IOBUS_PORTS - r->base)
		return -EINVAL;
	flags = change_begin(b);
	err = ports_enter(b, r);
	r->mapped = !err;
	change_end(b, flags);
	return err;
}

/* The first MMIO range that ends behind gpa. During a change any index may come out. */
static unsigned lower(const struct iobus *b, unsigned count, gpa_t gpa)
{
	unsigned lo = 0, hi = count;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;

		if (READ_ONCE(b->mmio[mid].end) <= gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int mmio_enter(struct iobus *b, struct io_range *r)
{
	unsigned at = lower(b, b->mmio_count, r->base);

	if (at < b->mmio_count && b->mmio[at].base < r->base + r->len)
		return -EBUSY;
	if (b->mmio_count == IOBUS_MMIO_RANGES)
		return -ENOSPC;
	for (unsigned i = b->mmio_count; i > at; i--)
		place_set(&b->mmio[i], b->mmio[i - 1]);
	place_set(&b->mmio[at], (struct io_place){ r->base, r->base + r->len, r });
	WRITE_ONCE(b->mmio_count, b->mmio_count + 1);
	return 0;
}

int iobus_add_mmio(struct iobus *b, struct io_range *r)
{
	uint64_t flags;
	int err;

	if (!r->len || r->base + r->len < r->base)
		return -EINVAL;
	flags = change_begin(b);
	err = mmio_enter(b, r);
	r->mapped = !err;
	change_end(b, flags);
	return err;
}

void iobus_remove(struct iobus *b, struct io_range *r, bool ports)
{
	uint64_t flags;

	if (!r->mapped)
		return;
	flags = change_begin(b);
	if (ports) {
		memset(b->port_map + r->base, 0, r->len);
		place_set(&b->port[r->slot], (struct io_place){ .range = &no_port });
	} else {
		WRITE_ONCE(b->mmio_count, b->mmio_count - 1);
		for (unsigned i = lower(b, b->mmio_count + 1, r->base); i < b->mmio_count; i++)
			place_set(&b->mmio[i], b->mmio[i + 1]);
	}
	r->mapped = false;
	change_end(b, flags);
}

/*
 * Who answers an access: the device that claims all of it, at the offset that was checked. The map
 * says that the first port is inside of the place.
 */
static inline struct io_range *find_port(struct iobus *b, uint16_t port, unsigned size,
                                         uint64_t *off)
{
	for (;;) {
		uint32_t version = version_of(b);
		struct io_place p = place_get(&b->port[READ_ONCE(b->port_map[port])]);

		*off = port - p.base;
		if (settled(b, version))
			return likely(size <= p.end - port) ? p.range : &no_port;
		cpu_relax();
	}
}

static inline struct io_range *find_mmio(struct iobus *b, gpa_t gpa, unsigned size, uint64_t *off)
{
	for (;;) {
		uint32_t version = version_of(b);
		unsigned count = READ_ONCE(b->mmio_count), at = lower(b, count, gpa);
		struct io_place p = { .base = ~0ull };

		if (at < count) /* it ends behind gpa */
			p = place_get(&b->mmio[at]);
		*off = gpa - p.base;
		if (settled(b, version))
			return gpa >= p.base && size <= p.end - gpa ? p.range : &no_memory;
		cpu_relax();
	}
}

/* size: 1 to 8. */
static inline uint64_t ones(unsigned size)
{
	return ~0ull >> (64 - 8 * size);
}

uint32_t iobus_port_read(struct iobus *b, uint16_t port, unsigned size)
{
	uint64_t off;
	struct io_range *r = find_port(b, port, size, &off);

	return (uint32_t)(r->ops->read(r, off, size) & ones(size));
}

void iobus_port_write(struct iobus *b, uint16_t port, unsigned size, uint32_t value)
{
	uint64_t off;
	struct io_range *r = find_port(b, port, size, &off);

	r->ops->write(r, off, size, value & ones(size));
}

uint64_t iobus_mmio_read(struct iobus *b, gpa_t gpa, unsigned size)
{
	uint64_t off;
	struct io_range *r = find_mmio(b, gpa, size, &off);

	return r->ops->read(r, off, size) & ones(size);
}

void iobus_mmio_write(struct iobus *b, gpa_t gpa, unsigned size, uint64_t value)
{
	uint64_t off;
	struct io_range *r = find_mmio(b, gpa, size, &off);

	r->ops->write(r, off, size, value & ones(size));
}
