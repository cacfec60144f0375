// SPDX-License-Identifier: Apache-2.0
/* The HPET beyond its counter (x86/clock.h). */
#ifndef X86_HPET_H
#define X86_HPET_H
#include "vmk/types.h"

/*
 * A periodic NMI to this CPU from a timer, through an I/O APIC line of its own; false: the HPET
 * cannot.
 */
bool hpet_start_nmi(ns_t period);
/*
 * In an NMI after that: whether it is the timer's, which its comparator tells by having moved on
 * (2.3.9.2.2).
 */
bool hpet_nmi_fired(void);
#endif
