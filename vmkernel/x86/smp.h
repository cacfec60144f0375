// SPDX-License-Identifier: Apache-2.0
/* Starting the other CPUs. */
#ifndef X86_SMP_H
#define X86_SMP_H
#include "x86/percpu.h"

/*
 * Starts CPUs 1 to count - 1 at once, whose blocks stand in percpu[] (boot/aps.c made them), and
 * waits until they are there; those that do not come are left out with a warning, and the ids of
 * the others close up. Then prepare(id) sets up on this CPU what each needs (0 or an error), and
 * main(p) runs on it, on a stack of its own, interrupts off, with page tables, GDT, traps and APIC
 * set.
 */
void smp_start(unsigned count, int (*prepare)(unsigned cpu), void (*main)(struct percpu *p));
#endif
