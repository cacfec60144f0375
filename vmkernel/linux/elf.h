// SPDX-License-Identifier: Apache-2.0
/*
 * ELF64 programs: reading and checking what a file says. Pure, host-tested; nothing is believed.
 * Spec: System V ABI, ELF-64 Object File Format 1.5; x86-64 psABI 5.1.
 */
#ifndef LINUX_ELF_H
#define LINUX_ELF_H
#include "vmk/types.h"

enum { ELF_HEADER_SIZE = 64, ELF_PHDR_SIZE = 56, ELF_SEGMENTS_MAX = 32, ELF_INTERP_MAX = 256 };
enum { ELF_R = 4, ELF_W = 2, ELF_X = 1 }; /* PF_* */

struct elf_segment {       /* a PT_LOAD, page-aligned where the file must be mapped */
	uint64_t vaddr;    /* of the first page; before the load bias */
	uint64_t offset;   /* in the file, of that page */
	uint64_t file_len; /* mapped from the file, from the page's start */
	uint64_t mem_len;  /* in all; the rest is zero */
	unsigned flags;
};

struct elf_image {
	uint64_t entry;   /* before the load bias */
	bool relocatable; /* ET_DYN: may be put anywhere */
	unsigned segments;
	struct elf_segment segment[ELF_SEGMENTS_MAX];
	uint64_t phdr_vaddr; /* of the program headers, 0 when not loaded */
	unsigned phdr_count;
	uint64_t phdr_offset;               /* in the file */
	uint64_t low, high;                 /* bounds of the segments */
	uint64_t interp_offset, interp_len; /* with the 0; interp_len 0: static */
	bool stack_exec;
};

/*
 * From the first ELF_HEADER_SIZE bytes: where the program headers are. 0, -ENOEXEC (also for other
 * machines),
 */
int __must_check elf_parse_header(const uint8_t header[ELF_HEADER_SIZE], uint64_t file_size,
                                  struct elf_image *e);
/* From the program headers (phdr_count * ELF_PHDR_SIZE bytes): 0 or -ENOEXEC. */
int __must_check elf_parse_segments(const uint8_t *phdrs, uint64_t file_size, struct elf_image *e);
#endif
