// SPDX-License-Identifier: Apache-2.0
/* The bottom half's side towards interrupts. */
#ifndef SCHED_BOTTOM_H
#define SCHED_BOTTOM_H
#include "vmk/types.h"
/* trap_hooks.bottom: entered and left with interrupts off, runs with them on and preemption off. */
void bottom_run(void);
/* Before the CPU takes interrupts; 0 or -ENOMEM. */
int __must_check bottom_init_cpu(unsigned cpu);
#endif
