// SPDX-License-Identifier: Apache-2.0
/* kmalloc: slabs by size class up to 2 KiB, blocks of pages above. */
#include "mm/mm.h"
#include "mm/frame.h"
#include "vmk/log.h"
#include "vmk/string.h"

enum { CLASS_MAX = 2048, STEP = 16 };

/* Powers of two and the steps between them that waste least. */
static const uint16_t sizes[] = {
	16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1360, 2048
};
static struct slab_cache *caches[ARRAY_SIZE(sizes)];
static uint8_t class_of[CLASS_MAX / STEP + 1]; /* by size in steps, rounded up */

void heap_init(void)
{
	unsigned index = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		caches[i] = slab_create("kmalloc", sizes[i], IS_POW2(sizes[i]) ? sizes[i] : STEP);
		if (!caches[i])
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
	page_free(va_to_pa(p), f->order);
}
