// SPDX-License-Identifier: Apache-2.0
/*
 * Operations on paths: open, make, remove, rename, link, mounts. Change of a directory happens
 * under its inode's lock; rename takes rename_lock first, then both directories, the outer one
 * first.
 */
#include "fs/vfs.h"
#include "vmk/mm.h"
#include "vmk/string.h"

static struct mutex rename_lock;

/* A walk's result on the heap: struct walk is too big for kernel stacks. */
static int walk_new(struct dentry *base, const char *path, unsigned flags, struct walk **out)
{
	int err;

	*out = kmalloc(sizeof(**out));
	if (!*out)
		return -ENOMEM;
	err = path_walk(base, path, flags, *out);
	if (err) {
		kfree(*out);
		*out = NULL;
	}
	return err;
}

static void walk_free(struct walk *w)
{
	if (w)
		dentry_put(w->at);
	kfree(w);
}

static int open_permission(struct inode *i, unsigned flags)
{
	unsigned acc = flags & O_ACCMODE, may = 0;
	enum inode_type type = inode_type(i);

	/* A link that was not followed (O_NOFOLLOW, or the link of O_PATH): open(2). */
	if (type == INODE_LINK)
		return -ELOOP;
	if ((flags & O_DIRECTORY) && type != INODE_DIR)
		return -ENOTDIR;
	if (type == INODE_DIR && (acc != O_RDONLY || (flags & O_TRUNC)))
		return -EISDIR;
	if (acc != O_WRONLY)
		may |= MAY_READ;
	if (acc != O_RDONLY || (flags & O_TRUNC))
		may |= MAY_WRITE;
	return inode_permission(i, may);
}

static const struct file_ops path_file_ops = { .name = "path" };

static int open_checked(struct dentry *d, unsigned flags, struct file **out)
{
	struct inode *i = d->inode;
	struct file *f;
	int err = file_alloc_inode(
		i, flags & ~(unsigned)(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_CLOEXEC), &f);

	if (err)
		return err;
	f->dentry = dentry_get(d);
	/* Only a place in the tree: no permission on the object, no operations, no device. */
	if (flags & O_PATH) {
		f->ops = &path_file_ops;
		*out = f;
		return 0;
	}
	switch (inode_type(i)) {
	case INODE_CHAR:
	case INODE_BLOCK:
		/*
		 * Flags of the opening alone, which drivers look at; fcntl(F_GETFL) does not show
		 * them.
		 */
		f->flags |= flags & (O_NOCTTY | O_EXCL);
		err = device_open(i, f);
		f->flags &= ~(unsigned)(O_NOCTTY | O_EXCL);
		break;
	case INODE_FIFO: err = fifo_open(i, f); break;
	case INODE_SOCKET: err = -ENXIO; break;
	default: f->seekable = true; err = i->ops->open ? i->ops->open(i, f) : -ENXIO;
	}
	if (err) {
		f->ops = NULL; /* nothing to release */
		file_put(f);
		return err;
	}
	*out = f;
	return 0;
}

int vfs_open_dentry(struct dentry *d, unsigned flags, struct file **out)
{
	struct inode *i = d->inode;
	int err = 0;

	if (!(flags & O_PATH))
		err = open_permission(i, flags);
	else if ((flags & O_DIRECTORY) && inode_type(i) != INODE_DIR)
		err = -ENOTDIR;
	if (!err && (flags & O_TRUNC) && !(flags & O_PATH) && inode_type(i) == INODE_FILE) {
		struct vstat to = { .size = 0 };

		err = inode_setattr(i, &to, VSTAT_SIZE);
	}
	return err ? err : open_checked(d, flags, out);
}

int vfs_open_dentry_exec(struct dentry *d, struct file **out)
{
	return open_checked(d, O_RDONLY, out);
}

/* The directory's lock is held. Makes name in w->at; out gets its dentry when it is wanted. */
static int make_locked(struct walk *w, uint32_t mode, uint64_t rdev, const char *target,
                       struct dentry **out)
{
	struct inode *dir = w->at->inode, *i;
	/*
	 * The directory may have been removed since the walk: nothing can be made in it any more.
	 */
	int err = w->at->deleted ? -ENOENT : inode_permission(dir, MAY_WRITE | MAY_EXEC);

