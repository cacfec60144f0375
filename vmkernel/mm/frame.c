// SPDX-License-Identifier: Apache-2.0
/*
 * Frames: the table's presence map, blocks' owners, pins. Pins are atomic and need no lock; the
 * rest of a frame belongs to whoever owns the page.
 */
#include "mm/frame.h"
#include "vmk/log.h"

#ifdef VMK_HOST
struct frame *frames_base;
#endif
uint64_t frame_sections[SECTIONS_MAX / 64];

void frame_section_add(uint64_t pfn)
{
	uint64_t s = pfn >> SECTION_ORDER, first = s << SECTION_ORDER;

	/* All absent: what is memory is accounted by phys_add(), the rest of a section never is. */
	for (uint64_t i = 0; i < 1u << SECTION_ORDER; i++)
		*pfn_frame(first + i) = (struct frame){ .owner = FRAME_RESERVED,
			                                .flags = FRAME_ABSENT };
	frame_sections[s / 64] |= BIT(s % 64);
}

void frame_block_set(uint32_t pfn, unsigned order, enum frame_owner owner, unsigned node)
{
	struct frame *f = pfn_frame(pfn), *end = f + (1u << order);

	for (; f < end; f++)
		frame_set(f, owner, order, node);
}

struct frame *frame_of(pa_t pa)
{
	uint64_t pfn = pa >> PAGE_SHIFT;

	if (!section_present(pfn) || (pfn_frame(pfn)->flags & FRAME_ABSENT))
		return NULL;
	return pfn_frame(pfn);
}

void frame_pin(pa_t pa)
{
	struct frame *f = frame_of(pa);

	ASSERT(f && f->owner != FRAME_FREE && f->owner != FRAME_CACHE);
	__atomic_fetch_add(&f->pins, 1, __ATOMIC_RELAXED);
}

void frame_unpin(pa_t pa)
{
	struct frame *f = frame_of(pa);
	uint32_t left;

	ASSERT(f && (f->pins & ~PINS_FREED));
	left = __atomic_sub_fetch(&f->pins, 1, __ATOMIC_ACQ_REL);
	/* The owner has freed the page before: the last pin frees it in its place. */
	if (left == PINS_FREED) {
		f->pins = 0;
		page_free(ALIGN_DOWN(pa, PAGE_SIZE), 0);
	}
}
