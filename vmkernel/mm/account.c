// SPDX-License-Identifier: Apache-2.0
/*
 * Accounts of kernel memory; vmk/account.h. An account is a counter with a limit.
 *
 * Its lifetime is part of the counter: the owner holds one byte of it, and each account holds one
 * byte of its parent. Whoever takes the counter to 0 frees the account; so a charge that outlives
 * the process, such as a message in another one's queue, needs no reference of its own.
 */
#include "vmk/account.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"

struct mem_account {
	struct mem_account *parent;
	uint64_t used; /* bytes, atomic; and 1 for the owner, 1 for each account below */
	uint64_t limit;
};

STAT(refused, "mm.account.refused", "charges that were refused at a limit");

int mem_account_create(struct mem_account *parent, uint64_t limit, struct mem_account **out)
{
	struct mem_account *a = kmalloc(sizeof(*a));

	if (!a)
		return -ENOMEM;
	*a = (struct mem_account){ .parent = parent, .used = 1, .limit = limit };
	if (parent)
		__atomic_add_fetch(&parent->used, 1, __ATOMIC_RELAXED);
	*out = a;
	return 0;
}

void mem_account_put(struct mem_account *a)
{
	struct mem_account *parent = a ? a->parent : NULL;

	if (!a || __atomic_sub_fetch(&a->used, 1, __ATOMIC_ACQ_REL))
		return;
	kfree(a);
	mem_account_put(parent);
}

void mem_uncharge(struct mem_account *a, uint64_t bytes)
{
	uint64_t own = 0; /* 1: the account below has gone, and with it its byte of this one */

	while (a && bytes) {
		struct mem_account *parent = a->parent;

		own = !__atomic_sub_fetch(&a->used, bytes + own, __ATOMIC_ACQ_REL);
		if (own)
			kfree(a);
		a = parent;
	}
}

void mem_charge_over(struct mem_account *a, uint64_t bytes)
{
	for (; a; a = a->parent)
		__atomic_add_fetch(&a->used, bytes, __ATOMIC_RELAXED);
}

int mem_charge(struct mem_account *a, uint64_t bytes)
{
	struct mem_account *at = a;
	bool below_floor = false;

	/*
	 * Added first and taken back at a limit: two charges at once may both be refused where one
	 * would fit, but the sum never stays above a limit. Nobody is freed by taking back, since
	 * the caller's world keeps its account, and each account its parent.
	 */
	for (; at; at = at->parent) {
		uint64_t used = __atomic_add_fetch(&at->used, bytes, __ATOMIC_RELAXED);

		if (used > at->limit && !below_floor)
			break;
		below_floor |= at == a && used <= MEM_ACCOUNT_FLOOR;
	}
	if (!at)
		return 0;
	for (struct mem_account *undo = a;; undo = undo->parent) {
		__atomic_sub_fetch(&undo->used, bytes, __ATOMIC_RELAXED);
		if (undo == at)
			break;
	}
	stat_inc(refused);
	return -ENOBUFS;
}

uint64_t mem_account_used(const struct mem_account *a)
{
	return READ_ONCE(a->used) - 1;
}
