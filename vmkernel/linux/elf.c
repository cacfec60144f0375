// SPDX-License-Identifier: Apache-2.0
/* Checks of ELF headers. */
#include "linux/elf.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/string.h"

enum {
	EI_CLASS = 4,
	EI_DATA = 5,
	EI_VERSION = 6,
	ELFCLASS64 = 2,
	ELFDATA2LSB = 1,
	EV_CURRENT = 1,
	ET_EXEC = 2,
	ET_DYN = 3,
	EM_X86_64 = 62,
	PT_LOAD = 1,
	PT_INTERP = 3,
	PT_PHDR = 6,
	PT_GNU_STACK = 0x6474e551,
};

struct elf_header {
	uint8_t ident[16];
	uint16_t type, machine;
	uint32_t version;
	uint64_t entry, phoff, shoff;
	uint32_t flags;
	uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
ASSERT_SIZE(struct elf_header, ELF_HEADER_SIZE);

struct elf_phdr {
	uint32_t type, flags;
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
ASSERT_SIZE(struct elf_phdr, ELF_PHDR_SIZE);

int elf_parse_header(const uint8_t header[ELF_HEADER_SIZE], uint64_t file_size, struct elf_image *e)
{
	struct elf_header h;

	/* The table's size is bounded by its count before it is bounded by the file. */
	memcpy(&h, header, sizeof(h));
	if (memcmp(h.ident, "\177ELF", 4) != 0 || h.ident[EI_CLASS] != ELFCLASS64 ||
	    h.ident[EI_DATA] != ELFDATA2LSB || h.ident[EI_VERSION] != EV_CURRENT ||
	    (h.type != ET_EXEC && h.type != ET_DYN) || h.machine != EM_X86_64 ||
	    h.phentsize != ELF_PHDR_SIZE || h.phnum == 0 || h.phnum > ELF_SEGMENTS_MAX ||
	    h.phoff > file_size || (uint64_t)h.phnum * ELF_PHDR_SIZE > file_size - h.phoff)
		return -ENOEXEC;
	*e = (struct elf_image){ .entry = h.entry,
		                 .relocatable = h.type == ET_DYN,
		                 .phdr_count = h.phnum,
		                 .phdr_offset = h.phoff };
	return 0;
}

static int add_load(struct elf_image *e, const struct elf_phdr *p, uint64_t file_size)
{
	struct elf_segment *s = &e->segment[e->segments];
	uint64_t skew = p->vaddr % PAGE_SIZE;

	if (p->memsz == 0)
		return 0;
	/* Subtractions, not sums: none of the file's words can overflow a comparison. */
	if (p->filesz > p->memsz || p->offset > file_size || p->filesz > file_size - p->offset ||
	    p->memsz > USER_END || p->vaddr > USER_END - p->memsz || p->offset % PAGE_SIZE != skew)
		return -ENOEXEC;
	*s = (struct elf_segment){ .vaddr = p->vaddr - skew,
		                   .offset = p->offset - skew,
		                   .file_len = p->filesz ? p->filesz + skew : 0,
		                   .mem_len = p->memsz + skew,
		                   .flags = p->flags & (ELF_R | ELF_W | ELF_X) };
	/* In rising order and in different pages, so that mapping one never harms another. */
	if (e->segments && s->vaddr < ALIGN_UP(e->high, PAGE_SIZE))
		return -ENOEXEC;
	if (!e->segments)
		e->low = s->vaddr;
	e->high = s->vaddr + s->mem_len;
	/* AT_PHDR: where the program headers lie in memory, if a segment holds them. */
	if (!e->phdr_vaddr && e->phdr_offset >= s->offset &&
	    e->phdr_offset - s->offset < s->file_len)
		e->phdr_vaddr = s->vaddr + (e->phdr_offset - s->offset);
	e->segments++;
	return 0;
}

int elf_parse_segments(const uint8_t *phdrs, uint64_t file_size, struct elf_image *e)
{
	int err = 0;

	e->stack_exec = false; /* without PT_GNU_STACK, as Linux on x86-64 */
	for (unsigned i = 0; i < e->phdr_count && !err; i++) {
		struct elf_phdr p;

		memcpy(&p, phdrs + i * ELF_PHDR_SIZE, sizeof(p));
		switch (p.type) {
		case PT_LOAD: err = add_load(e, &p, file_size); break;
		case PT_INTERP:
			if (p.filesz < 2 || p.filesz > ELF_INTERP_MAX || p.offset > file_size ||
			    p.filesz > file_size - p.offset)
				return -ENOEXEC;
			e->interp_offset = p.offset;
			e->interp_len = p.filesz;
			break;
		case PT_GNU_STACK: e->stack_exec = p.flags & ELF_X; break;
		default: break;
		}
	}
	return err ? err : e->segments ? 0 : -ENOEXEC;
}
