// SPDX-License-Identifier: Apache-2.0
/*
 * System calls that move data: read, write and their vectors, seek, truncate, allocate, sendfile,
 * splice, sync.
 */
#include "linux/path.h"
#include "proc/proc.h"
#include "vmk/layout.h"
#include "vmk/mm.h"
#include "vmk/syscall.h"

typedef ssize_t (*transfer)(struct file *f, struct uio *u, uint64_t *pos);

static long rw_one(struct file *f, uva_t buf, uint64_t n, uint64_t *pos, transfer fn)
{
	struct uio u;

	if ((int64_t)n < 0)
		return -EINVAL;
	/* Linux's access_ok(): at once, not after a read that would consume data. */
	if (buf >= USER_END && n)
		return -EFAULT;
	uio_init_user(&u, buf, MIN(n, (uint64_t)RW_MAX));
	return fn(f, &u, pos);
}

SYSCALL3(read, int, fd, uva_t, buf, size_t, count)
{
	return WITH_FILE(fd, f, rw_one(f, buf, count, NULL, file_read));
}

SYSCALL3(write, int, fd, uva_t, buf, size_t, count)
{
	return WITH_FILE(fd, f, rw_one(f, buf, count, NULL, file_write));
}

SYSCALL4(pread64, int, fd, uva_t, buf, size_t, count, uint64_t, pos)
{
	if ((int64_t)pos < 0)
		return -EINVAL;
	return WITH_FILE(fd, f, rw_one(f, buf, count, &pos, file_read));
}

SYSCALL4(pwrite64, int, fd, uva_t, buf, size_t, count, uint64_t, pos)
{
	if ((int64_t)pos < 0)
		return -EINVAL;
	return WITH_FILE(fd, f, rw_one(f, buf, count, &pos, file_write));
}

int vec_from_user(uva_t vec, uint64_t count, struct uio_vec **out)
{
	uint64_t all = 0;
	struct uio_vec *v;

	*out = NULL;
	if (count > IOV_MAX)
		return -EINVAL;
	v = kcalloc(MAX(count, 1ull), sizeof(*v));
	if (!v)
		return -ENOMEM;
	/* Copied once, then checked: ring 3 may change the vector meanwhile. */
	if (copy_from_user(v, vec, count * sizeof(*v))) {
		kfree(v);
		return -EFAULT;
	}
	for (uint64_t i = 0; i < count; i++) {
		if ((int64_t)v[i].len < 0) {
			kfree(v);
			return -EINVAL;
		}
		/* As on Linux the sum is cut, not refused. */
		v[i].len = MIN(v[i].len, RW_MAX - all);
		all += v[i].len;
	}
	*out = v;
	return 0;
}

static long rw_vec(int fd, uva_t vec, uint64_t count, uint64_t *pos, transfer fn)
{
	struct uio_vec *v;
	struct uio u;
	long err;

	if (pos && (int64_t)*pos < 0)
		return -EINVAL;
	err = vec_from_user(vec, count, &v);
	if (err)
		return err;
	uio_init_vec(&u, v, (unsigned)count);
	err = WITH_FILE(fd, f, fn(f, &u, pos));
	kfree(v);
	return err;
}

SYSCALL3(readv, int, fd, uva_t, vec, size_t, count)
{
	return rw_vec(fd, vec, count, NULL, file_read);
}

SYSCALL3(writev, int, fd, uva_t, vec, size_t, count)
{
	return rw_vec(fd, vec, count, NULL, file_write);
}

SYSCALL4(preadv, int, fd, uva_t, vec, size_t, count, uint64_t, pos)
{
	return rw_vec(fd, vec, count, &pos, file_read);
}

SYSCALL4(pwritev, int, fd, uva_t, vec, size_t, count, uint64_t, pos)
{
	return rw_vec(fd, vec, count, &pos, file_write);
}

/* preadv2, pwritev2: offset -1 means the file's own position. */
static long rw_vec2(int fd, uva_t vec, size_t count, uint64_t pos, transfer fn)
{
	return rw_vec(fd, vec, count, pos == ~0ull ? NULL : &pos, fn);
}

SYSCALL6(preadv2, int, fd, uva_t, vec, size_t, count, uint64_t, pos, uint64_t,
         pos_high __maybe_unused, unsigned, flags)
{
	enum { RWF_HIPRI = 1 };

	return flags & ~(unsigned)RWF_HIPRI ? -EOPNOTSUPP : rw_vec2(fd, vec, count, pos, file_read);
}

SYSCALL6(pwritev2, int, fd, uva_t, vec, size_t, count, uint64_t, pos, uint64_t,
         pos_high __maybe_unused, unsigned, flags)
{
	enum { RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4 };

	return flags & ~(unsigned)(RWF_HIPRI | RWF_DSYNC | RWF_SYNC)
	               ? -EOPNOTSUPP
	               : rw_vec2(fd, vec, count, pos, file_write);
}

