// SPDX-License-Identifier: Apache-2.0
/*
 * Memory objects: life, removal from address spaces, and the anonymous kind (a two-level table of
 * zero-filled pages). Locks: vmk/memobj.h and mm/aspace.h.
 */
#include "vmk/memobj.h"
#include "mm/aspace.h"
#include "mm/aspace_priv.h"
#include "vmk/errno.h"
#include "vmk/log.h"

void memobj_init(struct memobj *o, const struct memobj_ops *ops, uint64_t pages)
{
	*o = (struct memobj){ .ops = ops, .pages = pages, .refs = 1 };
	mutex_init(&o->lock, "memobj");
	spin_init(&o->map_lock, "memobj_map", RANK_ASPACE);
	list_init(&o->mappings);
}

struct memobj *memobj_get(struct memobj *o)
{
	__atomic_add_fetch(&o->refs, 1, __ATOMIC_RELAXED);
	return o;
}

void memobj_put(struct memobj *o)
{
	if (__atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL) == 0)
		o->ops->release(o);
}

void memobj_unmap(struct memobj *o, uint64_t first, uint64_t count)
{
	struct area *a;

	/*
	 * o->lock keeps faults out: fault_object() maps a page under it, so none appears behind us.
	 * map_lock keeps areas and their bounds as they are.
	 */
	ASSERT(mutex_held(&o->lock));
	spin_lock(&o->map_lock);
	list_for_each(a, &o->mappings, mapping) {
		uint64_t from = MAX(first, a->obj_page);
		uint64_t to = MIN(first + count, a->obj_page + area_pages(a));

		if (from < to)
			aspace_zap(a->as, a->start + ((from - a->obj_page) << PAGE_SHIFT),
			           a->start + ((to - a->obj_page) << PAGE_SHIFT));
	}
	spin_unlock(&o->map_lock);
}

void memobj_revoke(struct memobj *o)
{
	mutex_lock(&o->lock);
	o->revoked = true;
	memobj_unmap(o, 0, o->pages);
	mutex_unlock(&o->lock);
}

/* Anonymous objects. A chunk is one page of machine addresses; 0 is "not there". */
enum { CHUNK = PAGE_SIZE / sizeof(pa_t) };
struct anon {
	struct memobj obj;
	uint64_t chunks;
	pa_t **chunk;
};

static pa_t anon_page(struct memobj *o, uint64_t index, bool write __maybe_unused)
{
	struct anon *an = o->priv;
	pa_t **chunk = &an->chunk[index / CHUNK];
	pa_t *slot;

	/* o->lock is held, so nobody else fills the chunk or the slot. */
	if (!*chunk && !(*chunk = kzalloc(PAGE_SIZE)))
		return PA_NONE;
	slot = &(*chunk)[index % CHUNK];
	if (!*slot) {
		pa_t pa = user_page_new(FRAME_MEMOBJ, true);

		if (pa == PA_NONE)
			return PA_NONE;
		*slot = pa;
	}
	frame_pin(*slot);
	return *slot;
}

static void anon_release(struct memobj *o)
{
	struct anon *an = o->priv;

	/* A page that a device or another holder has pinned goes with its last pin. */
	for (uint64_t c = 0; c < an->chunks; c++) {
		if (!an->chunk[c])
			continue;
		for (unsigned i = 0; i < CHUNK; i++)
			if (an->chunk[c][i])
				page_free(an->chunk[c][i], ORDER_4K);
		kfree(an->chunk[c]);
	}
	vfree(an->chunk);
	kfree(an);
}

static const struct memobj_ops anon_ops = { .page = anon_page, .release = anon_release };

int memobj_create_anon(uint64_t pages, struct memobj **out)
{
	struct mm_totals t;
	struct anon *an;

	/* More can never be filled, and bounds the table of chunks. */
	mm_totals(&t);
	if (pages > t.total_pages)
		return -ENOMEM;
	an = kzalloc(sizeof(*an));
	if (!an)
		return -ENOMEM;
	an->chunks = DIV_UP(pages, CHUNK);
	an->chunk = vmalloc(MAX(an->chunks, 1ull) * sizeof(*an->chunk));
	if (!an->chunk) {
		kfree(an);
		return -ENOMEM;
	}
	memobj_init(&an->obj, &anon_ops, pages);
	an->obj.priv = an;
	*out = &an->obj;
	return 0;
}
