// SPDX-License-Identifier: Apache-2.0
/*
 * Guest memory. Frames come in chunks of 2 MiB (one large frame, or 512 small ones when memory is
 * in pieces; a 1 GiB frame is 512 chunks in a row). The chunk table never changes while the VM
 * lives, so everyone reads it without a lock; lock (a mutex) guards the nested tables and the list
 * of vCPUs.
 * Spec: AMD APM 2, 15.25 (nested paging); the tables have the format of the processor's own (5.3).
 */
#include "vmk/gmem.h"
#include "vmk/cpu.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/memobj.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"

#define LOG_MODULE  "gmem"
#define NPT_PRESENT BIT(0)
#define NPT_ADDR    BITS(51, 12)
enum { CHUNK_PAGES = 1 << ORDER_2M, NPT_LEVELS = 4 };

STAT(faults, "vm.gmem.faults", "nested page faults that mapped memory");
STAT(unmaps, "vm.gmem.unmaps", "ranges taken away from running guests");

struct chunk {
	pa_t pa;       /* of the large frame; PA_NONE: see small */
	pa_t *small;   /* CHUNK_PAGES frames */
	uint8_t order; /* to free at this chunk: ORDER_1G, ORDER_2M, or 0: part of an earlier one */
	bool huge;     /* within a 1 GiB frame */
};

struct gmem {
	struct mutex lock;
	struct list cpus;
	struct waitq waitq; /* acknowledgements and pins */
	const struct npt_format *format;
	struct memobj object;
	uint64_t *root;
	uint64_t low, high, chunks, tables;
	uint64_t generation;
	uint32_t pins, waiting, object_live;
	struct chunk chunk[];
};

static bool index_of(const struct gmem *g, gpa_t gpa, uint64_t *index)
{
	if (gpa < g->low)
		*index = gpa >> LARGE_SHIFT;
	else if (gpa >= GMEM_HIGH_BASE && gpa - GMEM_HIGH_BASE < g->high)
		*index = (gpa - GMEM_HIGH_BASE + g->low) >> LARGE_SHIFT;
	else
		return false;
	return true;
}

static pa_t page_at(const struct chunk *c, uint64_t offset)
{
	if (likely(c->pa != PA_NONE))
		return c->pa + (offset & (LARGE_SIZE - 1));
	return c->small[(offset & (LARGE_SIZE - 1)) >> PAGE_SHIFT] + (offset & (PAGE_SIZE - 1));
}

void *gmem_ptr(struct gmem *g, gpa_t gpa, size_t len)
{
	uint64_t index, off = gpa & (LARGE_SIZE - 1);
	const struct chunk *c;

	if (unlikely(!index_of(g, gpa, &index) || len > LARGE_SIZE - off))
		return NULL;
	c = &g->chunk[index];
	/* Small frames are contiguous within a page only. */
	if (unlikely(c->pa == PA_NONE) && (gpa & (PAGE_SIZE - 1)) + len > PAGE_SIZE)
		return NULL;
	return pa_to_va(page_at(c, off));
}

/* The longest piece at gpa that is contiguous, at most len; 0: not RAM. */
static size_t piece(struct gmem *g, gpa_t gpa, size_t len, void **va)
{
	size_t n = MIN(len, LARGE_SIZE - (gpa & (LARGE_SIZE - 1)));

	*va = gmem_ptr(g, gpa, n);
	if (*va)
		return n;
	n = MIN(n, PAGE_SIZE - (gpa & (PAGE_SIZE - 1)));
	*va = gmem_ptr(g, gpa, n);
	return *va ? n : 0;
}

int gmem_read(struct gmem *g, gpa_t gpa, void *dst, size_t len)
{
	for (size_t n; len; gpa += n, dst = (char *)dst + n, len -= n) {
		void *va;

		n = piece(g, gpa, len, &va);
		if (!n)
			return -EFAULT;
		memcpy(dst, va, n);
	}
	return 0;
}

int gmem_write(struct gmem *g, gpa_t gpa, const void *src, size_t len)
{
	for (size_t n; len; gpa += n, src = (const char *)src + n, len -= n) {
		void *va;

		n = piece(g, gpa, len, &va);
		if (!n)
			return -EFAULT;
		memcpy(va, src, n);
	}
	return 0;
}

static void wake(struct gmem *g)
{
	if (unlikely(__atomic_load_n(&g->waiting, __ATOMIC_SEQ_CST)))
		waitq_wake_all(&g->waitq);
}

