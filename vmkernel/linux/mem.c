// SPDX-License-Identifier: Apache-2.0
/* Memory calls: mmap and its family, brk. Spec: mmap(2), mremap(2), madvise(2), brk(2). */
#include "mm/aspace.h"
#include "proc/proc.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/mm.h"
#include "vmk/syscall.h"

enum {
	PROT_ALL = 7,
	PROT_GROWSDOWN = 0x01000000,
	PROT_GROWSUP = 0x02000000,
	MAP_SHARED = 1,
	MAP_PRIVATE = 2,
	MAP_SHARED_VALIDATE = 3,
	MAP_TYPE = 15,
	MAP_FIXED = 0x10,
	MAP_ANONYMOUS = 0x20,
	MAP_GROWSDOWN = 0x100,
	MAP_NORESERVE = 0x4000,
	MAP_POPULATE = 0x8000,
	MAP_FIXED_NOREPLACE = 0x100000,
	MREMAP_MAYMOVE = 1,
	MREMAP_FIXED = 2,
	MADV_NORMAL = 0,
	MADV_RANDOM,
	MADV_SEQUENTIAL,
	MADV_WILLNEED,
	MADV_DONTNEED,
	MADV_FREE = 8,
	MADV_REMOVE = 9,
	MADV_DONTFORK = 10,
	MADV_DOFORK = 11,
	MADV_MERGEABLE = 12,
	MADV_UNMERGEABLE,
	MADV_HUGEPAGE,
	MADV_NOHUGEPAGE,
	MADV_DONTDUMP,
	MADV_DODUMP,
	MADV_COLD = 20,
	MADV_PAGEOUT = 21,
	O_ACCMODE = 3,
	O_RDONLY = 0,
	O_WRONLY = 1,
};

static struct aspace *current_as(void)
{
	return proc_current()->as;
}

/* For loops over pages that no signal but the last one may cut short. */
static bool is_ending(void)
{
	return READ_ONCE(proc_current()->exiting);
}

/* Touches all pages, as far as that works. */
static void populate(uva_t va, uint64_t len, unsigned prot)
{
	unsigned access = prot & AREA_WRITE ? AREA_WRITE : AREA_READ;

	for (uint64_t at = 0; at < len && !is_ending(); at += PAGE_SIZE)
		if (aspace_fault(current_as(), va + at, access) != FAULT_OK)
			return;
}

/*
 * The object behind a file mapping; flags gain AREA_NO_WRITE when the file is not open for writing.
 */
static int file_object(int fd, uint64_t offset, uint64_t len, unsigned *flags, struct file **f,
                       struct memobj **obj, uint64_t *obj_offset)
{
	bool shared = *flags & AREA_SHARED;
	unsigned mode;
	int err = -EACCES;

	/* On success the caller puts *f, which holds *obj, when the area has its own reference. */
	*f = fd_get(fd);
	if (!*f)
		return -EBADF;
	mode = (*f)->flags & O_ACCMODE;
	if (mode == O_WRONLY || (shared && *flags & AREA_WRITE && mode == O_RDONLY))
		goto put;
	/* mprotect must not gain what the descriptor does not allow. */
	if (shared && mode == O_RDONLY)
		*flags |= AREA_NO_WRITE;
	err = (*f)->ops->mmap ? (*f)->ops->mmap(*f, offset, len, *flags & AREA_PROT, shared, obj,
	                                        obj_offset)
	                      : -ENODEV;
	if (!err)
		return 0;
put:
	file_put(*f);
	return err;
}

SYSCALL6(mmap, uva_t, addr, uint64_t, len, unsigned, prot, unsigned, flags, int, fd, uint64_t,
         offset)
{
	unsigned area = prot & PROT_ALL, type = flags & MAP_TYPE;
	uint64_t obj_offset = 0;
	struct memobj *obj = NULL;
	struct file *f = NULL;
	int64_t va;
	int err = 0;

	if (!len || !IS_ALIGNED(offset, PAGE_SIZE) ||
	    (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE))
		return -EINVAL;
	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) && !IS_ALIGNED(addr, PAGE_SIZE))
		return -EINVAL;
	/* Before the rounding, which would overflow. */
	if (len > USER_END)
		return -ENOMEM;
	len = ALIGN_UP(len, PAGE_SIZE);
	area |= type != MAP_PRIVATE ? AREA_SHARED : 0;
	area |= flags & MAP_NORESERVE ? AREA_NORESERVE : 0;
	area |= flags & MAP_GROWSDOWN ? AREA_GROWSDOWN : 0;
	if (flags & MAP_FIXED_NOREPLACE)
		area |= AREA_FIXED_NOREPLACE;
	else if (flags & MAP_FIXED)
		area |= AREA_FIXED;
	/* Shared anonymous memory is an object too: fork shares it. */
	if (!(flags & MAP_ANONYMOUS))
		err = file_object(fd, offset, len, &area, &f, &obj, &obj_offset);
	else if (area & AREA_SHARED)
		err = memobj_create_anon(len >> PAGE_SHIFT, &obj);
	if (err)
		return err;
	va = aspace_map(current_as(), ALIGN_DOWN(addr, PAGE_SIZE), len, area, obj, obj_offset);
	if (f)
		file_put(f);
	else if (obj)
		memobj_put(obj);
	/* mmap(2): a page that cannot be had is no error of the call. */
	if (va > 0 && flags & MAP_POPULATE)
		populate((uva_t)va, len, area);
	return va;
}