SYSCALL3(lseek, int, fd, int64_t, offset, int, whence)
{
	return WITH_FILE(fd, f, file_seek(f, offset, whence));
}

static int check_size(uint64_t size)
{
	if ((int64_t)size < 0)
		return -EINVAL;
	if (size > proc_rlimit(RLIMIT_FSIZE)) {
		signal_current(SIGXFSZ);
		return -EFBIG;
	}
	return 0;
}

SYSCALL2(truncate, uva_t, path, uint64_t, size)
{
	struct vstat to = { .size = size };
	struct inode *i;
	long err = check_size(size);

	if (!err)
		err = path_inode(AT_FDCWD, path, 0, &i);
	if (err)
		return err;
	/* By path: the permission to write is asked for now, ftruncate has it from open. */
	err = inode_type(i) == INODE_DIR    ? -EISDIR
	      : inode_type(i) != INODE_FILE ? -EINVAL
	                                    : inode_permission(i, MAY_WRITE);
	if (!err)
		err = inode_setattr(i, &to, VSTAT_SIZE);
	inode_put(i);
	return err;
}

SYSCALL2(ftruncate, int, fd, uint64_t, size)
{
	long err = check_size(size);

	return err ? err : WITH_FILE(fd, f, file_truncate(f, size));
}

static long allocate(struct file *f, unsigned mode, uint64_t off, uint64_t len)
{
	enum { KEEP_SIZE = FALLOC_KEEP_SIZE, PUNCH_HOLE = FALLOC_PUNCH_HOLE };
	struct vstat st;

	if ((f->flags & O_ACCMODE) == O_RDONLY || (f->flags & O_PATH))
		return -EBADF;
	if (inode_type(f->inode) != INODE_FILE)
		return inode_type(f->inode) == INODE_FIFO ? -ESPIPE : -ENODEV;
	if ((int64_t)off < 0 || (int64_t)len <= 0)
		return -EINVAL;
	/* Both are below 2^63: the sum does not overflow. */
	if (off + len > (uint64_t)INT64_MAX || check_size(off + len))
		return -EFBIG;
	/* A datastore's files do it themselves; the rest is tmpfs. */
	if (f->ops->allocate)
		return f->ops->allocate(f, mode, off, len);
	if (mode == (PUNCH_HOLE | KEEP_SIZE))
		return tmpfs_punch(f->inode, off, off + len);
	if (mode & ~(unsigned)KEEP_SIZE)
		return -EOPNOTSUPP;
	inode_stat(f->inode, &st);
	if (mode || off + len <= st.size)
		return 0;
	st.size = off + len;
	return inode_setattr(f->inode, &st, VSTAT_SIZE);
}

SYSCALL4(fallocate, int, fd, unsigned, mode, uint64_t, offset, uint64_t, len)
{
	return WITH_FILE(fd, f, allocate(f, mode, offset, len));
}

SYSCALL4(fadvise64, int, fd, uint64_t, offset __maybe_unused, size_t, len __maybe_unused, unsigned,
         advice)
{
	return WITH_FILE(fd, f,
	                 inode_type(f->inode) == INODE_FIFO ? -ESPIPE
	                 : advice > 5                       ? -EINVAL
	                                                    : 0);
}

/* A directory's entries are durable when its file system is. */
static long sync_dir(struct file *f)
{
	const struct fs_ops *ops = f->inode && inode_type(f->inode) == INODE_DIR ? f->inode->fs->ops
	                                                                         : NULL;

	return !ops ? -EINVAL : ops->sync ? ops->sync(f->inode->fs) : 0;
}

static long do_fsync(int fd, bool data_only)
{
	return WITH_FILE(fd, f, f->ops->fsync ? f->ops->fsync(f, data_only) : sync_dir(f));
}

SYSCALL1(fsync, int, fd)
{
	return do_fsync(fd, false);
}

SYSCALL1(fdatasync, int, fd)
{
	return do_fsync(fd, true);
}

enum { BUFFER = 64 * 1024 };

/* What was read but not written is read again. */
static void step_back(struct file *in, uint64_t *in_pos, uint64_t back)
{
	if (in_pos)
		*in_pos -= back;
	else if (in->seekable)
		(void)file_seek(in, -(int64_t)back, SEEK_CUR);
}