int gmem_pin(struct gmem *g, gpa_t gpa, size_t len, struct sg *sg, unsigned max)
{
	unsigned count = 0;

	/*
	 * Pinned before the addresses are looked up: gmem_unmap, which clears first and then
	 * looks at pins, sees the pin or has cleared before the look-up.
	 */
	__atomic_fetch_add(&g->pins, 1, __ATOMIC_SEQ_CST);
	for (size_t n; len; gpa += n, len -= n) {
		void *va;

		n = piece(g, gpa, len, &va);
		if (!n || count == max) {
			gmem_unpin(g);
			return n ? -E2BIG : -EFAULT;
		}
		sg[count++] = (struct sg){ .pa = va_to_pa(va), .len = n };
	}
	return (int)count;
}

void gmem_unpin(struct gmem *g)
{
	__atomic_fetch_sub(&g->pins, 1, __ATOMIC_SEQ_CST);
	wake(g);
}

/* Nested tables. */

static unsigned slot_of(gpa_t gpa, unsigned level)
{
	return (gpa >> (PAGE_SHIFT + 9 * level)) & 511;
}

static uint64_t *table_new(struct gmem *g, pa_t *pa)
{
	*pa = page_alloc(ORDER_4K, FRAME_PAGETABLE, ALLOC_ZERO);
	if (*pa == PA_NONE)
		return NULL;
	g->tables++;
	return pa_to_va(*pa);
}

/*
 * Maps pa at gpa as a page of the given level (0: 4 KiB). What a larger page covers already stays:
 * another vCPU was faster.
 */
static int npt_map(struct gmem *g, gpa_t gpa, pa_t pa, unsigned level)
{
	uint64_t *table = g->root, *entry;

	for (unsigned l = NPT_LEVELS - 1; l > level; l--) {
		entry = &table[slot_of(gpa, l)];
		if (!(*entry & NPT_PRESENT)) {
			pa_t next;

			table = table_new(g, &next);
			if (!table)
				return -ENOMEM;
			/* Visible to the processor's walk at once: the new table is empty. */
			WRITE_ONCE(*entry, next | g->format->table);
		} else if (l < NPT_LEVELS - 1 && (*entry & g->format->large)) {
			return 0;
		} else {
			table = pa_to_va(*entry & NPT_ADDR);
		}
	}
	entry = &table[slot_of(gpa, level)];
	if (!(*entry & NPT_PRESENT))
		/* Not present before, so no TLB holds it: nothing to flush. */
		WRITE_ONCE(*entry, pa | g->format->leaf | (level ? g->format->large : 0));
	return 0;
}

int gmem_fault(struct gmem *g, gpa_t gpa)
{
	uint64_t index;
	const struct chunk *c;
	int err;

	if (!index_of(g, gpa, &index))
		return -ENOENT;
	c = &g->chunk[index];
	/*
	 * The largest page that both the frames and the address allow. The chunk table knows: a
	 * 1 GiB frame fills an aligned GiB, a large one an aligned 2 MiB.
	 */
	mutex_lock(&g->lock);
	if (c->huge && g->format->huge)
		err = npt_map(g, ALIGN_DOWN(gpa, HUGE_SIZE), ALIGN_DOWN(c->pa, HUGE_SIZE), 2);
	else if (c->pa != PA_NONE)
		err = npt_map(g, ALIGN_DOWN(gpa, LARGE_SIZE), c->pa, 1);
	else
		err = npt_map(g, ALIGN_DOWN(gpa, PAGE_SIZE), page_at(c, ALIGN_DOWN(gpa, PAGE_SIZE)),
		              0);
	mutex_unlock(&g->lock);
	stat_inc(faults);
	return err;
}

/* Frees the tables below an entry; leaves are not ours to free here. */
static void table_free(struct gmem *g, uint64_t *table, unsigned level)
{
	for (unsigned i = 0; level && i < 512; i++) {
		if ((table[i] & NPT_PRESENT) &&
		    (level == NPT_LEVELS - 1 || !(table[i] & g->format->large)))
			table_free(g, pa_to_va(table[i] & NPT_ADDR), level - 1);
	}
	page_free(va_to_pa(table), ORDER_4K);
	g->tables--;
}

/*
 * Takes away what maps the 2 MiB at gpa. A 1 GiB page goes whole; a table of small pages is emptied
 * and stays, for the processor may be walking it.
 */
