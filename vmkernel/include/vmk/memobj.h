// SPDX-License-Identifier: Apache-2.0
/*
 * Memory objects: page-granular memory that several hold (shared mappings, tmpfs files, guest
 * memory). Reference counted. Pages appear on demand through ops->page or are filled before.
 * Revoking unmaps everywhere; later access is SIGBUS. Page faults take o->lock: never copy to or
 * from user memory while it is held. Spec: DESIGN.md, "Memory that several hold".
 */
#ifndef VMK_MEMOBJ_H
#define VMK_MEMOBJ_H
#include "vmk/lock.h"
#include "vmk/mm.h"

struct memobj;
struct memobj_ops {
	/*
	 * The page at index: its machine address with a pin taken for the mapping, or PA_NONE
	 * (SIGBUS). write: it will be written. Called by page faults under the object's lock; may
	 * sleep.
	 */
	pa_t (*page)(struct memobj *o, uint64_t index, bool write);
	void (*release)(struct memobj *o); /* the last reference is gone */
};
struct memobj {
	const struct memobj_ops *ops;
	struct mutex lock;
	uint64_t pages; /* size */
	uint32_t refs;
	bool revoked, no_fork;    /* no_fork: mappings are not inherited */
	struct spinlock map_lock; /* mappings, and the bounds of the areas in it */
	struct list mappings;     /* struct area.mapping; mm/area.h */
	void *priv;
};
void memobj_init(struct memobj *o, const struct memobj_ops *ops, uint64_t pages);
/* Anonymous zero-filled pages on demand, owner FRAME_MEMOBJ. */
int __must_check memobj_create_anon(uint64_t pages, struct memobj **out);
struct memobj *memobj_get(struct memobj *o);
void memobj_put(struct memobj *o);
void memobj_revoke(struct memobj *o);
/*
 * Removes translations to [first, first+count) from every address space, with shoot-down; o->lock
 * is held.
 */
void memobj_unmap(struct memobj *o, uint64_t first, uint64_t count);
/* A file whose mmap gives the object: what SCM_RIGHTS hands out. */
struct file;
int __must_check memobj_file(struct memobj *o, struct file **out); /* takes a reference */
#endif
