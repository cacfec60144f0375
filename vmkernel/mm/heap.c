// SPDX-License-Identifier: Apache-2.0
/*
 * kmalloc: slabs by size class up to 2 KiB, blocks of pages above. What is charged to an account
 * comes from classes of its own, where the account's address precedes each object; a block of pages
 * has it in its first frame. So kfree() knows by the address alone what to return to whom.
 */
#include "mm/mm.h"
#include "mm/frame.h"
#include "vmk/account.h"
#include "vmk/log.h"
#include "vmk/string.h"
#include "vmk/world.h"

enum { CLASS_MAX = 2048, STEP = 16 };

/* Powers of two and the steps between them that waste least. */
static const uint16_t sizes[] = {
	16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1360, 2048
};
static struct slab_cache *caches[ARRAY_SIZE(sizes)], *charged[ARRAY_SIZE(sizes)];
static uint8_t class_of[CLASS_MAX / STEP + 1]; /* by size in steps, rounded up */

void heap_init(void)
{
	unsigned index = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		caches[i] = slab_create("kmalloc", sizes[i], IS_POW2(sizes[i]) ? sizes[i] : STEP);
		charged[i] = slab_create_charged("kmalloc_charged", sizes[i]);
		if (!caches[i] || !charged[i])
			panic("no memory for the heap");
	}
	/*
	 * The smallest class that holds so many steps, so that kmalloc() looks up and does not
	 * search.
	 */
	for (unsigned step = 0; step < ARRAY_SIZE(class_of); step++) {
		if (step * STEP > sizes[index])
			index++;
		class_of[step] = (uint8_t)index;
	}
}

void *kmalloc(size_t size)
{
	pa_t pa;

	if (likely(size <= CLASS_MAX))
		return slab_alloc(caches[class_of[(size + STEP - 1) / STEP]]);
	/* A size near 2^64 would wrap to a small one when it is rounded up to pages. */
	if (size > (size_t)PAGE_SIZE << ORDER_MAX)
		return NULL;
	pa = page_alloc(log2_ceil(DIV_UP(size, (size_t)PAGE_SIZE)), FRAME_KERNEL, 0);
	return pa == PA_NONE ? NULL : pa_to_va(pa);
}

/* Pages, charged to a. */
static void *pages_charged(size_t size, struct mem_account *a)
{
	unsigned order = log2_ceil(DIV_UP(size, (size_t)PAGE_SIZE));
	pa_t pa;

	if (mem_charge(a, (uint64_t)PAGE_SIZE << order))
		return NULL;
	pa = page_alloc(order, FRAME_KERNEL, 0);
	if (pa == PA_NONE) {
		mem_uncharge(a, (uint64_t)PAGE_SIZE << order);
		return NULL;
	}
	frame_of(pa)->account = a;
	return pa_to_va(pa);
}

void *kmalloc_charged(size_t size)
{
	struct mem_account *a = world_account(world_current());

	/* A kernel world has no account: what it allocates is the kernel's own. */
	if (!a)
		return kmalloc(size);
	if (size > (size_t)PAGE_SIZE << ORDER_MAX)
		return NULL;
	if (mm_low(MM_CHARGED) && mem_account_used(a) + size > MEM_ACCOUNT_FLOOR)
		return NULL;
	if (size > CLASS_MAX - SLAB_CHARGE_HEAD)
		return pages_charged(size, a);
	size += SLAB_CHARGE_HEAD;
	return slab_alloc_charged(charged[class_of[(size + STEP - 1) / STEP]], a);
}

void *kzalloc_charged(size_t size)
{
	void *p = kmalloc_charged(size);

	if (p)
		memset(p, 0, size);
	return p;
}

void *kcalloc_charged(size_t n, size_t size)
{
	size_t bytes;

	return mul_overflow(n, size, &bytes) ? NULL : kzalloc_charged(bytes);
}

size_t kmalloc_size(const void *p)
{
	const struct frame *f = frame_of(va_to_pa(p));

	return f->owner == FRAME_SLAB ? slab_object_size(p) : (size_t)PAGE_SIZE << f->order;
}

void *kzalloc(size_t size)
{
	void *p = kmalloc(size);

	if (p)
		memset(p, 0, size);
	return p;
}

void *kcalloc(size_t n, size_t size)
{
	size_t bytes;

	return mul_overflow(n, size, &bytes) ? NULL : kzalloc(bytes);
}

void kfree(void *p)
{
	struct frame *f;

	if (!p)
		return;
	/* The frame tells where p came from: a slab's cache, or a block of pages. */
	f = frame_of(va_to_pa(p));
	ASSERT(f);
	if (likely(f->owner == FRAME_SLAB)) {
		slab_free_any(p);
		return;
	}
	ASSERT(f->owner == FRAME_KERNEL && IS_ALIGNED((uintptr_t)p, (uintptr_t)PAGE_SIZE));
	mem_uncharge(f->account, (uint64_t)PAGE_SIZE << f->order);
	page_free(va_to_pa(p), f->order);
}
