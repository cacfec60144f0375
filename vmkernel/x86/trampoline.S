// SPDX-License-Identifier: Apache-2.0
/*
 * Where another CPU wakes up: real mode, at the start of a page below 1 MiB to which smp.c copies this code. It
 * goes to long mode on the page tables of smp_trampoline_root, which also map that page at its own address, finds
 * its struct percpu by its APIC ID, and calls ap_entry (smp.c) on its stack. Spec: Intel SDM 3A 8.4.4.
 */
#include "x86/gdt.h"
#include "asm_offsets.h"

#define HERE(label) (label - trampoline_start)

	.section .rodata, "a"
	.balign 16
	.globl trampoline_start, trampoline_end, trampoline_root
	.code16
trampoline_start:
	cli
	cld
	mov	%cs, %ax
	mov	%ax, %ds
	movzwl	%ax, %ebx
	shl	$4, %ebx		/* EBX: this page */
	lea	HERE(trampoline_gdt)(%ebx), %eax
	mov	%eax, HERE(trampoline_gdtr + 2)
	lea	HERE(2f)(%ebx), %eax
	mov	%eax, HERE(far64)
	lgdtl	HERE(trampoline_gdtr)
	mov	$(CR4_PAE), %eax
	mov	%eax, %cr4
	mov	HERE(trampoline_root), %eax
	mov	%eax, %cr3
	mov	$MSR_EFER, %ecx
	xor	%edx, %edx
	mov	$(EFER_LME | EFER_NXE), %eax
	wrmsr
	mov	$(CR0_PG | CR0_PE | CR0_WP), %eax
	mov	%eax, %cr0
	ljmpl	*HERE(far64)

	.code64
2:	movabs	$ap_find, %rax
	jmp	*%rax

	.balign 8
trampoline_root: .long 0
far64:		.long 0
		.word SEL_KERNEL_CODE
		.balign 8
trampoline_gdt:	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
trampoline_gdtr: .word 23
		.long 0
trampoline_end:

	.text
/* In the image now, without a stack: which CPU is this? */
ap_find:
	mov	$SEL_KERNEL_DATA, %eax
	mov	%eax, %ss
	mov	%eax, %ds
	mov	%eax, %es
	xor	%eax, %eax
	cpuid
	cmp	$0xb, %eax
	jb	1f
	mov	$0xb, %eax
	xor	%ecx, %ecx
	cpuid
	test	%ebx, %ebx		/* the leaf is there but empty without x2APIC topology */
	jz	1f
	mov	%edx, %edi
	jmp	2f
1:	mov	$1, %eax
	cpuid
	shr	$24, %ebx
	mov	%ebx, %edi
2:	xor	%ecx, %ecx
3:	mov	percpu(,%rcx,8), %rsi
	test	%rsi, %rsi
	jz	4f
	cmp	%edi, PERCPU_APIC_ID(%rsi)
	je	5f
	inc	%ecx
	cmp	$CPUS_MAX, %ecx
	jb	3b
4:	cli				/* nobody waits for this CPU */
	hlt
	jmp	4b
5:	mov	PERCPU_KERNEL_RSP(%rsi), %rsp
	mov	%rsi, %rax
	mov	%rsi, %rdx
	shr	$32, %rdx
	mov	$MSR_GS_BASE, %ecx
	wrmsr
	mov	%rsi, %rdi
	xor	%ebp, %ebp
	push	%rbp
	push	%rbp
	call	ap_entry

	.section .note.GNU-stack, "", @progbits
