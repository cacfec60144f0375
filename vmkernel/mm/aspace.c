// SPDX-License-Identifier: Apache-2.0
/*
 * Address spaces: creation, copy at fork, loading into CR3, translation shoot-down. A CPU keeps the
 * last one loaded while kernel worlds run (a switch back to the same process costs no TLB), so
 * aspace_put() first unloads it from the CPUs. Locks: mm/aspace.h.
 */
#include "mm/aspace.h"
#include "mm/aspace_priv.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/string.h"
#include "vmk/world.h"
#include "x86/insn.h"
#include "x86/paging.h"

enum {
	USER_LOW = 0x10000,    /* nothing below: null pointers with an offset */
	FLUSH_SINGLE_MAX = 32, /* pages; for more, the whole TLB is flushed */
	ZAP_BATCH = 64,        /* pages for one shoot-down; their addresses are on the stack */
};

static struct aspace *loaded[CPUS_MAX]; /* written by its CPU only, interrupts off */

/*
 * CPUs that are in aspace_map_page(). Its caller's spin lock keeps preemption off, so the flag is
 * that of the world which fills tables, and tables of the kernel's own are not made meanwhile.
 */
static bool filling[CPUS_MAX];

int aspace_map_page(struct aspace *as, va_t va, pa_t pa, unsigned flags)
{
	bool *mine = &filling[cpu_id()];
	int err;

	*mine = true;
	err = paging_map(as->root, va, pa, PAGE_SIZE, flags);
	*mine = false;
	return err;
}

struct mem_account *aspace_table_account(void)
{
	return filling[cpu_id()] ? world_account(world_current()) : NULL;
}

pa_t user_page_new(enum frame_owner owner, bool zero)
{
	pa_t pa;

	if (mm_low(MM_USER))
		return PA_NONE;
	pa = page_alloc(ORDER_4K, owner, zero ? ALLOC_ZERO : 0);
	if (pa != PA_NONE && owner == FRAME_USER)
		frame_of(pa)->refs = 1;
	return pa;
}

void user_page_put(pa_t pa)
{
	struct frame *f = frame_of(pa);

	/* Outside of memory (a device's) there is nothing to hold. */
	if (!f)
		return;
	if (f->owner != FRAME_USER)
		frame_unpin(pa);
	else if (__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) == 0)
		page_free(pa, ORDER_4K);
}

int aspace_create(struct aspace **out)
{
	struct aspace *as = kzalloc(sizeof(*as));

	if (!as)
		return -ENOMEM;
	as->root = paging_root_new();
	if (as->root == PA_NONE) {
		kfree(as);
		return -ENOMEM;
	}
	mutex_init(&as->lock, "aspace");
	spin_init(&as->pt_lock, "aspace_pt", RANK_ASPACE + 1);
	area_tree_init(&as->areas, USER_LOW, USER_END);
	as->refs = 1;
	as->limit_pages = UINT64_MAX;
	as->mmap_top = USER_END;
	*out = as;
	return 0;
}

struct aspace *aspace_get(struct aspace *as)
{
	__atomic_add_fetch(&as->refs, 1, __ATOMIC_RELAXED);
	return as;
}

static void cpu_bit(struct aspace *as, unsigned cpu, bool on)
{
	uint64_t bit = BIT(cpu % 64);

	if (on)
		__atomic_or_fetch(&as->cpus[cpu / 64], bit, __ATOMIC_SEQ_CST);
	else
		__atomic_and_fetch(&as->cpus[cpu / 64], ~bit, __ATOMIC_SEQ_CST);
}

void aspace_switch(struct aspace *as)
{
	unsigned cpu = cpu_id();
	struct aspace *old = loaded[cpu];

	if (old == as)
		return;
	/* Set before the load and cleared after it: a shoot-down in between reaches this CPU. */
	if (as)
		cpu_bit(as, cpu, true);
	loaded[cpu] = as;
	write_cr3(as ? as->root : paging_kernel_root);
	if (old)
		cpu_bit(old, cpu, false);
}

/* On each CPU that has it loaded: the kernel's own tables instead. */
static void leave_here(void *arg)
{
	if (loaded[cpu_id()] == arg)
		aspace_switch(NULL);
}

/*
 * Calls fn on every CPU that has as loaded. One that loads it later read its tables after the
 * caller's change: cpu_bit() and the load of the bits here are both sequentially consistent.
 */
static void call_loaded(struct aspace *as, void (*fn)(void *), void *arg)
{
	for (unsigned w = 0; w < ARRAY_SIZE(as->cpus); w++) {
		uint64_t bits = __atomic_load_n(&as->cpus[w], __ATOMIC_SEQ_CST);

		for (; bits; bits &= bits - 1)
			cpu_call(w * 64 + (unsigned)__builtin_ctzll(bits), fn, arg);
	}
}

struct flush {
	struct aspace *as;
	va_t va;
	uint64_t len;
};

static void flush_here(void *arg)
{
	const struct flush *f = arg;

	/*
	 * A load of CR3 since the call was sent has flushed all: no PCIDs, and no global pages
	 * here.
	 */
	if (loaded[cpu_id()] != f->as)
		return;
	if (f->len > FLUSH_SINGLE_MAX * PAGE_SIZE)
		write_cr3(f->as->root);
	else
		for (va_t va = f->va; va < f->va + f->len; va += PAGE_SIZE)
			tlb_flush_page(va);
}

