// SPDX-License-Identifier: Apache-2.0
/*
 * What each world is entitled to: water-filling over minimum, maximum, shares and demand, level by
 * level down the tree of groups. Pure; the tree's lock guards nodes. Rates are in 2^-20 of a CPU
 * (share.h). O(nodes) a pass.
 */
#ifndef SCHED_FILL_H
#define SCHED_FILL_H
#include "sched/share.h"
#include "vmk/list.h"

#define RATE_NO_MAX UINT32_MAX

struct fill_node {
	struct list link; /* parent->children */
	struct fill_node *parent;
	struct list children;        /* of a group */
	struct share_entity *entity; /* of a world; NULL: a group */
	uint32_t shares, min, max;   /* rates; max RATE_NO_MAX: none */
	/* From pass to pass. */
	uint32_t demand; /* of a world: the part of its time that it was ready or ran; smoothed */
	ns_t busy_seen;  /* entity->busy at the last pass; NS_NEVER: there was none */
	uint32_t rate;   /* the result */
	/* Scratch of a pass. */
	uint32_t ceiling; /* no use for more: the lesser of maximum and demand */
	uint32_t floor;   /* guaranteed: the minimum, as far as there is demand for it */
	bool frozen;      /* at one of these bounds, whatever the level is */
};

void fill_node_init(struct fill_node *n, struct share_entity *entity, uint32_t shares, uint32_t min,
                    uint32_t max);
void fill_attach(struct fill_node *parent, struct fill_node *n);
void fill_detach(struct fill_node *n);
/* A first entitlement for a world just attached, until the next pass. */
void fill_guess(struct fill_node *n);
/*
 * Measures demand since the last pass (elapsed ns ago) and sets new_rate and limit of every world
 * below root, which has capacity (CPUs * RATE_ONE) to give. Returns the number of nodes.
 */
unsigned fill_pass(struct fill_node *root, uint64_t capacity, ns_t now, ns_t elapsed);
#endif
