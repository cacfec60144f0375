// SPDX-License-Identifier: Apache-2.0
/* System calls on descriptors: close, dup, fcntl, ioctl, pipe, flock, memfd_create. */
#include "linux/path.h"
#include "proc/proc.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/syscall.h"

static struct fdtable *table(void)
{
	return proc_fdtable(proc_current());
}

static unsigned fd_limit(void)
{
	return (unsigned)MIN(proc_rlimit(RLIMIT_NOFILE), 1ull << 20);
}

SYSCALL1(close, int, fd)
{
	return fdtable_close(table(), fd);
}

SYSCALL3(close_range, unsigned, first, unsigned, last, unsigned, flags)
{
	enum { UNSHARE = 2, CLOEXEC = 4 };

	if (first > last || flags & ~(unsigned)(UNSHARE | CLOEXEC))
		return -EINVAL;
	if (first > INT32_MAX)
		return 0;
	/* Steps over used descriptors only: the range may be all of 2^32. */
	for (int fd = (int)first; (fd = fdtable_next(table(), fd)) >= 0 && (unsigned)fd <= last;
	     fd++) {
		if (flags & CLOEXEC)
			fdtable_cloexec(table(), fd, 1);
		else
			fdtable_close(table(), fd);
	}
	return 0;
}

static long dup_to(int old, int fd, bool cloexec)
{
	struct file *f = fd_get(old);

	return f ? fdtable_replace(table(), fd, f, cloexec, fd_limit()) : -EBADF;
}

SYSCALL1(dup, int, fd)
{
	struct file *f = fd_get(fd);

	return f ? fd_install(f, false) : -EBADF;
}

SYSCALL2(dup2, int, old, int, fd)
{
	if (old == fd)
		return WITH_FILE(old, f, fd);
	return dup_to(old, fd, false);
}

SYSCALL3(dup3, int, old, int, fd, unsigned, flags)
{
	if (old == fd || (flags & ~(unsigned)O_CLOEXEC))
		return -EINVAL;
	return dup_to(old, fd, flags & O_CLOEXEC);
}

static long set_flags(struct file *f, unsigned flags)
{
	/* Without a lock: two threads that change flags at once race in ring 3 already. */
	uint32_t old = READ_ONCE(f->flags);

	__atomic_store_n(&f->flags, (old & ~(uint32_t)O_SETFL) | (flags & O_SETFL),
	                 __ATOMIC_RELAXED);
	return 0;
}

static long do_lock(struct file *f, int cmd, uva_t arg)
{
	struct linux_flock l;
	long err;

	if (copy_from_user(&l, arg, sizeof(l)))
		return -EFAULT;
	err = lock_posix(f, cmd, &l);
	if (!err && (cmd == F_GETLK || cmd == F_OFD_GETLK))
		err = copy_to_user(arg, &l, sizeof(l));
	return err;
}

struct owner_ex {
	int32_t type, pid;
};

static long owner(struct file *f, int cmd, uint64_t arg)
{
	struct owner_ex o = { .type = f->owner < 0 ? 2 : 1,
		              .pid = f->owner < 0 ? -f->owner : f->owner };

	/* Negative: a process group. Remembered only, no file sends SIGIO. */
	switch (cmd) {
	case F_GETOWN: return f->owner;
	case F_SETOWN: f->owner = (int32_t)arg; return 0;
	case F_GETOWN_EX: return copy_to_user(arg, &o, sizeof(o));
	default:
		if (copy_from_user(&o, arg, sizeof(o)))
			return -EFAULT;
		f->owner = o.type == 2 ? -o.pid : o.pid;
		return 0;
	}
}

static long do_fcntl(struct file *f, int fd, int cmd, uint64_t arg)
{
	/* O_PATH: a place in the tree, not open for anything. */
	if ((f->flags & O_PATH) && cmd != F_DUPFD && cmd != F_DUPFD_CLOEXEC && cmd != F_GETFD &&
	    cmd != F_SETFD && cmd != F_GETFL)
		return -EBADF;
	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		if (arg >= fd_limit())
			return -EINVAL;
		return fdtable_install(table(), file_get(f), (int)arg, cmd == F_DUPFD_CLOEXEC,
		                       fd_limit());
	case F_GETFD: return fdtable_cloexec(table(), fd, -1);
	case F_SETFD: return MIN(fdtable_cloexec(table(), fd, arg & FD_CLOEXEC), 0);
	case F_GETFL: return f->flags | O_LARGEFILE;
	case F_SETFL: return set_flags(f, (unsigned)arg);
	case F_GETLK:
	case F_SETLK:
	case F_SETLKW:
	case F_OFD_GETLK:
	case F_OFD_SETLK:
	case F_OFD_SETLKW: return do_lock(f, cmd, arg);
	case F_GETOWN:
	case F_SETOWN:
	case F_GETOWN_EX:
	case F_SETOWN_EX: return owner(f, cmd, arg);
	case F_GETLEASE: return F_UNLCK;
	case F_NOTIFY: /* no events asked for: ends a watch, and there are none */
		return inode_type(f->inode) != INODE_DIR ? -ENOTDIR
		       : arg & 0x7fffffff                ? -EINVAL
		                                         : 0;
	case F_GETPIPE_SZ: return pipe_size(f, 0);
	case F_SETPIPE_SZ:
		return (int64_t)arg <= 0 || arg > 1u << 30 ? -EINVAL : pipe_size(f, (long)arg);
	case F_ADD_SEALS:
	case F_GET_SEALS: return tmpfs_seals(f->inode, cmd == F_GET_SEALS ? -1 : (int)arg);
	}
	return -EINVAL;
}

