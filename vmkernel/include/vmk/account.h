// SPDX-License-Identifier: Apache-2.0
/*
 * Accounts of kernel memory: what userworlds make the kernel allocate is charged, in true sizes, to
 * an account with a limit. Accounts form a tree: a process's account is charged together with its
 * user's, and whichever limit is reached refuses (vmkernel/mm/account.c).
 *
 * Each world may have an account (world_attr.account), which kmalloc_charged() and its relatives in
 * vmk/mm.h charge; kfree() finds the account again by itself. A charge belongs to the account that
 * made it, not to whoever holds the object later: a message in a queue stays its sender's.
 *
 * Threads: all functions are atomic and need no lock; uncharging and putting work in any context.
 * Lifetime: an account lives until its owner has put it and every charge has been returned.
 */
#ifndef VMK_ACCOUNT_H
#define VMK_ACCOUNT_H
#include "vmk/types.h"

struct mem_account;

/* Bytes that may be charged at a time; parent NULL: none. 0 or -ENOMEM. */
int __must_check mem_account_create(struct mem_account *parent, uint64_t limit,
                                    struct mem_account **out);
void mem_account_put(struct mem_account *a); /* by its owner, once; NULL is allowed */

/*
 * 0, or -ENOBUFS when a limit, here or above, does not allow it: then nothing is charged. a NULL:
 * the kernel itself, which is not limited. The first MEM_ACCOUNT_FLOOR bytes of an account are
 * checked against no limit above it: a user who has used up everything can still run the command
 * that ends it.
 */
enum { MEM_ACCOUNT_FLOOR = 128 * 1024 };
int __must_check mem_charge(struct mem_account *a, uint64_t bytes);
/* The same beyond the limits, for what has been allocated already: the next charge is refused. */
void mem_charge_over(struct mem_account *a, uint64_t bytes);
void mem_uncharge(struct mem_account *a, uint64_t bytes);

uint64_t mem_account_used(const struct mem_account *a);
#endif
