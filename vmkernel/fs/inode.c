// SPDX-License-Identifier: Apache-2.0
/*
 * Inodes: reference counts, attributes, permission. i->lock guards st; refs is atomic. The
 * anonymous file system holds the inodes of pipes, sockets and the like.
 */
#include "fs/vfs.h"
#include "vmk/mm.h"
#include "vmk/string.h"

static uint64_t next_ino = 1, next_dev = 16;

uint64_t ino_next(void)
{
	return __atomic_add_fetch(&next_ino, 1, __ATOMIC_RELAXED);
}

uint64_t fs_next_dev(void)
{
	return __atomic_fetch_add(&next_dev, 1, __ATOMIC_RELAXED);
}

void inode_init(struct inode *i, struct fs *fs, const struct inode_ops *ops, uint64_t ino,
                uint32_t mode)
{
	ns_t now = time_realtime();

	memset(i, 0, sizeof(*i));
	i->ops = ops;
	i->fs = fs;
	i->refs = 1;
	mutex_init(&i->lock, "inode");
	list_init(&i->locks);
	i->st = (struct vstat){ .ino = ino,
		                .dev = fs->dev,
		                .mode = mode,
		                .nlink = 1,
		                .blksize = PAGE_SIZE,
		                .atime = now,
		                .mtime = now,
		                .ctime = now };
}

struct inode *inode_get(struct inode *i)
{
	__atomic_fetch_add(&i->refs, 1, __ATOMIC_RELAXED);
	return i;
}

void inode_put(struct inode *i)
{
	if (i && __atomic_sub_fetch(&i->refs, 1, __ATOMIC_ACQ_REL) == 0)
		i->fs->ops->inode_release(i);
}

enum inode_type inode_type(const struct inode *i)
{
	return (enum inode_type)S_TYPE(i->st.mode);
}

int inode_permission(struct inode *i, unsigned may)
{
	const struct cred *c = cred_current();
	uint32_t mode = READ_ONCE(i->st.mode);

	/*
	 * Devices and FIFOs of a read-only file system can be written: only its own contents are
	 * fixed.
	 */
	if ((may & MAY_WRITE) && i->fs->read_only &&
	    (S_ISTYPE(mode, S_IFREG) || S_ISTYPE(mode, S_IFDIR) || S_ISTYPE(mode, S_IFLNK)))
		return -EROFS;
	if (c->euid == 0) /* CAP_DAC_OVERRIDE: all but execution of what nobody may execute */
		return (may & MAY_EXEC) && !S_ISTYPE(mode, S_IFDIR) && !(mode & 0111) ? -EACCES : 0;
	/* POSIX 4.5: the first class that fits decides, even where a later one would allow more. */
	if (c->euid == i->st.uid)
		mode >>= 6;
	else if (cred_in_group(i->st.gid))
		mode >>= 3;
	return (may & ~mode & 7) ? -EACCES : 0;
}

int inode_setattr(struct inode *i, struct vstat *to, unsigned mask)
{
	int err;

	if (i->fs->read_only)
		return -EROFS;
	mutex_lock(&i->lock);
	/* The file system first: it may refuse, and then nothing here has changed. */
	err = i->ops->setattr ? i->ops->setattr(i, to, mask) : -EPERM;
	if (!err) {
		if (mask & VSTAT_MODE)
			i->st.mode = (i->st.mode & S_IFMT) | (to->mode & 07777);
		if (mask & VSTAT_UID)
			i->st.uid = to->uid;
		if (mask & VSTAT_GID)
			i->st.gid = to->gid;
		i->st.ctime = time_realtime();
		if (mask & VSTAT_SIZE)
			i->st.mtime = i->st.ctime;
		if (mask & VSTAT_ATIME)
			i->st.atime = to->atime;
		if (mask & VSTAT_MTIME)
			i->st.mtime = to->mtime;
	}
	mutex_unlock(&i->lock);
	return err;
}

void inode_stat(struct inode *i, struct vstat *st)
{
	mutex_lock(&i->lock);
	if (i->fs->ops->refresh)
		i->fs->ops->refresh(i);
	*st = i->st;
	mutex_unlock(&i->lock);
}

static void anon_release(struct inode *i)
{
	kfree(i);
}

static int anon_setattr(struct inode *i, const struct vstat *to, unsigned mask)
{
	return mask & VSTAT_SIZE ? -EINVAL : 0;
}

static int anon_statfs(struct fs *fs, uint64_t *block_size, uint64_t *blocks, uint64_t *free,
                       uint64_t *inodes, uint64_t *inodes_free, char name[16])
{
	*block_size = PAGE_SIZE;
	*blocks = *free = *inodes = *inodes_free = 0;
	str_copy(name, "anonfs", 16);
	return 0;
}

static int anon_open(struct inode *i, struct file *f)
{
	/* /proc/self/fd/N of a pipe opens the pipe again; nothing else can be opened twice. */
	return inode_type(i) == INODE_FIFO ? fifo_open(i, f) : -ENXIO;
}

static const struct fs_ops anon_fs_ops = { .statfs = anon_statfs, .inode_release = anon_release };
static const struct inode_ops anon_inode_ops = { .open = anon_open, .setattr = anon_setattr };
static struct fs anon_fs = { .name = "anonfs", .ops = &anon_fs_ops, .dev = 9 };

int anon_inode(uint32_t mode, struct inode **out)
{
	const struct cred *c = cred_current();
	struct inode *i = kmalloc_charged(sizeof(*i));

	if (!i)
		return -ENOMEM;
	inode_init(i, &anon_fs, &anon_inode_ops, ino_next(), mode);
	i->st.uid = c->euid;
	i->st.gid = c->egid;
	*out = i;
	return 0;
}
