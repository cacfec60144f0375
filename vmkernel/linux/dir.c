// SPDX-License-Identifier: Apache-2.0
/*
 * System calls on directories and directory contexts: getdents64, chdir, getcwd, chroot, umask,
 * sync.
 */
#include "linux/path.h"
#include "vmk/mm.h"
#include "vmk/string.h"

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
	long r;

	if (!f->ops->readdir || (f->flags & O_PATH))
		return f->flags & O_PATH ? -EBADF : -ENOTDIR;
	if (f->dentry && f->dentry->deleted && f->dentry->parent)
		return -ENOENT;
	b.buf = kmalloc(b.size);
	if (!b.buf)
		return -ENOMEM;
	mutex_lock(&f->pos_lock);
	before = f->pos;
	r = f->ops->readdir(f, &f->pos, dir_emit, &b);
	if (!r && !b.len && f->pos == before && size < sizeof(struct dirent64) + NAME_MAX + 1) {
		struct dirbuf probe = { .buf = kmalloc(PAGE_SIZE), .size = PAGE_SIZE };

		/* Nothing came: the end, or an entry that does not fit. */
		r = probe.buf ? f->ops->readdir(f, &before, dir_emit, &probe) : -ENOMEM;
		if (!r && probe.len)
			r = -EINVAL;
		kfree(probe.buf);
	}
	mutex_unlock(&f->pos_lock);
	if (!r)
		r = copy_to_user(out, b.buf, b.len) ? -EFAULT : (long)b.len;
	kfree(b.buf);
	return r;
}

SYSCALL(217, getdents64)
{
	return WITH_FILE((int)a[0], f, getdents(f, a[1], (uint32_t)a[2]));
}

/* The directory becomes the working directory or the root; its reference is taken over. */
static long change_to(struct dentry *d, bool root)
{
	long r = inode_type(d->inode) != INODE_DIR ? -ENOTDIR
	                                           : inode_permission(d->inode, MAY_EXEC);

	if (r)
		dentry_put(d);
	else if (root)
		fsctx_set_root(d);
	else
		fsctx_set_cwd(d);
	return r;
}

SYSCALL(80, chdir)
{
	struct dentry *d;
	int err = path_dentry(AT_FDCWD, a[0], 0, &d);

	return err ? err : change_to(d, false);
}

SYSCALL(81, fchdir)
{
	return WITH_FILE((int)a[0], f,
	                 f->dentry ? change_to(dentry_get(f->dentry), false) : -ENOTDIR);
}

SYSCALL(161, chroot)
{
	struct dentry *d;
	int err = cred_current()->euid ? -EPERM : path_dentry(AT_FDCWD, a[0], 0, &d);

	return err ? err : change_to(d, true);
}

SYSCALL(79, getcwd)
{
	char *buf = kmalloc(PATH_MAX);
	struct dentry *root, *cwd;
	long r;

	if (!buf)
		return -ENOMEM;
	root = fsctx_root();
	cwd = fsctx_cwd();
	r = cwd->deleted ? -ENOENT : dentry_path(cwd, root, buf, PATH_MAX);
	dentry_put(root);
	dentry_put(cwd);
	if (r >= 0)
		r = (uint64_t)r + 1 > a[1]                   ? -ERANGE
		    : copy_to_user(a[0], buf, (size_t)r + 1) ? -EFAULT
		                                             : r + 1;
	kfree(buf);
	return r;
}

SYSCALL(95, umask)
{
	return fsctx_umask((int)a[0] & 0777);
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

SYSCALL(162, sync)
{
	struct fs *list[16] = { NULL };

	dentry_each_mount(sync_fs, list);
	for (unsigned i = 0; i < 16 && list[i]; i++)
		(void)list[i]->ops->sync(list[i]); /* sync(2) cannot fail; fsync tells */
	return 0;
}

SYSCALL(306, syncfs)
{
	return WITH_FILE((int)a[0], f,
	                 f->inode->fs->ops->sync ? f->inode->fs->ops->sync(f->inode->fs) : 0);
}
