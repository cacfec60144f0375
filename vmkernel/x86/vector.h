// SPDX-License-Identifier: Apache-2.0
/* Interrupt vectors of each CPU, handed out to sources. */
#ifndef X86_VECTOR_H
#define X86_VECTOR_H
#include "vmk/types.h"

void vector_init(void);
/*
 * fn(arg) runs on the CPU with interrupts off when the vector comes; it need not write the EOI.
 * Returns the vector or -ENOSPC.
 */
int __must_check vector_alloc(unsigned cpu, void (*fn)(void *arg), void *arg);
/*
 * The source is masked. Waits until fn does not run: interrupts on, not from the CPU's own handler.
 */
void vector_free(unsigned cpu, unsigned vector);
unsigned vector_used(unsigned cpu);
#endif
