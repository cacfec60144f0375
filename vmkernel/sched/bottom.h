// SPDX-License-Identifier: Apache-2.0
/* What boot and the end of an interrupt call of bottom.c. */
#ifndef SCHED_BOTTOM_H
#define SCHED_BOTTOM_H
#include "vmk/types.h"

/* trap_hooks.bottom: entered and left with interrupts off, runs with them on and preemption off. */
void bottom_run(void);
/* Before the CPU takes interrupts; 0 or -ENOMEM. */
int __must_check bottom_init_cpu(unsigned cpu);
#endif
