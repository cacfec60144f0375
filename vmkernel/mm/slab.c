// SPDX-License-Identifier: Apache-2.0
/*
 * Slabs (Bonwick 1994; magazines: Bonwick, Adams 2001). A slab is a block of pages with a header
 * and objects of one size. In front of each cache, every CPU keeps a magazine of free objects, used
 * with interrupts off and no lock; cache.lock guards the slabs. Debug builds poison free objects
 * and look for writes into them.
 */
#include "mm/mm.h"
#include "mm/frame.h"
#include "vmk/account.h"
#include "vmk/cpu.h"
#include "vmk/lock.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "vmk/string.h"

enum { MAGAZINE = 14, SLAB_OBJECTS = 8, EMPTY_MAX = 2, POISON = 0x6b };

struct magazine {
	uint32_t count;
	void *object[MAGAZINE];
};

/* At the start of the block. */
struct slab {
	struct list link; /* cache.partial, .full or .empty */
	struct slab_cache *cache;
	void *free; /* the first free object; each points to the next */
	uint32_t used, total;
} __aligned(CACHE_LINE);

struct slab_cache {
	struct spinlock lock;
	struct list partial, full, empty;
	uint32_t size, first, order, total; /* object size; offset of the first; pages; objects */
	uint32_t empties;
	bool charged; /* each object in use begins with a struct charge */
	const char *name;
	struct magazine *magazine[CPUS_MAX]; /* each made when its CPU first needs it */
};

struct charge {
	struct mem_account *account;
	uint64_t unused; /* the object after it stays 16-byte aligned */
};
ASSERT_SIZE(struct charge, SLAB_CHARGE_HEAD);

static struct slab_cache caches, magazines;

STAT(slabs, "mm.slab.slabs", "slabs made");
STAT(returned, "mm.slab.returned", "slabs whose pages were given back");
STAT(failures, "mm.slab.failures", "objects that no memory was found for");
STAT(refills, "mm.slab.refills", "magazines filled from slabs");

static void cache_init(struct slab_cache *c, const char *name, size_t size, size_t align)
{
	align = MAX(align, (size_t)16);
	/* slab_of() finds the header by aligning down to the block, so no object spans blocks. */
	ASSERT(IS_POW2(align) && align <= PAGE_SIZE);
	*c = (struct slab_cache){ .name = name,
		                  .size = (uint32_t)ALIGN_UP(MAX(size, (size_t)16), align) };
	spin_init(&c->lock, name, RANK_MM);
	list_init(&c->partial);
	list_init(&c->full);
	list_init(&c->empty);
	c->first = (uint32_t)ALIGN_UP(sizeof(struct slab), align);
	/*
	 * The smallest block that holds SLAB_OBJECTS, so header and remainder waste little of it.
	 */
	while (((size_t)PAGE_SIZE << c->order) < c->first + (size_t)c->size * SLAB_OBJECTS)
		c->order++;
	c->total = (uint32_t)((((size_t)PAGE_SIZE << c->order) - c->first) / c->size);
}

void slab_init(void)
{
	cache_init(&caches, "slab_cache", sizeof(struct slab_cache), 16);
	cache_init(&magazines, "magazine", sizeof(struct magazine), 16);
}

struct slab_cache *slab_create(const char *name, size_t size, size_t align)
{
	struct slab_cache *c = slab_alloc(&caches);

	if (c)
		cache_init(c, name, size, align);
	return c;
}

static struct slab *slab_of(const void *p)
{
	pa_t pa = va_to_pa(p);
	const struct frame *f = frame_of(pa);

	ASSERT(f && f->owner == FRAME_SLAB);
	return pa_to_va(ALIGN_DOWN(pa, (pa_t)PAGE_SIZE << f->order));
}

#ifdef VMK_DEBUG
/* The first word of a free object links it. */
static void poison(const struct slab_cache *c, void *p)
{
	memset((char *)p + sizeof(void *), POISON, c->size - sizeof(void *));
}

static void check_poison(const struct slab_cache *c, const void *p)
{
	const uint8_t *b = p;

	for (size_t i = sizeof(void *); i < c->size; i++)
		if (b[i] != POISON)
			panic("%s object %p: byte %zu written after it was freed", c->name, p, i);
}
#else
static inline void poison(const struct slab_cache *c, void *p) {}
static inline void check_poison(const struct slab_cache *c, const void *p) {}
#endif

/* Under no lock. */
static struct slab *slab_new(struct slab_cache *c)
{
	pa_t pa = page_alloc(c->order, FRAME_SLAB, 0);
	struct slab *s;

	if (pa == PA_NONE)
		return NULL;
	/* Backwards, so that the list of free objects runs through them in rising order. */
	s = pa_to_va(pa);
	*s = (struct slab){ .cache = c, .total = c->total };
	for (uint32_t i = c->total; i-- > 0;) {
		void **object = (void **)((char *)s + c->first + (size_t)i * c->size);

		poison(c, object);
		*object = s->free;
		s->free = object;
	}
	stat_inc(slabs);
	return s;
}

