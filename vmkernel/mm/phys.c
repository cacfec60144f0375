// SPDX-License-Identifier: Apache-2.0
/*
 * Page allocation: a cache of single pages for each CPU in front of one buddy for each NUMA node. A
 * cache holds pages of its CPU's node only. Locks: pcp.lock (outer) guards a cache and the CPU's
 * share of the owner counts; node.lock guards the buddy and the node's share. Whoever moves pages
 * between owners moves counts within one of the two, so all locks together see sums that add up.
 */
#include "mm/phys.h"
#include "vmk/cpu.h"
#include "vmk/lock.h"
#include "vmk/log.h"
#include "vmk/panic.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/world.h"
#include "x86/percpu.h"

enum { PCP_MAX = 64, PCP_BATCH = 32, ALLOC_LOW = ALLOC_LOW32 | ALLOC_LOW24 | ALLOC_LOW20 };

struct pcp {
	struct spinlock lock; /* raw: interrupts are off around it */
	uint32_t count;
	uint8_t node;                /* of its CPU; NODES_MAX until the first page comes */
	uint32_t pfn[PCP_MAX];       /* a stack: the page used last is the warmest */
	int64_t pages[FRAME_OWNERS]; /* FRAME_CACHE is count */
} __aligned(CACHE_LINE);

struct node {
	struct spinlock lock;
	struct buddy buddy;
	int64_t pages[FRAME_OWNERS];
	uint8_t order[NODES_MAX]; /* all nodes in the order to try them: itself first */
} __aligned(CACHE_LINE);

static struct pcp pcps[CPUS_MAX];
static struct node nodes[NODES_MAX];
static unsigned node_count;
static int64_t reserve;      /* pages of each node: mm_set_reserve() */
static uint64_t low_mark[2]; /* by enum mm_level: below so many free pages it is refused */

STAT(fail, "mm.page.failures", "page allocations that found no memory");
STAT(refill, "mm.page.cache_refills", "batches moved from a buddy into a CPU's cache");
STAT(drain, "mm.page.cache_drains", "batches moved from a CPU's cache into a buddy");
STAT(remote, "mm.page.remote", "blocks taken from a node other than the one asked for");
STAT(deferred, "mm.page.deferred_frees", "pages freed while they were pinned");
STAT(reserved, "mm.page.reserve_uses", "blocks taken from the reserve for storage and panics");

void phys_init(unsigned count)
{
	node_count = count;
	/* For all CPUs: the nodes of those that have not started yet are not known. */
	for (unsigned i = 0; i < CPUS_MAX; i++) {
		pcps[i] = (struct pcp){ .node = NODES_MAX };
		spin_init(&pcps[i].lock, "pcp", RANK_FRAME);
	}
	for (unsigned i = 0; i < count; i++) {
		struct node *n = &nodes[i];

		*n = (struct node){ 0 };
		spin_init(&n->lock, "node", RANK_FRAME + 1);
		buddy_init(&n->buddy, i);
		n->order[0] = (uint8_t)i;
		for (unsigned k = 0; k + 1 < count; k++)
			n->order[k + 1] = (uint8_t)(k < i ? k : k + 1);
	}
}

/* Cuts [pfn, end) into the largest blocks that alignment and zones allow. */
static void give_range(struct node *n, uint64_t pfn, uint64_t end)
{
	while (pfn < end) {
		unsigned order = buddy_order_at(pfn, end);

		frame_block_set(pfn, order, FRAME_FREE, n->buddy.node);
		buddy_give(&n->buddy, pfn, order);
		pfn += 1ull << order;
	}
}

void phys_add(uint64_t pfn, uint64_t end, unsigned node, enum frame_owner owner)
{
	struct node *n = &nodes[node];

	n->pages[owner] += (int64_t)(end - pfn);
	if (owner == FRAME_FREE)
		give_range(n, pfn, end);
	else
		for (; pfn < end; pfn++)
			frame_block_set(pfn, 0, owner, node);
}

