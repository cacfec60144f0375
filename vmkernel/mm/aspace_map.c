// SPDX-License-Identifier: Apache-2.0
/* Changes of an address space's areas: map, unmap, protect, move, the heap. Locks: mm/aspace.h. */
#include "mm/aspace.h"
#include "mm/aspace_priv.h"
#include "mm/mm.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/string.h"
#include "vmk/world.h"
#include "x86/paging.h"

static struct slab_cache *area_cache;

struct area *area_alloc(void)
{
	struct slab_cache *c = __atomic_load_n(&area_cache, __ATOMIC_ACQUIRE);
	struct area *a;

	if (!c) {
		/* By the first userworld, before there is a second thread that could come here. */
		c = slab_create_charged("area", sizeof(struct area) + SLAB_CHARGE_HEAD);
		if (!c)
			return NULL;
		__atomic_store_n(&area_cache, c, __ATOMIC_RELEASE);
	}
	a = slab_alloc_charged(c, world_account(world_current()));
	if (a) {
		memset(a, 0, sizeof(*a));
		list_init(&a->mapping);
	}
	return a;
}

void area_free(struct area *a)
{
	if (a->obj)
		memobj_put(a->obj);
	slab_free(area_cache, a);
}

void area_attach(struct area *a)
{
	if (!a->obj)
		return;
	spin_lock(&a->obj->map_lock);
	list_push_back(&a->obj->mappings, &a->mapping);
	spin_unlock(&a->obj->map_lock);
}

void area_detach(struct area *a)
{
	if (!a->obj)
		return;
	spin_lock(&a->obj->map_lock);
	list_remove(&a->mapping);
	spin_unlock(&a->obj->map_lock);
}

void area_resize_locked(struct aspace *as, struct area *a, uva_t start, uva_t end)
{
	struct memobj *o = a->obj;

	if (o)
		spin_lock(&o->map_lock);
	area_resize(&as->areas, a, start, end);
	if (o)
		spin_unlock(&o->map_lock);
}

/* Splits the area that crosses va, if there is one, there. 0 or -ENOMEM. as->lock is held. */
static int split_at(struct aspace *as, uva_t va)
{
	struct area *a = area_find(&as->areas, va), *upper;
	struct memobj *o;

	if (!a || a->start == va)
		return 0;
	/* The bound on what a process can make the kernel allocate by splitting its mappings. */
	if (as->areas.count >= AREAS_MAX)
		return -ENOMEM;
	upper = area_alloc();
	if (!upper)
		return -ENOMEM;
	o = a->obj;
	if (!o) {
		area_split(&as->areas, a, va, upper);
		return 0;
	}
	memobj_get(o);
	/* In one step for memobj_unmap(), which must not miss the upper half. */
	spin_lock(&o->map_lock);
	area_split(&as->areas, a, va, upper);
	list_push_back(&o->mappings, &upper->mapping);
	spin_unlock(&o->map_lock);
	return 0;
}

/* Joins next, which directly follows a, to it. */
static void absorb(struct aspace *as, struct area *a, struct area *next)
{
	struct memobj *o = a->obj; /* next's as well */
	uva_t end = next->end;

	/* In one step for memobj_unmap(): in between, next's pages would belong to no area. */
	if (o) {
		spin_lock(&o->map_lock);
		list_remove(&next->mapping);
	}
	area_remove(&as->areas, next);
	area_resize(&as->areas, a, a->start, end);
	if (o)
		spin_unlock(&o->map_lock);
	area_free(next);
}

/* Joins a with its neighbours where they fit; a may be freed. */
static void merge(struct aspace *as, struct area *a)
{
	struct area *prev = area_prev(a), *next = area_next(a);

	if (next && area_can_merge(a, next))
		absorb(as, a, next);
	if (prev && area_can_merge(prev, a))
		absorb(as, prev, a);
}

unsigned area_page_flags(const struct area *a, bool writable)
{
	unsigned flags = PG_4K;

	if (a->flags & AREA_PROT)
		flags |= PG_USER;
	if (a->flags & AREA_EXEC)
		flags |= PG_EXEC;
	if (writable && a->flags & AREA_WRITE)
		flags |= PG_WRITE;
	return flags;
}

