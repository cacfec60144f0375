// SPDX-License-Identifier: Apache-2.0
/*
 * Memory on the host. Heap objects are malloc's, so ASan watches their bounds; frames come from one
 * reserved arena whose machine addresses start at ARENA_PA, and a freed frame is poisoned.
 */
#include "seam.h"
#include "vmk/dma.h"
#include "vmk/log.h"
#include "vmk/mm.h"

#include <malloc.h>
#include <sanitizer/asan_interface.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA_PA    (1ull << 30) /* aligned for every order, below 4 GiB */
#define ARENA_SIZE  (1ull << 30)
#define ARENA_PAGES (ARENA_SIZE >> PAGE_SHIFT)

static uint8_t *arena;
static struct frame *frames;
static uint64_t fresh; /* pages handed out from the arena's start so far */
static struct freed {
	uint64_t page;
	struct freed *next;
} * freed[ORDER_MAX + 1];

static int64_t allowance = -1;
SEAM uint64_t seam_heap_live, seam_pages_live;

void seam_fail_after(int64_t successes)
{
	allowance = successes;
}

static bool refuse(void)
{
	if (allowance > 0)
		allowance--;
	else if (allowance == 0)
		return true;
	return false;
}

static void *heap(size_t align, size_t size, bool zero)
{
	void *p;

	if (refuse() || posix_memalign(&p, MAX(align, (size_t)16), MAX(size, (size_t)1)))
		return NULL;
	memset(p, zero ? 0 : 0xa5, size);
	seam_heap_live++;
	return p;
}

static void release(void *p)
{
	if (p)
		seam_heap_live--;
	free(p);
}

SEAM void *kmalloc(size_t size)
{
	return heap(IS_POW2(size) && size <= PAGE_SIZE ? size : 16, size, false);
}

SEAM void *kzalloc(size_t size)
{
	return heap(IS_POW2(size) && size <= PAGE_SIZE ? size : 16, size, true);
}

SEAM void *kcalloc(size_t n, size_t size)
{
	size_t bytes;

	return mul_overflow(n, size, &bytes) ? NULL : kzalloc(bytes);
}

SEAM void kfree(void *p)
{
	release(p);
}

bool seam_charge_refused;

SEAM void *kmalloc_charged(size_t size)
{
	return seam_charge_refused ? NULL : kmalloc(size);
}

SEAM void *kzalloc_charged(size_t size)
{
	return seam_charge_refused ? NULL : kzalloc(size);
}

SEAM void *kcalloc_charged(size_t n, size_t size)
{
	return seam_charge_refused ? NULL : kcalloc(n, size);
}

SEAM size_t kmalloc_size(const void *p)
{
	return malloc_usable_size((void *)p);
}

SEAM void *vmalloc(size_t size)
{
	return heap(PAGE_SIZE, ALIGN_UP(size, (size_t)PAGE_SIZE), true);
}

SEAM void vfree(void *p)
{
	release(p);
}

struct slab_cache {
	size_t size, align;
};

SEAM struct slab_cache *slab_create(const char *name, size_t size, size_t align)
{
	struct slab_cache *c = heap(16, sizeof(*c), true);

	(void)name;
	if (c)
		*c = (struct slab_cache){ size, align };
	return c;
}

SEAM void *slab_alloc(struct slab_cache *c)
{
	return heap(c->align, c->size, false);
}

SEAM void slab_free(struct slab_cache *c, void *p)
{
	(void)c;
	release(p);
}

static void arena_init(void)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	uint8_t *map = mmap(NULL, 2 * ARENA_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);

	frames = mmap(NULL, ARENA_PAGES * sizeof(*frames), PROT_READ | PROT_WRITE, flags, -1, 0);
	if (map == MAP_FAILED || frames == MAP_FAILED)
		abort();
	/* Aligned like the largest frame, machine address and pointer alike. */
	arena = (uint8_t *)ALIGN_UP((uintptr_t)map, ARENA_SIZE);
}

static struct frame *frame_at(pa_t pa)
{
	return pa >= ARENA_PA && pa - ARENA_PA < ARENA_SIZE
	               ? frames + ((pa - ARENA_PA) >> PAGE_SHIFT)
	               : NULL;
}

SEAM void *pa_to_va(pa_t pa)
{
	ASSERT(frame_at(pa));
	return arena + (pa - ARENA_PA);
}