void phys_move(uint64_t pfn, uint64_t end, enum frame_owner owner)
{
	for (; pfn < end; pfn++) {
		struct frame *f = pfn_frame(pfn);
		struct node *n = &nodes[f->node];
		uint64_t flags = spin_lock_irq(&n->lock);

		n->pages[f->owner]--;
		n->pages[owner]++;
		frame_block_set(pfn, 0, owner, f->node);
		if (owner == FRAME_FREE)
			buddy_give(&n->buddy, pfn, 0);
		spin_unlock_irq(&n->lock, flags);
	}
}

void mm_set_reserve(uint64_t pages)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < node_count; i++)
		for (unsigned o = 0; o < FRAME_OWNERS; o++)
			total += (uint64_t)nodes[i].pages[o];
	low_mark[MM_USER] = MIN(total / 16, 32 * MiB / PAGE_SIZE);
	low_mark[MM_CHARGED] = low_mark[MM_USER] / 2;
	reserve = (int64_t)MIN(pages, low_mark[MM_CHARGED] / 2);
}

bool mm_low(enum mm_level level)
{
	int64_t free = 0;

	for (unsigned i = 0; i < node_count; i++)
		free += READ_ONCE(nodes[i].pages[FRAME_FREE]);
	return free < (int64_t)low_mark[level];
}

/* Whether this request may take the last pages: mm_set_reserve(). */
static bool may_use_reserve(unsigned flags)
{
	return (flags & ALLOC_RESERVE) || world_uses_reserve() || panic_in_progress();
}

/*
 * A block for owner from one node, or PFN_NONE. first..last: the zones that will do. keep: pages
 * that must stay free.
 */
static uint32_t node_take(struct node *n, unsigned order, enum frame_owner owner, int first,
                          int last, int64_t keep)
{
	uint64_t flags = spin_lock_irq(&n->lock);
	uint32_t pfn = PFN_NONE;

	if (n->pages[FRAME_FREE] >= (1ll << order) + keep)
		for (int z = first; z >= last && pfn == PFN_NONE; z--)
			pfn = buddy_take(&n->buddy, (enum zone)z, order);
	/* Under the lock that took it off the free list: mm_node_totals() sees both or neither. */
	if (pfn != PFN_NONE) {
		n->pages[FRAME_FREE] -= 1ll << order;
		n->pages[owner] += 1ll << order;
	}
	spin_unlock_irq(&n->lock, flags);
	return pfn;
}

/*
 * The nearest node with a block; the scarce zones below 16 MiB only when nothing else is left
 * anywhere.
 */
static uint32_t take_near(unsigned order, enum frame_owner owner, unsigned flags, unsigned near,
                          int64_t keep)
{
	static const struct {
		int8_t first, last;
	} rounds[] = { { ZONE_HIGH, ZONE_LOW32 }, { ZONE_LOW24, ZONE_LOW20 } };
	int top = flags & ALLOC_LOW20   ? ZONE_LOW20
	          : flags & ALLOC_LOW24 ? ZONE_LOW24
	          : flags & ALLOC_LOW32 ? ZONE_LOW32
	                                : ZONE_HIGH;

	/* The first round over all nodes: remote memory is better than the last low memory. */
	for (unsigned r = 0; r < ARRAY_SIZE(rounds); r++)
		for (unsigned i = 0; i < node_count; i++) {
			unsigned id = nodes[near].order[i];
			uint32_t pfn = node_take(&nodes[id], order, owner,
			                         MIN((int)rounds[r].first, top), rounds[r].last,
			                         keep);

			if (pfn != PFN_NONE) {
				if (i)
					stat_inc(remote);
				return pfn;
			}
			if (flags & ALLOC_NODE_ONLY)
				break;
		}
	return PFN_NONE;
}

static __noinline struct pcp *attach_pcp(void)
{
	struct pcp *c = &pcps[cpu_id()];

	c->node = (uint8_t)cpu_node(cpu_id());
#ifndef VMK_HOST
	percpu_write(mm, c);
#endif
	return c;
}

/*
 * This CPU's cache, locked; interrupts are off. The lock is there for phys_drain() and
 * mm_node_totals(), which look at other CPUs' caches; it is almost never contended.
 */
