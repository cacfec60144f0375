// SPDX-License-Identifier: Apache-2.0
/*
 * The kmap area: device registers, vmalloc and stacks, each range with an unmapped guard page on
 * either side. `lock` guards the free and the used ranges and the kernel's page tables in this
 * area. A freed range is reused only after the shoot-down, when no TLB has its translations.
 */
#include "mm/mm.h"
#include "mm/vrange.h"
#include "vmk/layout.h"
#include "vmk/lock.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "x86/paging.h"

enum { STACK_SIZE = 16 * 1024, STACKS_KEPT = 64 };
enum kind { KIND_DEVICE, KIND_VMALLOC };

/*
 * A range in use, in the tree `used` by its start. When it is freed, the same record becomes the
 * one of the free range, so that freeing needs no memory.
 */
struct mapping {
	struct vrange range; /* with both guard pages; by_addr links it, free or in use */
	va_t va;
	uint64_t len;
	enum kind kind;
};

static struct spinlock lock = SPINLOCK_INIT("kmap", RANK_MM - 1);
static struct vspace space;
static struct tree used; /* by range.start */
static struct slab_cache *records;

/* Stacks of worlds that have ended, for the next ones; lock. */
static struct {
	void *top[STACKS_KEPT];
	unsigned count;
} stack_pool = { .count = 0 };

STAT(maps, "mm.kmap.maps", "ranges mapped");
STAT(unmaps, "mm.kmap.unmaps", "ranges unmapped, each with a TLB shoot-down");
STAT(fails, "mm.kmap.failures", "mappings that failed for lack of memory");

static int by_start(const struct tree_node *a, const struct tree_node *b)
{
	va_t x = tree_entry(a, struct vrange, by_addr)->start;
	va_t y = tree_entry(b, struct vrange, by_addr)->start;

	return x < y ? -1 : x > y;
}

static int side_of_va(const struct tree_node *n, const void *key)
{
	va_t x = tree_entry(n, struct vrange, by_addr)->start, y = *(const va_t *)key;

	return x < y ? -1 : x > y;
}

void kmap_init(void)
{
	struct vrange *spare[2];
	struct mapping *m;

	records = slab_create("kmap", sizeof(struct mapping), 16);
	m = records ? slab_alloc(records) : NULL;
	if (!m)
		panic("no memory for the kmap area");
	vspace_init(&space);
	tree_init(&used, by_start);
	/* All of the area is one free range; nothing to merge with, so no spare record. */
	m->range.start = KMAP_BASE;
	m->range.len = KMAP_SIZE;
	(void)vspace_give(&space, &m->range, spare);
}

static void record_free(struct vrange *r)
{
	if (r)
		slab_free(records, container_of(r, struct mapping, range));
}

/* Takes an unmapped range of len bytes between two guard pages; NULL when there is none. */
static struct mapping *reserve(uint64_t len, enum kind kind)
{
	struct mapping *m = slab_alloc(records);
	struct vrange *empty = NULL;
	uint64_t flags;

	if (!m)
		return NULL;
	*m = (struct mapping){ .len = len, .kind = kind };
	m->range.len = len + 2 * PAGE_SIZE;
	/* In `used` before anything is mapped, so that fail() and kunmap() undo it the same way. */
	flags = spin_lock_irq(&lock);
	m->range.start = vspace_take(&space, m->range.len, &empty);
	if (m->range.start)
		tree_insert(&used, &m->range.by_addr);
	spin_unlock_irq(&lock, flags);
	record_free(empty);
	if (!m->range.start) {
		slab_free(records, m);
		return NULL;
	}
	m->va = m->range.start + PAGE_SIZE;
	return m;
}

/* Makes the range free again. Nothing is mapped in it, and no TLB has a translation of it. */
static void unreserve(struct mapping *m)
{
	struct vrange *spare[2] = { NULL, NULL };
	uint64_t flags = spin_lock_irq(&lock);

	(void)vspace_give(&space, &m->range, spare);
	spin_unlock_irq(&lock, flags);
	record_free(spare[0]);
	record_free(spare[1]);
}

static int map(va_t va, pa_t pa, uint64_t len, unsigned flags)
{
	/* Ranges differ, but neighbours share page tables, which paging_map() may have to make. */
	uint64_t irq = spin_lock_irq(&lock);
	int err = paging_map(paging_kernel_root, va, pa, len, flags | PG_GLOBAL);

	spin_unlock_irq(&lock, irq);
	return err;
}

/*
 * Unmaps the range and frees it. m is out of `used` already, so nobody else works on it. The order
 * is: clear the tables, shoot down, and only then free pages and range, since until then a CPU may
 * reach them through an old translation.
 */
