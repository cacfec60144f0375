// SPDX-License-Identifier: Apache-2.0
/* Counters that tell the time: the TSC, and the slow ones that it is measured against. */
#ifndef X86_CLOCK_H
#define X86_CLOCK_H
#include "vmk/time.h"

struct counter {
	const char *name;
	uint64_t (*read)(void);
	uint64_t hz;
	uint64_t mask; /* of the bits that count */
};

void clock_start(void); /* the moment that time_now() counts from: first of all */
/*
 * Chooses the clock, once, after acpi_init(). Option tsc=reliable trusts a TSC that does not call
 * itself invariant.
 */
void clock_init(void);

/* The TSC's value at time_now() == t; where the TSC is the clock. */
uint64_t clock_tsc_at(ns_t t);

/*
 * The TSCs of the CPUs are not the same: time goes on with the slow counter. false: there is none.
 * Before anything depends on the TSC.
 */
bool clock_distrust_tsc(void);

/* NULL where the machine has none. */
const struct counter *hpet_counter(void);
const struct counter *pm_timer_counter(void);
const struct counter *pit_counter(void); /* always there; 16 bits, 55 ms */

/*
 * Hz of the TSC against a reference: the median of several measurements, each bracketed by the
 * tightest pair of readings out of several, so that a stall (SMI, a hypervisor's pause) does not
 * count.
 */
uint64_t tsc_calibrate(const struct counter *ref);
#endif
