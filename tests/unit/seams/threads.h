// SPDX-License-Identifier: Apache-2.0
/*
 * Real locks for units that a test drives from several threads: included by the test's own code,
 * these definitions replace the checked no-ops of lock.c. A waiter yields its processor, so that
 * the tests end soon on a machine with few.
 */
#ifndef THREADS_H
#define THREADS_H
#include "seam.h"
#include "vmk/lock.h"

#include <pthread.h>
#include <sched.h>

void spin_init(struct spinlock *l, const char *name, enum lock_rank rank)
{
	*l = (struct spinlock){ .rank = rank, .cpu = -1, .name = name };
}

bool spin_held(const struct spinlock *l)
{
	return __atomic_load_n(&l->next, __ATOMIC_SEQ_CST) !=
	       __atomic_load_n(&l->serving, __ATOMIC_SEQ_CST);
}

void spin_lock(struct spinlock *l)
{
	uint32_t ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_SEQ_CST);

	while (__atomic_load_n(&l->serving, __ATOMIC_SEQ_CST) != ticket)
		sched_yield();
}

void spin_unlock(struct spinlock *l)
{
	__atomic_fetch_add(&l->serving, 1, __ATOMIC_SEQ_CST);
}

uint64_t spin_lock_irq(struct spinlock *l)
{
	spin_lock(l);
	return 0;
}

void spin_unlock_irq(struct spinlock *l, uint64_t flags)
{
	(void)flags;
	spin_unlock(l);
}
#endif