static inline struct pcp *lock_pcp(void)
{
#ifdef VMK_HOST
	struct pcp *c = attach_pcp();
#else
	struct pcp *c = percpu_read(mm);

	if (unlikely(!c))
		c = attach_pcp();
#endif
	spin_lock_raw(&c->lock);
	return c;
}

static inline void unlock_pcp(struct pcp *c, uint64_t irq)
{
	spin_unlock_raw(&c->lock);
	irq_restore(irq);
}

/* Under the cache's lock. Counts pages of one block that are split among the free places. */
static __noinline bool pcp_refill(struct pcp *c)
{
	struct node *n = &nodes[c->node];

	/* Without the reserve: alloc_slow() knows who may take that. */
	spin_lock(&n->lock);
	while (c->count < PCP_BATCH && n->pages[FRAME_FREE] > reserve) {
		uint32_t pfn = PFN_NONE;

		for (int z = ZONE_HIGH; z >= ZONE_LOW32 && pfn == PFN_NONE; z--)
			pfn = buddy_take(&n->buddy, (enum zone)z, 0);
		if (pfn == PFN_NONE)
			break;
		/* From the node's FRAME_FREE to the cache's count, with both locks held. */
		pfn_frame(pfn)->owner = FRAME_CACHE;
		c->pfn[c->count++] = pfn;
		n->pages[FRAME_FREE]--;
	}
	spin_unlock(&n->lock);
	stat_inc(refill);
	return c->count != 0;
}

/* Under the cache's lock: its coldest pages go back. */
static __noinline void pcp_drain(struct pcp *c, struct node *n, unsigned count)
{
	spin_lock(&n->lock);
	for (unsigned i = 0; i < count; i++) {
		pfn_frame(c->pfn[i])->owner = FRAME_FREE;
		buddy_give(&n->buddy, c->pfn[i], 0);
	}
	n->pages[FRAME_FREE] += count;
	spin_unlock(&n->lock);
	c->count -= count;
	memmove(&c->pfn[0], &c->pfn[count], c->count * sizeof(c->pfn[0]));
	stat_inc(drain);
}

void phys_drain(void)
{
	for (unsigned i = 0; i < cpu_count(); i++) {
		uint64_t irq = irq_save();

		spin_lock_raw(&pcps[i].lock);
		/* One at a time: a CPU goes on allocating while the others are drained. */
		if (pcps[i].count)
			pcp_drain(&pcps[i], &nodes[pcps[i].node], pcps[i].count);
		unlock_pcp(&pcps[i], irq);
	}
}

static __noinline pa_t alloc_slow(unsigned order, enum frame_owner owner, unsigned flags, int node)
{
	unsigned near = node < 0 ? cpu_node(cpu_id()) : (unsigned)node;
	uint32_t pfn;

	if (order > ORDER_MAX || near >= node_count)
		return PA_NONE;
	pfn = take_near(order, owner, flags, near, reserve);
	/* Single pages in the caches may be what keeps a large block from merging. */
	if (pfn == PFN_NONE) {
		phys_drain();
		pfn = take_near(order, owner, flags, near, reserve);
	}
	if (pfn == PFN_NONE && may_use_reserve(flags)) {
		pfn = take_near(order, owner, flags, near, 0);
		if (pfn != PFN_NONE)
			stat_inc(reserved);
	}
	if (pfn == PFN_NONE) {
		stat_inc(fail);
		return PA_NONE;
	}
	frame_block_set(pfn, order, owner, pfn_frame(pfn)->node);
	if (flags & ALLOC_ZERO)
		memset(pa_to_va((pa_t)pfn << PAGE_SHIFT), 0, (size_t)PAGE_SIZE << order);
	return (pa_t)pfn << PAGE_SHIFT;
}

