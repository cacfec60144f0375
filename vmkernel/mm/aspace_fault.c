// SPDX-License-Identifier: Apache-2.0
/*
 * Page faults of userworlds and what else makes pages present: zero-fill, copy-on-write, pages of
 * memory objects, growing stacks, pins. Locks: mm/aspace.h.
 */
#include "mm/aspace.h"
#include "mm/aspace_priv.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/string.h"
#include "x86/paging.h"

/*
 * The area that holds va. An area that grows down is extended to it, within the limits of stack
 * and address space. as->lock is held.
 */
static struct area *fault_area(struct aspace *as, uva_t va)
{
	struct area *a = area_find_from(&as->areas, va);
	uva_t start = ALIGN_DOWN(va, PAGE_SIZE);

	if (!a || a->start <= va)
		return a;
	if (!(a->flags & AREA_GROWSDOWN) || start < a->grow_limit ||
	    as->areas.pages + ((a->start - start) >> PAGE_SHIFT) > as->limit_pages)
		return NULL;
	area_resize_locked(as, a, start, a->end);
	return a;
}

/*
 * Maps pa at va in place of `old` (PA_NONE: of nothing). Takes over the caller's reference or pin
 * on pa, on failure too.
 */
static enum fault_result install(struct aspace *as, const struct area *a, uva_t va, pa_t pa,
                                 bool writable, pa_t old)
{
	int err;

	spin_lock(&as->pt_lock);
	if (old != PA_NONE) {
		struct paging_leaf leaf;

		/* memobj_unmap() needs no as->lock and may have unmapped and released it before. */
		if (!paging_lookup(as->root, va, &leaf) || leaf.pa != old)
			old = PA_NONE;
		else if (paging_unmap(as->root, va, PAGE_SIZE))
			__builtin_unreachable(); /* nothing to split */
	}
	err = aspace_map_page(as, va, pa, area_page_flags(a, writable));
	if (!err && old == PA_NONE && ++as->resident > as->resident_max)
		as->resident_max = as->resident;
	spin_unlock(&as->pt_lock);
	/* Released only when no other thread reads it through an old translation. */
	if (old != PA_NONE) {
		aspace_flush(as, va, PAGE_SIZE);
		user_page_put(old);
	}
	if (err)
		user_page_put(pa);
	return err ? FAULT_NOMEM : FAULT_OK;
}

static enum fault_result install_copy(struct aspace *as, const struct area *a, uva_t va, pa_t from,
                                      pa_t old)
{
	pa_t pa = user_page_new(FRAME_USER, false);

	if (pa == PA_NONE)
		return FAULT_NOMEM;
	memcpy(pa_to_va(pa), pa_to_va(from), PAGE_SIZE);
	return install(as, a, va, pa, true, old);
}

/*
 * Maps the object's page, or a private copy of it at a write. o->lock is held from asking for the
 * page until it is mapped: memobj_unmap(), under the same lock, cannot come in between and miss it.
 */
static enum fault_result fault_object(struct aspace *as, const struct area *a, uva_t va, bool write,
                                      pa_t old)
{
	struct memobj *o = a->obj;
	uint64_t index = a->obj_page + ((va - a->start) >> PAGE_SHIFT);
	bool shared = a->flags & AREA_SHARED;
	enum fault_result result = FAULT_BUS;
	pa_t pa = PA_NONE;

	mutex_lock(&o->lock);
	/* Beyond the end of the object (a truncated file) there is no page: SIGBUS. */
	if (!o->revoked && index < o->pages)
		pa = o->ops->page(o, index, shared && write);
	if (pa == PA_NONE)
		goto out;
	as->major++;
	if (write && !shared) {
		result = install_copy(as, a, va, pa, old);
		user_page_put(pa);
	} else {
		result = install(as, a, va, pa, shared && write, old);
	}
out:
	mutex_unlock(&o->lock);
	return result;
}

/* A write to a page that is mapped read-only, in an area that allows writing. */
static enum fault_result fault_write_present(struct aspace *as, const struct area *a, uva_t va,
                                             const struct paging_leaf *leaf)
{
	struct frame *f = frame_of(leaf->pa);
	bool mine = f && f->owner == FRAME_USER;

	if (a->flags & AREA_SHARED)
		return fault_object(as, a, va, true, leaf->pa);
	/*
	 * Copied if another address space shares it, or if it is the object's own. With one
	 * reference it stays ours: only a fork of this space could share it, which as->lock keeps
	 * out.
	 */
	if (!mine || __atomic_load_n(&f->refs, __ATOMIC_ACQUIRE) > 1)
		return install_copy(as, a, va, leaf->pa, leaf->pa);
	spin_lock(&as->pt_lock);
	if (paging_protect(as->root, va, PAGE_SIZE, area_page_flags(a, true)))
		__builtin_unreachable(); /* nothing to split */
	spin_unlock(&as->pt_lock);
	aspace_flush(as, va, PAGE_SIZE);
	return FAULT_OK;
}