	if (err)
		return err;
	if (!dir->ops->create)
		return -EPERM;
	err = dir->ops->create(dir, w->name, (enum inode_type)S_TYPE(mode), mode & 07777, rdev,
	                       target, &i);
	if (err)
		return err;
	/*
	 * Still under the directory's lock, so that a lookup finds this dentry and makes no second
	 * one.
	 */
	if (out) {
		err = dentry_add(w->at, w->name, i, out);
		if (!err)
			return 0;
	}
	inode_put(i);
	return err;
}

static int create_and_open(struct walk *w, unsigned flags, uint32_t mode, struct file **out)
{
	struct dentry *d;
	int err;

	if (w->slash)
		return -EISDIR;
	mutex_lock(&w->at->inode->lock);
	err = make_locked(w, S_IFREG | (mode & 07777), 0, NULL, &d);
	mutex_unlock(&w->at->inode->lock);
	if (err)
		return err;
	err = open_checked(d, flags, out); /* whatever mode says: the maker may use it */
	dentry_put(d);
	return err;
}

static int open_tmpfile(struct dentry *base, const char *path, unsigned flags, uint32_t mode,
                        struct file **out)
{
	struct dentry *dir, *d;
	struct inode *i;
	int err;

	if ((flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	err = path_lookup(base, path, WALK_FOLLOW, &dir);
	if (err)
		return err;
	err = inode_type(dir->inode) != INODE_DIR
	              ? -ENOTDIR
	              : inode_permission(dir->inode, MAY_WRITE | MAY_EXEC);
	if (!err)
		err = tmpfs_anon_file(dir->inode->fs, mode, &i);
	dentry_put(dir);
	if (err)
		return err;
	/*
	 * A dentry outside of the tree gives fstat and /proc/self/fd something to show; linkat may
	 * name it later.
	 */
	err = dentry_alone(i, "#tmpfile", &d);
	inode_put(i);
	if (err)
		return err;
	err = open_checked(d, flags & ~(unsigned)O_DIRECTORY, out);
	dentry_put(d);
	return err;
}

int vfs_open_at(struct dentry *base, const char *path, unsigned flags, uint32_t mode,
                struct file **out)
{
	/* POSIX open: O_CREAT with O_EXCL does not follow a link, whether it dangles or not. */
	unsigned follow = flags & O_NOFOLLOW || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)
	                          ? 0
	                          : WALK_FOLLOW;
	struct walk *w;
	int err;

	if ((flags & O_TMPFILE) == O_TMPFILE)
		return open_tmpfile(base, path, flags, mode, out);
	if (flags & O_PATH)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
		return -EINVAL;
	/*
	 * Between a walk that found nothing and the making, another may make the name: then open
	 * that one.
	 */
	do {
		err = walk_new(base, path, follow | (flags & O_CREAT ? WALK_MAYBE : 0), &w);
		if (err)
			return err;
		if (w->name[0])
			err = create_and_open(w, flags, mode, out);
		else if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
			err = -EEXIST;
		else if ((flags & O_CREAT) && inode_type(w->at->inode) == INODE_DIR)
			err = -EISDIR;
		else
			err = vfs_open_dentry(w->at, flags, out);
		bool raced = err == -EEXIST && w->name[0] && !(flags & O_EXCL);

		walk_free(w);
		if (!raced)
			return err;
	} while (true);
}

int vfs_open(const char *path, unsigned flags, uint32_t mode, struct file **out)
{
	return vfs_open_at(vfs_root, path, flags, mode, out);
}

int vfs_make(struct dentry *base, const char *path, uint32_t mode, uint64_t rdev,
             const char *target, struct dentry **out)
{
	struct dentry *d;
	struct walk *w;
	int err = walk_new(base, path, WALK_PARENT, &w);

	if (err)
		return err;
	/* "." and ".." exist by definition, so the answer is the one for existing names. */
	if (w->dots) {
		err = -EEXIST;
	} else if (w->too_long) {
		err = -ENAMETOOLONG;
		/*
		 * Also finds what is mounted on the name; the race with another maker ends in
		 * `create`.
		 */
	} else if (dentry_lookup(w->at, w->name, &d) == 0) {
		dentry_put(d);
		err = -EEXIST;
	} else if (w->slash && !S_ISTYPE(mode, S_IFDIR)) {
		err = -ENOENT;
	} else {
		mutex_lock(&w->at->inode->lock);
		err = make_locked(w, mode, rdev, target, out);
		mutex_unlock(&w->at->inode->lock);
	}
	walk_free(w);
	return err;
}

int vfs_mkdir(const char *path, uint32_t mode)
{
	return vfs_make(vfs_root, path, S_IFDIR | mode, 0, NULL, NULL);
}

int vfs_symlink(const char *target, const char *path)
{
	return vfs_make(vfs_root, path, S_IFLNK | 0777, 0, target, NULL);
}

/* The directory's sticky bit: only the owner of file or directory removes. */
static int may_remove(struct inode *dir, struct inode *victim)
{
	uint32_t uid = cred_current()->euid;
	int err = inode_permission(dir, MAY_WRITE | MAY_EXEC);

	if (!err && (dir->st.mode & S_ISVTX) && uid && uid != victim->st.uid && uid != dir->st.uid)
		err = -EPERM;
	return err;
}

/* Finds the victim without crossing onto what is mounted there; the directory's lock is held. */
static int remove_locked(struct walk *w, bool directory)
{
	struct inode *dir = w->at->inode;
	struct dentry *used = dentry_find(w->at, w->name);
	struct inode *victim;
	int err = 0;

	/* A mount point is busy even when the file system below would let the name go. */
	if (used && used->mounted)
		err = -EBUSY;
	dentry_put(used);
	if (!err)
		err = dir->ops->lookup ? dir->ops->lookup(dir, w->name, &victim) : -ENOENT;
	if (err)
		return err;
	err = may_remove(dir, victim);
	if (!err && directory != (inode_type(victim) == INODE_DIR))
		err = directory ? -ENOTDIR : -EISDIR;
	if (!err && w->slash && !directory)
		err = -ENOTDIR;
	if (!err)
		err = dir->ops->unlink ? dir->ops->unlink(dir, w->name, directory) : -EPERM;
	if (!err)
		/*
		 * Those who have it open keep the dentry, which now shows " (deleted)"; the name is
		 * free.
		 */
		dentry_deleted(w->at, w->name);
	inode_put(victim);
	return err;
}

int vfs_remove(struct dentry *base, const char *path, bool directory)
{
	struct walk *w;
	int err = walk_new(base, path, WALK_PARENT, &w);

	if (err)
		return err;
	if (w->dots)
		/* The errors of unlink(2) and rmdir(2) for ".", ".." and "/". */
		err = !directory              ? -EISDIR
		      : !strcmp(w->name, ".") ? -EINVAL
		      : w->name[0]            ? -ENOTEMPTY
		                              : -EBUSY;
	else if (w->too_long)
		err = -ENAMETOOLONG;
	if (!err) {
		mutex_lock(&w->at->inode->lock);
		err = remove_locked(w, directory);
		mutex_unlock(&w->at->inode->lock);
	}
	walk_free(w);
	return err;
}

int vfs_unlink(const char *path)
{
	return vfs_remove(vfs_root, path, false);
}

int vfs_link(struct dentry *old, struct dentry *base, const char *path)
{
	struct walk *w;
	int err = walk_new(base, path, WALK_PARENT, &w);

	if (err)
		return err;
	struct inode *dir = w->at->inode;

	if (w->dots)
		err = -EEXIST;
	else if (w->too_long)
		err = -ENAMETOOLONG;
	else if (inode_type(old->inode) == INODE_DIR)
		err = -EPERM;
	else if (w->slash)
		err = -ENOENT;
	else if (old->inode->fs != dir->fs)
		err = -EXDEV;
	else if (!dir->ops->link)
		err = -EPERM;
	if (!err) {
		mutex_lock(&dir->lock);
		/* Under the directory's lock: it may have been removed since the walk. */
		err = inode_permission(dir, MAY_WRITE | MAY_EXEC);
		if (!err)
			err = w->at->deleted ? -ENOENT : dir->ops->link(dir, w->name, old->inode);
		mutex_unlock(&dir->lock);
	}
	walk_free(w);
	return err;
}

static void lock_pair(struct dentry *a, struct dentry *b)
{
	/*
	 * rename_lock keeps the tree as it is, so "outer first" is one order for all; unrelated
	 * directories are locked by nobody else in pairs.
	 */
	if (a->inode == b->inode || dentry_below(b, a)) {
		mutex_lock(&a->inode->lock);
		if (a->inode != b->inode)
			mutex_lock(&b->inode->lock);
	} else {
		mutex_lock(&b->inode->lock);
		mutex_lock(&a->inode->lock);
	}
}

static int rename_locked(struct walk *a, struct walk *b, unsigned flags)
{
	struct inode *from = a->at->inode, *to = b->at->inode, *src, *dst = NULL;
	struct dentry *used;
	int err = from->ops->lookup(from, a->name, &src);

	if (err)
		return err;
	/* By the file systems, not by dentries: what is mounted there must not be found. */
	err = to->ops->lookup(to, b->name, &dst);
	if (err == -ENOENT)
		err = flags & RENAME_EXCHANGE ? -ENOENT : 0;
	else if (!err && (flags & RENAME_NOREPLACE))
		err = -EEXIST;
	if (!err)
		err = may_remove(from, src);
	if (!err)
		err = dst ? may_remove(to, dst) : inode_permission(to, MAY_WRITE | MAY_EXEC);
	if (!err && (a->slash || b->slash) && inode_type(src) != INODE_DIR)
		err = -ENOTDIR;
	/* POSIX rename: kinds must agree; whether a directory is empty the file system says. */
	if (!err && dst && dst != src && !(flags & RENAME_EXCHANGE)) {
		if (inode_type(dst) == INODE_DIR && inode_type(src) != INODE_DIR)
			err = -EISDIR;
		else if (inode_type(dst) != INODE_DIR && inode_type(src) == INODE_DIR)
			err = -ENOTDIR;
	}
	used = err ? NULL : dentry_find(a->at, a->name);
	if (used && (used->mounted || dentry_below(b->at, used)))
		err = used->mounted ? -EBUSY : -EINVAL; /* a directory into itself */
	dentry_put(used);
	/* The target may neither be a mount point nor contain the source. */
	used = err ? NULL : dentry_find(b->at, b->name);
	if (used && used->mounted)
		err = -EBUSY;
	else if (used && inode_type(used->inode) == INODE_DIR && dentry_below(a->at, used))
		err = flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	dentry_put(used);
	if (!err && src != dst) { /* two names of one file: nothing happens */
		err = from->ops->rename ? from->ops->rename(from, a->name, to, b->name, flags)
		                        : -EPERM;
		if (!err)
			err = dentry_renamed(a->at, a->name, b->at, b->name,
			                     flags & RENAME_EXCHANGE);
	}
	inode_put(src);
	inode_put(dst);
	return err;
}

int vfs_rename(struct dentry *from, const char *path, struct dentry *to, const char *to_path,
               unsigned flags)
{
	struct walk *a = NULL, *b = NULL;
	int err;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	err = walk_new(from, path, WALK_PARENT, &a);
	if (!err)
		err = walk_new(to, to_path, WALK_PARENT, &b);
	if (!err && (a->dots || b->dots))
		err = -EBUSY;
	if (!err && (a->too_long || b->too_long))
		err = -ENAMETOOLONG;
	/* Mounts of one file system do not occur twice, so equal file systems mean one mount. */
	if (!err && a->at->inode->fs != b->at->inode->fs)
		err = -EXDEV;
	if (!err) {
		mutex_lock(&rename_lock);
		lock_pair(a->at, b->at);
		/* Either directory may have been removed before its lock was ours. */
		err = a->at->deleted || b->at->deleted || !a->at->inode->ops->lookup
		              ? -ENOENT
		              : rename_locked(a, b, flags);
		mutex_unlock(&a->at->inode->lock);
		if (a->at->inode != b->at->inode)
			mutex_unlock(&b->at->inode->lock);
		mutex_unlock(&rename_lock);
	}
	walk_free(a);
	walk_free(b);
	return err;
}

int vfs_mount(const char *path, struct fs *fs)
{
	struct dentry *at = NULL, *root;
	int err = 0;

	/* The first mount is the root: there is no tree to walk yet. */
	if (!vfs_root)
		mutex_init(&rename_lock, "rename");
	else
		err = path_lookup(vfs_root, path, WALK_FOLLOW, &at);
	if (err)
		return err;
	err = at && inode_type(at->inode) != INODE_DIR ? -ENOTDIR
	                                               : dentry_alone(fs->root, "/", &root);
	if (!err) {
		/* dentry_alone marks what has no place in the tree; this one gets its place now. */
		root->deleted = false;
		err = dentry_mount(at, root);
		if (err)
			dentry_put(root);
	}
	dentry_put(at);
	return err;
}

int vfs_unmount(const char *path)
{
	struct dentry *root;
	int err = path_lookup(vfs_root, path, WALK_FOLLOW, &root);

	if (err)
		return err;
	err = dentry_unmount(root);
	dentry_put(root);
	return err;
}
