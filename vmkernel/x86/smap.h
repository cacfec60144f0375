// SPDX-License-Identifier: Apache-2.0
/*
 * STAC and CLAC in assembly: three-byte NOPs until smap_enable() (cpu.c) finds that the CPU has
 * SMAP and writes the instructions over them. Spec: Intel SDM 3A 4.6, 2B.
 */
#ifndef X86_SMAP_H
#define X86_SMAP_H

// clang-format off
#define SMAP_PATCH_(insn)                                                                          \
	661: .byte 0x0f, 0x1f, 0x00;                                                               \
	.pushsection .smap, "a";                                                                   \
	.quad 661b, insn;                                                                          \
	.popsection
#define SMAP_CLAC SMAP_PATCH_(0xca010f) /* user memory is closed */
#define SMAP_STAC SMAP_PATCH_(0xcb010f) /* user memory is open: only around the copying loop */

/* If the instruction at label `from` faults in the kernel, execution goes on at `to`. */
#define EXTABLE(from, to)                                                                          \
	.pushsection .extable, "a";                                                                \
	.balign 8;                                                                                 \
	.quad from, to;                                                                            \
	.popsection
// clang-format on
#endif
