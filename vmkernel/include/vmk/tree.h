// SPDX-License-Identifier: Apache-2.0
/*
 * Intrusive balanced binary tree (vmkernel/lib/tree.c), O(log n). Equal keys are allowed and keep
 * insertion order. The owner's lock guards it; the minimum is cached, so tree_min() is O(1).
 */
#ifndef VMK_TREE_H
#define VMK_TREE_H
#include "vmk/types.h"

struct tree_node {
	struct tree_node *parent, *left, *right;
	int8_t balance;
};
struct tree {
	struct tree_node *root, *min;
	size_t count;
	/* < 0, 0, > 0 as a sorts before, with, behind b. */
	int (*cmp)(const struct tree_node *a, const struct tree_node *b);
};

void tree_init(struct tree *t, int (*cmp)(const struct tree_node *, const struct tree_node *));
void tree_insert(struct tree *t, struct tree_node *n);
void tree_remove(struct tree *t, struct tree_node *n);
struct tree_node *tree_next(const struct tree_node *n);
struct tree_node *tree_prev(const struct tree_node *n);
struct tree_node *tree_max(const struct tree *t);
/* First node for which side(node, key) >= 0, where side is monotone over the order; or NULL. */
struct tree_node *tree_lower(const struct tree *t,
                             int (*side)(const struct tree_node *, const void *key),
                             const void *key);
static inline struct tree_node *tree_min(const struct tree *t)
{
	return t->min;
}
#define tree_entry(ptr, type, member) container_of(ptr, type, member)
#endif
