// SPDX-License-Identifier: Apache-2.0
/* The timer queue's side towards scheduler and interrupts. */
#ifndef SCHED_TIMERQ_H
#define SCHED_TIMERQ_H
#include "vmk/time.h"

/* The clock event came: trap_hooks.timer. Interrupts off. */
void timer_interrupt(void);
/*
 * When the running world's slice ends: sets need_resched then. NS_NEVER: not. This CPU, interrupts
 * off.
 */
void timer_slice_end(ns_t deadline);
/* Before the CPU arms its first timer; 0 or -ENOMEM. */
int __must_check timer_init_cpu(unsigned cpu);
#endif