SEAM pa_t va_to_pa(const void *va)
{
	ASSERT(arena && (uintptr_t)va - (uintptr_t)arena < ARENA_SIZE);
	return ARENA_PA + (pa_t)((const uint8_t *)va - arena);
}

static uint64_t take(unsigned order)
{
	uint64_t page;

	if (freed[order]) {
		struct freed *f = freed[order];

		freed[order] = f->next;
		page = f->page;
		free(f);
		return page;
	}
	page = ALIGN_UP(fresh, 1ull << order);
	fresh = page + (1ull << order);
	return page;
}

SEAM pa_t page_alloc_node(unsigned order, enum frame_owner owner, unsigned flags, int node)
{
	uint64_t page;

	(void)node;
	if (refuse())
		return PA_NONE;
	if (!arena)
		arena_init();
	page = take(order);
	if (page + (1ull << order) > ARENA_PAGES)
		return PA_NONE;
	__asan_unpoison_memory_region(arena + page * PAGE_SIZE, (size_t)PAGE_SIZE << order);
	memset(arena + page * PAGE_SIZE, flags & ALLOC_ZERO ? 0 : 0xa5, (size_t)PAGE_SIZE << order);
	for (uint64_t i = 0; i < 1ull << order; i++)
		frames[page + i] = (struct frame){ .owner = owner };
	frames[page].order = order;
	seam_pages_live += 1ull << order;
	return ARENA_PA + page * PAGE_SIZE;
}

SEAM pa_t page_alloc(unsigned order, enum frame_owner owner, unsigned flags)
{
	return page_alloc_node(order, owner, flags, -1);
}

static void bury(uint64_t page, unsigned order)
{
	struct freed *f = malloc(sizeof(*f));

	__asan_poison_memory_region(arena + page * PAGE_SIZE, (size_t)PAGE_SIZE << order);
	*f = (struct freed){ page, freed[order] };
	freed[order] = f;
	seam_pages_live -= 1ull << order;
}

SEAM void page_free(pa_t pa, unsigned order)
{
	struct frame *frame = frame_at(pa);
	uint32_t pins = 0;

	ASSERT(frame && frame->owner != FRAME_FREE && !(frame->flags & 1));
	for (uint64_t i = 0; i < 1ull << order; i++)
		pins += frame[i].pins;
	frame->order = order;
	if (pins) {
		frame->flags |= 1; /* the last unpin frees it */
		return;
	}
	for (uint64_t i = 0; i < 1ull << order; i++)
		frame[i].owner = FRAME_FREE;
	bury(frame - frames, order);
}

SEAM struct frame *frame_of(pa_t pa)
{
	return arena ? frame_at(pa) : NULL;
}

SEAM void frame_pin(pa_t pa)
{
	ASSERT(frame_at(pa) && frame_at(pa)->owner != FRAME_FREE);
	frame_at(pa)->pins++;
}

SEAM void frame_unpin(pa_t pa)
{
	struct frame *frame = frame_at(pa);

	ASSERT(frame && frame->pins > 0);
	if (--frame->pins == 0 && (frame->flags & 1)) {
		frame->flags &= ~1;
		page_free(ALIGN_DOWN(pa, (pa_t)PAGE_SIZE), frame->order);
	}
}

SEAM void *dma_alloc(struct device *dev, size_t size, iova_t *iova)
{
	unsigned order = log2_ceil(DIV_UP(size, PAGE_SIZE));
	pa_t pa = page_alloc(order, FRAME_DMA, ALLOC_ZERO);

	(void)dev;
	if (pa == PA_NONE)
		return NULL;
	*iova = pa;
	return pa_to_va(pa);
}

SEAM void dma_free(struct device *dev, void *va, size_t size)
{
	(void)dev;
	if (va)
		page_free(va_to_pa(va), log2_ceil(DIV_UP(size, PAGE_SIZE)));
}

SEAM iova_t dma_map(struct device *dev, pa_t pa, size_t len, enum dma_dir dir)
{
	(void)dev;
	(void)len;
	(void)dir;
	return pa;
}

SEAM void dma_unmap(struct device *dev, iova_t iova, size_t len, enum dma_dir dir)
{
	(void)dev;
	(void)iova;
	(void)len;
	(void)dir;
}
