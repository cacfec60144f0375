// SPDX-License-Identifier: Apache-2.0
/* Preemption of this CPU's world, inline for the locks. */
#ifndef SCHED_PREEMPT_H
#define SCHED_PREEMPT_H
#include "x86/percpu.h"

/*
 * Switches worlds when another ought to run here. trap_hooks.preempt at interrupt exit, with
 * interrupts off; preempt_enable() calls it too. Does nothing inside interrupts, bottom halves and
 * non-preemptible sections.
 */
void sched_preempt(void);
/* The same for a caller whose interrupts may be off: then the switch waits for the next chance. */
void sched_preempt_check(void);

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
		sched_preempt_check();
}
#endif
