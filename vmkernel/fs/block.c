// SPDX-License-Identifier: Apache-2.0
/*
 * Disks and partitions as files: /vmfs/devices/disks/NAME, to which /dev/disks leads. The directory
 * shows the registry as it is now; a node's minor number is the device's, so that nodes made by
 * mknod work too. No cache: whole blocks go to the device as they are written, the blocks at the
 * ends of an unaligned range are read first, under edge_lock (two writers of one block lose
 * nothing; a whole block written meanwhile may). Constants: Linux fs.h, hdreg.h.
 */
#include "fs/block.h"

#include "fs/genfs.h"
#include "vmk/blk.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/tty.h"

#define LOG_MODULE "block"

enum { BLOCK_MAJOR = 259, WINDOW_ORDER = 6 };

enum block_ioctl {
	BLKROGET = 0x125e,
	BLKRRPART = 0x125f,
	BLKGETSIZE = 0x1260,
	BLKFLSBUF = 0x1261,
	BLKSSZGET = 0x1268,
	BLKDISCARD = 0x1277,
	BLKPBSZGET = 0x127b,
	BLKZEROOUT = 0x127f,
	BLKGETSIZE64 = (int)0x80081272
};

struct block_file {
	struct blk_dev *dev;
	bool exclusive;
};

/* Pages that every transfer of one call passes through. */
struct window {
	pa_t pa;
	unsigned order;
};

static struct mutex edge_lock;
static struct genfs disks;

static struct blk_dev *dev_of(const struct file *f)
{
	return ((struct block_file *)f->priv)->dev;
}

static int window_get(struct window *w, size_t bytes)
{
	w->order = 0;
	while (w->order < WINDOW_ORDER && PAGE_SIZE << w->order < bytes)
		w->order++;
	/* A smaller window serves as well when memory is fragmented. */
	while ((w->pa = page_alloc(w->order, FRAME_DMA, 0)) == PA_NONE)
		if (w->order-- == 0)
			return -ENOMEM;
	return 0;
}

static int window_rw(struct blk_dev *d, const struct window *w, enum blk_op op, uint64_t offset,
                     size_t len)
{
	struct sg sg = { .pa = w->pa, .len = (uint32_t)len };

	return blk_rw(d, op, offset, &sg, 1);
}

/*
 * The next step of a transfer at pos: as many whole blocks as fit the window, or what the range
 * covers of one block. *skip is where the range begins in the step's first block.
 */
static size_t step_of(const struct blk_dev *d, const struct window *w, uint64_t pos, size_t left,
                      size_t *skip)
{
	size_t block = d->limits.block_size, room = PAGE_SIZE << w->order;

	*skip = pos % block;
	if (*skip || left < block)
		return MIN(block - *skip, left);
	return ALIGN_DOWN(MIN(left, room), block);
}

static int step_read(struct blk_dev *d, const struct window *w, struct uio *u, uint64_t pos,
                     size_t n, size_t skip)
{
	size_t block = d->limits.block_size;
	int err = window_rw(d, w, BLK_READ, pos - skip, ALIGN_UP(skip + n, block));

	return err ? err : uio_write(u, (char *)pa_to_va(w->pa) + skip, n);
}

static int step_write(struct blk_dev *d, const struct window *w, struct uio *u, uint64_t pos,
                      size_t n, size_t skip)
{
	size_t block = d->limits.block_size, whole = ALIGN_UP(skip + n, block);
	char *va = pa_to_va(w->pa);
	bool edge = whole != n;
	int err = 0;

	/* Read, change, write of one block: two writers of its halves must not undo each other. */
	if (edge) {
		mutex_lock(&edge_lock);
		err = window_rw(d, w, BLK_READ, pos - skip, whole);
	}
	if (err == 0)
		err = uio_read(u, va + skip, n);
	if (err == 0)
		err = window_rw(d, w, BLK_WRITE, pos - skip, whole);
	if (edge)
		mutex_unlock(&edge_lock);
	return err;
}

static ssize_t transfer(struct file *f, struct uio *u, uint64_t *pos, bool write)
{
	struct blk_dev *d = dev_of(f);
	uint64_t size = blk_size(d);
	struct window w;
	size_t done = 0;
	int err;

	if (u->left == 0 || *pos >= size)
		return u->left && write ? -ENOSPC : 0;
	err = window_get(&w, u->left);
	while (err == 0 && u->left && *pos < size) {
		size_t skip, n = step_of(d, &w, *pos, MIN(u->left, size - *pos), &skip);

		err = (write ? step_write : step_read)(d, &w, u, *pos, n, skip);
		/* After a failure the position tells how much is on the disk. */
		if (err == 0) {
			*pos += n;
			done += n;
		}
	}
	if (w.pa != PA_NONE)
		page_free(w.pa, w.order);
	/* O_DSYNC: the call returns when the data is durable. */
	if (err == 0 && write && f->flags & O_DSYNC)
		err = blk_flush(d);
	return done ? (ssize_t)done : err;
}

static ssize_t block_read(struct file *f, struct uio *u, uint64_t *pos)
{
	return transfer(f, u, pos, false);
}

static ssize_t block_write(struct file *f, struct uio *u, uint64_t *pos)
{
	return transfer(f, u, pos, true);
}

static int block_fsync(struct file *f, bool data_only)
{
	return blk_flush(dev_of(f));
}

static long put_u32(uva_t to, uint32_t value)
{
	return copy_to_user(to, &value, sizeof(value));
}

static long put_u64(uva_t to, uint64_t value)
{
	return copy_to_user(to, &value, sizeof(value));
}

