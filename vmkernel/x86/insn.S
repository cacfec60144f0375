// SPDX-License-Identifier: Apache-2.0
/*
 * Functions that C cannot say in one instruction: segment registers, and MSRs that may not exist.
 * Spec: Intel SDM 3A 5.8.1 (far return), 4 RDMSR, WRMSR.
 */
#include "x86/gdt.h"
#include "x86/smap.h"
#include "asm_offsets.h"

	.text

/* void gdt_reload(const struct gdt_pointer *): the table, and CS and the data segments from it. */
	.globl gdt_reload
gdt_reload:
	lgdt	(%rdi)
	mov	$SEL_KERNEL_DATA, %eax
	mov	%eax, %ss
	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %fs
	mov	%eax, %gs
	pop	%rax
	push	$SEL_KERNEL_CODE
	push	%rax
	lretq

/* bool rdmsr_safe(uint32_t msr, uint64_t *value): false when the MSR does not exist (#GP). */
	.globl rdmsr_safe
rdmsr_safe:
	mov	%edi, %ecx
1:	rdmsr
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, (%rsi)
	mov	$1, %eax
	ret
2:	xor	%eax, %eax
	ret
	EXTABLE(1b, 2b)

/* bool wrmsr_safe(uint32_t msr, uint64_t value) */
	.globl wrmsr_safe
wrmsr_safe:
	mov	%edi, %ecx
	mov	%rsi, %rax
	mov	%rsi, %rdx
	shr	$32, %rdx
1:	wrmsr
	mov	$1, %eax
	ret
2:	xor	%eax, %eax
	ret
	EXTABLE(1b, 2b)

	.section .note.GNU-stack, "", @progbits
