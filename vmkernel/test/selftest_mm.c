// SPDX-License-Identifier: Apache-2.0
/* Memory's self tests: what only the real frame table, page tables and CPUs can show. */
#include "test/selftest.h"
#include "mm/phys.h"
#include "vmk/string.h"
#include "x86/paging.h"

/* A generator of test sequences (Numerical Recipes' constants). */
static uint32_t next(uint32_t *seed)
{
	return *seed = *seed * 1664525 + 1013904223;
}

static bool sums_add_up(void)
{
	struct mm_totals t;
	uint64_t sum = 0;

	mm_totals(&t);
	for (unsigned o = 0; o < FRAME_OWNERS; o++)
		sum += t.pages[o];
	return sum == t.total_pages && t.pages[FRAME_FREE] <= t.total_pages;
}

static const char *test_pages(void)
{
	enum { HELD = 256, STEPS = 20000 };
	static pa_t held[HELD];
	static uint8_t order[HELD];
	struct mm_totals before, after;
	uint32_t seed = 1;

	mm_totals(&before);
	for (unsigned i = 0; i < STEPS; i++) {
		unsigned k = next(&seed) % HELD;

		if (held[k]) {
			uint64_t *p = pa_to_va(held[k]);

			CHECK(p[0] == held[k] && frame_of(held[k])->owner == FRAME_DMA);
			page_free(held[k], order[k]);
			held[k] = 0;
			continue;
		}
		order[k] = (uint8_t)(next(&seed) >> 8) % 6;
		held[k] = page_alloc(order[k], FRAME_DMA, i % 2 ? ALLOC_ZERO : 0);
		CHECK(held[k] != PA_NONE && IS_ALIGNED(held[k], (pa_t)PAGE_SIZE << order[k]));
		*(uint64_t *)pa_to_va(held[k]) = held[k];
		if (i % 1024 == 0)
			CHECK(sums_add_up());
	}
	for (unsigned k = 0; k < HELD; k++)
		if (held[k])
			page_free(held[k], order[k]);
	memset(held, 0, sizeof(held));
	mm_totals(&after);
	CHECK(sums_add_up());
	CHECK(after.pages[FRAME_DMA] == before.pages[FRAME_DMA]);
	return NULL;
}

static const char *test_zones(void)
{
	pa_t a = page_alloc(0, FRAME_DMA, ALLOC_LOW24), b = page_alloc(3, FRAME_DMA, ALLOC_LOW32);

	CHECK(a < 16 * MiB && b < 4 * GiB);
	page_free(a, 0);
	page_free(b, 3);
	return NULL;
}

static const char *test_pins(void)
{
	pa_t pa = page_alloc(1, FRAME_GUEST, 0);
	struct mm_totals t;
	uint64_t guest;

	CHECK(pa != PA_NONE);
	mm_totals(&t);
	guest = t.pages[FRAME_GUEST];
	frame_pin(pa + PAGE_SIZE);
	page_free(pa, 1);
	mm_totals(&t);
	CHECK(t.pages[FRAME_GUEST] == guest - 1);
	frame_unpin(pa + PAGE_SIZE);
	mm_totals(&t);
	CHECK(t.pages[FRAME_GUEST] == guest - 2);
	return NULL;
}

static const char *test_heap(void)
{
	enum { HELD = 256, STEPS = 40000 };
	static uint8_t *held[HELD];
	static uint16_t size[HELD];
	uint32_t seed = 7;

	for (unsigned i = 0; i < STEPS; i++) {
		unsigned k = next(&seed) % HELD;

		if (held[k]) {
			CHECK(held[k][0] == (uint8_t)k && held[k][size[k] - 1] == (uint8_t)k);
			kfree(held[k]);
			held[k] = NULL;
			continue;
		}
		size[k] = (uint16_t)(1 + (next(&seed) >> 8) % 6000);
		held[k] = kmalloc(size[k]);
		CHECK(held[k] && IS_ALIGNED((uintptr_t)held[k], 16ul));
		CHECK(!IS_POW2(size[k]) || size[k] > PAGE_SIZE ||
		      IS_ALIGNED((uintptr_t)held[k], (uintptr_t)size[k]));
		memset(held[k], (int)k, size[k]);
	}
	for (unsigned k = 0; k < HELD; k++)
		kfree(held[k]);
	memset(held, 0, sizeof(held));
	return NULL;
}

static const char *test_kmap(void)
{
	struct paging_leaf leaf;
	struct mm_totals before, after;
	char *a, *b;

	a = vmalloc(1);
	vfree(a);
	mm_totals(&before);
	a = vmalloc(3 * PAGE_SIZE);
	b = vmalloc(64 * KiB);
	CHECK(a && b);
	memset(a, 1, 3 * PAGE_SIZE);
	memset(b, 2, 64 * KiB);
	CHECK(a[3 * PAGE_SIZE - 1] == 1 && b[0] == 2);
	CHECK(!paging_lookup(paging_kernel_root, (va_t)a - 1, &leaf));
	CHECK(!paging_lookup(paging_kernel_root, (va_t)a + 3 * PAGE_SIZE, &leaf));
	CHECK(paging_lookup(paging_kernel_root, (va_t)a, &leaf) && !(leaf.flags & PG_EXEC));
	vfree(a);
	vfree(b);
	CHECK(!paging_lookup(paging_kernel_root, (va_t)a, &leaf));
	mm_totals(&after);
	CHECK(after.pages[FRAME_KERNEL] == before.pages[FRAME_KERNEL]);
	return NULL;
}

const struct selftest selftests_mm[] = {
	{ "pages", test_pages }, { "zones", test_zones }, { "pins", test_pins },
	{ "heap", test_heap },   { "kmap", test_kmap },   { .name = NULL },
};
