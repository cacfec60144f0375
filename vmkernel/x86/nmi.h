// SPDX-License-Identifier: Apache-2.0
/* Who is told of a non-maskable interrupt. */
#ifndef X86_NMI_H
#define X86_NMI_H
#include "x86/trap.h"

/* In front of all others: a panic stops this CPU. Installs itself; boot CPU. */
void nmi_init(void);
/*
 * fn sees every NMI that is not a panic's, on the CPU it came to; true: it was expected. One
 * handler.
 */
void nmi_set_watchdog(bool (*fn)(struct trap_frame *f));
#endif
