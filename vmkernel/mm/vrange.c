// SPDX-License-Identifier: Apache-2.0
/* Free ranges of virtual addresses. */
#include "mm/vrange.h"

static int cmp_addr(const struct tree_node *a, const struct tree_node *b)
{
	va_t x = tree_entry(a, struct vrange, by_addr)->start;
	va_t y = tree_entry(b, struct vrange, by_addr)->start;

	return x < y ? -1 : x > y;
}

static int cmp_size(const struct tree_node *a, const struct tree_node *b)
{
	const struct vrange *x = tree_entry(a, struct vrange, by_size);
	const struct vrange *y = tree_entry(b, struct vrange, by_size);

	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

static int side_of_size(const struct tree_node *n, const void *key)
{
	uint64_t len = tree_entry(n, struct vrange, by_size)->len, least = *(const uint64_t *)key;

	return len < least ? -1 : len > least;
}

void vspace_init(struct vspace *s)
{
	tree_init(&s->by_addr, cmp_addr);
	tree_init(&s->by_size, cmp_size);
}

unsigned vspace_give(struct vspace *s, struct vrange *r, struct vrange *spare[2])
{
	struct tree_node *n;
	struct vrange *other;
	unsigned spares = 0;

	/* By size only at the end, when the length is final: it is the key there. */
	tree_insert(&s->by_addr, &r->by_addr);
	n = tree_next(&r->by_addr);
	other = n ? tree_entry(n, struct vrange, by_addr) : NULL;
	if (other && r->start + r->len == other->start) {
		tree_remove(&s->by_addr, &other->by_addr);
		tree_remove(&s->by_size, &other->by_size);
		r->len += other->len;
		spare[spares++] = other;
	}
	n = tree_prev(&r->by_addr);
	other = n ? tree_entry(n, struct vrange, by_addr) : NULL;
	if (other && other->start + other->len == r->start) {
		tree_remove(&s->by_addr, &other->by_addr);
		tree_remove(&s->by_size, &other->by_size);
		r->start =
			other->start; /* a key of by_addr: nothing lies between, the order holds */
		r->len += other->len;
		spare[spares++] = other;
	}
	tree_insert(&s->by_size, &r->by_size);
	return spares;
}

va_t vspace_take(struct vspace *s, uint64_t len, struct vrange **empty)
{
	struct tree_node *n = tree_lower(&s->by_size, side_of_size, &len);
	struct vrange *r;
	va_t start;

	*empty = NULL;
	if (!n)
		return 0;
	/* Best fit, from the front: large ranges stay whole for large requests. */
	r = tree_entry(n, struct vrange, by_size);
	start = r->start;
	tree_remove(&s->by_size, &r->by_size);
	if (r->len == len) {
		tree_remove(&s->by_addr, &r->by_addr);
		*empty = r;
		return start;
	}
	/* In place in by_addr, where the neighbours' order does not change. */
	r->start += len;
	r->len -= len;
	tree_insert(&s->by_size, &r->by_size);
	return start;
}
