// SPDX-License-Identifier: Apache-2.0
/* Starting the other CPUs. */
#ifndef X86_SMP_H
#define X86_SMP_H
#include "x86/percpu.h"

/*
 * Starts all CPUs of the MADT at once and waits until they are there; those that do not come are
 * left out with a warning. Then prepare(id) sets up on this CPU what each needs (0 or an error),
 * and main(p) runs on it, on a stack of its own, interrupts off, with page tables, GDT, traps and
 * APIC set.
 */
void smp_start(int (*prepare)(unsigned cpu), void (*main)(struct percpu *p));
/* Fills the boot CPU's block, and gives its interrupt stacks guard pages. After mm. */
void smp_init_boot_cpu(void);
#endif