SYSCALL3(fcntl, int, fd, int, cmd, uint64_t, arg)
{
	return WITH_FILE(fd, f, do_fcntl(f, fd, cmd, arg));
}

static long set_bit_from_user(struct file *f, unsigned bit, uva_t arg)
{
	int32_t on;

	if (copy_from_user(&on, arg, sizeof(on)))
		return -EFAULT;
	return set_flags(f, on ? f->flags | bit : f->flags & ~bit);
}

static long file_left(struct file *f, uva_t arg)
{
	struct vstat st;

	inode_stat(f->inode, &st);
	int32_t n = (int32_t)MIN(st.size > f->pos ? st.size - f->pos : 0, (uint64_t)INT32_MAX);

	return copy_to_user(arg, &n, sizeof(n));
}

static long do_ioctl(struct file *f, int fd, unsigned cmd, uint64_t arg)
{
	if (f->flags & O_PATH)
		return -EBADF;
	/* What every file has; the rest is the file's own. */
	switch (cmd) {
	case FIOCLEX:
	case FIONCLEX: return MIN(fdtable_cloexec(table(), fd, cmd == FIOCLEX), 0);
	case FIONBIO: return set_bit_from_user(f, O_NONBLOCK, arg);
	case FIOASYNC: return set_bit_from_user(f, O_ASYNC, arg);
	}
	if (cmd == FIONREAD && inode_type(f->inode) == INODE_FILE)
		return file_left(f, arg);
	return f->ops->ioctl ? f->ops->ioctl(f, cmd, arg) : -ENOTTY;
}

SYSCALL3(ioctl, int, fd, unsigned, cmd, uint64_t, arg)
{
	return WITH_FILE(fd, f, do_ioctl(f, fd, cmd, arg));
}

long fd_install_pair(struct file *one, struct file *two, bool cloexec, uva_t out)
{
	int32_t fd[2];

	/*
	 * fd_install() takes over the reference, also when it fails: closing what was installed
	 * is all there is to undo.
	 */
	fd[0] = fd_install(one, cloexec);
	fd[1] = fd_install(two, cloexec);
	if (fd[0] >= 0 && fd[1] >= 0 && !copy_to_user(out, fd, sizeof(fd)))
		return 0;
	for (unsigned i = 0; i < 2; i++)
		if (fd[i] >= 0)
			fdtable_close(table(), fd[i]);
	return fd[0] < 0 ? fd[0] : fd[1] < 0 ? fd[1] : -EFAULT;
}

static long do_pipe(uva_t out, unsigned flags)
{
	struct file *f[2];
	int err;

	if (flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	err = pipe_create(flags & O_NONBLOCK, f);
	return err ? err : fd_install_pair(f[0], f[1], flags & O_CLOEXEC, out);
}

SYSCALL1(pipe, uva_t, fds)
{
	return do_pipe(fds, 0);
}

SYSCALL2(pipe2, uva_t, fds, unsigned, flags)
{
	return do_pipe(fds, flags);
}

SYSCALL2(flock, int, fd, unsigned, cmd)
{
	return WITH_FILE(fd, f, f->flags & O_PATH ? -EBADF : lock_flock(f, cmd));
}

SYSCALL2(memfd_create, uva_t, name_va, unsigned, flags)
{
	enum { MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_NAME_MAX = 249 };
	char name[MFD_NAME_MAX + 16] = "memfd:";
	struct inode *i;
	struct dentry *d;
	struct file *f;
	ssize_t n;
	int err;

	if (flags & ~(unsigned)(MFD_CLOEXEC | MFD_ALLOW_SEALING))
		return -EINVAL;
	n = copy_string_from_user(name + 6, name_va, MFD_NAME_MAX + 1);
	if (n < 0)
		return n == -ENAMETOOLONG ? -EINVAL : n;
	err = tmpfs_anon_file(tmpfs_root, 0777, &i);
	if (err)
		return err;
	/* Without MFD_ALLOW_SEALING it is sealed against seals. It cannot fail for a new file. */
	if (!(flags & MFD_ALLOW_SEALING))
		(void)tmpfs_seals(i, F_SEAL_SEAL);
	/* A name that no directory holds, for /proc/PID/fd; the dentry keeps the inode. */
	err = dentry_alone(i, name, &d);
	inode_put(i);
	if (err)
		return err;
	err = vfs_open_dentry(d, O_RDWR, &f);
	dentry_put(d);
	return err ? err : fd_install(f, flags & MFD_CLOEXEC);
}
