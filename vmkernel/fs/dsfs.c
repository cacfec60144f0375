// SPDX-License-Identifier: Apache-2.0
/*
 * The datastore as a file system below /vmfs/volumes. An inode in memory exists while somebody uses
 * it: `live` finds it by number (under `live_lock`), so that one file has one inode. The datastore
 * does its own locking; no page cache: reads and writes pass through a bounce buffer of at most 256
 * KiB.
 */
#include "fs/dsfs.h"

#include "fs/dsfs_impl.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum { WINDOW = 256 * 1024, COOKIE_FIRST = 2 };

struct dnode {
	struct inode i;
	struct list link;
	struct dsfs *fs;
	uint64_t page;
};

static const struct inode_ops dsfs_inode_ops;

static struct dnode *to_dnode(struct inode *i)
{
	return container_of(i, struct dnode, i);
}

static struct ds *ds_of(struct inode *i)
{
	return to_dnode(i)->fs->ds;
}

/* Brings the attributes up to date with the datastore's inode. */
static int load(struct dnode *d)
{
	struct ds *ds = d->fs->ds;
	const struct ds_inode *ino;
	struct ds_page *p;
	int err;

	mutex_lock(&ds->lock);
	err = ds_page_get(ds, d->page, DS_INODE, &p);
	if (err == 0) {
		ino = p->data;
		d->i.st.mode = ino->mode;
		d->i.st.nlink = ino->nlink;
		d->i.st.uid = ino->uid;
		d->i.st.gid = ino->gid;
		d->i.st.size = S_ISTYPE(ino->mode, S_IFDIR) ? DS_PAGE : ino->size;
		d->i.st.blocks512 = ino->blocks * (DS_BLOCK / 512) + DS_PAGE / 512;
		d->i.st.mtime = d->i.st.atime = ino->mtime;
		d->i.st.ctime = ino->ctime;
		ds_page_put(ds, p);
	}
	mutex_unlock(&ds->lock);
	return err;
}

/*
 * A reference to an inode of the list, unless its last one is gone: then it stays in the list until
 * its release takes it out, and is not revived. References go without live_lock.
 */
static bool get_live(struct inode *i)
{
	uint32_t refs = __atomic_load_n(&i->refs, __ATOMIC_RELAXED);

	while (refs)
		if (__atomic_compare_exchange_n(&i->refs, &refs, refs + 1, true, __ATOMIC_ACQUIRE,
		                                __ATOMIC_RELAXED))
			return true;
	return false;
}

int dsfs_inode(struct dsfs *fs, uint64_t page, struct inode **out)
{
	struct dnode *d;
	int err;

	mutex_lock(&fs->live_lock);
	list_for_each(d, &fs->live, link) {
		if (d->page == page && get_live(&d->i)) {
			mutex_unlock(&fs->live_lock);
			goto found;
		}
	}
	d = kzalloc(sizeof(*d));
	if (!d) {
		mutex_unlock(&fs->live_lock);
		return -ENOMEM;
	}
	inode_init(&d->i, &fs->fs, &dsfs_inode_ops, page, 0);
	d->fs = fs;
	d->page = page;
	/*
	 * In the list before its attributes are read: a second lookup finds this one and loads it
	 * too.
	 */
	list_push_back(&fs->live, &d->link);
	mutex_unlock(&fs->live_lock);
found:
	err = load(d);
	if (err)
		inode_put(&d->i);
	else
		*out = &d->i;
	return err;
}

static void dsfs_inode_release(struct inode *i)
{
	struct dnode *d = to_dnode(i);

	mutex_lock(&d->fs->live_lock);
	list_remove(&d->link);
	mutex_unlock(&d->fs->live_lock);
	kfree(d);
}

static int dsfs_lookup(struct inode *dir, const char *name, struct inode **out)
{
	struct ds *ds = ds_of(dir);
	uint64_t page;
	int err;

	mutex_lock(&ds->lock);
	err = ds_dir_find(ds, to_dnode(dir)->page, name, &page);
	mutex_unlock(&ds->lock);
	return err ? err : dsfs_inode(to_dnode(dir)->fs, page, out);
}

