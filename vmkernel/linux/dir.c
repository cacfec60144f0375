// SPDX-License-Identifier: Apache-2.0
/*
 * System calls on directories and directory contexts: getdents64, chdir, getcwd, chroot, umask,
 * sync.
 */
#include "linux/path.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/syscall.h"

struct dirent64 { /* followed by the name and its 0, the record padded to 8 */
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
} __packed;

struct dirbuf {
	uint8_t *buf;
	size_t len, size;
};

static bool dir_emit(void *arg, const char *name, uint64_t ino, unsigned type, uint64_t next)
{
	struct dirbuf *b = arg;
	size_t n = strlen(name), len = ALIGN_UP(sizeof(struct dirent64) + n + 1, (size_t)8);
	struct dirent64 d = {
		.ino = ino, .off = (int64_t)next, .reclen = (uint16_t)len, .type = (uint8_t)type
	};

	/* false ends the listing here: the position stays at this entry for the next call. */
	if (len > b->size - b->len)
		return false;
	memset(b->buf + b->len, 0, len);
	memcpy(b->buf + b->len, &d, sizeof(d));
	memcpy(b->buf + b->len + sizeof(d), name, n);
	b->len += len;
	return true;
}

static long getdents(struct file *f, uva_t out, size_t size)
{
	struct dirbuf b = { .size = MIN(size, 32 * KiB) };
	uint64_t before;
	long err;

	if (!f->ops->readdir || (f->flags & O_PATH))
		return f->flags & O_PATH ? -EBADF : -ENOTDIR;
	/* POSIX: a directory that was removed has no entries, not even "." any more. */
	if (f->dentry && f->dentry->deleted && f->dentry->parent)
		return -ENOENT;
	b.buf = kmalloc(b.size);
	if (!b.buf)
		return -ENOMEM;
	/* pos_lock: threads that share the descriptor take turns. User memory is written after. */
	mutex_lock(&f->pos_lock);
	before = f->pos;
	err = f->ops->readdir(f, &f->pos, dir_emit, &b);
	if (!err && !b.len && f->pos == before && size < sizeof(struct dirent64) + NAME_MAX + 1) {
		struct dirbuf probe = { .buf = kmalloc(PAGE_SIZE), .size = PAGE_SIZE };

		/* Nothing came: the end, or an entry that does not fit, which is an error. */
		err = probe.buf ? f->ops->readdir(f, &before, dir_emit, &probe) : -ENOMEM;
		if (!err && probe.len)
			err = -EINVAL;
		kfree(probe.buf);
	}
	mutex_unlock(&f->pos_lock);
	if (!err)
		err = copy_to_user(out, b.buf, b.len) ? -EFAULT : (long)b.len;
	kfree(b.buf);
	return err;
}

SYSCALL3(getdents64, int, fd, uva_t, dirent, unsigned, count)
{
	return WITH_FILE(fd, f, getdents(f, dirent, count));
}

/* The directory becomes the working directory or the root; its reference is taken over. */
static long change_to(struct dentry *d, bool root)
{
	long err = inode_type(d->inode) != INODE_DIR ? -ENOTDIR
	                                             : inode_permission(d->inode, MAY_EXEC);

	if (err)
		dentry_put(d);
	else if (root)
		fsctx_set_root(d);
	else
		fsctx_set_cwd(d);
	return err;
}

SYSCALL1(chdir, uva_t, path)
{
	struct dentry *d;
	int err = path_dentry(AT_FDCWD, path, 0, &d);

	return err ? err : change_to(d, false);
}

SYSCALL1(fchdir, int, fd)
{
	return WITH_FILE(fd, f, f->dentry ? change_to(dentry_get(f->dentry), false) : -ENOTDIR);
}

SYSCALL1(chroot, uva_t, path)
{
	struct dentry *d;
	int err = cred_current()->euid ? -EPERM : path_dentry(AT_FDCWD, path, 0, &d);

	return err ? err : change_to(d, true);
}

SYSCALL2(getcwd, uva_t, out, size_t, size)
{
	char *buf = kmalloc(PATH_MAX);
	struct dentry *root, *cwd;
	long len;

	if (!buf)
		return -ENOMEM;
	root = fsctx_root();
	cwd = fsctx_cwd();
	len = cwd->deleted ? -ENOENT : dentry_path(cwd, root, buf, PATH_MAX);
	dentry_put(root);
	dentry_put(cwd);
	if (len >= 0) /* the result counts the 0 */
		len = (uint64_t)len + 1 > size                  ? -ERANGE
		      : copy_to_user(out, buf, (size_t)len + 1) ? -EFAULT
		                                                : len + 1;
	kfree(buf);
	return len;
}

SYSCALL1(umask, int, mask)
{
	return fsctx_umask(mask & 0777);
}

static void sync_fs(struct dentry *root, void *arg)
{
	struct fs **list = arg;
	unsigned i = 0;

	while (i < 16 && list[i])
		i++;
	if (i < 16 && root->inode->fs->ops->sync)
		list[i] = root->inode->fs;
}

SYSCALL0(sync)
{
	struct fs *list[16] = { NULL };

	/* Collected first: writing back sleeps, and the walk holds the lock of the tree. */
	dentry_each_mount(sync_fs, list);
	for (unsigned i = 0; i < 16 && list[i]; i++)
		(void)list[i]->ops->sync(list[i]); /* sync(2) cannot fail; fsync tells */
	return 0;
}

SYSCALL1(syncfs, int, fd)
{
	return WITH_FILE(fd, f,
	                 f->inode->fs->ops->sync ? f->inode->fs->ops->sync(f->inode->fs) : 0);
}