static bool range_ok(const struct aspace *as, uva_t va, uint64_t len)
{
	return va >= as->areas.low && len <= as->areas.high && va <= as->areas.high - len;
}

static int unmap_locked(struct aspace *as, uva_t va, uint64_t len)
{
	struct area *a;
	int err;

	if ((err = split_at(as, va)) || (err = split_at(as, va + len)))
		return err;
	while ((a = area_find_from(&as->areas, va)) && a->start < va + len) {
		/* Out of the tree first: a fault of another thread finds nothing to map again. */
		area_detach(a);
		area_remove(&as->areas, a);
		aspace_zap(as, a->start, a->end);
		area_free(a);
	}
	return 0;
}

/* Where a mapping of len bytes goes: its address, or -errno. Makes room for AREA_FIXED. */
static int64_t place(struct aspace *as, uva_t hint, uint64_t len, unsigned flags)
{
	struct area_tree *t = &as->areas;
	uva_t va;
	int err;

	/* The order of the errors is Linux's: EPERM below the lowest address (mmap_min_addr). */
	if (flags & (AREA_FIXED | AREA_FIXED_NOREPLACE)) {
		if (!range_ok(as, hint, len))
			return hint < t->low ? -EPERM : -ENOMEM;
		if (flags & AREA_FIXED_NOREPLACE)
			return area_range_free(t, hint, hint + len) ? (int64_t)hint : -EEXIST;
		err = unmap_locked(as, hint, len);
		return err ? err : (int64_t)hint;
	}
	if (hint && range_ok(as, hint, len) && area_range_free(t, hint, hint + len))
		return (int64_t)hint;
	/* Below the stack if there is room, otherwise anywhere. */
	va = area_gap(t, len, as->mmap_top);
	if (!va)
		va = area_gap(t, len, t->high);
	return va ? (int64_t)va : -ENOMEM;
}

/*
 * Whether so many more pages may be mapped: RLIMIT_AS, the number of areas, and for private
 * writable memory no more than there is RAM, since nothing swaps.
 */
static bool within_limits(const struct aspace *as, uint64_t pages, unsigned flags)
{
	struct mm_totals t;

	if (as->areas.pages + pages > as->limit_pages || as->areas.count >= AREAS_MAX ||
	    mm_low(MM_USER))
		return false;
	if ((flags & (AREA_WRITE | AREA_SHARED | AREA_NORESERVE)) != AREA_WRITE)
		return true;
	mm_totals(&t);
	return as->areas.committed + pages <= t.total_pages;
}

int64_t aspace_map(struct aspace *as, uva_t hint, uint64_t len, unsigned flags, struct memobj *obj,
                   uint64_t obj_offset)
{
	struct area *a;
	int64_t va;

	/* A length near 2^64 has wrapped to 0 here. */
	len = ALIGN_UP(len, PAGE_SIZE);
	if (!len || len > USER_END)
		return len ? -ENOMEM : -EINVAL;
	/* Growing down would take an object's pages from before the one that was asked for. */
	if (obj && flags & AREA_GROWSDOWN)
		return -EINVAL;
	/* First, so that nothing has been unmapped for AREA_FIXED when memory is short. */
	a = area_alloc();
	if (!a)
		return -ENOMEM;
	mutex_lock(&as->lock);
	va = within_limits(as, len >> PAGE_SHIFT, flags) ? place(as, hint, len, flags) : -ENOMEM;
	if (va < 0) {
		mutex_unlock(&as->lock);
		area_free(a);
		return va;
	}
	a->as = as;
	a->start = (uva_t)va;
	a->end = a->start + len;
	a->grow_limit = as->stack_limit;
	a->flags = flags & ~(unsigned)(AREA_FIXED | AREA_FIXED_NOREPLACE | AREA_POPULATE);
	if (obj) {
		a->obj = memobj_get(obj);
		a->obj_page = obj_offset >> PAGE_SHIFT;
		area_attach(a);
	}
	area_insert(&as->areas, a);
	merge(as, a);
	mutex_unlock(&as->lock);
	return va;
}

int aspace_unmap(struct aspace *as, uva_t va, uint64_t len)
{
	int err;

	len = ALIGN_UP(len, PAGE_SIZE);
	if (!IS_ALIGNED(va, PAGE_SIZE) || !len || !range_ok(as, va, len))
		return -EINVAL;
	mutex_lock(&as->lock);
	err = unmap_locked(as, va, len);
	mutex_unlock(&as->lock);
	return err;
}