/* BLKDISCARD and BLKZEROOUT: { offset, length } in bytes, whole blocks. */
static long range(struct file *f, enum blk_op op, uva_t arg)
{
	struct blk_dev *d = dev_of(f);
	uint64_t r[2], end;

	if ((f->flags & O_ACCMODE) == O_RDONLY)
		return -EBADF;
	if (copy_from_user(r, arg, sizeof(r)))
		return -EFAULT;
	if ((r[0] | r[1]) % d->limits.block_size || add_overflow(r[0], r[1], &end) ||
	    end > blk_size(d))
		return -EINVAL;
	return r[1] ? blk_range(d, op, r[0], r[1]) : 0;
}

static long block_ioctl(struct file *f, unsigned cmd, uva_t arg)
{
	struct blk_dev *d = dev_of(f);

	switch (cmd) {
	case BLKROGET: return put_u32(arg, d->limits.read_only);
	case BLKRRPART: return blk_rescan(d);
	case BLKGETSIZE: return put_u64(arg, blk_size(d) / 512);
	case BLKGETSIZE64: return put_u64(arg, blk_size(d));
	case BLKFLSBUF: return blk_flush(d);
	case BLKSSZGET: return put_u32(arg, d->limits.block_size);
	case BLKPBSZGET: return put_u32(arg, MAX(d->limits.phys_block, d->limits.block_size));
	case BLKDISCARD: return range(f, BLK_DISCARD, arg);
	case BLKZEROOUT: return range(f, BLK_WRITE_ZEROES, arg);
	}
	return -ENOTTY;
}

static void block_release(struct file *f)
{
	struct block_file *b = f->priv;

	blk_close(b->dev, b->exclusive);
	kfree(b);
}

static const struct file_ops block_ops = {
	.name = "block",
	.read = block_read,
	.write = block_write,
	.ioctl = block_ioctl,
	.fsync = block_fsync,
	.release = block_release,
};

/*
 * Who writes needs a device that nobody holds for himself: a mounted datastore, a running VM,
 * O_EXCL.
 */
static int open_dev(struct blk_dev *d, const struct file *f)
{
	bool write = (f->flags & O_ACCMODE) != O_RDONLY;

	if (write && d->limits.read_only)
		return -EACCES;
	/* Like Linux: O_EXCL on a block device asks for sole use. */
	if (f->flags & O_EXCL)
		return blk_open(d, true);
	return write && blk_in_use(d) ? -EBUSY : blk_open(d, false);
}

int block_open(struct inode *i, struct file *f)
{
	uint32_t number = (uint32_t)DEV_MINOR(i->st.rdev);
	struct blk_dev *d = DEV_MAJOR(i->st.rdev) == BLOCK_MAJOR ? blk_next(number) : NULL;
	struct block_file *b = kzalloc(sizeof(*b));
	int err = b ? -ENXIO : -ENOMEM;

	if (b && d && d->number == number)
		err = open_dev(d, f);
	if (err) {
		kfree(b);
	} else {
		*b = (struct block_file){ d, f->flags & O_EXCL };
		f->ops = &block_ops;
		f->priv = b;
		f->seekable = true;
	}
	/* blk_next opened the device for the search; open_dev counted the file's own use. */
	if (d)
		blk_close(d, false);
	return err;
}

uint64_t block_size(const struct file *f)
{
	return f->ops == &block_ops ? blk_size(dev_of(f)) : 0;
}

static const struct inode_ops node_ops;

static void node_release(struct inode *i)
{
	kfree(i);
}

static const struct fs_ops node_fs_ops = { .statfs = gen_statfs, .inode_release = node_release };
static struct fs node_fs = { .name = "disks", .ops = &node_fs_ops };

static int disks_lookup(const char *name, struct inode **out)
{
	/* blk_find also knows other names of a device; the directory shows ids alone. */
	struct blk_dev *d = blk_find(name);
	struct inode *i = NULL;
	int err = -ENOENT;

	if (d && strcmp(d->id, name) == 0) {
		i = kmalloc(sizeof(*i));
		err = i ? 0 : -ENOMEM;
	}
	if (err == 0) {
		inode_init(i, &node_fs, &node_ops, d->number, S_IFBLK | 0600);
		i->st.rdev = DEV_MAKE(BLOCK_MAJOR, d->number);
		*out = i;
	}
	if (d)
		blk_close(d, false);
	return err;
}

/* *pos is GEN_DYNAMIC and the number of the first device to show. */
static int disks_list(uint64_t *pos,
                      bool (*emit)(void *, const char *, uint64_t, unsigned, uint64_t), void *arg)
{
	struct blk_dev *d;
	bool more = true;

	while (more && (d = blk_next((uint32_t)(*pos - GEN_DYNAMIC)))) {
		uint64_t next = GEN_DYNAMIC + d->number + 1;

		more = emit(arg, d->id, d->number, INODE_BLOCK, next);
		if (more)
			*pos = next;
		blk_close(d, false);
	}
	return 0;
}

void block_init(void)
{
	static const char *const folders[] = { "/vmfs", "/vmfs/volumes", "/vmfs/devices",
		                               "/vmfs/devices/disks" };
	int err = genfs_create(&disks, "disks");

	mutex_init(&edge_lock, "block edges");
	disks.lookup = disks_lookup;
	disks.list = disks_list;
	node_fs.dev = disks.fs.dev;
	for (unsigned i = 0; !err && i < ARRAY_SIZE(folders); i++) {
		err = vfs_mkdir(folders[i], 0755);
		err = err == -EEXIST ? 0 : err;
	}
	if (!err)
		err = vfs_mount("/vmfs/devices/disks", &disks.fs);
	if (!err)
		err = vfs_symlink("/vmfs/devices/disks", "/dev/disks");
	if (err)
		log_err("no block nodes: error %d", -err);
}