void aspace_flush(struct aspace *as, va_t va, uint64_t len)
{
	struct flush f = { as, va, len };

	call_loaded(as, flush_here, &f);
}

void aspace_zap(struct aspace *as, va_t va, va_t end)
{
	pa_t pages[ZAP_BATCH];
	struct paging_leaf leaf;
	unsigned n;

	/*
	 * In batches: the pages may be reused only after every TLB has lost them, and one
	 * shoot-down for a batch is what makes unmapping cheap.
	 */
	do {
		va_t first = va, at;

		n = 0;
		spin_lock(&as->pt_lock);
		while (n < ZAP_BATCH && paging_next(as->root, va, end, &at, &leaf)) {
			if (n == 0)
				first = at;
			pages[n++] = leaf.pa;
			va = at + PAGE_SIZE;
			/* 4 KiB pages only: nothing to split, no memory needed. */
			if (paging_unmap(as->root, at, PAGE_SIZE))
				__builtin_unreachable();
		}
		as->resident -= n;
		spin_unlock(&as->pt_lock);
		if (n)
			aspace_flush(as, first, va - first);
		for (unsigned i = 0; i < n; i++)
			user_page_put(pages[i]);
	} while (n == ZAP_BATCH);
}

void aspace_put(struct aspace *as)
{
	struct tree_node *n;

	if (__atomic_sub_fetch(&as->refs, 1, __ATOMIC_ACQ_REL))
		return;
	/* Nobody uses it any more, but kernel worlds may run with its tables loaded. */
	call_loaded(as, leave_here, as);
	while ((n = tree_min(&as->areas.tree))) {
		struct area *a = tree_entry(n, struct area, node);

		area_detach(a);
		area_remove(&as->areas, a);
		aspace_zap(as, a->start, a->end);
		area_free(a);
	}
	paging_root_free(as->root);
	kfree(as);
}

/*
 * Shares one private page with the child: both then map it read-only, and the first write copies
 * it. A pinned page is copied now, because a device may write to it, and what it writes must appear
 * in the parent. The parent's pt_lock is held.
 */
static int fork_page(struct aspace *parent, struct aspace *child, const struct area *a, va_t at,
                     const struct paging_leaf *leaf)
{
	struct frame *f = frame_of(leaf->pa);
	pa_t pa = leaf->pa;
	int err;

	if (!f || f->owner != FRAME_USER)
		return 0; /* a page of a file: the child faults it in */
	/* A pin for writing is taken under the parent's lock, which is held: none can appear. */
	if (__atomic_load_n(&f->pins, __ATOMIC_ACQUIRE)) {
		pa = user_page_new(FRAME_USER, false);
		if (pa == PA_NONE)
			return -ENOMEM;
		memcpy(pa_to_va(pa), pa_to_va(leaf->pa), PAGE_SIZE);
	} else {
		__atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
		if (leaf->flags & PG_WRITE) {
			err = paging_protect(parent->root, at, PAGE_SIZE,
			                     area_page_flags(a, false));
			if (err)
				goto drop;
		}
	}
	err = aspace_map_page(child, at, pa, area_page_flags(a, false));
	if (err)
		goto drop;
	child->resident++;
	return 0;
drop:
	user_page_put(pa);
	return err;
}

/* Copies one area and, if it is private, its present pages. Both spaces' locks are ours. */
static int fork_area(struct aspace *parent, struct aspace *child, struct area *a)
{
	struct area *copy = area_alloc();
	struct paging_leaf leaf;
	int err = 0;

	if (!copy)
		return -ENOMEM;
	*copy = *a;
	copy->as = child;
	list_init(&copy->mapping);
	if (copy->obj) {
		memobj_get(copy->obj);
		area_attach(copy);
	}
	area_insert(&child->areas, copy);
	/* The child finds shared pages in the object, by its own faults. */
	if (a->flags & AREA_SHARED)
		return 0;
	spin_lock(&parent->pt_lock);
	for (va_t va = a->start, at; !err && paging_next(parent->root, va, a->end, &at, &leaf);
	     va = at + PAGE_SIZE)
		err = fork_page(parent, child, a, at, &leaf);
	spin_unlock(&parent->pt_lock);
	return err;
}

int aspace_fork(struct aspace *parent, struct aspace **out)
{
	struct aspace *child;
	int err = aspace_create(&child);

	if (err)
		return err;
	mutex_lock(&parent->lock);
	child->limit_pages = parent->limit_pages;
	child->mmap_top = parent->mmap_top;
	child->stack_limit = parent->stack_limit;
	for (struct tree_node *n = tree_min(&parent->areas.tree); n && !err; n = tree_next(n)) {
		struct area *a = tree_entry(n, struct area, node);

		if (!(a->flags & AREA_DONTFORK) && !(a->obj && a->obj->no_fork))
			err = fork_area(parent, child, a);
	}
	/*
	 * The parent's pages have become read-only; before its lock is released no other thread can
	 * go on writing to a shared one through an old translation. After an error too.
	 */
	aspace_flush(parent, 0, USER_END);
	mutex_unlock(&parent->lock);
	child->resident_max = child->resident;
	if (err)
		aspace_put(child);
	else
		*out = child;
	return err;
}