/* The rest of page_alloc(), so that the common case needs no stack frame. */
static __noinline pa_t alloc_more(unsigned order, enum frame_owner owner, unsigned flags)
{
	uint64_t irq;
	struct pcp *c;
	bool filled;
	pa_t pa;

	if (order || (flags & ALLOC_LOW))
		return alloc_slow(order, owner, flags, -1);
	/* Zeroed with interrupts on. */
	if (flags & ALLOC_ZERO) {
		pa = page_alloc(0, owner, flags & ~ALLOC_ZERO);
		if (pa != PA_NONE)
			memset(pa_to_va(pa), 0, PAGE_SIZE);
		return pa;
	}
	/* It may have been filled since the caller looked: interrupts were on. */
	irq = irq_save();
	c = lock_pcp();
	filled = c->count || pcp_refill(c);
	unlock_pcp(c, irq);
	return filled ? page_alloc(0, owner, flags) : alloc_slow(0, owner, flags, -1);
}

pa_t page_alloc(unsigned order, enum frame_owner owner, unsigned flags)
{
	struct pcp *c;
	uint64_t irq;
	uint32_t pfn;

	if (unlikely(order | (flags & (ALLOC_ZERO | ALLOC_LOW))))
		return alloc_more(order, owner, flags);
	irq = irq_save();
	c = lock_pcp();
	if (unlikely(!c->count)) {
		unlock_pcp(c, irq);
		return alloc_more(order, owner, flags);
	}
	/* The cache's share of the owner counts moves under its lock; a share may be negative. */
	pfn = c->pfn[--c->count];
	c->pages[owner]++;
	frame_set(pfn_frame(pfn), owner, 0, c->node);
	unlock_pcp(c, irq);
	return (pa_t)pfn << PAGE_SHIFT;
}

pa_t page_alloc_node(unsigned order, enum frame_owner owner, unsigned flags, int node)
{
	if (node < 0)
		return page_alloc(order, owner, flags);
	return alloc_slow(order, owner, flags, node);
}

static void node_give(uint32_t pfn, unsigned order)
{
	struct frame *f = pfn_frame(pfn);
	struct node *n = &nodes[f->node];
	enum frame_owner owner = f->owner;
	uint64_t flags;

	/*
	 * Every frame, not only the first. Without the lock: the block is ours until it is given.
	 */
	frame_block_set(pfn, order, FRAME_FREE, f->node);
	flags = spin_lock_irq(&n->lock);
	n->pages[owner] -= 1ll << order;
	n->pages[FRAME_FREE] += 1ll << order;
	buddy_give(&n->buddy, pfn, order);
	spin_unlock_irq(&n->lock, flags);
}

/* True when somebody still has the page pinned: the last unpin frees it then. */
static bool free_deferred(struct frame *f)
{
	if (likely(!__atomic_load_n(&f->pins, __ATOMIC_ACQUIRE)))
		return false;
	/*
	 * Marked in one step with reading the count: either a pin is still there and its
	 * frame_unpin() finds the mark, or the last one went before and nobody else will free the
	 * page.
	 */
	if (!(__atomic_fetch_or(&f->pins, PINS_FREED, __ATOMIC_ACQ_REL) & ~PINS_FREED)) {
		f->pins = 0;
		return false;
	}
	stat_inc(deferred);
	return true;
}

/* The first page of the block that is pinned, or its end. */
static uint32_t first_pinned(uint32_t pfn, uint32_t end)
{
	while (pfn < end && !__atomic_load_n(&pfn_frame(pfn)->pins, __ATOMIC_ACQUIRE))
		pfn++;
	return pfn;
}

static void free_block(uint32_t pfn, unsigned order)
{
	uint32_t end = pfn + (1u << order);

	ASSERT(!(pfn & ((1u << order) - 1)));
	/* A pin cannot appear: frame_pin() needs a page that somebody still holds. */
	if (first_pinned(pfn, end) == end) {
		node_give(pfn, order);
		return;
	}
	/* The block falls apart: its pages come back one by one, and merge again. */
	for (; pfn < end; pfn++)
		if (!free_deferred(pfn_frame(pfn)))
			node_give(pfn, 0);
}

