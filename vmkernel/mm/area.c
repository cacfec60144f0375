// SPDX-License-Identifier: Apache-2.0
/* The tree of areas of an address space. The address space's mutex guards it. */
#include "mm/area.h"

static struct area *area_of(struct tree_node *n)
{
	return n ? tree_entry(n, struct area, node) : NULL;
}

static int area_cmp(const struct tree_node *a, const struct tree_node *b)
{
	uva_t x = tree_entry(a, const struct area, node)->start;
	uva_t y = tree_entry(b, const struct area, node)->start;

	return x < y ? -1 : x > y;
}

/* For tree_lower(): areas that end at or below the key come first, so it finds the next one. */
static int area_side(const struct tree_node *n, const void *key)
{
	return tree_entry(n, const struct area, node)->end > *(const uva_t *)key ? 1 : -1;
}

void area_tree_init(struct area_tree *t, uva_t low, uva_t high)
{
	tree_init(&t->tree, area_cmp);
	t->low = low;
	t->high = high;
	t->pages = t->committed = 0;
	t->count = 0;
}

struct area *area_find_from(const struct area_tree *t, uva_t va)
{
	return area_of(tree_lower(&t->tree, area_side, &va));
}

struct area *area_find(const struct area_tree *t, uva_t va)
{
	struct area *a = area_find_from(t, va);

	return a && a->start <= va ? a : NULL;
}

struct area *area_next(const struct area *a)
{
	return area_of(tree_next(&a->node));
}

struct area *area_prev(const struct area *a)
{
	return area_of(tree_prev(&a->node));
}

/* Stacks keep the room below them in which they may grow. */
static uva_t area_low_end(const struct area *a)
{
	return a->flags & AREA_GROWSDOWN ? MIN(a->start, a->grow_limit) : a->start;
}

uva_t area_gap(const struct area_tree *t, uint64_t len, uva_t below)
{
	uva_t top = MIN(below, t->high);
	struct area *a;

	if (top < t->low || len > top - t->low)
		return 0;
	/* The first area that ends above top - 1 matters only if it overlaps what is below top. */
	a = area_find_from(t, top - 1);
	if (a && area_low_end(a) < top)
		top = area_low_end(a);
	/* Downwards from gap to gap, each bounded above by the area last seen. */
	a = a ? area_prev(a) : area_of(tree_max(&t->tree));
	for (; a && a->end > t->low; a = area_prev(a)) {
		if (top >= a->end && top - a->end >= len)
			return top - len;
		top = MIN(top, area_low_end(a));
	}
	return top >= t->low && top - t->low >= len ? top - len : 0;
}

bool area_range_free(const struct area_tree *t, uva_t start, uva_t end)
{
	struct area *a = area_find_from(t, start);

	return !a || a->start >= end;
}

/* Memory that the system must be able to give: private and writable. */
static uint64_t area_commit(const struct area *a)
{
	if ((a->flags & (AREA_WRITE | AREA_SHARED | AREA_NORESERVE)) != AREA_WRITE)
		return 0;
	return area_pages(a);
}

static void area_count(struct area_tree *t, const struct area *a, int sign)
{
	t->pages += sign * area_pages(a);
	t->committed += sign * area_commit(a);
}

void area_insert(struct area_tree *t, struct area *a)
{
	tree_insert(&t->tree, &a->node);
	area_count(t, a, 1);
	t->count++;
}

void area_remove(struct area_tree *t, struct area *a)
{
	tree_remove(&t->tree, &a->node);
	area_count(t, a, -1);
	t->count--;
}

void area_resize(struct area_tree *t, struct area *a, uva_t start, uva_t end)
{
	area_count(t, a, -1);
	/* Arithmetic shift and two's complement: right for a start that moves down as well. */
	if (a->obj)
		a->obj_page += (int64_t)(start - a->start) >> PAGE_SHIFT;
	a->start = start;
	a->end = end;
	area_count(t, a, 1);
}

void area_split(struct area_tree *t, struct area *a, uva_t at, struct area *upper)
{
	*upper = *a;
	list_init(&upper->mapping);
	upper->start = at;
	if (upper->obj)
		upper->obj_page += (at - a->start) >> PAGE_SHIFT;
	/* Only the lowest part of a stack goes on growing. */
	upper->flags &= ~AREA_GROWSDOWN;
	area_resize(t, a, a->start, at);
	area_insert(t, upper);
}

bool area_can_merge(const struct area *a, const struct area *b)
{
	/* Areas that grow stay apart: each has its own limit. */
	if (a->end != b->start || a->flags != b->flags || a->obj != b->obj ||
	    (a->flags & AREA_GROWSDOWN))
		return false;
	return !a->obj || a->obj_page + area_pages(a) == b->obj_page;
}

void area_set_flags(struct area_tree *t, struct area *a, unsigned flags)
{
	area_count(t, a, -1);
	a->flags = flags;
	area_count(t, a, 1);
}