/* Copies through a kernel buffer: positions NULL mean the file's own. */
static long copy_files(struct file *in, uint64_t *in_pos, struct file *out, uint64_t *out_pos,
                       uint64_t n, unsigned flags __maybe_unused)
{
	char *buf = kmalloc(BUFFER);
	long done = 0, err = 0;

	if (!buf)
		return -ENOMEM;
	/* Stops at a short read or write; what was copied counts more than an error after it. */
	for (n = MIN(n, (uint64_t)RW_MAX); n;) {
		struct uio u;
		long got, put;

		uio_init_kernel(&u, buf, MIN(n, (uint64_t)BUFFER));
		got = err = file_read(in, &u, in_pos);
		if (got <= 0)
			break;
		uio_init_kernel(&u, buf, (size_t)got);
		put = err = file_write(out, &u, out_pos);
		if (put < got)
			step_back(in, in_pos, (uint64_t)(got - MAX(put, 0l)));
		if (put <= 0)
			break;
		done += put;
		n -= (uint64_t)put;
		/* A signal ends it too: neither side need ever wait. */
		if (put < got || world_interrupted(world_current()))
			break;
	}
	kfree(buf);
	return done ? done : err;
}

/* One side is a pipe: moves what is there and fits, at least a byte, at most a buffer. */
static long splice_files(struct file *in, uint64_t *in_pos, struct file *out, uint64_t *out_pos,
                         uint64_t n, unsigned flags)
{
	enum { SPLICE_F_NONBLOCK = 2 };
	bool from = is_pipe(in), to = is_pipe(out), now = flags & SPLICE_F_NONBLOCK;
	ssize_t got, put, fits = BUFFER;
	struct uio u;
	char *buf;

	if ((from && in_pos) || (to && out_pos))
		return -ESPIPE;
	if (!(from || to) || (from && to && in->inode == out->inode) || (in_pos && !in->seekable) ||
	    (out_pos && !out->seekable) || out->flags & O_APPEND)
		return -EINVAL;
	if ((in->flags & O_ACCMODE) == O_WRONLY || (out->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	/* Room first: what is read of a file or a pipe must not be lost for want of it. */
	if (to)
		fits = pipe_room(out, now || out->flags & O_NONBLOCK);
	if (fits == -EPIPE)
		signal_current(SIGPIPE);
	if (fits < 0)
		return fits;
	buf = kmalloc(BUFFER);
	if (!buf)
		return -ENOMEM;
	uio_init_kernel(&u, buf, MIN(MIN(n, (uint64_t)fits), (uint64_t)BUFFER));
	got = put = from ? pipe_peek(in, &u, now || in->flags & O_NONBLOCK)
	                 : file_read(in, &u, in_pos);
	if (got > 0) {
		uio_init_kernel(&u, buf, (size_t)got);
		put = file_write(out, &u, out_pos);
		/* A pipe was only peeked at: exactly what was written is taken out. */
		if (from)
			pipe_consume(in, (size_t)MAX(put, (ssize_t)0));
		else if (put < got)
			step_back(in, in_pos, (uint64_t)(got - MAX(put, (ssize_t)0)));
	}
	kfree(buf);
	return put;
}

/* The positions that *u_in and *u_out name in user memory; 0 means the file's own. */
static long copy_between(int fd_in, uva_t u_in, int fd_out, uva_t u_out, uint64_t n,
                         typeof(copy_files) *copy, unsigned flags)
{
	struct file *in = fd_get(fd_in), *out = fd_get(fd_out);
	uint64_t in_pos = 0, out_pos = 0;
	long err = in && out ? 0 : -EBADF;

	if (!err && ((u_in && copy_from_user(&in_pos, u_in, 8)) ||
	             (u_out && copy_from_user(&out_pos, u_out, 8))))
		err = -EFAULT;
	if (!err && ((int64_t)in_pos < 0 || (int64_t)out_pos < 0))
		err = -EINVAL;
	if (!err)
		err = copy(in, u_in ? &in_pos : NULL, out, u_out ? &out_pos : NULL, n, flags);
	if (err >= 0 && ((u_in && copy_to_user(u_in, &in_pos, 8)) ||
	                 (u_out && copy_to_user(u_out, &out_pos, 8))))
		err = -EFAULT;
	file_put(in);
	file_put(out);
	return err;
}

SYSCALL4(sendfile, int, out, int, in, uva_t, in_pos, size_t, count)
{
	return WITH_FILE(in, f,
	                 f->seekable ? copy_between(in, in_pos, out, 0, count, copy_files, 0)
	                             : -EINVAL);
}

SYSCALL6(splice, int, in, uva_t, in_pos, int, out, uva_t, out_pos, size_t, count, unsigned, flags)
{
	enum { SPLICE_F_ALL = 15 };

	if (flags & ~(unsigned)SPLICE_F_ALL)
		return -EINVAL;
	return count ? copy_between(in, in_pos, out, out_pos, count, splice_files, flags) : 0;
}

SYSCALL6(copy_file_range, int, in, uva_t, in_pos, int, out, uva_t, out_pos, size_t, count, unsigned,
         flags)
{
	if (flags)
		return -EINVAL;
	return WITH_FILE(in, f,
	                 !f->seekable || inode_type(f->inode) != INODE_FILE
	                         ? (inode_type(f->inode) == INODE_DIR ? -EISDIR : -EINVAL)
	                         : copy_between(in, in_pos, out, out_pos, count, copy_files, 0));
}