/* The rest of page_free(): blocks, pinned pages, and what does not belong into this cache. */
static __noinline void free_more(pa_t pa, unsigned order)
{
	uint32_t pfn = pa >> PAGE_SHIFT;
	struct frame *f = pfn_frame(pfn);
	struct pcp *c;
	uint64_t irq;

	ASSERT(f->owner != FRAME_FREE && f->owner != FRAME_CACHE);
	if (order) {
		free_block(pfn, order);
		return;
	}
	if (free_deferred(f))
		return;
	irq = irq_save();
	c = lock_pcp();
	/* Caches hold pages of their own node; scarce low memory goes back to the buddy at once. */
	if (f->node != c->node || pa < 16 * MiB) {
		unlock_pcp(c, irq);
		node_give(pfn, 0);
		return;
	}
	/* Half is left, so that neither the next frees nor the next allocations need the node. */
	if (c->count == PCP_MAX)
		pcp_drain(c, &nodes[f->node], PCP_BATCH);
	unlock_pcp(c, irq);
	/* We may be on another CPU by now, with its own cache: page_free() looks again. */
	page_free(pa, 0);
}

void page_free(pa_t pa, unsigned order)
{
	uint32_t pfn = pa >> PAGE_SHIFT;
	struct frame *f = pfn_frame(pfn);
	unsigned owner = f->owner;
	struct pcp *c;
	uint64_t irq;

	if (unlikely(order || f->pins || owner == FRAME_FREE || owner == FRAME_CACHE ||
	             pa < 16 * MiB)) {
		free_more(pa, order);
		return;
	}
	irq = irq_save();
	c = lock_pcp();
	if (unlikely(c->count == PCP_MAX || f->node != c->node)) {
		unlock_pcp(c, irq);
		free_more(pa, 0);
		return;
	}
	/* Without frame_set(): page_alloc() writes the whole frame when it gives the page out. */
	c->pages[owner]--;
	f->owner = FRAME_CACHE;
	c->pfn[c->count++] = pfn;
	unlock_pcp(c, irq);
}

unsigned mm_nodes(void)
{
	return node_count;
}

void mm_node_totals(unsigned node, struct mm_totals *t)
{
	struct node *n = &nodes[node];
	uint64_t flags = irq_save();
	unsigned cpus = cpu_count();
	int64_t sum[FRAME_OWNERS];

	/*
	 * All locks that guard shares of this node's counts, at once: pages move between owners
	 * under one of them, so the sums add up. The order is by CPU, then the node. CPU n's cache
	 * holds pages of its own node only, so the others need not be locked.
	 */
	for (unsigned i = 0; i < cpus; i++)
		if (cpu_node(i) == node)
			spin_lock_raw(&pcps[i].lock);
	spin_lock(&n->lock);
	memcpy(sum, n->pages, sizeof(sum));
	spin_unlock(&n->lock);
	for (unsigned i = cpus; i-- > 0;)
		if (cpu_node(i) == node) {
			for (unsigned o = 0; o < FRAME_OWNERS; o++)
				sum[o] += pcps[i].pages[o];
			sum[FRAME_CACHE] += pcps[i].count;
			spin_unlock_raw(&pcps[i].lock);
		}
	irq_restore(flags);
	t->total_pages = 0;
	for (unsigned o = 0; o < FRAME_OWNERS; o++) {
		t->pages[o] = (uint64_t)sum[o];
		t->total_pages += t->pages[o];
	}
}

void mm_totals(struct mm_totals *t)
{
	struct mm_totals one;

	*t = (struct mm_totals){ 0 };
	for (unsigned n = 0; n < node_count; n++) {
		mm_node_totals(n, &one);
		t->total_pages += one.total_pages;
		for (unsigned o = 0; o < FRAME_OWNERS; o++)
			t->pages[o] += one.pages[o];
	}
}

#ifdef VMK_HOST
uint64_t phys_free_blocks(unsigned node, unsigned order)
{
	struct node *n = &nodes[node];
	uint64_t flags = spin_lock_irq(&n->lock), count = 0;

	for (unsigned z = 0; z < ZONES; z++)
		for (uint32_t p = n->buddy.zone[z].head[order]; p != PFN_NONE;
		     p = pfn_frame(p)->link[0])
			count++;
	spin_unlock_irq(&n->lock, flags);
	return count;
}
#endif