static int dsfs_create(struct inode *dir, const char *name, enum inode_type type, uint32_t mode,
                       uint64_t rdev, const char *target, struct inode **out)
{
	uint64_t page;
	int err;

	if (type != INODE_FILE && type != INODE_DIR && type != INODE_LINK)
		return -EPERM;
	err = ds_create(ds_of(dir), to_dnode(dir)->page, name, (uint32_t)type << 12 | mode, target,
	                &page);
	if (err == 0)
		err = dsfs_inode(to_dnode(dir)->fs, page, out);
	if (err)
		return err;
	err = load(to_dnode(dir));
	if (err)
		inode_put(*out);
	return err;
}

static int dsfs_link(struct inode *dir, const char *name, struct inode *old)
{
	int err = ds_link(ds_of(dir), to_dnode(dir)->page, name, to_dnode(old)->page);

	return err ? err : load(to_dnode(old));
}

static int dsfs_unlink(struct inode *dir, const char *name, bool directory)
{
	int err = ds_unlink(ds_of(dir), to_dnode(dir)->page, name, directory);

	return err ? err : load(to_dnode(dir));
}

static int dsfs_rename(struct inode *dir, const char *name, struct inode *to, const char *to_name,
                       unsigned flags)
{
	int err = flags & ~RENAME_NOREPLACE ? -EINVAL : 0;

	if (err == 0)
		err = ds_rename(ds_of(dir), to_dnode(dir)->page, name, to_dnode(to)->page, to_name);
	if (err == 0)
		err = load(to_dnode(dir));
	return err ? err : load(to_dnode(to));
}

static int dsfs_readlink(struct inode *i, char *buf, size_t size)
{
	struct ds *ds = ds_of(i);
	struct ds_page *p;
	size_t n = 0;
	int err;

	mutex_lock(&ds->lock);
	err = ds_page_get(ds, to_dnode(i)->page, DS_INODE, &p);
	if (err == 0) {
		/*
		 * A link's target is inline; its size is bounded again, for it comes from the disk.
		 */
		n = MIN(size,
		        MIN((size_t)((struct ds_inode *)p->data)->size, (size_t)DS_INLINE_MAX));
		memcpy(buf, ((struct ds_inode *)p->data)->data, n);
		ds_page_put(ds, p);
	}
	mutex_unlock(&ds->lock);
	return err ? err : (int)n;
}

/* Under ds->lock. -EBUSY: a virtual disk has the file to itself. */
static int open_shared(struct ds *ds, uint64_t page, struct ds_file **out)
{
	int err = ds_file_open(ds, page, out);

	/* A virtual disk bypasses this layer: nobody else may change its extents. */
	if (err == 0 && (*out)->vdisk) {
		(*out)->refs--;
		err = -EBUSY;
	}
	return err;
}

static int set_size(struct inode *i, uint64_t size)
{
	struct ds *ds = ds_of(i);
	struct ds_file *f;
	int err;

	mutex_lock(&ds->lock);
	err = open_shared(ds, to_dnode(i)->page, &f);
	mutex_unlock(&ds->lock);
	if (err)
		return err;
	err = ds_truncate(f, size);
	ds_file_close(f);
	return err;
}

static int dsfs_setattr(struct inode *i, const struct vstat *to, unsigned mask)
{
	struct ds *ds = ds_of(i);
	struct ds_page *p;
	int err = 0;

	if (mask & VSTAT_SIZE)
		err = inode_type(i) == INODE_FILE ? set_size(i, to->size) : -EISDIR;
	if (err == 0 && mask & (VSTAT_MODE | VSTAT_UID | VSTAT_GID | VSTAT_MTIME)) {
		mutex_lock(&ds->lock);
		/*
		 * A transaction: the attributes become durable with the next commit of the journal.
		 */
		err = ds_begin(ds);
		if (err == 0)
			err = ds_page_get(ds, to_dnode(i)->page, DS_INODE, &p);
		if (err == 0) {
			struct ds_inode *ino = p->data;

			ds_page_dirty(ds, p);
			if (mask & VSTAT_MODE)
				ino->mode = (ino->mode & 0170000) | (to->mode & 07777);
			ino->uid = mask & VSTAT_UID ? to->uid : ino->uid;
			ino->gid = mask & VSTAT_GID ? to->gid : ino->gid;
			ino->mtime = mask & VSTAT_MTIME ? to->mtime : ino->mtime;
			ds_page_put(ds, p);
		}
		mutex_unlock(&ds->lock);
	}
	return err ? err : load(to_dnode(i));
}

