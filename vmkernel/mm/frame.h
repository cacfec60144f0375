// SPDX-License-Identifier: Apache-2.0
/*
 * The frame table: one struct frame for each page of memory, indexed by page frame number, present
 * in sections of 128 MiB; and the buddy allocator of one NUMA node, which keeps its free lists
 * inside it. Pure logic: the caller of buddy_* holds the node's lock.
 */
#ifndef MM_FRAME_H
#define MM_FRAME_H
#include "vmk/layout.h"
#include "vmk/mm.h"

enum {
	SECTION_ORDER = 15,                    /* frames of a section: 128 MiB, 512 KiB of table */
	PFN_MAX = (16ull << 40) >> PAGE_SHIFT, /* memory above 16 TiB is not used */
	SECTIONS_MAX = PFN_MAX >> SECTION_ORDER,
};
#define PFN_NONE UINT32_MAX

/* struct frame.flags */
enum {
	FRAME_HEAD = 1 << 0,   /* first frame of a free block, on a free list */
	FRAME_ABSENT = 1 << 1, /* in a section but not memory */
};
/* struct frame.pins: the page was freed while pinned; the last unpin gives it back. */
#define PINS_FREED BIT(31)

/* A block never spans two zones: old DMA engines ask for an address below a limit. */
enum zone { ZONE_LOW20, ZONE_LOW24, ZONE_LOW32, ZONE_HIGH, ZONES };

struct buddy_zone {
	uint32_t head[ORDER_MAX + 1]; /* pfn of the first free block of each order */
	uint32_t orders;              /* bit n: head[n] is not empty */
	uint64_t free;                /* pages */
};
struct buddy {
	struct buddy_zone zone[ZONES];
	uint8_t node;
};

#ifdef VMK_HOST
extern struct frame *frames_base;
#else
#define frames_base ((struct frame *)FRAMES_BASE)
#endif
extern uint64_t frame_sections[SECTIONS_MAX / 64];

static inline bool section_present(uint64_t pfn)
{
	uint64_t s = pfn >> SECTION_ORDER;

	return s < SECTIONS_MAX && (frame_sections[s / 64] >> (s % 64) & 1);
}
static inline struct frame *pfn_frame(uint64_t pfn)
{
	return &frames_base[pfn];
}
static inline enum zone pfn_zone(uint64_t pfn)
{
	if (pfn >= 4 * GiB >> PAGE_SHIFT)
		return ZONE_HIGH;
	if (pfn >= 16 * MiB >> PAGE_SHIFT)
		return ZONE_LOW32;
	return pfn >= MiB >> PAGE_SHIFT ? ZONE_LOW24 : ZONE_LOW20;
}

/* All of a frame in two stores: owner, order and node; the rest is zero. */
static inline void frame_set(struct frame *f, unsigned owner, unsigned order, unsigned node)
{
	uint64_t *words = (uint64_t *)f;

	words[0] = owner | order << 8 | node << 24;
	words[1] = 0;
}

/*
 * Makes the table's section usable; its memory, all absent frames at first, is mapped by the
 * caller.
 */
void frame_section_add(uint64_t pfn);
/* Writes owner and order into every frame of a block and clears flags, pins and the union. */
void frame_block_set(uint32_t pfn, unsigned order, enum frame_owner owner, unsigned node);

void buddy_init(struct buddy *b, unsigned node);
/* Hands over a block whose frames are all FRAME_FREE, merging it with its free buddies. */
void buddy_give(struct buddy *b, uint32_t pfn, unsigned order);
/*
 * A block of the zone, split off the smallest that is large enough; its frames still FRAME_FREE; or
 * PFN_NONE.
 */
uint32_t buddy_take(struct buddy *b, enum zone z, unsigned order);
/* The largest order at which a block may start at pfn and not pass end, its zone included. */
unsigned buddy_order_at(uint64_t pfn, uint64_t end);
#endif
