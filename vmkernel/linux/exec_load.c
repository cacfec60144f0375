// SPDX-License-Identifier: Apache-2.0
/*
 * Building the memory of a new program: segments of the ELF file and its interpreter, the stack
 * with arguments and the auxiliary vector. Works on an address space that is not loaded yet. Spec:
 * x86-64 psABI 3.4, getauxval(3).
 */
#include "mm/aspace.h"
#include "linux/exec.h"
#include "proc/proc.h"
#include "proc/signal_frame.h"
#include "vmk/errno.h"
#include "vmk/fdtable.h"
#include "vmk/layout.h"
#include "vmk/mm.h"
#include "vmk/random.h"
#include "vmk/string.h"
#include "x86/cpu.h"
#include "x86/fpu.h"
#include "x86/insn.h"

enum {
	AT_NULL = 0,
	AT_PHDR = 3,
	AT_PHENT = 4,
	AT_PHNUM = 5,
	AT_PAGESZ = 6,
	AT_BASE = 7,
	AT_FLAGS = 8,
	AT_ENTRY = 9,
	AT_UID = 11,
	AT_EUID = 12,
	AT_GID = 13,
	AT_EGID = 14,
	AT_PLATFORM = 15,
	AT_HWCAP = 16,
	AT_CLKTCK = 17,
	AT_SECURE = 23,
	AT_RANDOM = 25,
	AT_HWCAP2 = 26,
	AT_EXECFN = 31,
	AT_SYSINFO_EHDR = 33,
	AT_MINSIGSTKSZ = 51,
	AUX_PAIRS = 21,
	HWCAP2_FSGSBASE = 2,
	CLOCK_TICKS = 100,
};
/*
 * Where a position-independent program goes, and how far addresses are spread (pages, powers of
 * two).
 */
#define PIE_BASE 0x555555554000ull
enum { PIE_SPREAD = 1 << 22, STACK_SPREAD = 1 << 20, MMAP_SPREAD = 1 << 20, BRK_SPREAD = 1 << 13 };
#define STACK_ROOM_MAX (1 * GiB)
#define STACK_GUARD    (1 * MiB)

/* A random distance below `pages`, a power of two; in bytes. */
static uint64_t spread(uint64_t pages)
{
	return (random_u64() & (pages - 1)) << PAGE_SHIFT;
}

static int read_image(struct file *f, struct elf_image *e)
{
	uint64_t size = f->inode->st.size;
	uint8_t header[ELF_HEADER_SIZE], *phdrs;
	size_t n;
	int err;

	/*
	 * Read once into our own memory and checked there: the file may be written meanwhile. Its
	 * size only bounds the segments; a mapping beyond the end gives SIGBUS, no harm.
	 */
	if (file_read_kernel(f, header, sizeof(header), 0) != sizeof(header))
		return -ENOEXEC;
	err = elf_parse_header(header, size, e);
	if (err)
		return err;
	n = e->phdr_count * ELF_PHDR_SIZE;
	phdrs = kmalloc(n);
	if (!phdrs)
		return -ENOMEM;
	if (file_read_kernel(f, phdrs, n, e->phdr_offset) == (ssize_t)n)
		err = elf_parse_segments(phdrs, size, e);
	else
		err = -EIO;
	kfree(phdrs);
	return err;
}

static unsigned area_prot(unsigned elf_flags)
{
	return (elf_flags & ELF_R ? AREA_READ : 0) | (elf_flags & ELF_W ? AREA_WRITE : 0) |
	       (elf_flags & ELF_X ? AREA_EXEC : 0);
}

static int map_fixed(struct aspace *as, uva_t va, uint64_t len, unsigned flags, struct memobj *obj,
                     uint64_t off)
{
	int64_t at = aspace_map(as, va, len, flags | AREA_FIXED, obj, off);

	return at < 0 ? (int)at : 0;
}