static void npt_clear(struct gmem *g, gpa_t gpa)
{
	uint64_t *table = g->root;

	for (unsigned l = NPT_LEVELS - 1; l >= 1; l--) {
		uint64_t *entry = &table[slot_of(gpa, l)];

		if (!(*entry & NPT_PRESENT))
			return;
		if (l < NPT_LEVELS - 1 && (*entry & g->format->large)) {
			WRITE_ONCE(*entry, 0);
			return;
		}
		table = pa_to_va(*entry & NPT_ADDR);
	}
	/* Eight bytes at a time: the processor sees each entry whole. */
	for (unsigned i = 0; i < 512; i++)
		WRITE_ONCE(table[i], 0);
}

static bool acknowledged(struct gmem *g, uint64_t generation)
{
	struct gmem_cpu *c;

	list_for_each(c, &g->cpus, link) {
		/*
		 * A vCPU outside of the guest reads the generation before it enters; one inside
		 * has acknowledged when it has seen this one.
		 */
		if (__atomic_load_n(&c->in_guest, __ATOMIC_SEQ_CST) &&
		    __atomic_load_n(&c->seen, __ATOMIC_SEQ_CST) < generation)
			return false;
	}
	return true;
}

/*
 * Memory is reserved at power-on so far, so only tests/unit/test_gmem.py calls this: its model of
 * vCPUs' TLBs proves the protocol of gmem_enter and gmem_leave, which every entry already follows.
 * Reclaim, ballooning and migration build on it.
 */
void gmem_unmap(struct gmem *g, gpa_t gpa, uint64_t len)
{
	struct gmem_cpu *c;
	uint64_t generation;

	mutex_lock(&g->lock);
	/*
	 * 1. No walk finds the range any more. 2. The generation tells vCPUs to drop what their
	 * TLBs hold. 3. Those in the guest are made to leave. 4. The range is unused when each
	 * of them has entered anew and no pin is left.
	 */
	for (gpa_t at = gpa; at < gpa + len; at += LARGE_SIZE)
		npt_clear(g, at);
	generation = __atomic_add_fetch(&g->generation, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&g->waiting, 1, __ATOMIC_SEQ_CST);
	list_for_each(c, &g->cpus, link) {
		if (__atomic_load_n(&c->in_guest, __ATOMIC_SEQ_CST))
			c->kick(c);
	}
	wait_event(&g->waitq,
	           acknowledged(g, generation) && !__atomic_load_n(&g->pins, __ATOMIC_SEQ_CST));
	__atomic_fetch_sub(&g->waiting, 1, __ATOMIC_SEQ_CST);
	mutex_unlock(&g->lock);
	stat_inc(unmaps);
}

void gmem_cpu_add(struct gmem *g, struct gmem_cpu *c)
{
	mutex_lock(&g->lock);
	list_push_back(&g->cpus, &c->link);
	mutex_unlock(&g->lock);
}

bool gmem_enter(struct gmem *g, struct gmem_cpu *c)
{
	uint64_t generation;
	bool stale;

	/* in_guest first: an unmapper that misses it raised the generation before we read it. */
	__atomic_store_n(&c->in_guest, 1, __ATOMIC_SEQ_CST);
	/* Sequentially consistent, like gmem_unmap's raise and its look at in_guest. */
	generation = __atomic_load_n(&g->generation, __ATOMIC_SEQ_CST);
	stale = c->seen != generation;
	if (unlikely(stale)) {
		__atomic_store_n(&c->seen, generation, __ATOMIC_SEQ_CST);
		/*
		 * The caller flushes before it enters, with interrupts off: nothing can use the
		 * old translations between this and the flush.
		 */
		wake(g);
	}
	return stale;
}

void gmem_leave(struct gmem *g, struct gmem_cpu *c)
{
	/*
	 * Not just a release: in_guest must be visible before waiting is read. Otherwise this vCPU
	 * could miss an unmapper that still saw it in the guest, and nobody would wake that.
	 */
	__atomic_store_n(&c->in_guest, 0, __ATOMIC_SEQ_CST);
	wake(g);
}

/* Birth and death. */

static void chunk_free(struct chunk *c)
{
	if (c->order)
		page_free(c->pa, c->order);
	for (unsigned i = 0; c->small && i < CHUNK_PAGES; i++) {
		if (c->small[i] != PA_NONE)
			page_free(c->small[i], ORDER_4K);
	}
	kfree(c->small);
}

static int chunk_small(struct chunk *c)
{
	c->pa = PA_NONE;
	c->small = kmalloc(CHUNK_PAGES * sizeof(*c->small));
	if (!c->small)
		return -ENOMEM;
	memset(c->small, 0xff, CHUNK_PAGES * sizeof(*c->small)); /* PA_NONE */
	for (unsigned i = 0; i < CHUNK_PAGES; i++) {
		c->small[i] = page_alloc(ORDER_4K, FRAME_GUEST, ALLOC_ZERO);
		if (c->small[i] == PA_NONE)
			return -ENOMEM;
	}
	return 0;
}