static enum fault_result fault_locked(struct aspace *as, uva_t va, unsigned access)
{
	struct area *a = fault_area(as, va);
	struct paging_leaf leaf;
	bool write = access & AREA_WRITE, present;
	pa_t pa;

	if (!a)
		return FAULT_MAPERR;
	/* x86 has no page that can be written or executed but not read. */
	if (access == AREA_READ ? !(a->flags & AREA_PROT) : !(a->flags & access))
		return FAULT_ACCERR;
	va = ALIGN_DOWN(va, PAGE_SIZE);
	as->faults++;
	spin_lock(&as->pt_lock);
	present = paging_lookup(as->root, va, &leaf);
	spin_unlock(&as->pt_lock);
	/* Another thread resolved it before us; this CPU may still hold the old translation. */
	if (present && (!write || leaf.flags & PG_WRITE)) {
		tlb_flush_page(va);
		return FAULT_OK;
	}
	if (present)
		return fault_write_present(as, a, va, &leaf);
	if (a->obj)
		return fault_object(as, a, va, write, PA_NONE);
	pa = user_page_new(FRAME_USER, true);
	return pa == PA_NONE ? FAULT_NOMEM : install(as, a, va, pa, true, PA_NONE);
}

enum fault_result aspace_fault(struct aspace *as, uva_t va, unsigned access)
{
	enum fault_result result;

	if (va >= USER_END)
		return FAULT_MAPERR;
	mutex_lock(&as->lock);
	result = fault_locked(as, va, access);
	mutex_unlock(&as->lock);
	return result;
}

/*
 * Looks the page up and pins it under one hold of pt_lock. If it is not there as needed, faults it
 * in and looks again: memobj_unmap() may have taken it away in between.
 */
static int pin_locked(struct aspace *as, uva_t va, bool write, pa_t *out)
{
	struct paging_leaf leaf;

	for (;;) {
		enum fault_result result;
		bool ok;

		spin_lock(&as->pt_lock);
		ok = paging_lookup(as->root, va, &leaf) && leaf.flags & PG_USER &&
		     (!write || leaf.flags & PG_WRITE);
		if (ok && frame_of(leaf.pa))
			frame_pin(leaf.pa);
		spin_unlock(&as->pt_lock);
		if (ok) {
			*out = leaf.pa;
			return 0;
		}
		result = fault_locked(as, va, write ? AREA_WRITE : AREA_READ);
		if (result != FAULT_OK)
			return result == FAULT_NOMEM ? -ENOMEM : -EFAULT;
	}
}

/*
 * The page under va with a pin (write: private to this space first); 0 or -EFAULT/-ENOMEM.
 */
static int pin_page(struct aspace *as, uva_t va, bool write, pa_t *out)
{
	int err;

	if (va >= USER_END)
		return -EFAULT;
	mutex_lock(&as->lock);
	err = pin_locked(as, va, write, out);
	mutex_unlock(&as->lock);
	return err;
}

ssize_t aspace_access(struct aspace *as, uva_t va, void *buf, size_t n, bool write)
{
	size_t done = 0;

	while (done < n) {
		/* One page at a time; the pin keeps it, the locks are free during the copy. */
		size_t piece = MIN(n - done, PAGE_SIZE - (va & (PAGE_SIZE - 1)));
		pa_t pa;
		int err = pin_page(as, va, write, &pa);

		if (err)
			return done ? (ssize_t)done : err;
		if (write)
			memcpy(pa_to_va(pa), (char *)buf + done, piece);
		else
			memcpy((char *)buf + done, pa_to_va(pa), piece);
		if (frame_of(pa))
			frame_unpin(ALIGN_DOWN(pa, PAGE_SIZE));
		done += piece;
		va += piece;
	}
	return (ssize_t)done;
}

int aspace_identify(struct aspace *as, uva_t va, struct memobj **obj, uint64_t *offset)
{
	struct area *a;

	*obj = NULL;
	/* Two processes that share a page agree on the object and offset, wherever they map it. */
	mutex_lock(&as->lock);
	a = area_find(&as->areas, va);
	if (a && a->obj && a->flags & AREA_SHARED) {
		*obj = memobj_get(a->obj);
		*offset = (a->obj_page << PAGE_SHIFT) + (va - a->start);
	}
	mutex_unlock(&as->lock);
	return a ? 0 : -EFAULT;
}

int aspace_mincore(struct aspace *as, uva_t va, uint64_t pages, uint8_t *out)
{
	int err = 0;

	mutex_lock(&as->lock);
	spin_lock(&as->pt_lock);
	for (uint64_t i = 0; i < pages && !err; i++, va += PAGE_SIZE) {
		struct area *a = area_find(&as->areas, va);
		struct paging_leaf leaf;

		if (!a)
			err = -ENOMEM;
		else
			/* An object's page is in memory whether or not it is mapped here. */
			out[i] = a->obj || paging_lookup(as->root, va, &leaf);
	}
	spin_unlock(&as->pt_lock);
	mutex_unlock(&as->lock);
	return err;
}
