// SPDX-License-Identifier: Apache-2.0
/* The switch between two worlds' kernel stacks. Interrupts are off. */
	.section .text
	.globl world_switch
	.type world_switch, @function
world_switch:				/* rdi: from, rsi: to; struct world.sp comes first */
	push %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	mov %rsp, (%rdi)
	mov (%rsi), %rsp
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size world_switch, . - world_switch
	.section .note.GNU-stack, "", @progbits