/*
 * Applies a's new protection to its present pages. A page that was not writable stays so, since it
 * may be shared (copy-on-write, or an object that wants to know of writes): the next write faults
 * and decides.
 */
static void protect_pages(struct aspace *as, struct area *a)
{
	struct paging_leaf leaf;

	spin_lock(&as->pt_lock);
	for (va_t va = a->start, at; paging_next(as->root, va, a->end, &at, &leaf);
	     va = at + PAGE_SIZE) {
		bool writable = leaf.flags & PG_WRITE;

		if (paging_protect(as->root, at, PAGE_SIZE, area_page_flags(a, writable)))
			__builtin_unreachable(); /* nothing to split */
	}
	spin_unlock(&as->pt_lock);
	aspace_flush(as, a->start, a->end - a->start);
}

int aspace_protect(struct aspace *as, uva_t va, uint64_t len, unsigned prot)
{
	struct area *a;
	uva_t end = va + len, at = va;
	int err;

	if (!range_ok(as, va, len))
		return -ENOMEM;
	mutex_lock(&as->lock);
	/*
	 * Checked completely before anything changes: all of the range is mapped, and mappings of
	 * read-only files stay read-only.
	 */
	for (a = area_find(&as->areas, va), err = a ? 0 : -ENOMEM; !err && at < end;
	     a = area_next(a)) {
		if (!a || a->start > at)
			err = -ENOMEM;
		else if (prot & AREA_WRITE && a->flags & AREA_NO_WRITE)
			err = -EACCES;
		else
			at = a->end;
	}
	if (err || (err = split_at(as, va)) || (err = split_at(as, end)))
		goto out;
	for (a = area_find(&as->areas, va); a && a->start < end; a = area_next(a)) {
		if ((a->flags & AREA_PROT) == prot)
			continue;
		area_set_flags(&as->areas, a, (a->flags & ~(unsigned)AREA_PROT) | prot);
		protect_pages(as, a);
	}
	/* From the end, since merging may free the area itself, but not the one before it. */
	for (a = area_find_from(&as->areas, end - 1); a && a->end > va;) {
		struct area *prev = area_prev(a);

		merge(as, a);
		a = prev;
	}
out:
	mutex_unlock(&as->lock);
	return err;
}

/*
 * Moves the translations of [from, from+len) to `to`, where nothing is mapped. Under one hold of
 * pt_lock: memobj_unmap() finds each page at one of the two places.
 */
static int move_pages(struct aspace *as, const struct area *dst, uva_t from, uint64_t len, uva_t to)
{
	struct paging_leaf leaf;
	int err = 0;

	spin_lock(&as->pt_lock);
	for (va_t va = from, at; !err && paging_next(as->root, va, from + len, &at, &leaf);
	     va = at + PAGE_SIZE) {
		err = aspace_map_page(as, to + (at - from), leaf.pa,
		                      area_page_flags(dst, leaf.flags & PG_WRITE));
		if (!err && paging_unmap(as->root, at, PAGE_SIZE))
			__builtin_unreachable(); /* nothing to split */
	}
	spin_unlock(&as->pt_lock);
	aspace_flush(as, from, len);
	return err;
}

/* mremap to another address: `a`, of old_len bytes, becomes an area of len bytes at `to`. */
static int64_t move_area(struct aspace *as, struct area *a, uint64_t old_len, uint64_t len,
                         unsigned flags, uva_t to)
{
	struct area *b = area_alloc();
	uva_t from = a->start;
	int64_t va;
	int err;

	if (!b)
		return -ENOMEM;
	/* b is empty so far: area_free() drops no reference of an object. */
	va = place(as, to, len, flags);
	if (va < 0) {
		area_free(b);
		return va;
	}
	*b = *a;
	list_init(&b->mapping);
	/* b is there before the pages: memobj_unmap() looks at a, then at b, which is behind it. */
	b->start = (uva_t)va;
	b->end = b->start + len;
	if (b->obj) {
		memobj_get(b->obj);
		area_attach(b);
	}
	area_insert(&as->areas, b);
	err = move_pages(as, b, from, MIN(old_len, len), b->start);
	if (err) {
		/*
		 * No memory for tables. What has moved goes back, for which the tables still exist.
		 */
		if (move_pages(as, a, b->start, len, from))
			__builtin_unreachable();
		err = unmap_locked(as, b->start, len) ? -EFAULT : -ENOMEM;
		return err;
	}
	err = unmap_locked(as, from, old_len);
	return err ? err : va;
}