/* Under c->lock: one object, or NULL when every slab is full. */
static void *take(struct slab_cache *c)
{
	struct slab *s = list_first(&c->partial, struct slab, link);
	void **object;

	/* Partial slabs first, so that empty ones stay empty and can be given back. */
	if (!s) {
		s = list_first(&c->empty, struct slab, link);
		if (!s)
			return NULL;
		c->empties--;
	}
	object = s->free;
	s->free = *object;
	s->used++;
	list_remove(&s->link);
	list_push_front(s->used == s->total ? &c->full : &c->partial, &s->link);
	return object;
}

/* Under c->lock; returns a slab to give back to the frames, or NULL. */
static struct slab *give(struct slab_cache *c, void *p)
{
	struct slab *s = slab_of(p);

	*(void **)p = s->free;
	s->free = p;
	s->used--;
	list_remove(&s->link);
	/* A few empty slabs are kept: a use that goes up and down by one makes none each time. */
	if (s->used) {
		list_push_front(&c->partial, &s->link);
		return NULL;
	}
	if (c->empties == EMPTY_MAX)
		return s;
	c->empties++;
	list_push_front(&c->empty, &s->link);
	return NULL;
}

/*
 * One object, and half a magazine for the next calls: the same number can then be allocated or
 * freed before the lock is taken again. Interrupts off. NULL when there is no memory.
 */
static __noinline void *take_slow(struct slab_cache *c, struct magazine *m)
{
	void *object;

	spin_lock(&c->lock);
	object = take(c);
	while (!object) {
		struct slab *s;

		/* Unlocked while the slab is built; others may use it up before we lock again. */
		spin_unlock(&c->lock);
		s = slab_new(c);
		if (!s) {
			stat_inc(failures);
			return NULL;
		}
		spin_lock(&c->lock);
		list_push_front(&c->empty, &s->link);
		c->empties++;
		object = take(c);
	}
	while (m && m->count < MAGAZINE / 2) {
		void *more = take(c);

		if (!more)
			break;
		m->object[m->count++] = more;
	}
	spin_unlock(&c->lock);
	stat_inc(refills);
	return object;
}

/* Gives one object back to its slab; pages go back to the frames without the lock. */
static void give_slow(struct slab_cache *c, void *p)
{
	struct slab *s;

	spin_lock(&c->lock);
	s = give(c, p);
	spin_unlock(&c->lock);
	if (s) {
		page_free(va_to_pa(s), c->order);
		stat_inc(returned);
	}
}

/* This CPU's magazine; the two caches that make magazines have none. Interrupts off. */
static __noinline struct magazine *magazine_new(struct slab_cache *c)
{
	struct magazine *m;

	/* A magazine for the cache of magazines would need one of its own. */
	if (c == &magazines || c == &caches)
		return NULL;
	/*
	 * Without memory for one, the cache works under its lock alone, and tries again next time.
	 */
	m = take_slow(&magazines, NULL);
	if (m)
		m->count = 0;
	c->magazine[cpu_id()] = m;
	return m;
}

void *slab_alloc(struct slab_cache *c)
{
	/* With interrupts off nobody else touches this CPU's magazine: no lock. */
	uint64_t flags = irq_save();
	struct magazine *m = c->magazine[cpu_id()];
	void *p;

	if (unlikely(!m))
		m = magazine_new(c);
	if (likely(m && m->count))
		p = m->object[--m->count];
	else
		p = take_slow(c, m);
	irq_restore(flags);
	if (p)
		check_poison(c, p);
	return p;
}

static void give_back(struct slab_cache *c, void *p)
{
	uint64_t flags;
	struct magazine *m;

	/* While p is still the caller's alone. */
	poison(c, p);
	flags = irq_save();
	m = c->magazine[cpu_id()];
	if (unlikely(!m))
		m = magazine_new(c);
	if (likely(m && m->count < MAGAZINE)) {
		m->object[m->count++] = p;
	} else {
		/* Full: half of it goes, so the next calls find room as well as objects. */
		for (unsigned i = 0; m && i < MAGAZINE / 2; i++)
			give_slow(c, m->object[--m->count]);
		give_slow(c, p);
	}
	irq_restore(flags);
}

void slab_free(struct slab_cache *c, void *p)
{
	if (!p)
		return;
	/* An object of another cache would end up in this one's magazine, at the wrong size. */
	ASSERT(slab_of(p)->cache == c);
	slab_free_any(p);
}

struct slab_cache *slab_create_charged(const char *name, size_t size)
{
	struct slab_cache *c = slab_create(name, size, 16);

	if (c)
		c->charged = true;
	return c;
}

void *slab_alloc_charged(struct slab_cache *c, struct mem_account *a)
{
	struct charge *head;

	if (mem_charge(a, c->size))
		return NULL;
	head = slab_alloc(c);
	if (!head) {
		mem_uncharge(a, c->size);
		return NULL;
	}
	head->account = a;
	return head + 1;
}

void slab_free_any(void *p)
{
	struct slab_cache *c = slab_of(p)->cache;

	if (unlikely(c->charged)) {
		struct charge *head = (struct charge *)p - 1;

		mem_uncharge(head->account, c->size);
		p = head;
	}
	give_back(c, p);
}

size_t slab_object_size(const void *p)
{
	return slab_of(p)->cache->size;
}