/* One window at a time through kernel memory. */
static ssize_t transfer(struct file *f, struct uio *u, uint64_t *pos, bool write)
{
	size_t room = MIN(u->left, (size_t)WINDOW), done = 0;
	uint8_t *buf = room ? vmalloc(room) : NULL;
	ssize_t n = 0;

	if (room && !buf)
		return -ENOMEM;
	while (u->left) {
		size_t want = MIN(u->left, room);

		/* User memory is copied with no lock of the datastore held, since it may fault. */
		n = write ? uio_read(u, buf, want) : 0;
		if (n == 0)
			n = write ? ds_write(f->priv, *pos, buf, want)
			          : ds_read(f->priv, *pos, buf, want);
		if (n > 0 && !write) {
			int err = uio_write(u, buf, (size_t)n);

			n = err ? err : n;
		}
		if (n <= 0)
			break;
		*pos += (size_t)n;
		done += (size_t)n;
		/* The end of the file, or of the space: the next call says which. */
		if ((size_t)n < want)
			break;
	}
	vfree(buf);
	if (write && done)
		(void)!load(to_dnode(f->inode)); /* the attributes only; the next stat asks again */
	return done ? (ssize_t)done : n;
}

static ssize_t dsfs_read(struct file *f, struct uio *u, uint64_t *pos)
{
	return transfer(f, u, pos, false);
}

static ssize_t dsfs_write(struct file *f, struct uio *u, uint64_t *pos)
{
	ssize_t done;

	if (!(f->flags & O_APPEND))
		return transfer(f, u, pos, true);
	/*
	 * The end and the write to it are one, or two writers would choose the same place. A page
	 * fault on the caller's memory never takes an inode's lock of a datastore: its files are
	 * not mapped shared.
	 */
	mutex_lock(&f->inode->lock);
	*pos = ((struct ds_file *)f->priv)->size;
	done = transfer(f, u, pos, true);
	mutex_unlock(&f->inode->lock);
	return done;
}

static int dsfs_fsync(struct file *f, bool data_only)
{
	return ds_sync(ds_of(f->inode));
}

static int dsfs_seek(struct file *f, uint64_t from, bool hole, uint64_t *found)
{
	return ds_seek(f->priv, from, hole, found);
}

static int dsfs_allocate(struct file *f, unsigned mode, uint64_t off, uint64_t len)
{
	int err = -EOPNOTSUPP;

	if (mode == (FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE))
		err = ds_punch(f->priv, off, len);
	else if ((mode & ~(unsigned)FALLOC_KEEP_SIZE) == 0)
		err = ds_allocate(f->priv, off, len, mode);
	return err ? err : load(to_dnode(f->inode));
}

static void dsfs_release(struct file *f)
{
	ds_file_close(f->priv);
}

static const struct file_ops dsfs_file_ops = {
	.name = "datastore",
	.read = dsfs_read,
	.write = dsfs_write,
	.fsync = dsfs_fsync,
	.seek = dsfs_seek,
	.allocate = dsfs_allocate,
	.release = dsfs_release,
};

struct ds_file *dsfs_file(const struct file *f)
{
	return f->ops == &dsfs_file_ops ? f->priv : NULL;
}

struct walk_arg {
	bool (*emit)(void *, const char *, uint64_t, unsigned, uint64_t);
	void *arg;
};

static bool emit_shifted(void *arg, const char *name, uint64_t ino, unsigned type, uint64_t next)
{
	struct walk_arg *w = arg;

	return w->emit(w->arg, name, ino, type, next + COOKIE_FIRST);
}

