// SPDX-License-Identifier: Apache-2.0
/*
 * The lock of the log: interrupts off, and passable where waiting would hang: by the CPU that holds
 * it already (an NMI or a fault inside the log) and by everyone once the panic has begun. What may
 * then happen is garbled text, never corrupted memory.
 */
#ifndef LOG_LOG_LOCK_H
#define LOG_LOG_LOCK_H
#include "vmk/cpu.h"

struct log_lock {
	uint32_t owner; /* CPU + 1; 0: free */
	uint32_t depth;
};

extern bool log_panicking;

static inline uint64_t log_lock_take(struct log_lock *l)
{
	uint64_t flags = irq_save();
	uint32_t me = cpu_id() + 1, free = 0;

	if (load_acquire(&l->owner) == me) {
		l->depth++;
		return flags;
	}
	while (!__atomic_compare_exchange_n(&l->owner, &free, me, false, __ATOMIC_ACQUIRE,
	                                    __ATOMIC_RELAXED)) {
		if (READ_ONCE(log_panicking))
			break;
		free = 0;
		cpu_relax();
	}
	return flags;
}

static inline void log_lock_give(struct log_lock *l, uint64_t flags)
{
	if (l->depth > 0)
		l->depth--;
	else if (l->owner == cpu_id() + 1)
		store_release(&l->owner, 0u);
	irq_restore(flags);
}
#endif
