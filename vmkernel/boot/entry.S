// SPDX-License-Identifier: Apache-2.0
/*
 * From the boot loader to C. GRUB enters in 32-bit protected mode without paging, EAX = magic, EBX = boot
 * information, and the image wherever there was room. Until paging is on, code here may only use addresses relative
 * to EBP = the distance between where the image is and where it was linked to be.
 * Spec: Multiboot2 2.0, 3.3; Intel SDM 3A 10.8.5.
 */
#include "early/multiboot2.h"
#include "vmk/layout.h"
#include "x86/gdt.h"
#include "asm_offsets.h"

#define PHYS(sym)    ((sym) - IMAGE_BASE)
#define PTE_TABLE    0x003 /* present, writable */
#define PTE_LARGE    0x083
#define EARLY_IMAGE  16 /* large pages of the image that are mapped early */
#define SCREEN_WIDTH 1024
#define SCREEN_HEIGHT 768

	.section .multiboot, "a"
	.balign 8
mb2_header:
	.long MB2_HEADER_MAGIC, 0, mb2_header_end - mb2_header
	.long -(MB2_HEADER_MAGIC + (mb2_header_end - mb2_header))
	/* Anywhere below 2 GiB, 2 MiB aligned, as low as possible. */
	.balign 8
	.short MB2_HEADER_RELOCATABLE, 0
	.long 24, LARGE_PAGE, 0x7fffffff, LARGE_PAGE, 1
	/* A screen if there is one (optional). */
	.balign 8
	.short MB2_HEADER_FRAMEBUFFER, 1
	.long 20, SCREEN_WIDTH, SCREEN_HEIGHT, 32
	.balign 8
	.short MB2_HEADER_END, 0
	.long 8
mb2_header_end:

	.section .text.entry, "ax"
	.code32
	.globl boot_entry
boot_entry:
	cli
	cld
	mov	%eax, %edi		/* boot_main's arguments */
	mov	%ebx, %esi
	lea	8(%ebx), %esp		/* no stack yet: the information's reserved word holds one address */
	call	1f
1:	pop	%ebp
	sub	$PHYS(1b), %ebp

	mov	$0x80000000, %eax
	cpuid
	cmp	$0x80000001, %eax
	jb	no_long_mode
	mov	$0x80000001, %eax
	cpuid
	and	$(CPUID_LM | CPUID_NX), %edx
	cmp	$(CPUID_LM | CPUID_NX), %edx
	jne	no_long_mode

	/* 4 GiB by large pages, at 0 and at DIRECT_BASE. */
	lea	PHYS(early_pd)(%ebp), %ebx
	mov	$PTE_LARGE, %eax
	xor	%ecx, %ecx
2:	mov	%eax, (%ebx,%ecx,8)
	add	$LARGE_PAGE, %eax
	inc	%ecx
	cmp	$(4 * 512), %ecx
	jne	2b
	lea	PTE_TABLE(%ebx), %eax
	lea	PHYS(early_pdpt)(%ebp), %ebx
	xor	%ecx, %ecx
3:	mov	%eax, (%ebx,%ecx,8)
	add	$0x1000, %eax
	inc	%ecx
	cmp	$4, %ecx
	jne	3b
	lea	PHYS(early_root)(%ebp), %edx
	lea	PTE_TABLE(%ebx), %eax
	mov	%eax, (%edx)
	mov	%eax, ((DIRECT_BASE >> 39) & 511) * 8(%edx)

	/* The image at its link address. */
	lea	PHYS(early_image_pd)(%ebp), %ebx
	lea	PHYS(image_start)(%ebp), %eax
	add	$PTE_LARGE, %eax
	mov	$1, %ecx
4:	mov	%eax, (%ebx,%ecx,8)
	add	$LARGE_PAGE, %eax
	inc	%ecx
	cmp	$(EARLY_IMAGE + 1), %ecx
	jne	4b
	lea	PTE_TABLE(%ebx), %eax
	lea	PHYS(early_image_pdpt)(%ebp), %ebx
	mov	%eax, ((IMAGE_BASE >> 30) & 511) * 8(%ebx)
	lea	PTE_TABLE(%ebx), %eax
	mov	%eax, ((IMAGE_BASE >> 39) & 511) * 8(%edx)

	mov	%cr4, %eax
	or	$CR4_PAE, %eax
	mov	%eax, %cr4
	mov	%edx, %cr3
	mov	$MSR_EFER, %ecx
	rdmsr
	or	$(EFER_LME | EFER_NXE), %eax
	wrmsr
	mov	%cr0, %eax
	or	$(CR0_PG | CR0_WP), %eax
	mov	%eax, %cr0

	lea	PHYS(early_gdt)(%ebp), %eax
	mov	%eax, PHYS(early_gdtr + 2)(%ebp)
	lgdt	PHYS(early_gdtr)(%ebp)
	lea	PHYS(boot_stack_top)(%ebp), %esp
	lea	PHYS(boot_entry64)(%ebp), %eax
	push	$SEL_KERNEL_CODE
	push	%eax
	lret

/* Nothing to say it with but the first serial port. */
no_long_mode:
	lea	PHYS(no_long_mode_text)(%ebp), %esi
	mov	$0x3f8, %edx
5:	lodsb
	test	%al, %al
	jz	6f
	out	%al, %dx
	jmp	5b
6:	hlt
	jmp	6b

	.code64
boot_entry64:
	movabs	$1f, %rax
	jmp	*%rax
1:	xor	%eax, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	%eax, %fs
	mov	%eax, %gs
	mov	$boot_stack_top, %rsp
	mov	$percpu_boot, %rax
	mov	%rax, %rdx
	shr	$32, %rdx
	mov	$MSR_GS_BASE, %ecx
	wrmsr
	mov	%rax, percpu_boot + PERCPU_SELF
	mov	%edi, %edi
	mov	%esi, %esi
	lea	PHYS(image_start)(%rbp), %edx
	xor	%ebp, %ebp		/* end of every backtrace */
	push	%rbp
	push	%rbp
	call	boot_main

	.section .rodata, "a"
no_long_mode_text:
	.asciz "vmkernel: this CPU has no 64-bit mode with NX; Tepui cannot run on it\r\n"

	.section .data, "aw"
	.balign 8
early_gdt:
	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
early_gdtr:
	.short 23
	.long 0

	.section .bss.pages, "aw", @nobits
	.balign 4096
early_root:	  .skip 4096
early_pdpt:	  .skip 4096
early_pd:	  .skip 4 * 4096
early_image_pdpt: .skip 4096
early_image_pd:	  .skip 4096
	.globl boot_stack_guard, boot_stack_top
boot_stack_guard: .skip 4096	/* unmapped by paging_init() */
		  .skip 16384
boot_stack_top:
	.section .note.GNU-stack, "", @progbits
