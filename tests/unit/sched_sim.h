// SPDX-License-Identifier: Apache-2.0
/* What Python drives of the simulated CPUs. Worlds and groups are numbered; group 0 is the root. */
#ifndef SCHED_SIM_H
#define SCHED_SIM_H
#include "vmk/world.h"

void sim_start(unsigned cpus);
void sim_end(void);
int sim_group(unsigned parent, uint32_t shares, uint32_t min_pct, uint32_t max_pct);
int sim_world(unsigned group, uint32_t shares, uint32_t min_pct, uint32_t max_pct, ns_t burst,
              ns_t sleep);
void sim_run(ns_t duration, bool waits);
ns_t sim_used(unsigned world);
ns_t sim_worst_wait(unsigned world); /* while it was entitled to run */
uint32_t sim_rate(unsigned world);   /* its entitlement, in 2^-20 of a CPU */
uint64_t sim_migrations(void);
/* All of them, in the order of group_for_each; how many. */
unsigned sim_groups(struct group_info *out, unsigned max);
extern uint64_t sim_decisions;
double sim_decision_steps(unsigned n, unsigned decisions);
#endif
