// SPDX-License-Identifier: Apache-2.0
/*
 * AVL tree with parent links. balance is the height of the right subtree minus that of the left:
 * -1, 0 or 1. Pure; the owner's lock guards it. Source: Knuth, The Art of Computer Programming 3,
 * 6.2.3.
 *
 * sched/timeline.c has a tree of its own and not this one. It keeps a minimum for each subtree, so
 * that the scheduler finds the earliest deadline among those that may run in O(log n); here that
 * would take a callback at every node of every change, and comparisons there are inline, while
 * each cmp() here is an indirect call (a retpoline of some 30 cycles) in the hottest path.
 */
#include "vmk/tree.h"

void tree_init(struct tree *t, int (*cmp)(const struct tree_node *, const struct tree_node *))
{
	*t = (struct tree){ .cmp = cmp };
}

static struct tree_node *leftmost(struct tree_node *n)
{
	while (n != NULL && n->left != NULL)
		n = n->left;
	return n;
}

static struct tree_node *rightmost(struct tree_node *n)
{
	while (n != NULL && n->right != NULL)
		n = n->right;
	return n;
}

/* Whatever pointed to old (its parent or the root) points to new. */
static void replace_child(struct tree *t, struct tree_node *old, struct tree_node *updated)
{
	struct tree_node *parent = old->parent;

	if (parent == NULL)
		t->root = updated;
	else if (parent->left == old)
		parent->left = updated;
	else
		parent->right = updated;
	if (updated != NULL)
		updated->parent = parent;
}

static struct tree_node *rotate_left(struct tree *t, struct tree_node *n)
{
	struct tree_node *up = n->right;

	replace_child(t, n, up);
	n->right = up->left;
	if (n->right != NULL)
		n->right->parent = n;
	up->left = n;
	n->parent = up;
	return up;
}

static struct tree_node *rotate_right(struct tree *t, struct tree_node *n)
{
	struct tree_node *up = n->left;

	replace_child(t, n, up);
	n->left = up->right;
	if (n->left != NULL)
		n->left->parent = n;
	up->right = n;
	n->parent = up;
	return up;
}

/* After a double rotation that lifted `up` above left and right. */
static void rebalance_double(struct tree_node *up)
{
	up->left->balance = up->balance > 0 ? -1 : 0;
	up->right->balance = up->balance < 0 ? 1 : 0;
	up->balance = 0;
}

/* n leans by two to the right; returns the subtree's new root. */
static struct tree_node *fix_right(struct tree *t, struct tree_node *n)
{
	struct tree_node *child = n->right, *up;

	if (child->balance < 0) {
		rotate_right(t, child);
		up = rotate_left(t, n);
		rebalance_double(up);
		return up;
	}
	up = rotate_left(t, n);
	n->balance = (int8_t)(1 - child->balance); /* 1 only if the child was even (removal) */
	child->balance = (int8_t)(child->balance - 1);
	return up;
}

static struct tree_node *fix_left(struct tree *t, struct tree_node *n)
{
	struct tree_node *child = n->left, *up;

	if (child->balance > 0) {
		rotate_left(t, child);
		up = rotate_right(t, n);
		rebalance_double(up);
		return up;
	}
	up = rotate_right(t, n);
	n->balance = (int8_t)(-1 - child->balance);
	child->balance = (int8_t)(child->balance + 1);
	return up;
}

/* n's balance has changed to 2 or -2, or is fine already. */
static struct tree_node *fix(struct tree *t, struct tree_node *n)
{
	if (n->balance > 1)
		return fix_right(t, n);
	if (n->balance < -1)
		return fix_left(t, n);
	return n;
}

void tree_insert(struct tree *t, struct tree_node *n)
{
	struct tree_node **link = &t->root, *parent = NULL;
	bool first = true;

	while (*link != NULL) {
		parent = *link;
		/* Equal keys go right: behind those that came before. */
		if (t->cmp(n, parent) < 0) {
			link = &parent->left;
		} else {
			link = &parent->right;
			first = false;
		}
	}
	*n = (struct tree_node){ .parent = parent };
	*link = n;
	if (first)
		t->min = n;
	t->count++;
	/*
	 * n's subtree has grown by one. Where that evens its parent out, nothing grew above; where
	 * it leans too far, one rotation takes the height back. So the walk ends at either.
	 */
	for (; parent != NULL; n = parent, parent = n->parent) {
		parent->balance = (int8_t)(parent->balance + (n == parent->left ? -1 : 1));
		if (parent->balance == 0)
			return;
		if (parent->balance < -1 || parent->balance > 1) {
			fix(t, parent);
			return;
		}
	}
}

/* Takes out n, which has two children, by putting its successor in its place. */
static struct tree_node *remove_inner(struct tree *t, struct tree_node *n, bool *was_left)
{
	struct tree_node *next = leftmost(n->right), *start;

	if (next->parent == n) {
		start = next;
		*was_left = false;
	} else {
		start = next->parent;
		*was_left = true;
		replace_child(t, next, next->right);
		next->right = n->right;
		next->right->parent = next;
	}
	replace_child(t, n, next);
	next->left = n->left;
	next->left->parent = next;
	next->balance = n->balance;
	return start;
}

void tree_remove(struct tree *t, struct tree_node *n)
{
	struct tree_node *parent = n->parent;
	bool was_left = parent != NULL && parent->left == n;

	if (t->min == n)
		t->min = tree_next(n);
	t->count--;
	if (n->left != NULL && n->right != NULL)
		parent = remove_inner(t, n, &was_left);
	else
		replace_child(t, n, n->left != NULL ? n->left : n->right);
	/*
	 * parent's left (was_left) or right subtree is lower by one. Leaning by one now, it has
	 * kept its height; even, or rotated to even, it has lost one, and its parent is next.
	 */
	while (parent != NULL) {
		struct tree_node *top;

		parent->balance = (int8_t)(parent->balance + (was_left ? 1 : -1));
		if (parent->balance == 1 || parent->balance == -1)
			break;
		top = fix(t, parent);
		if (top->balance != 0)
			break;
		parent = top->parent;
		was_left = parent != NULL && parent->left == top;
	}
	*n = (struct tree_node){ 0 };
}

struct tree_node *tree_next(const struct tree_node *n)
{
	const struct tree_node *child = n;

	if (n->right != NULL)
		return leftmost(n->right);
	for (n = n->parent; n != NULL && n->right == child; n = n->parent)
		child = n;
	return (struct tree_node *)(uintptr_t)n;
}

struct tree_node *tree_prev(const struct tree_node *n)
{
	const struct tree_node *child = n;

	if (n->left != NULL)
		return rightmost(n->left);
	for (n = n->parent; n != NULL && n->left == child; n = n->parent)
		child = n;
	return (struct tree_node *)(uintptr_t)n;
}

struct tree_node *tree_max(const struct tree *t)
{
	return rightmost(t->root);
}

struct tree_node *tree_lower(const struct tree *t,
                             int (*side)(const struct tree_node *, const void *key),
                             const void *key)
{
	struct tree_node *found = NULL;

	for (struct tree_node *n = t->root; n != NULL;) {
		if (side(n, key) >= 0) {
			found = n;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return found;
}
