// SPDX-License-Identifier: Apache-2.0
/*
 * Segments and the task state. Spec: Intel SDM 3A 3.4.5, 8.7; the order suits SYSCALL/SYSRET (AMD
 * APM 2 6.1.1).
 */
#ifndef X86_GDT_H
#define X86_GDT_H

#define SEL_KERNEL_CODE 0x08
#define SEL_KERNEL_DATA 0x10
#define SEL_USER_CODE32 0x1b /* SYSRET wants it here; never used */
#define SEL_USER_DATA   0x23
#define SEL_USER_CODE   0x2b
#define SEL_TSS         0x30
/* its limit is what ring 3 reads with LSL: CPU and node, from bit 12 on */
#define SEL_CPU 0x43

#define IST_NMI    1
#define IST_DOUBLE 2
#define IST_MCE    3

#ifndef __ASSEMBLER__
#include "vmk/types.h"

struct tss {
	uint32_t reserved0;
	uint64_t rsp[3];
	uint64_t reserved1;
	uint64_t ist[7]; /* ist[n - 1] is IST n */
	uint64_t reserved2;
	uint16_t reserved3, iomap;
} __packed;
ASSERT_SIZE(struct tss, 104);

struct gdt {
	uint64_t entry[10];
};

struct percpu;
/* Loads GDT, TSS and GS base; p becomes this CPU's block. */
void gdt_load(struct percpu *p);
/* Tells ring 3 this CPU's number and node. */
void gdt_set_cpu(struct percpu *p);
/*
 * Interrupt stack n (IST_...) of the CPU; top is 16-aligned. What is there already stays in use
 * until then.
 */
void gdt_set_ist(struct percpu *p, unsigned ist, void *top);
#endif
#endif
