// SPDX-License-Identifier: Apache-2.0
/*
 * Buddy allocator of one NUMA node (Knowlton 1965; Knuth 1, 2.5). A free block's first frame
 * carries FRAME_HEAD, its order and the list links; every other free frame is only FRAME_FREE.
 * Blocks merge within node and zone.
 */
#include "mm/frame.h"
#include "vmk/log.h"

void buddy_init(struct buddy *b, unsigned node)
{
	*b = (struct buddy){ .node = node };
	for (unsigned z = 0; z < ZONES; z++)
		for (unsigned o = 0; o <= ORDER_MAX; o++)
			b->zone[z].head[o] = PFN_NONE;
}

/* Puts a block on the free list of its order. The link's second word is the previous block. */
static void push(struct buddy_zone *z, uint32_t pfn, unsigned order)
{
	struct frame *f = pfn_frame(pfn);

	f->order = order;
	f->flags = FRAME_HEAD;
	f->link[0] = z->head[order];
	f->link[1] = PFN_NONE;
	if (f->link[0] != PFN_NONE)
		pfn_frame(f->link[0])->link[1] = pfn;
	z->head[order] = pfn;
	z->orders |= 1u << order;
	z->free += 1ull << order;
}

static void unlink(struct buddy_zone *z, uint32_t pfn, unsigned order)
{
	struct frame *f = pfn_frame(pfn);
	uint32_t next = f->link[0], prev = f->link[1];

	if (next != PFN_NONE)
		pfn_frame(next)->link[1] = prev;
	if (prev != PFN_NONE)
		pfn_frame(prev)->link[0] = next;
	else
		z->head[order] = next;
	if (z->head[order] == PFN_NONE)
		z->orders &= ~(1u << order);
	z->free -= 1ull << order;
	f->flags = 0;
}

void buddy_give(struct buddy *b, uint32_t pfn, unsigned order)
{
	enum zone zone = pfn_zone(pfn);
	struct buddy_zone *z = &b->zone[zone];

	while (order < ORDER_MAX) {
		uint32_t other = pfn ^ (1u << order);
		struct frame *f = pfn_frame(other);

		/* Below a section's size the buddy lies in the same section, whose table exists. */
		if (order >= SECTION_ORDER && !section_present(other))
			break;
		/*
		 * Only the head of a free block carries its order: a part of a larger one has no
		 * flag.
		 */
		if (!(f->flags & FRAME_HEAD) || f->order != order || f->node != b->node ||
		    pfn_zone(other) != zone)
			break;
		unlink(z, other, order);
		pfn &= ~(1u << order);
		order++;
	}
	push(z, pfn, order);
}

uint32_t buddy_take(struct buddy *b, enum zone zone, unsigned order)
{
	struct buddy_zone *z = &b->zone[zone];
	uint32_t fit = z->orders >> order, pfn;
	unsigned o;

	if (!fit)
		return PFN_NONE;
	/* The smallest order with a block; the upper halves that are split off stay free. */
	o = order + (unsigned)__builtin_ctz(fit);
	pfn = z->head[o];
	unlink(z, pfn, o);
	while (o > order) {
		o--;
		push(z, pfn + (1u << o), o);
	}
	return pfn;
}

unsigned buddy_order_at(uint64_t pfn, uint64_t end)
{
	static const uint64_t limits[] = { MiB >> PAGE_SHIFT, 16 * MiB >> PAGE_SHIFT,
		                           4 * GiB >> PAGE_SHIFT };
	unsigned order = pfn ? (unsigned)__builtin_ctzll(pfn) : ORDER_MAX;

	/* Limited by the alignment of pfn, the next zone, and the length. */
	for (unsigned i = 0; i < ARRAY_SIZE(limits); i++)
		if (pfn < limits[i] && end > limits[i])
			end = limits[i];
	return MIN(MIN(order, log2_floor(end - pfn)), (unsigned)ORDER_MAX);
}
