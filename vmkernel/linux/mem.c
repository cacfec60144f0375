// SPDX-License-Identifier: Apache-2.0
/* Memory calls: mmap and its family, brk. Spec: mmap(2), mremap(2), madvise(2), brk(2). */
#include "mm/aspace.h"
#include "proc/proc.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/mm.h"

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

/* Touches all pages, as far as that works. */
static void populate(uva_t va, uint64_t len, unsigned prot)
{
	unsigned access = prot & AREA_WRITE ? AREA_WRITE : AREA_READ;

	for (uint64_t at = 0; at < len; at += PAGE_SIZE)
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

	*f = fd_get(fd);
	if (!*f)
		return -EBADF;
	mode = (*f)->flags & O_ACCMODE;
	if (mode == O_WRONLY || (shared && *flags & AREA_WRITE && mode == O_RDONLY))
		goto put;
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

SYSCALL(9, mmap)
{
	uint64_t len = a[1], offset = a[5], obj_offset = 0;
	unsigned flags = a[2] & PROT_ALL, m = (unsigned)a[3], type = m & MAP_TYPE;
	struct memobj *obj = NULL;
	struct file *f = NULL;
	int64_t va;
	int err = 0;

	if (!len || !IS_ALIGNED(offset, PAGE_SIZE) ||
	    (type != MAP_SHARED && type != MAP_PRIVATE && type != MAP_SHARED_VALIDATE))
		return -EINVAL;
	if (m & (MAP_FIXED | MAP_FIXED_NOREPLACE) && !IS_ALIGNED(a[0], PAGE_SIZE))
		return -EINVAL;
	if (len > USER_END)
		return -ENOMEM;
	len = ALIGN_UP(len, PAGE_SIZE);
	flags |= type != MAP_PRIVATE ? AREA_SHARED : 0;
	flags |= m & MAP_NORESERVE ? AREA_NORESERVE : 0;
	flags |= m & MAP_GROWSDOWN ? AREA_GROWSDOWN : 0;
	if (m & MAP_FIXED_NOREPLACE)
		flags |= AREA_FIXED_NOREPLACE;
	else if (m & MAP_FIXED)
		flags |= AREA_FIXED;
	if (!(m & MAP_ANONYMOUS))
		err = file_object((int)a[4], offset, len, &flags, &f, &obj, &obj_offset);
	else if (flags & AREA_SHARED)
		err = memobj_create_anon(len >> PAGE_SHIFT, &obj);
	if (err)
		return err;
	va = aspace_map(current_as(), ALIGN_DOWN(a[0], PAGE_SIZE), len, flags, obj, obj_offset);
	if (f)
		file_put(f);
	else if (obj)
		memobj_put(obj);
	if (va > 0 && m & MAP_POPULATE)
		populate((uva_t)va, len, flags);
	return va;
}

SYSCALL(11, munmap)
{
	return aspace_unmap(current_as(), a[0], a[1]);
}

SYSCALL(10, mprotect)
{
	uint64_t len = ALIGN_UP(a[1], PAGE_SIZE);

	if (!IS_ALIGNED(a[0], PAGE_SIZE) ||
	    a[2] & ~(uint64_t)(PROT_ALL | PROT_GROWSDOWN | PROT_GROWSUP))
		return -EINVAL;
	if (len < a[1])
		return -ENOMEM;
	return len ? aspace_protect(current_as(), a[0], len, a[2] & PROT_ALL) : 0;
}

SYSCALL(25, mremap)
{
	uint64_t old_len = ALIGN_UP(a[1], PAGE_SIZE), len = ALIGN_UP(a[2], PAGE_SIZE);
	unsigned m = (unsigned)a[3];
	bool fixed = m & MREMAP_FIXED;

	if (!IS_ALIGNED(a[0], PAGE_SIZE) || !len || !old_len ||
	    m & ~(unsigned)(MREMAP_MAYMOVE | MREMAP_FIXED) ||
	    (fixed && (!(m & MREMAP_MAYMOVE) || !IS_ALIGNED(a[4], PAGE_SIZE))))
		return -EINVAL;
	if (len > USER_END || old_len > USER_END)
		return -ENOMEM;
	if (fixed && a[4] < a[0] + old_len && a[0] < a[4] + len)
		return -EINVAL;
	return aspace_remap(current_as(), a[0], old_len, len, m & MREMAP_MAYMOVE, fixed,
	                    fixed ? a[4] : 0);
}

SYSCALL(28, madvise)
{
	uint64_t len = ALIGN_UP(a[1], PAGE_SIZE);

	if (!IS_ALIGNED(a[0], PAGE_SIZE) || len < a[1])
		return -EINVAL;
	switch ((int)a[2]) {
	case MADV_DONTNEED:
	case MADV_FREE: /* dropping at once is one of the allowed times */
		return len ? aspace_discard(current_as(), a[0], len) : 0;
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

SYSCALL(12, brk)
{
	struct proc *p = proc_current();
	uint64_t data = a[0] - p->brk_start;

	if (a[0] < p->brk_start || a[0] > USER_END || data > p->limits[RLIMIT_DATA].cur ||
	    aspace_brk(p->as, p->brk_start, p->brk, a[0]))
		return (long)p->brk;
	p->brk = a[0];
	return (long)p->brk;
}

SYSCALL(26, msync)
{
	enum { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 };

	if (!IS_ALIGNED(a[0], PAGE_SIZE) ||
	    a[2] & ~(uint64_t)(MS_ASYNC | MS_INVALIDATE | MS_SYNC) ||
	    (a[2] & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
		return -EINVAL;
	/* Mappings are the files' own pages: nothing is ever behind. */
	return aspace_mapped(current_as(), a[0], ALIGN_UP(a[1], PAGE_SIZE)) ? 0 : -ENOMEM;
}

SYSCALL(27, mincore)
{
	uint64_t pages = DIV_UP(a[1], PAGE_SIZE), done = 0;
	uint8_t vec[256];

	if (!IS_ALIGNED(a[0], PAGE_SIZE))
		return -EINVAL;
	while (done < pages) {
		uint64_t n = MIN(pages - done, sizeof(vec));
		int err = aspace_mincore(current_as(), a[0] + done * PAGE_SIZE, n, vec);

		if (!err)
			err = copy_to_user(a[2] + done, vec, n);
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

SYSCALL(149, mlock)
{
	return lock_range(a[0], a[1]);
}

SYSCALL(325, mlock2)
{
	return lock_range(a[0], a[1]);
}

SYSCALL(150, munlock)
{
	return lock_range(a[0], a[1]);
}

SYSCALL(151, mlockall)
{
	return 0;
}

SYSCALL(152, munlockall)
{
	return 0;
}
