// SPDX-License-Identifier: Apache-2.0
/*
 * Open files: references, reads, writes, positions. refs is atomic; pos_lock guards pos of seekable
 * files.
 */
#include "fs/block.h"
#include "fs/epoll.h"
#include "fs/vfs.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"

STAT(files_open, "fs.files", "open files");

static struct file *file_new(const struct file_ops *ops, void *priv, uint32_t flags)
{
	struct file *f = kzalloc_charged(sizeof(*f));

	if (!f)
		return NULL;
	f->ops = ops;
	f->priv = priv;
	f->flags = flags;
	f->refs = 1;
	mutex_init(&f->pos_lock, "file.pos");
	list_init(&f->epolls);
	stat_inc(files_open);
	return f;
}

int file_alloc_mode(const struct file_ops *ops, void *priv, uint32_t flags, uint32_t mode,
                    struct file **out)
{
	struct inode *i;
	int err = anon_inode(mode, &i);

	if (err)
		return err;
	*out = file_new(ops, priv, flags);
	if (!*out) {
		inode_put(i);
		return -ENOMEM;
	}
	(*out)->inode = i;
	return 0;
}

int file_alloc(const struct file_ops *ops, void *priv, uint32_t flags, struct file **out)
{
	return file_alloc_mode(ops, priv, flags, 0600, out);
}

int file_alloc_inode(struct inode *i, uint32_t flags, struct file **out)
{
	*out = file_new(NULL, NULL, flags);
	if (!*out)
		return -ENOMEM;
	(*out)->inode = inode_get(i);
	return 0;
}

struct file *file_get(struct file *f)
{
	__atomic_fetch_add(&f->refs, 1, __ATOMIC_RELAXED);
	return f;
}

void file_put(struct file *f)
{
	if (!f || __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL))
		return;
	/* Before release: an item still polls the file through f->priv. */
	epoll_file_gone(f);
	/* flock and open-file-description locks belong to the open file. */
	lock_release_owner(f->inode, f);
	if (f->ops && f->ops->release)
		f->ops->release(f);
	dentry_put(f->dentry);
	inode_put(f->inode);
	kfree(f);
	stat_add(files_open, -1);
}

ssize_t file_read(struct file *f, struct uio *u, uint64_t *pos)
{
	ssize_t done;

	if ((f->flags & O_PATH) || (f->flags & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	if (inode_type(f->inode) == INODE_DIR)
		return -EISDIR;
	if (!f->ops->read)
		return -EINVAL;
	/* pread and pwrite: the caller's position, and pos_lock is not needed. */
	if (pos)
		return f->seekable ? f->ops->read(f, u, pos) : -ESPIPE;
	if (!f->seekable)
		return f->ops->read(f, u, &f->pos);
	/* POSIX 2.9.7: reads through one open file are atomic in their position. */
	mutex_lock(&f->pos_lock);
	done = f->ops->read(f, u, &f->pos);
	mutex_unlock(&f->pos_lock);
	return done;
}

ssize_t file_write(struct file *f, struct uio *u, uint64_t *pos)
{
	ssize_t done;

	if ((f->flags & O_PATH) || (f->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (!f->ops->write)
		return -EINVAL;
	if (pos)
		return f->seekable ? f->ops->write(f, u, pos) : -ESPIPE;
	if (!f->seekable) {
		done = f->ops->write(f, u, &f->pos);
	} else {
		mutex_lock(&f->pos_lock);
		done = f->ops->write(f, u, &f->pos);
		mutex_unlock(&f->pos_lock);
	}
	if (done == -EPIPE)
		signal_current(SIGPIPE);
	return done;
}

static uint64_t seek_size(struct file *f)
{
	struct vstat st;

	if (inode_type(f->inode) == INODE_BLOCK)
		return block_size(f);
	inode_stat(f->inode, &st);
	return st.size;
}

int64_t file_seek(struct file *f, int64_t off, int whence)
{
	uint64_t size;
	int64_t err = 0;

	if (f->flags & O_PATH)
		return -EBADF;
	if (!f->seekable)
		return -ESPIPE;
	mutex_lock(&f->pos_lock);
	size = whence >= SEEK_END ? seek_size(f) : 0;
	/* Each case makes `off` absolute; -ENXIO and overflow leave the position as it was. */
	switch (whence) {
	case SEEK_SET: break;
	case SEEK_CUR: err = add_overflow((int64_t)f->pos, off, &off) ? -EOVERFLOW : 0; break;
	case SEEK_END: err = add_overflow((int64_t)size, off, &off) ? -EOVERFLOW : 0; break;
	case SEEK_DATA:
	case SEEK_HOLE:
		/*
		 * lseek(2): behind the end there is neither data nor hole; a file system without
		 * `seek` is all data.
		 */
		err = off < 0 || (uint64_t)off >= size ? -ENXIO : 0;
		if (!err && f->ops->seek)
			err = f->ops->seek(f, (uint64_t)off, whence == SEEK_HOLE, (uint64_t *)&off);
		else if (whence == SEEK_HOLE)
			off = (int64_t)size;
		break;
	default: err = -EINVAL;
	}
	if (!err && off < 0)
		err = -EINVAL;
	if (!err)
		f->pos = (uint64_t)off;
	mutex_unlock(&f->pos_lock);
	return err ? err : off;
}

int file_truncate(struct file *f, uint64_t size)
{
	struct vstat to = { .size = size };

	if ((f->flags & O_PATH))
		return -EBADF;
	if ((f->flags & O_ACCMODE) == O_RDONLY || inode_type(f->inode) != INODE_FILE)
		return -EINVAL;
	return inode_setattr(f->inode, &to, VSTAT_SIZE);
}

ssize_t file_read_kernel(struct file *f, void *buf, size_t n, uint64_t pos)
{
	size_t done = 0;

	while (done < n) {
		struct uio u;
		ssize_t got;

		uio_init_kernel(&u, (char *)buf + done, n - done);
		got = f->ops->read ? f->ops->read(f, &u, &pos) : -EINVAL;
		if (got < 0)
			return got;
		if (!got)
			break;
		done += (size_t)got;
	}
	return (ssize_t)done;
}

int file_path(const struct file *f, char *buf, size_t size)
{
	uint64_t ino = f->inode->st.ino;
	int n;

	/*
	 * A dentry without a parent was never in the tree (O_TMPFILE, memfd): it has a name but no
	 * path.
	 */
	if (f->dentry && !(f->dentry->deleted && !f->dentry->parent)) {
		struct dentry *root = fsctx_root();

		n = dentry_path(f->dentry, root, buf, size);
		dentry_put(root);
		return n;
	}
	if (inode_type(f->inode) == INODE_FIFO)
		n = vmk_snprintf(buf, size, "pipe:[%llu]", (unsigned long long)ino);
	else if (inode_type(f->inode) == INODE_SOCKET)
		n = vmk_snprintf(buf, size, "socket:[%llu]", (unsigned long long)ino);
	else if (inode_type(f->inode) == INODE_FILE)
		n = vmk_snprintf(buf, size, "/%s (deleted)", f->dentry ? f->dentry->name : "");
	else
		n = vmk_snprintf(buf, size, "anon_inode:[%s]", f->ops->name);
	return (size_t)n >= size ? -ERANGE : n;
}
