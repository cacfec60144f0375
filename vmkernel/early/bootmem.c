// SPDX-License-Identifier: Apache-2.0
/*
 * Memory before the frame allocator: top down from the boot map, around what is reserved. The boot
 * CPU only, before the others start; no lock.
 */
#include "vmk/boot.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "vmk/string.h"

enum { RESERVED_MAX = 64 };

/* Sorted by base, disjoint, never adjacent. */
static struct reserved {
	pa_t base, end;
} reserved[RESERVED_MAX];
static unsigned reserved_count;
static bool closed;

void boot_reserve(pa_t base, uint64_t len)
{
	pa_t end = ALIGN_UP(base + len, PAGE_SIZE);
	unsigned first = 0, last;

	base = ALIGN_DOWN(base, PAGE_SIZE);
	while (first < reserved_count && reserved[first].end < base)
		first++;
	/* [first, last) touch the new one and become part of it. */
	for (last = first; last < reserved_count && reserved[last].base <= end; last++) {
		base = MIN(base, reserved[last].base);
		end = MAX(end, reserved[last].end);
	}
	if (last == first && reserved_count == RESERVED_MAX)
		panic("boot memory: too many reserved ranges");
	memmove(&reserved[first + 1], &reserved[last],
	        (reserved_count - last) * sizeof(reserved[0]));
	reserved_count = reserved_count - (last - first) + 1;
	reserved[first] = (struct reserved){ base, end };
}

void boot_release(pa_t base, uint64_t len)
{
	pa_t end = ALIGN_UP(base + len, PAGE_SIZE);
	unsigned i = 0;

	base = ALIGN_DOWN(base, PAGE_SIZE);
	while (i < reserved_count && reserved[i].end < end)
		i++;
	/* Only whole reserved ranges or parts of one are given back. */
	ASSERT(!closed && i < reserved_count && reserved[i].base <= base);
	struct reserved whole = reserved[i];

	reserved_count--;
	memmove(&reserved[i], &reserved[i + 1], (reserved_count - i) * sizeof(reserved[0]));
	if (whole.base < base)
		boot_reserve(whole.base, base - whole.base);
	if (end < whole.end)
		boot_reserve(end, whole.end - end);
}

/* The highest place for size bytes in [base, end) that nothing reserves; PA_NONE. */
static pa_t find_place(pa_t base, pa_t end, uint64_t size, uint64_t align)
{
	/* The gaps between reserved ranges, from the highest on; gap i lies below range i. */
	for (unsigned i = reserved_count;; i--) {
		pa_t gap_end = i < reserved_count ? MIN(end, reserved[i].base) : end;
		pa_t gap_base = i > 0 ? MAX(base, reserved[i - 1].end) : base;

		if (gap_end > gap_base && gap_end - gap_base >= size) {
			pa_t at = ALIGN_DOWN(gap_end - size, align);

			if (at >= gap_base)
				return at;
		}
		if (i == 0)
			return PA_NONE;
	}
}

pa_t boot_alloc(uint64_t size, uint64_t align, pa_t limit, int node)
{
	size = ALIGN_UP(size, PAGE_SIZE);
	align = MAX(align, (uint64_t)PAGE_SIZE);
	ASSERT(!closed);
	for (unsigned i = boot_info.ranges; i-- > 0;) {
		const struct boot_range *r = &boot_info.range[i];
		pa_t at;

		if (r->type != BOOT_RAM || r->base >= limit ||
		    (node >= 0 && r->node != (unsigned)node))
			continue;
		at = find_place(r->base, MIN(r->base + r->len, limit), size, align);
		if (at == PA_NONE)
			continue;
		boot_reserve(at, size);
		memset(direct_va(at), 0, size);
		return at;
	}
	return PA_NONE;
}

void boot_free_ranges(void (*fn)(pa_t base, uint64_t len, unsigned node))
{
	closed = true;
	for (unsigned i = 0; i < boot_info.ranges; i++) {
		const struct boot_range *r = &boot_info.range[i];
		pa_t at = r->base, end = r->base + r->len;

		if (r->type != BOOT_RAM)
			continue;
		for (unsigned k = 0; k < reserved_count && at < end; k++) {
			if (reserved[k].end <= at || reserved[k].base >= end)
				continue;
			if (reserved[k].base > at)
				fn(at, reserved[k].base - at, r->node);
			at = reserved[k].end;
		}
		if (at < end)
			fn(at, end - at, r->node);
	}
}
