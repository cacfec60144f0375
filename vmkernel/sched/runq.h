// SPDX-License-Identifier: Apache-2.0
/* What runq.c, balance.c and world.c share. The queues themselves: sched/world.h. */
#ifndef SCHED_RUNQ_H
#define SCHED_RUNQ_H
#include "sched/world.h"

/* Under rq's lock: takes worlds over from slower CPUs when it is time, or when rq has none. */
void balance(struct runq *rq, ns_t now);
/* This CPU has nothing to run. */
void balance_idle(unsigned cpu);
/* The CPU for a world that wakes up and ran on `last`: an idle one, near if possible, or `last`. */
unsigned balance_place(unsigned last);
/* The mean of the CPUs' virtual times, as last seen by any of them. */
int64_t balance_reference(void);

void world_init_idle(struct world *w, unsigned cpu);
#endif
