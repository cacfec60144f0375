// SPDX-License-Identifier: Apache-2.0
/* What boot/main.c calls to start the scheduler, and the functions that it puts into trap_hooks. */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H
#include "sched/bottom.h"
#include "sched/timerq.h"

/*
 * Run queue, timers, bottom halves and idle world of a CPU whose struct percpu exists; on the boot
 * CPU, once memory works and before that CPU starts. For CPU 0 the caller itself becomes the idle
 * world. 0 or -ENOMEM.
 */
int __must_check sched_init_cpu(unsigned cpu);
/* The work worlds; after CPU 0's scheduler. */
int __must_check work_init_worlds(void);
/*
 * trap_hooks.preempt: switches worlds when another ought to run here. Interrupts off. Does nothing
 * inside interrupts, bottom halves and non-preemptible sections.
 */
void sched_preempt(void);
/* The end of each CPU's boot: its idle loop. Interrupts off; runs worlds. */
void sched_run(void) __noreturn;
#endif
