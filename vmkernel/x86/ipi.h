// SPDX-License-Identifier: Apache-2.0
/* Interprocessor interrupts of vmk/cpu.h and tlb_shootdown(). */
#ifndef X86_IPI_H
#define X86_IPI_H

void ipi_init(void); /* boot CPU */
#endif