static int map_segment(struct aspace *as, struct file *f, const struct elf_segment *s,
                       uint64_t bias)
{
	static const uint8_t zeros[256];
	uint64_t file_end = ALIGN_UP(s->file_len, PAGE_SIZE),
		 mem_end = ALIGN_UP(s->mem_len, PAGE_SIZE), off;
	unsigned prot = area_prot(s->flags);
	struct memobj *obj;
	int err = 0;

	/*
	 * Bounds and overlaps were checked by elf_parse_segments(). Private mappings: writes go to
	 * copies. The file holds the object until aspace_map() has taken its own reference.
	 */
	if (s->file_len) {
		if (!f->ops->mmap)
			return -ENODEV;
		err = f->ops->mmap(f, s->offset, file_end, prot, false, &obj, &off);
		if (!err)
			err = map_fixed(as, s->vaddr + bias, file_end, prot, obj, off);
	}
	if (!err && mem_end > file_end)
		err = map_fixed(as, s->vaddr + bias + file_end, mem_end - file_end, prot, NULL, 0);
	/* The rest of the last page from the file is bss. */
	if (s->mem_len > s->file_len && s->flags & ELF_W)
		for (uint64_t at = s->file_len; at < file_end && !err;) {
			size_t n = MIN(sizeof(zeros), file_end - at);

			if (aspace_access(as, s->vaddr + bias + at, (void *)(uintptr_t)zeros, n,
			                  true) != (ssize_t)n)
				err = -ENOMEM;
			at += n;
		}
	return err;
}

static int map_image(struct aspace *as, struct file *f, const struct elf_image *e, uva_t hint,
                     uint64_t *bias)
{
	uint64_t len = ALIGN_UP(e->high, PAGE_SIZE) - e->low;
	int64_t base = (int64_t)e->low;
	int err = 0;

	if (e->relocatable) {
		/*
		 * One reservation of the whole range keeps the segments' distances, and no other
		 * mapping can come between them: each segment is mapped over its part.
		 */
		base = aspace_map(as, hint, len, AREA_NORESERVE, NULL, 0);
		if (base < 0)
			return (int)base;
	}
	*bias = (uint64_t)base - e->low;
	for (unsigned i = 0; i < e->segments && !err; i++)
		err = map_segment(as, f, &e->segment[i], *bias);
	return err;
}

/* The interpreter, where the mappings go: its entry and base. */
static int load_interp(struct aspace *as, struct file *f, const struct elf_image *e, uva_t *entry,
                       uint64_t *base)
{
	char path[ELF_INTERP_MAX + 1];
	struct elf_image *interp;
	struct file *file;
	uint64_t bias = 0;
	int err;

	/* The path in the file includes its 0; another one behind it ends a path without. */
	if (file_read_kernel(f, path, e->interp_len, e->interp_offset) != (ssize_t)e->interp_len)
		return -EIO;
	path[e->interp_len] = 0;
	err = vfs_open_exec(-100, path, 0, &file);
	if (err)
		return err;
	interp = kmalloc(sizeof(*interp));
	err = interp ? read_image(file, interp) : -ENOMEM;
	if (err == -ENOEXEC)
		/* as Linux: -ENOEXEC would make a shell read the program as a script */
		err = -EINVAL;
	if (!err)
		err = map_image(as, file, interp, 0, &bias);
	if (!err) {
		*entry = interp->entry + bias;
		*base = interp->low + bias;
	}
	kfree(interp);
	file_put(file);
	return err;
}

static int map_stack(struct aspace *as, uint64_t limit, unsigned exec, uva_t *top)
{
	uint64_t room = MAX(MIN(limit, STACK_ROOM_MAX), EXEC_STRINGS_MAX + 256 * KiB),
		 first = 128 * KiB;

	/*
	 * From the top: the stack, up to its limit but with room for the strings of execve at
	 * least; a gap that a stack overflow hits; then the mappings, growing downwards.
	 */
	*top = USER_END - PAGE_SIZE - spread(STACK_SPREAD);
	as->mmap_top = ALIGN_DOWN(*top - room, PAGE_SIZE) - STACK_GUARD - spread(MMAP_SPREAD);
	as->stack_limit = ALIGN_DOWN(*top - room, PAGE_SIZE);
	return map_fixed(as, *top - first, first,
	                 AREA_READ | AREA_WRITE | exec | AREA_GROWSDOWN | AREA_STACK, NULL, 0);
}

