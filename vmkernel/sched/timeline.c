// SPDX-License-Identifier: Apache-2.0
/*
 * The treap of waiting worlds: a search tree by start, a heap by random priority (which balances
 * it), and in each node the earliest deadline of its subtree. The last is what EEVDF asks for: the
 * earliest deadline among all nodes up to a given start, in one descent.
 */
#include "sched/timeline.h"

/* Host tests count the nodes that operations touch. */
#ifdef VMK_HOST
uint64_t tl_steps;
#define STEP() (tl_steps++)
#else
#define STEP() ((void)0)
#endif

/* Computes n->earliest from n and its children, whose own values are right. */
static inline void update(struct tl_node *n)
{
	int64_t e = n->deadline;

	STEP();
	if (n->left && n->left->earliest < e)
		e = n->left->earliest;
	if (n->right && n->right->earliest < e)
		e = n->right->earliest;
	n->earliest = e;
}

static inline void replace(struct timeline *t, struct tl_node *parent, struct tl_node *old,
                           struct tl_node *updated)
{
	if (!parent)
		t->root = updated;
	else if (parent->left == old)
		parent->left = updated;
	else
		parent->right = updated;
	if (updated)
		updated->parent = parent;
}

/* Makes n, a child, the parent of its parent. */
static void rotate_up(struct timeline *t, struct tl_node *n)
{
	struct tl_node *p = n->parent, *inner;

	replace(t, p->parent, p, n);
	if (p->left == n) {
		inner = n->right;
		p->left = inner;
		n->right = p;
	} else {
		inner = n->left;
		p->right = inner;
		n->left = p;
	}
	if (inner)
		inner->parent = p;
	p->parent = n;
	/* p is the child now, so it comes first. Above them the subtree holds the same nodes. */
	update(p);
	update(n);
}

void tl_insert(struct timeline *t, struct tl_node *n)
{
	struct tl_node **link = &t->root, *parent = NULL;

	/* Numerical Recipes' generator: it balances the tree, nothing secret depends on it. */
	t->seed = t->seed * 1664525 + 1013904223;
	n->priority = t->seed;
	n->left = n->right = NULL;
	n->earliest = n->deadline;
	while (*link) {
		parent = *link;
		STEP();
		/* n will be below every node of this path. */
		if (n->deadline < parent->earliest)
			parent->earliest = n->deadline;
		link = n->start < parent->start ? &parent->left : &parent->right;
	}
	*link = n;
	n->parent = parent;
	while (n->parent && n->parent->priority < n->priority)
		rotate_up(t, n);
	t->count++;
}

void tl_remove(struct timeline *t, struct tl_node *n)
{
	struct tl_node *p;

	/* Down until a child can take its place; the larger priority becomes the parent. */
	while (n->left && n->right)
		rotate_up(t, n->left->priority > n->right->priority ? n->left : n->right);
	p = n->parent;
	replace(t, p, n, n->left ? n->left : n->right);
	/* A value that did not change changes none above it. */
	for (; p; p = p->parent) {
		int64_t old = p->earliest;

		update(p);
		if (p->earliest == old)
			break;
	}
	t->count--;
}

struct tl_node *tl_first(const struct timeline *t)
{
	struct tl_node *n = t->root;

	while (n && n->left)
		n = n->left;
	return n;
}

struct tl_node *tl_next(const struct tl_node *n)
{
	struct tl_node *p;

	if (n->right) {
		for (p = n->right; p->left;)
			p = p->left;
		return p;
	}
	for (p = n->parent; p && p->right == n; p = p->parent)
		n = p;
	return p;
}

struct tl_node *tl_earliest(const struct timeline *t, int64_t now)
{
	struct tl_node *n = t->root, *node = NULL, *subtree = NULL;
	int64_t best = INT64_MAX;

	/*
	 * Down the boundary between start <= now and start > now. The best so far is a node of the
	 * path, or lies in a left subtree that was passed; where in it is looked up only at the
	 * end, so that there is one descent and not one for each subtree.
	 */
	while (n) {
		STEP();
		if (n->start > now) {
			n = n->left;
			continue;
		}
		/* n may run, and with it all of its left subtree. */
		if (n->left && n->left->earliest < best) {
			best = n->left->earliest;
			subtree = n->left;
			node = NULL;
		}
		if (n->deadline < best) {
			best = n->deadline;
			node = n;
		}
		n = n->right;
	}
	if (node)
		return node;
	/* Whose deadline it is: down the nodes that have inherited the value. */
	for (n = subtree; n && n->deadline != best;) {
		STEP();
		n = n->left && n->left->earliest == best ? n->left : n->right;
	}
	return n;
}
