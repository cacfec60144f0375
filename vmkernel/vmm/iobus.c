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

int iobus_init(struct iobus *b)
{
	memset(b, 0, sizeof(*b));
	spin_init(&b->lock, "iobus", RANK_VLAPIC);
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
	WRITE_ONCE(p->len, v.len);
	WRITE_ONCE(p->range, v.range);
}

static struct io_place place_get(const struct io_place *p)
{
	return (struct io_place){ READ_ONCE(p->base), READ_ONCE(p->len), READ_ONCE(p->range) };
}

/* What was read since version was `before` is of one state of the tables. */
static bool unchanged(const struct iobus *b, uint32_t before)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return likely(READ_ONCE(b->version) == before);
}

/* The version that the next look belongs to. */
static uint32_t version_of(const struct iobus *b)
{
	uint32_t v;

	while (unlikely((v = load_acquire(&b->version)) & 1))
		cpu_relax();
	return v;
}

static int ports_enter(struct iobus *b, struct io_range *r)
{
	unsigned slot = 1;

	/* Overlaps are refused as a whole: nothing is entered before all is checked. */
	for (uint64_t p = r->base; p < r->base + r->len; p++) {
		if (b->port_map[p])
			return -EBUSY;
	}
	while (slot < IOBUS_PORT_RANGES && b->port[slot].range)
		slot++;
	if (slot == IOBUS_PORT_RANGES)
		return -ENOSPC;
	r->slot = (uint8_t)slot;
	place_set(&b->port[slot], (struct io_place){ r->base, r->len, r });
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

		if (READ_ONCE(b->mmio[mid].base) + READ_ONCE(b->mmio[mid].len) <= gpa)
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
	place_set(&b->mmio[at], (struct io_place){ r->base, r->len, r });
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
		place_set(&b->port[r->slot], (struct io_place){ 0 });
	} else {
		WRITE_ONCE(b->mmio_count, b->mmio_count - 1);
		for (unsigned i = lower(b, b->mmio_count + 1, r->base); i < b->mmio_count; i++)
			place_set(&b->mmio[i], b->mmio[i + 1]);
	}
	r->mapped = false;
	change_end(b, flags);
}

/* The range, when all of the access is inside of it; the offset that was checked. */
static struct io_range *inside(struct io_place p, uint64_t at, unsigned size, uint64_t *off)
{
	*off = at - p.base;
	return p.range && *off < p.len && size <= p.len - *off ? p.range : NULL;
}

/* The device that claims all of the access, or NULL. */
static struct io_range *find_port(struct iobus *b, uint16_t port, unsigned size, uint64_t *off)
{
	for (;;) {
		uint32_t version = version_of(b);
		struct io_place p = place_get(&b->port[READ_ONCE(b->port_map[port])]);

		if (unchanged(b, version))
			return inside(p, port, size, off);
	}
}

static struct io_range *find_mmio(struct iobus *b, gpa_t gpa, unsigned size, uint64_t *off)
{
	for (;;) {
		uint32_t version = version_of(b);
		unsigned count = READ_ONCE(b->mmio_count), at = lower(b, count, gpa);
		struct io_place p = { 0 };

		if (at < count)
			p = place_get(&b->mmio[at]);
		if (unchanged(b, version))
			return inside(p, gpa, size, off);
	}
}

static uint64_t ones(unsigned size)
{
	return size >= 8 ? ~0ull : BIT(8 * size) - 1;
}

uint32_t iobus_port_read(struct iobus *b, uint16_t port, unsigned size)
{
	uint64_t off;
	struct io_range *r = find_port(b, port, size, &off);

	if (likely(r))
		return (uint32_t)(r->ops->read(r, off, size) & ones(size));
	stat_inc(ports_unclaimed);
	return (uint32_t)ones(size);
}

void iobus_port_write(struct iobus *b, uint16_t port, unsigned size, uint32_t value)
{
	uint64_t off;
	struct io_range *r = find_port(b, port, size, &off);

	if (likely(r))
		r->ops->write(r, off, size, value & ones(size));
	else
		stat_inc(ports_unclaimed);
}

uint64_t iobus_mmio_read(struct iobus *b, gpa_t gpa, unsigned size)
{
	uint64_t off;
	struct io_range *r = find_mmio(b, gpa, size, &off);

	if (likely(r))
		return r->ops->read(r, off, size) & ones(size);
	stat_inc(mmio_unclaimed);
	return ones(size);
}

void iobus_mmio_write(struct iobus *b, gpa_t gpa, unsigned size, uint64_t value)
{
	uint64_t off;
	struct io_range *r = find_mmio(b, gpa, size, &off);

	if (likely(r))
		r->ops->write(r, off, size, value & ones(size));
	else
		stat_inc(mmio_unclaimed);
}