/*
 * Shrinks in place; grows in place if there is room and the caller left the address open; moves
 * otherwise. The caller has checked that the two ranges of a fixed move do not overlap.
 */
int64_t aspace_remap(struct aspace *as, uva_t va, uint64_t old_len, uint64_t len, bool may_move,
                     bool fixed, uva_t to)
{
	struct area *a;
	int64_t addr;

	mutex_lock(&as->lock);
	a = area_find(&as->areas, va);
	if (!a || old_len > a->end - va) {
		addr = -EFAULT;
		goto out;
	}
	if (!fixed && len <= old_len) {
		addr = len < old_len ? unmap_locked(as, va + len, old_len - len) : 0;
		addr = addr ? addr : (int64_t)va;
		goto out;
	}
	/* Only what it grows by: the old pages are counted already and leave their place. */
	addr = -ENOMEM;
	if (len > old_len && !within_limits(as, (len - old_len) >> PAGE_SHIFT, a->flags))
		goto out;
	/* In place if the old range ends its area and the room after it is free. */
	if (!fixed && va + old_len == a->end && range_ok(as, va, len) &&
	    area_range_free(&as->areas, a->end, va + len)) {
		area_resize_locked(as, a, a->start, va + len);
		merge(as, a);
		addr = (int64_t)va;
	} else if (may_move) {
		if ((addr = split_at(as, va)) || (addr = split_at(as, va + old_len)))
			goto out;
		a = area_find(&as->areas, va);
		addr = move_area(as, a, old_len, len, fixed ? AREA_FIXED : 0, to);
	}
out:
	mutex_unlock(&as->lock);
	return addr;
}

/* The areas stay: the next access finds zeros, or the object's page again. */
int aspace_discard(struct aspace *as, uva_t va, uint64_t len)
{
	uva_t at = va, end = va + len;
	int err = 0;

	if (!range_ok(as, va, len))
		return -ENOMEM;
	mutex_lock(&as->lock);
	for (struct area *a = area_find_from(&as->areas, va); at < end; a = area_next(a)) {
		/* A hole is an error, but what is mapped is discarded all the same, as on Linux. */
		if (!a || a->start > at)
			err = -ENOMEM;
		if (!a || a->start >= end)
			break;
		aspace_zap(as, MAX(a->start, va), MIN(a->end, end));
		at = a->end;
	}
	mutex_unlock(&as->lock);
	return err;
}

bool aspace_mapped(struct aspace *as, uva_t va, uint64_t len)
{
	uva_t at = va, end = va + len;
	struct area *a;

	if (!range_ok(as, va, len))
		return false;
	mutex_lock(&as->lock);
	for (a = area_find(&as->areas, va); a && a->start <= at && at < end; a = area_next(a))
		at = a->end;
	mutex_unlock(&as->lock);
	return at >= end;
}

int aspace_brk(struct aspace *as, uva_t start, uva_t old_end, uva_t new_end)
{
	uva_t from = ALIGN_UP(old_end, PAGE_SIZE), to = ALIGN_UP(new_end, PAGE_SIZE);
	int64_t addr;

	if (new_end < start)
		return -EINVAL;
	if (to == from)
		return 0;
	if (to < from)
		return aspace_unmap(as, to, from - to);
	/* NOREPLACE: the heap never grows over another mapping. It merges with what it extends. */
	addr = aspace_map(as, from, to - from,
	                  AREA_READ | AREA_WRITE | AREA_HEAP | AREA_FIXED_NOREPLACE, NULL, 0);
	return addr < 0 ? -ENOMEM : 0;
}

void aspace_for_each(struct aspace *as, void (*fn)(const struct area *a, void *arg), void *arg)
{
	mutex_lock(&as->lock);
	for (struct tree_node *n = tree_min(&as->areas.tree); n; n = tree_next(n))
		fn(tree_entry(n, struct area, node), arg);
	mutex_unlock(&as->lock);
}
