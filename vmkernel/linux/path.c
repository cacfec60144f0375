// SPDX-License-Identifier: Apache-2.0
/*
 * System calls on paths: open, make, remove, rename, link, working directory. Spec: Linux man
 * pages, section 2.
 */
#include "linux/path.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/syscall.h"

/* A path from user memory; kfree it. -EFAULT, -ENAMETOOLONG, -ENOMEM. */
static int path_from_user(uva_t p, char **out)
{
	char *s = kmalloc(PATH_MAX);
	ssize_t n;

	*out = NULL;
	if (!s)
		return -ENOMEM;
	n = copy_string_from_user(s, p, PATH_MAX);
	if (n < 0) {
		kfree(s);
		return (int)n;
	}
	*out = s;
	return 0;
}

/* The directory that dirfd means for path: NULL for the working directory; with a reference. */
static int path_base(int dirfd, const char *path, struct dentry **out)
{
	struct file *f;
	int err = 0;

	*out = NULL;
	if (dirfd == AT_FDCWD || path[0] == '/')
		return 0;
	/* The walk checks that it is a directory; only files without a name are refused here. */
	f = fd_get(dirfd);
	if (!f)
		return -EBADF;
	if (f->dentry)
		*out = dentry_get(f->dentry);
	else
		err = -ENOTDIR;
	file_put(f);
	return err;
}

/* Path and base of one argument pair. */
struct at {
	char *path;
	struct dentry *base;
};

static int at_get(struct at *a, int dirfd, uva_t path)
{
	int err = path_from_user(path, &a->path);

	a->base = NULL;
	return err ? err : path_base(dirfd, a->path, &a->base);
}

static void at_put(struct at *a)
{
	dentry_put(a->base);
	kfree(a->path);
}

int path_dentry(int dirfd, uva_t path, unsigned at_flags, struct dentry **out)
{
	unsigned flags = (at_flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW) |
	                 (at_flags & AT_EMPTY_PATH ? WALK_EMPTY : 0);
	struct at a;
	int err = at_get(&a, dirfd, path);

	if (!err)
		err = path_lookup(a.base, a.path, flags, out);
	at_put(&a);
	return err;
}

int path_inode(int dirfd, uva_t path, unsigned at_flags, struct inode **out)
{
	struct dentry *d;
	char first = 1;
	int err;

	/* An empty path means dirfd itself, which need not have a name: a pipe, a socket. */
	if ((at_flags & AT_EMPTY_PATH) && dirfd != AT_FDCWD &&
	    (!path || !copy_from_user(&first, path, 1)) && (!path || !first)) {
		struct file *f = fd_get(dirfd);

		if (!f)
			return -EBADF;
		*out = inode_get(f->inode);
		file_put(f);
		return 0;
	}
	err = path_dentry(dirfd, path, at_flags, &d);
	if (!err) {
		*out = inode_get(d->inode);
		dentry_put(d);
	}
	return err;
}

static long do_open(int dirfd, uva_t path, unsigned flags, uint32_t mode)
{
	struct file *f;
	struct at a;
	int err = at_get(&a, dirfd, path);

	if (!err)
		err = vfs_open_at(a.base, a.path, flags, mode & 07777 & ~fsctx_umask(-1), &f);
	at_put(&a);
	return err ? err : fd_install(f, flags & O_CLOEXEC);
}

SYSCALL3(open, uva_t, path, unsigned, flags, uint32_t, mode)
{
	return do_open(AT_FDCWD, path, flags, mode);
}

SYSCALL2(creat, uva_t, path, uint32_t, mode)
{
	return do_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

SYSCALL4(openat, int, dirfd, uva_t, path, unsigned, flags, uint32_t, mode)
{
	return do_open(dirfd, path, flags, mode);
}

int vfs_open_exec(int dirfd, const char *path, unsigned at_flags, struct file **out)
{
	struct dentry *base, *d = NULL;
	int err = path_base(dirfd, path, &base);

	if (!err)
		err = path_lookup(base, path,
		                  (at_flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW) |
		                          (at_flags & AT_EMPTY_PATH ? WALK_EMPTY : 0),
		                  &d);
	dentry_put(base);
	if (err)
		return err;
	/* A link is only seen here when AT_SYMLINK_NOFOLLOW forbids to follow it: execveat(2). */
	if (inode_type(d->inode) == INODE_LINK)
		err = -ELOOP;
	else if (inode_type(d->inode) != INODE_FILE)
		err = -EACCES;
	else
		err = inode_permission(d->inode, MAY_EXEC);
	if (!err)
		err = vfs_open_dentry_exec(d, out);
	dentry_put(d);
	return err;
}

static long do_make(int dirfd, uva_t path, uint32_t mode, uint64_t rdev, const char *target)
{
	struct at a;
	int err = at_get(&a, dirfd, path);

	if (!err)
		err = vfs_make(a.base, a.path, mode, rdev, target, NULL);
	at_put(&a);
	return err;
}

static long do_mkdir(int dirfd, uva_t path, uint32_t mode)
{
	return do_make(dirfd, path, S_IFDIR | (mode & 01777 & ~fsctx_umask(-1)), 0, NULL);
}

SYSCALL2(mkdir, uva_t, path, uint32_t, mode)
{
	return do_mkdir(AT_FDCWD, path, mode);
}

SYSCALL3(mkdirat, int, dirfd, uva_t, path, uint32_t, mode)
{
	return do_mkdir(dirfd, path, mode);
}

static long do_mknod(int dirfd, uva_t path, uint32_t mode, uint64_t rdev)
{
	uint32_t type = mode & S_IFMT;

	if (!type) /* mknod(2): zero means a regular file */
		type = S_IFREG;
	if (type == S_IFDIR)
		return -EPERM;
	if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK && type != S_IFCHR &&
	    type != S_IFBLK)
		return -EINVAL;
	if ((type == S_IFCHR || type == S_IFBLK) && cred_current()->euid)
		return -EPERM;
	return do_make(dirfd, path, type | (mode & 07777 & ~fsctx_umask(-1)), rdev, NULL);
}

