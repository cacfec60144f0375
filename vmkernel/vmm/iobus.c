// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's ports and MMIO: who answers. Ports are a byte map of 64 Ki entries, MMIO a sorted table
 * read under a sequence count; lock guards changes.
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

int iobus_add_ports(struct iobus *b, struct io_range *r)
{
	int err = -ENOSPC;
	unsigned slot;

	if (!r->len || r->base >= IOBUS_PORTS || r->len > IOBUS_PORTS - r->base)
		return -EINVAL;
	spin_lock(&b->lock);
	/* Overlaps are refused as a whole: nothing is entered before all is checked. */
	for (uint64_t p = r->base; p < r->base + r->len; p++) {
		if (b->port_map[p]) {
			err = -EBUSY;
			goto out;
		}
	}
	for (slot = 1; slot < IOBUS_PORT_RANGES && b->port[slot]; slot++)
		;
	if (slot == IOBUS_PORT_RANGES)
		goto out;
	r->slot = slot;
	r->mapped = true;
	/* The pointer before the map: a reader that finds the number finds the range. */
	store_release(&b->port[slot], r);
	memset(b->port_map + r->base, (int)slot, r->len);
	err = 0;
out:
	spin_unlock(&b->lock);
	return err;
}

/* The first MMIO range that ends behind gpa. */
static unsigned lower(const struct iobus *b, unsigned count, gpa_t gpa)
{
	unsigned lo = 0, hi = count;

	while (lo < hi) {
		unsigned mid = (lo + hi) / 2;
		const struct io_range *r = READ_ONCE(b->mmio[mid]);

		if (r && r->base + r->len <= gpa)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void mmio_change_begin(struct iobus *b)
{
	spin_lock(&b->lock);
	__atomic_fetch_add(&b->version, 1, __ATOMIC_SEQ_CST);
}

static void mmio_change_end(struct iobus *b)
{
	__atomic_fetch_add(&b->version, 1, __ATOMIC_SEQ_CST);
	spin_unlock(&b->lock);
}

int iobus_add_mmio(struct iobus *b, struct io_range *r)
{
	int err = 0;
	unsigned at;

	if (!r->len || r->base + r->len < r->base)
		return -EINVAL;
	mmio_change_begin(b);
	at = lower(b, b->mmio_count, r->base);
	if (at < b->mmio_count && b->mmio[at]->base < r->base + r->len) {
		err = -EBUSY;
	} else if (b->mmio_count == IOBUS_MMIO_RANGES) {
		err = -ENOSPC;
	} else {
		memmove(&b->mmio[at + 1], &b->mmio[at], (b->mmio_count - at) * sizeof(b->mmio[0]));
		b->mmio[at] = r;
		b->mmio_count++;
		r->mapped = true;
	}
	mmio_change_end(b);
	return err;
}

void iobus_remove(struct iobus *b, struct io_range *r, bool ports)
{
	if (!r->mapped)
		return;
	mmio_change_begin(b);
	if (ports) {
		memset(b->port_map + r->base, 0, r->len);
		b->port[r->slot] = NULL;
	} else {
		unsigned at = lower(b, b->mmio_count, r->base);

		memmove(&b->mmio[at], &b->mmio[at + 1],
		        (b->mmio_count - at - 1) * sizeof(b->mmio[0]));
		b->mmio_count--;
	}
	r->mapped = false;
	mmio_change_end(b);
}

static bool inside(const struct io_range *r, uint64_t at, unsigned size)
{
	return r && at >= r->base && at - r->base < r->len && size <= r->len - (at - r->base);
}

/* The device that claims all of the access, or NULL. */
static struct io_range *find_port(struct iobus *b, uint16_t port, unsigned size)
{
	struct io_range *r = READ_ONCE(b->port[READ_ONCE(b->port_map[port])]);

	return inside(r, port, size) ? r : NULL;
}

static struct io_range *find_mmio(struct iobus *b, gpa_t gpa, unsigned size)
{
	for (;;) {
		uint32_t version = load_acquire(&b->version);
		unsigned count = READ_ONCE(b->mmio_count), at;
		struct io_range *r;

		if (version & 1) {
			cpu_relax();
			continue;
		}
		at = lower(b, count, gpa);
		r = at < count ? READ_ONCE(b->mmio[at]) : NULL;
		if (load_acquire(&b->version) == version)
			return inside(r, gpa, size) ? r : NULL;
	}
}

static uint64_t ones(unsigned size)
{
	return size >= 8 ? ~0ull : BIT(8 * size) - 1;
}

uint32_t iobus_port_read(struct iobus *b, uint16_t port, unsigned size)
{
	struct io_range *r = find_port(b, port, size);

	if (likely(r))
		return (uint32_t)(r->ops->read(r, port - r->base, size) & ones(size));
	stat_inc(ports_unclaimed);
	return (uint32_t)ones(size);
}

void iobus_port_write(struct iobus *b, uint16_t port, unsigned size, uint32_t value)
{
	struct io_range *r = find_port(b, port, size);

	if (likely(r))
		r->ops->write(r, port - r->base, size, value & ones(size));
	else
		stat_inc(ports_unclaimed);
}

uint64_t iobus_mmio_read(struct iobus *b, gpa_t gpa, unsigned size)
{
	struct io_range *r = find_mmio(b, gpa, size);

	if (likely(r))
		return r->ops->read(r, gpa - r->base, size) & ones(size);
	stat_inc(mmio_unclaimed);
	return ones(size);
}

void iobus_mmio_write(struct iobus *b, gpa_t gpa, unsigned size, uint64_t value)
{
	struct io_range *r = find_mmio(b, gpa, size);

	if (likely(r))
		r->ops->write(r, gpa - r->base, size, value & ones(size));
	else
		stat_inc(mmio_unclaimed);
}
