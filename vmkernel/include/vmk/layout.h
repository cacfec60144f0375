// SPDX-License-Identifier: Apache-2.0
/*
 * The kernel's half of every address space. Each area starts at a top-level entry of its own; those
 * entries are filled once at boot, so a new address space copies them and never has to follow later
 * changes. Also included by assembly and by the linker script's reader: plain numbers only at the
 * top.
 */
#ifndef VMK_LAYOUT_H
#define VMK_LAYOUT_H

#define USER_END    0x00007ffffffff000 /* first address that a userworld cannot have */
#define DIRECT_BASE 0xffff800000000000 /* all of RAM, RW NX, by 1 GiB and 2 MiB pages */
#define DIRECT_SIZE 0x0000400000000000
#define KMAP_BASE   0xffffc00000000000 /* device registers, stacks, vmalloc: mm/kmap.c */
#define KMAP_SIZE   0x0000008000000000 /* one top-level entry */
#define DEVMAP_BASE 0xffffd00000000000 /* registers of APICs and HPET: x86/paging_init.c */
#define DEVMAP_SIZE 0x0000008000000000
#define FRAMES_BASE 0xffffe00000000000 /* struct frame by page frame number: mm/frame.c */
#define FRAMES_SIZE 0x0000008000000000
#define IMAGE_BASE \
	0xffffffff80000000 /* the image: link address = IMAGE_BASE + preferred machine address */

#ifndef __ASSEMBLER__
#include "vmk/types.h"

/* The direct map before (and below) mm: pa_to_va() is for everyone else. */
#ifdef VMK_HOST
extern char *direct_host; /* a test's stand-in for RAM */
#define DIRECT_START ((uintptr_t)direct_host)
#else
#define DIRECT_START DIRECT_BASE
#endif
static inline void *direct_va(pa_t pa)
{
	return (void *)(uintptr_t)(DIRECT_START + pa);
}
static inline pa_t direct_pa(const void *va)
{
	return (uintptr_t)va - DIRECT_START;
}

/* Section bounds of the image (vmkernel.ld), all page aligned. */
extern char image_start[], image_text_end[], image_rodata_end[], image_end[];
#endif
#endif