static void unmap(struct mapping *m)
{
	struct paging_leaf leaf;
	struct list pages = LIST_INIT(pages);
	uint64_t irq;

	/* The pages are linked through their own first bytes: freeing needs no memory. */
	for (uint64_t at = 0; m->kind == KIND_VMALLOC && at < m->len; at += PAGE_SIZE)
		if (paging_lookup(paging_kernel_root, m->va + at, &leaf))
			list_push_back(&pages, pa_to_va(leaf.pa));
	irq = spin_lock_irq(&lock);
	/* Only splitting a large page needs memory, and everything here is mapped with PG_4K. */
	if (paging_unmap(paging_kernel_root, m->va, m->len))
		panic("kmap: a range of 4 KiB pages cannot be unmapped");
	spin_unlock_irq(&lock, irq);
	tlb_shootdown(m->va, m->len);
	while (!list_empty(&pages)) {
		struct list *page = pages.next;

		list_remove(page);
		page_free(va_to_pa(page), 0);
	}
	unreserve(m);
	stat_inc(unmaps);
}

/* Undoes a mapping that was made in part; NULL. */
static void *fail(struct mapping *m)
{
	uint64_t irq = spin_lock_irq(&lock);

	tree_remove(&used, &m->range.by_addr);
	spin_unlock_irq(&lock, irq);
	unmap(m);
	stat_inc(fails);
	return NULL;
}

void *kmap_device(pa_t pa, size_t len, enum kmap_cache cache)
{
	static const unsigned flags[] = { [KMAP_WB] = 0, [KMAP_WC] = PG_WC, [KMAP_UC] = PG_UC };
	uint64_t offset = pa % PAGE_SIZE;
	uint64_t size = ALIGN_UP(offset + len, (uint64_t)PAGE_SIZE);
	struct mapping *m = reserve(size, KIND_DEVICE);

	/* Whole pages: registers may begin within one. */
	if (!m)
		return NULL;
	if (map(m->va, pa - offset, size, PG_WRITE | PG_4K | flags[cache]))
		return fail(m);
	stat_inc(maps);
	return (char *)m->va + offset;
}

/* Zeroed pages under [va, va + len); false when memory ends. */
static bool populate(va_t va, uint64_t len, enum frame_owner owner)
{
	for (uint64_t at = 0; at < len; at += PAGE_SIZE) {
		pa_t pa = page_alloc(0, owner, ALLOC_ZERO);

		if (pa == PA_NONE)
			return false;
		if (map(va + at, pa, PAGE_SIZE, PG_WRITE)) {
			page_free(pa, 0);
			return false;
		}
	}
	return true;
}

static void *alloc_mapped(uint64_t len, enum frame_owner owner)
{
	struct mapping *m = reserve(len, KIND_VMALLOC);

	if (!m)
		return NULL;
	if (!populate(m->va, len, owner))
		return fail(m);
	stat_inc(maps);
	return (void *)m->va;
}

void *vmalloc(size_t size)
{
	return alloc_mapped(ALIGN_UP(MAX(size, (size_t)1), (size_t)PAGE_SIZE), FRAME_KERNEL);
}

void kunmap(void *va)
{
	va_t start;
	uint64_t irq;
	struct tree_node *n;
	struct mapping *m;

	if (!va)
		return;
	/* kmap_device() adds the offset in the page; the key is the guard page before it. */
	start = ALIGN_DOWN((va_t)va, (va_t)PAGE_SIZE) - PAGE_SIZE;
	irq = spin_lock_irq(&lock);
	n = tree_lower(&used, side_of_va, &start);
	m = n ? tree_entry(n, struct mapping, range.by_addr) : NULL;
	if (!m || m->range.start != start)
		panic("kunmap of %p, which is not mapped", va);
	/* Under the lock that found it, so that a second kunmap() of the address panics above. */
	tree_remove(&used, &m->range.by_addr);
	spin_unlock_irq(&lock, irq);
	unmap(m);
}

void vfree(void *p)
{
	kunmap(p);
}

/*
 * A stack from the pool costs no change of the page tables and no shoot-down. It is not cleared:
 * its guard page is what protects, and only the kernel has used it.
 */
void *kstack_alloc(void)
{
	uint64_t flags = spin_lock_irq(&lock);
	char *top = stack_pool.count ? stack_pool.top[--stack_pool.count] : NULL;

	spin_unlock_irq(&lock, flags);
	if (top)
		return top;
	top = alloc_mapped(STACK_SIZE, FRAME_STACK);
	return top ? top + STACK_SIZE : NULL;
}

void kstack_free(void *top)
{
	uint64_t flags = spin_lock_irq(&lock);
	bool keep = stack_pool.count < STACKS_KEPT;

	if (keep)
		stack_pool.top[stack_pool.count++] = top;
	spin_unlock_irq(&lock, flags);
	if (!keep)
		kunmap((char *)top - STACK_SIZE);
}
