// SPDX-License-Identifier: Apache-2.0
/*
 * Ranges of virtual pages: which are free, in two trees (by address to merge, by size to find the
 * best fit). Pure; the caller's lock guards it.
 */
#ifndef MM_VRANGE_H
#define MM_VRANGE_H
#include "vmk/tree.h"

struct vrange {
	struct tree_node by_addr, by_size;
	va_t start;
	uint64_t len;
};
struct vspace {
	struct tree by_addr, by_size;
};

void vspace_init(struct vspace *s);
/*
 * Makes r's range free and merges it with its neighbours. r becomes the record of the result; the
 * records of merged neighbours, up to two, come back in spare for the caller to free. Their number.
 */
unsigned vspace_give(struct vspace *s, struct vrange *r, struct vrange *spare[2]);
/*
 * Cuts len bytes, aligned, from the smallest range that holds them: the address, or 0. *empty is a
 * record that is no longer needed, or NULL.
 */
va_t vspace_take(struct vspace *s, uint64_t len, struct vrange **empty);
#endif