static int dsfs_readdir(struct file *f, uint64_t *pos,
                        bool (*emit)(void *, const char *, uint64_t, unsigned, uint64_t), void *arg)
{
	struct dnode *d = to_dnode(f->inode);
	struct walk_arg w = { emit, arg };
	uint64_t up = f->dentry && f->dentry->parent ? f->dentry->parent->inode->st.ino : d->page,
		 at;
	int err;

	if (*pos == 0 && emit(arg, ".", d->page, INODE_DIR, 1))
		*pos = 1;
	if (*pos == 1 && emit(arg, "..", up, INODE_DIR, 2))
		*pos = COOKIE_FIRST;
	if (*pos < COOKIE_FIRST)
		return 0;
	at = *pos - COOKIE_FIRST;
	/* The walk goes by the directory's pages, which only ds->lock keeps as they are. */
	mutex_lock(&d->fs->ds->lock);
	err = ds_dir_walk(d->fs->ds, d->page, &at, emit_shifted, &w);
	mutex_unlock(&d->fs->ds->lock);
	*pos = at + COOKIE_FIRST;
	return err;
}

static int dsfs_sync_dir(struct file *f, bool data_only)
{
	return ds_sync(ds_of(f->inode));
}

static const struct file_ops dsfs_dir_ops = {
	.name = "datastore",
	.readdir = dsfs_readdir,
	.fsync = dsfs_sync_dir,
};

static int dsfs_open(struct inode *i, struct file *f)
{
	struct ds *ds = ds_of(i);
	struct ds_file *file;
	int err;

	if (inode_type(i) == INODE_DIR) {
		f->ops = &dsfs_dir_ops;
		return 0;
	}
	mutex_lock(&ds->lock);
	err = open_shared(ds, to_dnode(i)->page, &file);
	mutex_unlock(&ds->lock);
	if (err)
		return err;
	f->ops = &dsfs_file_ops;
	f->priv = file;
	f->seekable = true;
	return 0;
}

static const struct inode_ops dsfs_inode_ops = {
	.lookup = dsfs_lookup,
	.create = dsfs_create,
	.link = dsfs_link,
	.unlink = dsfs_unlink,
	.rename = dsfs_rename,
	.readlink = dsfs_readlink,
	.open = dsfs_open,
	.setattr = dsfs_setattr,
};

int dsfs_usage(struct ds *ds, struct dsfs_usage *out)
{
	struct ds_page *p;
	int err;

	mutex_lock(&ds->lock);
	err = ds_page_get(ds, ds->super.state_page, DS_STATE, &p);
	if (err == 0) {
		const struct ds_state *s = p->data;

		*out = (struct dsfs_usage){ ds->blocks, ds->blocks - s->used, s->inodes, s->root };
		ds_page_put(ds, p);
	}
	mutex_unlock(&ds->lock);
	return err;
}

static int dsfs_statfs(struct fs *fs, uint64_t *block_size, uint64_t *blocks, uint64_t *free,
                       uint64_t *inodes, uint64_t *inodes_free, char name[16])
{
	struct dsfs_usage u;
	int err = dsfs_usage(((struct dsfs *)fs->priv)->ds, &u);

	if (err)
		return err;
	*block_size = DS_BLOCK;
	*blocks = u.blocks;
	*free = u.free;
	/* An inode takes a page; any free block can be made into DS_BLOCK_PAGES - 1 of them. */
	*inodes = u.inodes + u.free * (DS_BLOCK_PAGES - 1);
	*inodes_free = u.free * (DS_BLOCK_PAGES - 1);
	str_copy(name, fs->name, 16);
	return 0;
}

static void dsfs_refresh(struct inode *i)
{
	(void)!load(to_dnode(i)); /* a failure has marked the volume damaged and logged it */
}

static int dsfs_sync(struct fs *fs)
{
	return ds_sync(((struct dsfs *)fs->priv)->ds);
}

const struct fs_ops dsfs_ops = {
	.statfs = dsfs_statfs,
	.inode_release = dsfs_inode_release,
	.refresh = dsfs_refresh,
	.sync = dsfs_sync,
};
