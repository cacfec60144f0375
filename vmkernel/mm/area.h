// SPDX-License-Identifier: Apache-2.0
/*
 * The areas of an address space: disjoint page-aligned ranges with one protection and one backing
 * each, in a balanced tree by address. Pure bookkeeping; mm/aspace*.c keep the page tables in step.
 * The owner's lock guards it; bounds of areas that map an object change under its map_lock as well.
 */
#ifndef MM_AREA_H
#define MM_AREA_H
#include "vmk/list.h"
#include "vmk/tree.h"

enum area_flags {
	AREA_READ = 1,
	AREA_WRITE = 2,
	AREA_EXEC = 4, /* = PROT_* */
	AREA_PROT = 7,
	AREA_SHARED = 1 << 3,
	AREA_GROWSDOWN = 1 << 4, /* a stack: grows on a fault down to its limit */
	AREA_STACK = 1 << 5,
	AREA_HEAP = 1 << 6, /* names for /proc */
	AREA_NORESERVE = 1 << 7,
	AREA_NO_WRITE = 1 << 8, /* a shared object that may not become writable */
	AREA_DONTFORK = 1 << 9,
	/* For aspace_map only. */
	AREA_FIXED = 1 << 16,
	AREA_FIXED_NOREPLACE = 1 << 17,
	AREA_POPULATE = 1 << 18,
};

struct memobj;
struct area {
	struct tree_node node;
	struct list mapping; /* memobj->mappings */
	struct aspace *as;
	uva_t start, end;
	unsigned flags;
	struct memobj *obj;  /* NULL: anonymous; each area holds a reference */
	uint64_t obj_page;   /* page of obj at start */
	uint64_t grow_limit; /* AREA_GROWSDOWN: lowest start */
};

struct area_tree {
	struct tree tree;   /* by start; struct area.node */
	uva_t low, high;    /* bounds of what can be mapped */
	uint64_t pages;     /* in all areas */
	uint64_t committed; /* private writable ones without NORESERVE */
	unsigned count;
};

enum { AREAS_MAX = 65536 };

void area_tree_init(struct area_tree *t, uva_t low, uva_t high);
/* The area that holds va; the first that ends above va; NULL. */
struct area *area_find(const struct area_tree *t, uva_t va);
struct area *area_find_from(const struct area_tree *t, uva_t va);
struct area *area_next(const struct area *a);
struct area *area_prev(const struct area *a);
static inline uint64_t area_pages(const struct area *a)
{
	return (a->end - a->start) >> 12;
}
/* Highest gap of len bytes that ends at or below `below`, or 0. */
uva_t area_gap(const struct area_tree *t, uint64_t len, uva_t below);
bool area_range_free(const struct area_tree *t, uva_t start, uva_t end);

/* a is filled in by the caller and does not overlap. */
void area_insert(struct area_tree *t, struct area *a);
void area_remove(struct area_tree *t, struct area *a);
/* Moves one bound; the caller has checked that it stays disjoint and not empty. */
void area_resize(struct area_tree *t, struct area *a, uva_t start, uva_t end);
/* [start, at) stays, `upper` (memory of the caller's) becomes [at, end). */
void area_split(struct area_tree *t, struct area *a, uva_t at, struct area *upper);
/* b directly follows a and both could be one area. */
bool area_can_merge(const struct area *a, const struct area *b);
void area_set_flags(struct area_tree *t, struct area *a, unsigned flags);
#endif