/* Fills chunks from *index on with the largest frame there is; moves *index. */
static int chunk_fill(struct gmem *g, uint64_t *index)
{
	const uint64_t per_huge = HUGE_SIZE >> LARGE_SHIFT, low = g->low >> LARGE_SHIFT;
	uint64_t i = *index, left = i < low ? low - i : g->chunks - i;
	bool aligned = (i < low ? i : i - low) % per_huge == 0;
	pa_t pa;

	/* A GiB must lie at a GiB of guest addresses, and not across the hole below 4 GiB. */
	if (aligned && left >= per_huge && g->format->huge) {
		pa = page_alloc(ORDER_1G, FRAME_GUEST, ALLOC_ZERO);
		if (pa != PA_NONE) {
			for (uint64_t n = 0; n < per_huge; n++)
				g->chunk[i + n] = (struct chunk){ .pa = pa + n * LARGE_SIZE,
					                          .huge = true };
			g->chunk[i].order = ORDER_1G;
			*index += per_huge;
			return 0;
		}
	}
	*index += 1;
	pa = page_alloc(ORDER_2M, FRAME_GUEST, ALLOC_ZERO);
	if (pa == PA_NONE)
		return chunk_small(&g->chunk[i]);
	g->chunk[i] = (struct chunk){ .pa = pa, .order = ORDER_2M };
	return 0;
}

static pa_t object_page(struct memobj *o, uint64_t index, bool write)
{
	struct gmem *g = o->priv;
	pa_t pa = page_at(&g->chunk[index / CHUNK_PAGES], index << PAGE_SHIFT);

	/* The mapping's pin: the frame is not freed while a userworld maps it (vmk/memobj.h). */
	frame_pin(pa);
	return pa;
}

static void object_release(struct memobj *o)
{
	struct gmem *g = o->priv;

	store_release(&g->object_live, 0);
	waitq_wake_all(&g->waitq);
}

static const struct memobj_ops object_ops = { .page = object_page, .release = object_release };

int gmem_create(uint64_t bytes, const struct npt_format *format, struct gmem **out)
{
	struct gmem *g;
	uint64_t n = bytes >> LARGE_SHIFT;
	pa_t root;

	if (!n || !IS_ALIGNED(bytes, (uint64_t)LARGE_SIZE) || bytes > TiB)
		return -EINVAL;
	g = vmalloc(sizeof(*g) + n * sizeof(g->chunk[0]));
	if (!g)
		return -ENOMEM;
	mutex_init(&g->lock, "gmem");
	waitq_init(&g->waitq, "gmem");
	list_init(&g->cpus);
	g->format = format;
	g->chunks = n;
	g->low = MIN(bytes, (uint64_t)GMEM_LOW_MAX);
	g->high = bytes - g->low;
	memobj_init(&g->object, &object_ops, bytes >> PAGE_SHIFT);
	/* A child of hostd must not hold a VM's memory. */
	g->object.no_fork = true;
	g->object.priv = g;
	g->object_live = 1;
	g->root = table_new(g, &root);
	if (!g->root) {
		vfree(g);
		return -ENOMEM;
	}
	for (uint64_t i = 0; i < n;) {
		int err = chunk_fill(g, &i);

		if (err) {
			gmem_destroy(g);
			return err;
		}
	}
	*out = g;
	return 0;
}

void gmem_destroy(struct gmem *g)
{
	memobj_revoke(&g->object);
	memobj_put(&g->object);
	/* Mappings of userworlds and DMA of devices may outlive the VM by a moment. */
	__atomic_store_n(&g->waiting, 1, __ATOMIC_SEQ_CST);
	wait_event(&g->waitq,
	           !load_acquire(&g->object_live) && !__atomic_load_n(&g->pins, __ATOMIC_SEQ_CST));
	table_free(g, g->root, NPT_LEVELS - 1);
	for (uint64_t i = 0; i < g->chunks; i++)
		chunk_free(&g->chunk[i]);
	vfree(g);
}

void gmem_layout(const struct gmem *g, uint64_t *low, uint64_t *high)
{
	*low = g->low;
	*high = g->high;
}

struct memobj *gmem_object(struct gmem *g)
{
	return &g->object;
}

pa_t gmem_root(const struct gmem *g)
{
	return va_to_pa(g->root);
}

uint64_t gmem_table_pages(const struct gmem *g)
{
	return g->tables;
}
