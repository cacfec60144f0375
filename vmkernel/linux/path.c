// SPDX-License-Identifier: Apache-2.0
/*
 * System calls on paths: open, make, remove, rename, link, working directory. Spec: Linux man
 * pages, section 2.
 */
#include "linux/path.h"
#include "vmk/mm.h"
#include "vmk/string.h"

int path_from_user(uva_t p, char **out)
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

int path_base(int dirfd, const char *path, struct dentry **out)
{
	struct file *f;
	int err = 0;

	*out = NULL;
	if (dirfd == AT_FDCWD || path[0] == '/')
		return 0;
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

SYSCALL(2, open)
{
	return do_open(AT_FDCWD, a[0], (unsigned)a[1], (uint32_t)a[2]);
}

SYSCALL(85, creat)
{
	return do_open(AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)a[1]);
}

SYSCALL(257, openat)
{
	return do_open((int)a[0], a[1], (unsigned)a[2], (uint32_t)a[3]);
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

SYSCALL(83, mkdir)
{
	return do_mkdir(AT_FDCWD, a[0], (uint32_t)a[1]);
}

SYSCALL(258, mkdirat)
{
	return do_mkdir((int)a[0], a[1], (uint32_t)a[2]);
}

static long do_mknod(int dirfd, uva_t path, uint32_t mode, uint64_t rdev)
{
	uint32_t type = mode & S_IFMT;

	if (!type)
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

SYSCALL(133, mknod)
{
	return do_mknod(AT_FDCWD, a[0], (uint32_t)a[1], a[2]);
}

SYSCALL(259, mknodat)
{
	return do_mknod((int)a[0], a[1], (uint32_t)a[2], a[3]);
}

static long do_symlink(uva_t target, int dirfd, uva_t path)
{
	char *t;
	long r = path_from_user(target, &t);

	if (r)
		return r;
	r = t[0] ? do_make(dirfd, path, S_IFLNK | 0777, 0, t) : -ENOENT;
	kfree(t);
	return r;
}

SYSCALL(88, symlink)
{
	return do_symlink(a[0], AT_FDCWD, a[1]);
}

SYSCALL(266, symlinkat)
{
	return do_symlink(a[0], (int)a[1], a[2]);
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

SYSCALL(84, rmdir)
{
	return do_unlink(AT_FDCWD, a[0], true);
}

SYSCALL(87, unlink)
{
	return do_unlink(AT_FDCWD, a[0], false);
}

SYSCALL(263, unlinkat)
{
	return a[2] & ~(uint64_t)AT_REMOVEDIR ? -EINVAL
	                                      : do_unlink((int)a[0], a[1], a[2] & AT_REMOVEDIR);
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

SYSCALL(82, rename)
{
	return do_rename(AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
}

SYSCALL(264, renameat)
{
	return do_rename((int)a[0], a[1], (int)a[2], a[3], 0);
}

SYSCALL(316, renameat2)
{
	return do_rename((int)a[0], a[1], (int)a[2], a[3], (unsigned)a[4]);
}

static long do_link(int old_fd, uva_t old, int dirfd, uva_t path, unsigned flags)
{
	struct dentry *d;
	struct at b;
	int err;

	if (flags & ~(unsigned)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
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

SYSCALL(86, link)
{
	return do_link(AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
}

SYSCALL(265, linkat)
{
	return do_link((int)a[0], a[1], (int)a[2], a[3], (unsigned)a[4]);
}

static long do_readlink(int dirfd, uva_t path, uva_t buf, int size)
{
	struct inode *i;
	char *text;
	long r;

	if (size <= 0)
		return -EINVAL;
	r = path_inode(dirfd, path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &i);
	if (r)
		return r;
	text = kmalloc(PATH_MAX);
	if (!text)
		r = -ENOMEM;
	else if (inode_type(i) != INODE_LINK || !i->ops->readlink)
		r = -EINVAL;
	else
		r = i->ops->readlink(i, text, MIN((size_t)size, (size_t)PATH_MAX));
	if (r > 0 && copy_to_user(buf, text, (size_t)r))
		r = -EFAULT;
	kfree(text);
	inode_put(i);
	return r;
}

SYSCALL(89, readlink)
{
	return do_readlink(AT_FDCWD, a[0], a[1], (int)a[2]);
}

SYSCALL(267, readlinkat)
{
	return do_readlink((int)a[0], a[1], a[2], (int)a[3]);
}
