// SPDX-License-Identifier: Apache-2.0
/* Putting a memory map in order: pure functions over arrays, tested on the host. */
#ifndef BOOT_BOOTMAP_H
#define BOOT_BOOTMAP_H
#include "vmk/boot.h"

/*
 * From the loader's ranges (any order, overlapping, unaligned, absurd) makes sorted, disjoint,
 * page-aligned ranges below `limit`; where several claim a page the least usable type wins and a
 * page that is only partly RAM is none. Returns their number, at most max: what does not fit is
 * left out from the top. Node is 0.
 */
unsigned bootmap_sanitise(const struct boot_range *in, unsigned count, uint64_t limit,
                          struct boot_range *out, unsigned max);

/*
 * Splits ranges (sorted, disjoint) at base and base + len, and gives what lies between to the node.
 * Returns the new count; pieces that do not fit in max stay with their old node.
 */
unsigned bootmap_set_node(struct boot_range *r, unsigned count, unsigned max, pa_t base,
                          uint64_t len, unsigned node);
#endif
