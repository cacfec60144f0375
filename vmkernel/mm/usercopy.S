// SPDX-License-Identifier: Apache-2.0
/*
 * The only instructions of the kernel that touch user memory. A page fault that cannot be resolved
 * ends the function with -EFAULT through the exception table. Callers have checked that addresses
 * lie below USER_END.
 */
#include "x86/smap.h"

#define EFAULT 14

	.text

/* int user_copy(void *dst, const void *src, size_t n) */
	.globl user_copy
user_copy:
	mov	%rdx, %rcx
	shr	$3, %rcx
	and	$7, %edx
	SMAP_STAC
1:	rep movsq
	mov	%edx, %ecx
2:	rep movsb
	SMAP_CLAC
	xor	%eax, %eax
	ret
	EXTABLE(1b, 9f)
	EXTABLE(2b, 9f)

/* int user_load32(const uint32_t *src, uint32_t *out): one access */
	.globl user_load32
user_load32:
	SMAP_STAC
4:	mov	(%rdi), %ecx
	SMAP_CLAC
	mov	%ecx, (%rsi)
	xor	%eax, %eax
	ret
	EXTABLE(4b, 9f)

/*
 * int user_cmpxchg32(uint32_t *p, uint32_t *expected, uint32_t desired)
 * *expected becomes the value that was there.
 */
	.globl user_cmpxchg32
user_cmpxchg32:
	mov	(%rsi), %eax
	SMAP_STAC
5:	lock cmpxchg %edx, (%rdi)
	SMAP_CLAC
	mov	%eax, (%rsi)
	xor	%eax, %eax
	ret
	EXTABLE(5b, 9f)

9:	SMAP_CLAC
	mov	$-EFAULT, %eax
	ret

	.section .note.GNU-stack, "", @progbits