static size_t fill_aux(uint64_t *v, const struct elf_image *e, uint64_t bias, uint64_t base,
                       uva_t vdso, uva_t strings, const struct exec_args *args)
{
	const struct cred *c = cred_current();
	/* AUX_PAIRS of them: build_stack() has made room for as many. */
	const uint64_t pairs[AUX_PAIRS][2] = {
		{ AT_HWCAP, cpuid(1, 0).d },
		{ AT_PAGESZ, PAGE_SIZE },
		{ AT_CLKTCK, CLOCK_TICKS },
		{ AT_PHDR, e->phdr_vaddr ? e->phdr_vaddr + bias : 0 },
		{ AT_PHENT, ELF_PHDR_SIZE },
		{ AT_PHNUM, e->phdr_count },
		{ AT_BASE, base },
		{ AT_FLAGS, 0 },
		{ AT_ENTRY, e->entry + bias },
		{ AT_UID, c->uid },
		{ AT_EUID, c->euid },
		{ AT_GID, c->gid },
		{ AT_EGID, c->egid },
		{ AT_SECURE, c->uid != c->euid || c->gid != c->egid },
		{ AT_RANDOM, strings + args->random_at },
		{ AT_HWCAP2, cpu_features.fsgsbase ? HWCAP2_FSGSBASE : 0 },
		{ AT_EXECFN, strings + args->execfn_at },
		{ AT_PLATFORM, strings + args->platform_at },
		{ AT_MINSIGSTKSZ, fpu_size() + 64 + sizeof(struct rt_sigframe) + RED_ZONE + 64 },
		{ vdso ? AT_SYSINFO_EHDR : AT_NULL, vdso },
		{ AT_NULL, 0 },
	};

	memcpy(v, pairs, sizeof(pairs));
	return sizeof(pairs);
}

/*
 * psABI 3.4.1: at RSP argc, then argv with its NULL, envp with its NULL, the auxiliary vector;
 * the strings above. Built in kernel memory and written once: the address space is not loaded.
 */
static int build_stack(struct aspace *as, uva_t top, const struct exec_args *args,
                       const struct elf_image *e, uint64_t bias, uint64_t base, uva_t vdso,
                       struct exec_image *out)
{
	size_t words = 1 + args->argc + 1 + args->envc + 1 + 2 * AUX_PAIRS, n = 0, at = 0;
	uva_t strings = ALIGN_DOWN(top - args->len - 8, 16); /* a NULL word stays on top */
	uint64_t *v = vmalloc(words * 8);
	int err = 0;

	if (!v)
		return -ENOMEM;
	v[n++] = args->argc;
	for (unsigned i = 0; i < args->argc + args->envc; i++) {
		if (i == args->argc)
			v[n++] = 0;
		v[n++] = strings + at;
		at += strlen(args->buf + at) + 1;
	}
	if (!args->envc)
		v[n++] = 0;
	v[n++] = 0;
	n += fill_aux(v + n, e, bias, base, vdso, strings, args) / 8;
	out->sp = ALIGN_DOWN(strings - n * 8, 16); /* the psABI's alignment at entry */
	if (aspace_access(as, strings, args->buf, args->len, true) != (ssize_t)args->len ||
	    aspace_access(as, out->sp, v, n * 8, true) != (ssize_t)(n * 8))
		err = -ENOMEM;
	vfree(v);
	out->arg_start = strings;
	out->arg_end = out->env_start = strings + args->env_at;
	out->env_end = strings + args->execfn_at;
	return err;
}

static int load_into(struct aspace *as, struct file *f, const struct elf_image *e,
                     const struct exec_args *args, uint64_t stack_limit, struct exec_image *out)
{
	uint64_t bias = 0, base = 0;
	uva_t top, vdso = 0;
	int err = map_stack(as, stack_limit, e->stack_exec ? AREA_EXEC : 0, &top);

	if (!err)
		err = map_image(as, f, e, e->interp_len ? PIE_BASE + spread(PIE_SPREAD) : 0, &bias);
	if (err)
		return err;
	out->entry = e->entry + bias;
	/* The heap begins behind the program's bss, at a random distance. */
	out->brk = ALIGN_UP(e->high + bias, PAGE_SIZE) + spread(BRK_SPREAD);
	if (e->interp_len)
		err = load_interp(as, f, e, &out->entry, &base);
	if (!err)
		err = vdso_map(as, &vdso);
	return err ? err : build_stack(as, top, args, e, bias, base, vdso, out);
}

int exec_load(struct file *f, const struct exec_args *args, uint64_t stack_limit, uint64_t as_limit,
              struct exec_image *out)
{
	struct elf_image *e = kmalloc(sizeof(*e));
	struct aspace *as;
	int err = e ? read_image(f, e) : -ENOMEM;

	if (err)
		goto free_elf;
	err = aspace_create(&as);
	if (err)
		goto free_elf;
	as->limit_pages = as_limit >> PAGE_SHIFT; /* before the first mapping: it counts */
	*out = (struct exec_image){ .as = as };
	err = load_into(as, f, e, args, stack_limit, out);
	/* The entry is the file's word: IRET would fault in ring 0 on a non-canonical one. */
	if (!err && out->entry >= USER_END)
		err = -ENOEXEC;
	if (err)
		aspace_put(as);
free_elf:
	kfree(e);
	return err;
}
