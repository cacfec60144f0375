// SPDX-License-Identifier: Apache-2.0
/*
 * Physical memory below its public face (vmk/mm.h): what boot hands over, and what the self tests
 * look at.
 */
#ifndef MM_PHYS_H
#define MM_PHYS_H
#include "mm/frame.h"
#include "vmk/boot.h"

/* Nodes count from 0. Before any phys_add(). */
void phys_init(unsigned nodes);
/*
 * Accounts page frames [pfn, end) of a section that is present, to owner; FRAME_FREE makes them
 * available. Before other CPUs run.
 */
void phys_add(uint64_t pfn, uint64_t end, unsigned node, enum frame_owner owner);
/*
 * Changes the owner of pages that phys_add() gave to another; to FRAME_FREE: makes them available.
 */
void phys_move(uint64_t pfn, uint64_t end, enum frame_owner owner);
/* Gives the cached pages of every CPU back to the buddies. */
void phys_drain(void);
#ifdef VMK_HOST
/* The count of free blocks of an order, all zones of the node. */
uint64_t phys_free_blocks(unsigned node, unsigned order);
#endif
#endif