SYSCALL2(munmap, uva_t, addr, uint64_t, len)
{
	return aspace_unmap(current_as(), addr, len);
}

SYSCALL3(mprotect, uva_t, addr, uint64_t, size, uint64_t, prot)
{
	uint64_t len = ALIGN_UP(size, PAGE_SIZE);

	if (!IS_ALIGNED(addr, PAGE_SIZE) ||
	    prot & ~(uint64_t)(PROT_ALL | PROT_GROWSDOWN | PROT_GROWSUP))
		return -EINVAL;
	if (len < size)
		return -ENOMEM;
	return len ? aspace_protect(current_as(), addr, len, prot & PROT_ALL) : 0;
}

SYSCALL5(mremap, uva_t, addr, uint64_t, old_size, uint64_t, size, unsigned, flags, uva_t, to)
{
	uint64_t old_len = ALIGN_UP(old_size, PAGE_SIZE), len = ALIGN_UP(size, PAGE_SIZE);
	bool fixed = flags & MREMAP_FIXED;

	if (!IS_ALIGNED(addr, PAGE_SIZE) || !len || !old_len ||
	    flags & ~(unsigned)(MREMAP_MAYMOVE | MREMAP_FIXED) ||
	    (fixed && (!(flags & MREMAP_MAYMOVE) || !IS_ALIGNED(to, PAGE_SIZE))))
		return -EINVAL;
	if (len > USER_END || old_len > USER_END)
		return -ENOMEM;
	/* The old and the new place must not overlap. */
	if (fixed && to < addr + old_len && addr < to + len)
		return -EINVAL;
	return aspace_remap(current_as(), addr, old_len, len, flags & MREMAP_MAYMOVE, fixed,
	                    fixed ? to : 0);
}

SYSCALL3(madvise, uva_t, addr, uint64_t, size, int, advice)
{
	uint64_t len = ALIGN_UP(size, PAGE_SIZE);

	if (!IS_ALIGNED(addr, PAGE_SIZE) || len < size)
		return -EINVAL;
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_FREE: /* dropping at once is one of the allowed times */
		return len ? aspace_discard(current_as(), addr, len) : 0;
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_COLD:
	case MADV_PAGEOUT: return 0; /* hints */
	default: return -EINVAL;
	}
}

SYSCALL1(brk, uva_t, end)
{
	struct proc *p = proc_current();
	uint64_t data = end - p->brk_start;

	/* brk(2) of Linux has no errors: it returns the end that holds, the C library compares. */
	if (end < p->brk_start || end > USER_END || data > p->limits[RLIMIT_DATA].cur ||
	    aspace_brk(p->as, p->brk_start, p->brk, end))
		return (long)p->brk;
	p->brk = end;
	return (long)p->brk;
}

SYSCALL3(msync, uva_t, addr, uint64_t, len, unsigned, flags)
{
	enum { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 };

	if (!IS_ALIGNED(addr, PAGE_SIZE) ||
	    flags & ~(unsigned)(MS_ASYNC | MS_INVALIDATE | MS_SYNC) ||
	    (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
		return -EINVAL;
	/* Mappings are the files' own pages: nothing is ever behind. */
	return aspace_mapped(current_as(), addr, ALIGN_UP(len, PAGE_SIZE)) ? 0 : -ENOMEM;
}

SYSCALL3(mincore, uva_t, addr, uint64_t, len, uva_t, out)
{
	uint64_t pages = DIV_UP(len, PAGE_SIZE), done = 0;
	uint8_t vec[256];

	if (!IS_ALIGNED(addr, PAGE_SIZE))
		return -EINVAL;
	/* A byte a page, by way of the stack: the answer may be out of date when it is read. */
	while (done < pages && !is_ending()) {
		uint64_t n = MIN(pages - done, sizeof(vec));
		int err = aspace_mincore(current_as(), addr + done * PAGE_SIZE, n, vec);

		if (!err)
			err = copy_to_user(out + done, vec, n);
		if (err)
			return err;
		done += n;
	}
	return 0;
}

/* Nothing is ever paged out: all of it is locked. */
static long lock_range(uva_t va, uint64_t len)
{
	return aspace_mapped(current_as(), ALIGN_DOWN(va, PAGE_SIZE), ALIGN_UP(len, PAGE_SIZE))
	               ? 0
	               : -ENOMEM;
}

SYSCALL2(mlock, uva_t, addr, uint64_t, len)
{
	return lock_range(addr, len);
}

SYSCALL2(mlock2, uva_t, addr, uint64_t, len)
{
	return lock_range(addr, len);
}

SYSCALL2(munlock, uva_t, addr, uint64_t, len)
{
	return lock_range(addr, len);
}

SYSCALL0(mlockall)
{
	return 0;
}

SYSCALL0(munlockall)
{
	return 0;
}
