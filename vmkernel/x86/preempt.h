// SPDX-License-Identifier: Apache-2.0
/* Preemption of this CPU's world, inline for the locks. */
#ifndef X86_PREEMPT_H
#define X86_PREEMPT_H
#include "x86/percpu.h"

/* The rare half of preempt_on(): another world ought to run here (x86/lock.c). */
void preempt_check(void) __cold;

static inline void preempt_off(void)
{
	percpu_add32(preempt_count, 1);
	barrier();
}
static inline void preempt_on(void)
{
	barrier();
	percpu_add32(preempt_count, -1);
	if (unlikely(percpu_read(need_resched)))
		preempt_check();
}
#endif
