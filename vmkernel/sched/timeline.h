// SPDX-License-Identifier: Apache-2.0
/*
 * Worlds that wait for a CPU, ordered by virtual time, each subtree knowing its earliest deadline:
 * a treap (Seidel, Aragon 1996), all operations O(log n) expected. The owner's lock guards it. The
 * start and the deadline of a node change only while the node is not in the tree.
 */
#ifndef SCHED_TIMELINE_H
#define SCHED_TIMELINE_H
#include "vmk/types.h"

struct tl_node {
	struct tl_node *parent, *left, *right;
	int64_t start;    /* order: virtual time from which on it may run */
	int64_t deadline; /* by which it should have run */
	int64_t earliest; /* of the deadlines in this subtree */
	uint32_t priority;
};
struct timeline {
	struct tl_node *root;
	uint32_t count;
	uint32_t seed;
};

void tl_insert(struct timeline *t, struct tl_node *n);
void tl_remove(struct timeline *t, struct tl_node *n);
struct tl_node *tl_first(const struct timeline *t); /* the smallest start, or NULL */
struct tl_node *tl_next(const struct tl_node *n);
/* The earliest deadline among those with start <= now, or NULL. */
struct tl_node *tl_earliest(const struct timeline *t, int64_t now);
#ifdef VMK_HOST
extern uint64_t tl_steps;
#endif
#endif
