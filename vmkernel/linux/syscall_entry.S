// SPDX-License-Identifier: Apache-2.0
/*
 * Where SYSCALL lands: builds a struct trap_frame at the top of the thread's kernel stack, as traps from
 * ring 3 do. vector is TRAP_SYSCALL, error the number of the call. Spec: AMD APM 2 6.1.1, Intel SDM 2B SYSCALL.
 */
#include "asm_offsets.h"
#include "x86/gdt.h"

	.text
	.globl syscall_entry
syscall_entry:
	swapgs
	mov	%rsp, %gs:PERCPU_USER_RSP
	mov	%gs:PERCPU_KERNEL_RSP, %rsp
	push	$SEL_USER_DATA
	push	%gs:PERCPU_USER_RSP
	push	%r11			/* RFLAGS */
	push	$SEL_USER_CODE
	push	%rcx			/* RIP */
	push	%rax
	push	$0x100			/* TRAP_SYSCALL */
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
	mov	%rsp, %rdi
	call	syscall_dispatch
	test	%al, %al
	mov	%rsp, %rdi
	jz	trap_return
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
	mov	(FRAME_RSP - FRAME_VECTOR)(%rsp), %rsp
	swapgs
	sysretq

	.section .note.GNU-stack, "", @progbits
