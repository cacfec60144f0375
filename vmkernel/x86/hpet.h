// SPDX-License-Identifier: Apache-2.0
/* The HPET beyond its counter (x86/clock.h). */
#ifndef X86_HPET_H
#define X86_HPET_H
#include "vmk/types.h"

/* A periodic NMI to this CPU from a timer, through an I/O APIC line of its own; false: the HPET cannot. */
bool hpet_start_nmi(ns_t period);
#endif