SYSCALL3(mknod, uva_t, path, uint32_t, mode, uint64_t, rdev)
{
	return do_mknod(AT_FDCWD, path, mode, rdev);
}

SYSCALL4(mknodat, int, dirfd, uva_t, path, uint32_t, mode, uint64_t, rdev)
{
	return do_mknod(dirfd, path, mode, rdev);
}

static long do_symlink(uva_t target, int dirfd, uva_t path)
{
	char *t;
	long err = path_from_user(target, &t);

	if (err)
		return err;
	err = t[0] ? do_make(dirfd, path, S_IFLNK | 0777, 0, t) : -ENOENT;
	kfree(t);
	return err;
}

SYSCALL2(symlink, uva_t, target, uva_t, path)
{
	return do_symlink(target, AT_FDCWD, path);
}

SYSCALL3(symlinkat, uva_t, target, int, dirfd, uva_t, path)
{
	return do_symlink(target, dirfd, path);
}

static long do_unlink(int dirfd, uva_t path, bool directory)
{
	struct at a;
	int err = at_get(&a, dirfd, path);

	if (!err)
		err = vfs_remove(a.base, a.path, directory);
	at_put(&a);
	return err;
}

SYSCALL1(rmdir, uva_t, path)
{
	return do_unlink(AT_FDCWD, path, true);
}

SYSCALL1(unlink, uva_t, path)
{
	return do_unlink(AT_FDCWD, path, false);
}

SYSCALL3(unlinkat, int, dirfd, uva_t, path, unsigned, flags)
{
	return flags & ~(unsigned)AT_REMOVEDIR ? -EINVAL
	                                       : do_unlink(dirfd, path, flags & AT_REMOVEDIR);
}

static long do_rename(int from_fd, uva_t from, int to_fd, uva_t to, unsigned flags)
{
	struct at a, b = { 0 };
	int err = at_get(&a, from_fd, from);

	if (!err)
		err = at_get(&b, to_fd, to);
	if (!err)
		err = vfs_rename(a.base, a.path, b.base, b.path, flags);
	at_put(&a);
	at_put(&b);
	return err;
}

SYSCALL2(rename, uva_t, from, uva_t, to)
{
	return do_rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}

SYSCALL4(renameat, int, from_fd, uva_t, from, int, to_fd, uva_t, to)
{
	return do_rename(from_fd, from, to_fd, to, 0);
}

SYSCALL5(renameat2, int, from_fd, uva_t, from, int, to_fd, uva_t, to, unsigned, flags)
{
	return do_rename(from_fd, from, to_fd, to, flags);
}

static long do_link(int old_fd, uva_t old, int dirfd, uva_t path, unsigned flags)
{
	struct dentry *d;
	struct at b;
	int err;

	if (flags & ~(unsigned)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	/* Unlike most calls link(2) does not follow a link at the end of `old`. */
	err = path_dentry(old_fd, old,
	                  (flags & AT_EMPTY_PATH) |
	                          (flags & AT_SYMLINK_FOLLOW ? 0 : AT_SYMLINK_NOFOLLOW),
	                  &d);
	if (err)
		return err;
	err = at_get(&b, dirfd, path);
	if (!err)
		err = vfs_link(d, b.base, b.path);
	at_put(&b);
	dentry_put(d);
	return err;
}

SYSCALL2(link, uva_t, old, uva_t, path)
{
	return do_link(AT_FDCWD, old, AT_FDCWD, path, 0);
}

SYSCALL5(linkat, int, old_fd, uva_t, old, int, dirfd, uva_t, path, unsigned, flags)
{
	return do_link(old_fd, old, dirfd, path, flags);
}

static long do_readlink(int dirfd, uva_t path, uva_t buf, int size)
{
	struct inode *i;
	char *text;
	long err;

	if (size <= 0)
		return -EINVAL;
	err = path_inode(dirfd, path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &i);
	if (err)
		return err;
	/* readlink(2): bytes without a 0, cut silently. */
	text = kmalloc(PATH_MAX);
	if (!text)
		err = -ENOMEM;
	else if (inode_type(i) != INODE_LINK || !i->ops->readlink)
		err = -EINVAL;
	else
		err = i->ops->readlink(i, text, MIN((size_t)size, (size_t)PATH_MAX));
	if (err > 0 && copy_to_user(buf, text, (size_t)err))
		err = -EFAULT;
	kfree(text);
	inode_put(i);
	return err;
}

SYSCALL3(readlink, uva_t, path, uva_t, buf, int, size)
{
	return do_readlink(AT_FDCWD, path, buf, size);
}

SYSCALL4(readlinkat, int, dirfd, uva_t, path, uva_t, buf, int, size)
{
	return do_readlink(dirfd, path, buf, size);
}
