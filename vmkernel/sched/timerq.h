// SPDX-License-Identifier: Apache-2.0
/* What the scheduler and the clock's interrupt call of timer.c. */
#ifndef SCHED_TIMERQ_H
#define SCHED_TIMERQ_H
#include "vmk/time.h"

/* The clock event came: trap_hooks.timer. Interrupts off. */
void timer_interrupt(void);
/*
 * Sets need_resched on this CPU at the deadline, the end of the running world's slice; NS_NEVER: it
 * has no end. Interrupts off.
 */
void timer_slice_end(ns_t deadline);
/* Before the CPU arms its first timer; 0 or -ENOMEM. */
int __must_check timer_init_cpu(unsigned cpu);
#endif
