// SPDX-License-Identifier: Apache-2.0
/* Changes of an address space's areas: map, unmap, protect, move, the heap. Locks: mm/aspace.h. */
#include "mm/aspace.h"
#include "mm/aspace_priv.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/string.h"
#include "x86/paging.h"

static struct slab_cache *area_cache;

struct area *area_alloc(void)
{
	struct slab_cache *c = __atomic_load_n(&area_cache, __ATOMIC_ACQUIRE);
	struct area *a;

	if (!c) {
		/* Made by the first user_init(), before a second world can come here. */
		c = slab_create("area", sizeof(struct area), 8);
		if (!c)
			return NULL;
		__atomic_store_n(&area_cache, c, __ATOMIC_RELEASE);
	}
	a = slab_alloc(c);
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

int aspace_split_at(struct aspace *as, uva_t va)
{
	struct area *a = area_find(&as->areas, va), *upper;
	struct memobj *o;

	if (!a || a->start == va)
		return 0;
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
	/* Both halves appear at once for memobj_unmap(). */
	spin_lock(&o->map_lock);
	area_split(&as->areas, a, va, upper);
	list_push_back(&o->mappings, &upper->mapping);
	spin_unlock(&o->map_lock);
	return 0;
}

static void absorb(struct aspace *as, struct area *a, struct area *next)
{
	uva_t end = next->end;

	area_detach(next);
	area_remove(&as->areas, next);
	area_resize_locked(as, a, a->start, end);
	area_free(next);
}

void aspace_merge(struct aspace *as, struct area *a)
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

int aspace_unmap_locked(struct aspace *as, uva_t va, uint64_t len)
{
	struct area *a;
	int err;

	if ((err = aspace_split_at(as, va)) || (err = aspace_split_at(as, va + len)))
		return err;
	while ((a = area_find_from(&as->areas, va)) && a->start < va + len) {
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

	if (flags & (AREA_FIXED | AREA_FIXED_NOREPLACE)) {
		if (!range_ok(as, hint, len))
			return hint < t->low ? -EPERM : -ENOMEM;
		if (flags & AREA_FIXED_NOREPLACE)
			return area_range_free(t, hint, hint + len) ? (int64_t)hint : -EEXIST;
		err = aspace_unmap_locked(as, hint, len);
		return err ? err : (int64_t)hint;
	}
	if (hint && range_ok(as, hint, len) && area_range_free(t, hint, hint + len))
		return (int64_t)hint;
	va = area_gap(t, len, as->mmap_top);
	if (!va)
		va = area_gap(t, len, t->high);
	return va ? (int64_t)va : -ENOMEM;
}

static bool within_limits(const struct aspace *as, uint64_t pages, unsigned flags)
{
	struct mm_totals t;

	if (as->areas.pages + pages > as->limit_pages || as->areas.count >= AREAS_MAX ||
	    user_memory_low())
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

	len = ALIGN_UP(len, PAGE_SIZE);
	if (!len || len > USER_END)
		return len ? -ENOMEM : -EINVAL;
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
	aspace_merge(as, a);
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
	err = aspace_unmap_locked(as, va, len);
	mutex_unlock(&as->lock);
	return err;
}

/* Pages of a keep what they hold: only exclusive ones may become writable at once. */
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
	/* All of it must be mapped, and what is a read-only file's must stay so. */
	for (a = area_find(&as->areas, va), err = a ? 0 : -ENOMEM; !err && at < end;
	     a = area_next(a)) {
		if (!a || a->start > at)
			err = -ENOMEM;
		else if (prot & AREA_WRITE && a->flags & AREA_NO_WRITE)
			err = -EACCES;
		else
			at = a->end;
	}
	if (err || (err = aspace_split_at(as, va)) || (err = aspace_split_at(as, end)))
		goto out;
	for (a = area_find(&as->areas, va); a && a->start < end; a = area_next(a)) {
		if ((a->flags & AREA_PROT) == prot)
			continue;
		area_set_flags(&as->areas, a, (a->flags & ~(unsigned)AREA_PROT) | prot);
		protect_pages(as, a);
	}
	/* From the end, since merging frees the later area. */
	for (a = area_find_from(&as->areas, end - 1); a && a->end > va;) {
		struct area *prev = area_prev(a);

		aspace_merge(as, a);
		a = prev;
	}
out:
	mutex_unlock(&as->lock);
	return err;
}

/* Hands the pages of [from, from+len) over to `to`, whose tables are empty there. */
static int move_pages(struct aspace *as, const struct area *dst, uva_t from, uint64_t len, uva_t to)
{
	struct paging_leaf leaf;
	int err = 0;

	spin_lock(&as->pt_lock);
	for (va_t va = from, at; !err && paging_next(as->root, va, from + len, &at, &leaf);
	     va = at + PAGE_SIZE) {
		err = paging_map(as->root, to + (at - from), leaf.pa, PAGE_SIZE,
		                 area_page_flags(dst, leaf.flags & PG_WRITE));
		if (!err && paging_unmap(as->root, at, PAGE_SIZE))
			__builtin_unreachable(); /* nothing to split */
	}
	spin_unlock(&as->pt_lock);
	aspace_flush(as, from, len);
	return err;
}

static int64_t move_area(struct aspace *as, struct area *a, uint64_t old_len, uint64_t len,
                         unsigned flags, uva_t to)
{
	struct area *b = area_alloc();
	uva_t from = a->start;
	int64_t va;
	int err;

	if (!b)
		return -ENOMEM;
	va = place(as, to, len, flags);
	if (va < 0) {
		area_free(b);
		return va;
	}
	*b = *a;
	list_init(&b->mapping);
	b->start = (uva_t)va;
	b->end = b->start + len;
	if (b->obj) {
		memobj_get(b->obj);
		area_attach(b);
	}
	area_insert(&as->areas, b);
	err = move_pages(as, b, from, MIN(old_len, len), b->start);
	if (err) {
		/* No memory for tables: what has moved goes back, where the tables still are. */
		if (move_pages(as, a, b->start, len, from))
			__builtin_unreachable();
		err = aspace_unmap_locked(as, b->start, len) ? -EFAULT : -ENOMEM;
		return err;
	}
	err = aspace_unmap_locked(as, from, old_len);
	return err ? err : va;
}

int64_t aspace_remap(struct aspace *as, uva_t va, uint64_t old_len, uint64_t len, bool may_move,
                     bool fixed, uva_t to)
{
	struct area *a;
	int64_t r;

	mutex_lock(&as->lock);
	a = area_find(&as->areas, va);
	if (!a || old_len > a->end - va) {
		r = -EFAULT;
		goto out;
	}
	if (!fixed && len <= old_len) {
		r = len < old_len ? aspace_unmap_locked(as, va + len, old_len - len) : 0;
		r = r ? r : (int64_t)va;
		goto out;
	}
	r = -ENOMEM;
	if (len > old_len && !within_limits(as, (len - old_len) >> PAGE_SHIFT, a->flags))
		goto out;
	if (!fixed && va + old_len == a->end && range_ok(as, va, len) &&
	    area_range_free(&as->areas, a->end, va + len)) {
		area_resize_locked(as, a, a->start, va + len);
		aspace_merge(as, a);
		r = (int64_t)va;
	} else if (may_move) {
		if ((r = aspace_split_at(as, va)) || (r = aspace_split_at(as, va + old_len)))
			goto out;
		a = area_find(&as->areas, va);
		r = move_area(as, a, old_len, len, fixed ? AREA_FIXED : 0, to);
	}
out:
	mutex_unlock(&as->lock);
	return r;
}

int aspace_discard(struct aspace *as, uva_t va, uint64_t len)
{
	uva_t at = va, end = va + len;
	int err = 0;

	if (!range_ok(as, va, len))
		return -ENOMEM;
	mutex_lock(&as->lock);
	for (struct area *a = area_find_from(&as->areas, va); at < end; a = area_next(a)) {
		if (!a || a->start > at)
			err = -ENOMEM; /* goes on with what is there, as Linux does */
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
	int64_t r;

	if (new_end < start)
		return -EINVAL;
	if (to == from)
		return 0;
	if (to < from)
		return aspace_unmap(as, to, from - to);
	r = aspace_map(as, from, to - from,
	               AREA_READ | AREA_WRITE | AREA_HEAP | AREA_FIXED_NOREPLACE, NULL, 0);
	return r < 0 ? -ENOMEM : 0;
}

void aspace_for_each(struct aspace *as, void (*fn)(const struct area *a, void *arg), void *arg)
{
	mutex_lock(&as->lock);
	for (struct tree_node *n = tree_min(&as->areas.tree); n; n = tree_next(n))
		fn(tree_entry(n, struct area, node), arg);
	mutex_unlock(&as->lock);
}
