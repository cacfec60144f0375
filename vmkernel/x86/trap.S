// SPDX-License-Identifier: Apache-2.0
/*
 * Entry and exit of exceptions and interrupts; builds struct trap_frame for trap_dispatch() (trap.c).
 * GS holds the kernel's base in the kernel and the userworld's in ring 3. Spec: Intel SDM 3A 6.12, 6.14.
 */
#include "x86/gdt.h"
#include "x86/smap.h"
#include "asm_offsets.h"

	.text

.macro PUSH_REGISTERS
	push	%rdi
	push	%rsi
	push	%rdx
	push	%rcx
	push	%rax
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	push	%rbx
	push	%rbp
	push	%r12
	push	%r13
	push	%r14
	push	%r15
	cld
	SMAP_CLAC
.endm

.macro POP_REGISTERS
	pop	%r15
	pop	%r14
	pop	%r13
	pop	%r12
	pop	%rbp
	pop	%rbx
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rax
	pop	%rcx
	pop	%rdx
	pop	%rsi
	pop	%rdi
	add	$16, %rsp		/* vector and error code */
.endm

/* 256 stubs, TRAP_STUB_SIZE bytes each. */
	.globl trap_stubs
	.balign 16
trap_stubs:
	vector = 0
.rept 256
	.balign TRAP_STUB_SIZE
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
	push	$0
	.endif
	push	$vector
	.if vector == 2 || vector == 8 || vector == 18
	jmp	trap_paranoid
	.else
	jmp	trap_common
	.endif
	vector = vector + 1
.endr

	.balign 16
trap_common:
	testb	$3, (FRAME_CS - FRAME_VECTOR)(%rsp)
	jz	1f
	swapgs
	lfence				/* no speculation with the userworld's base */
1:	PUSH_REGISTERS
	mov	%rsp, %rdi
	call	trap_dispatch
trap_leave:
	testb	$3, FRAME_CS(%rsp)
	jz	2f
	swapgs
2:	POP_REGISTERS
	iretq

	.globl trap_return
trap_return:
	mov	%rdi, %rsp
	jmp	trap_leave

/*
 * NMI, double fault, machine check: may come between an entry and its SWAPGS, so GS says nothing.
 * Each has a stack of its own with the CPU's percpu pointer above the frame (gdt_set_ist).
 */
trap_paranoid:
	PUSH_REGISTERS
	mov	$MSR_GS_BASE, %ecx
	rdmsr
	shl	$32, %rdx
	or	%rdx, %rax
	mov	%rax, %rbx
	mov	FRAME_SIZE(%rsp), %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	wrmsr
	mov	%rsp, %rdi
	call	trap_dispatch
	mov	%rbx, %rax
	mov	%rbx, %rdx
	shr	$32, %rdx
	mov	$MSR_GS_BASE, %ecx
	wrmsr
	POP_REGISTERS
	iretq

	.section .note.GNU-stack, "", @progbits
