// SPDX-License-Identifier: Apache-2.0
/*
 * From PVH's 32-bit entry to 64-bit C: the first 4 GiB mapped onto themselves by 2 MiB pages, and a stub
 * for each vector that ends in trap(). Spec: Xen docs/misc/pvh.pandoc; AMD APM 2, 14.
 */
	.section .note, "a", @note
	.long	4, 4, 18		/* name, description, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	start32

	.text
	.code32
	.globl	start32
start32:
	cli
	mov	$stack_top, %esp
	mov	%ebx, %edi
	mov	$pd, %ebx
	mov	$0x83, %eax		/* present, writable, large */
1:	mov	%eax, (%ebx)
	add	$8, %ebx
	add	$0x200000, %eax
	jnc	1b
	mov	$4, %ecx
	mov	$pd + 3, %eax
	mov	$pdpt, %ebx
2:	mov	%eax, (%ebx)
	add	$0x1000, %eax
	add	$8, %ebx
	loop	2b
	movl	$pdpt + 3, pml4
	mov	$0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	mov	%eax, %cr4
	mov	$pml4, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx
	rdmsr
	or	$0x100, %eax
	wrmsr
	mov	$0x80000033, %eax	/* PG, NE, ET, MP, PE */
	mov	%eax, %cr0
	lgdt	gdtr
	ljmp	$8, $start64
	.code64
start64:
	mov	$16, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%edi, %edi
	call	guest_main
3:	cli
	hlt
	jmp	3b

	/* One stub a vector, 16 bytes each; a dummy where the processor pushes no error code. */
	.globl	stubs
	.balign	16
stubs:
	.set	vector, 0
	.rept	256
	.balign	16
	.if	!(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	push	$0
	.endif
	push	$vector
	jmp	common
	.set	vector, vector + 1
	.endr
common:
	push	%rax
	push	%rcx
	push	%rdx
	push	%rsi
	push	%rdi
	push	%r8
	push	%r9
	push	%r10
	push	%r11
	lea	72(%rsp), %rdi
	cld
	call	trap
	pop	%r11
	pop	%r10
	pop	%r9
	pop	%r8
	pop	%rdi
	pop	%rsi
	pop	%rdx
	pop	%rcx
	pop	%rax
	add	$16, %rsp
	iretq

	.data
	.balign	8
gdt:	.quad	0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdtr:	.word	23
	.long	gdt
	.bss
	.balign	4096
pml4:	.skip	4096
pdpt:	.skip	4096
pd:	.skip	4 * 4096
	.skip	16384
stack_top:
