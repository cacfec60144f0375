// SPDX-License-Identifier: Apache-2.0
/*
 * Operations on paths: open, make, remove, rename, link, mounts. Change of a directory happens under its inode's lock;
 * rename takes rename_lock first, then both directories, the outer one first.
 */
#include "fs/vfs.h"
#include "vmk/mm.h"
#include "vmk/string.h"

static struct mutex rename_lock;

/* A walk's result on the heap: struct walk is too big for kernel stacks. */
static int walk_new(struct dentry *base, const char *path, unsigned flags, struct walk **out)
{
	int r;

	*out = kmalloc(sizeof(**out));
	if (!*out)
		return -ENOMEM;
	r = path_walk(base, path, flags, *out);
	if (r) {
		kfree(*out);
		*out = NULL;
	}
	return r;
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
	int r = file_alloc_inode(
		i, flags & ~(unsigned)(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_CLOEXEC), &f);

	if (r)
		return r;
	f->dentry = dentry_get(d);
	if (flags & O_PATH) {
		f->ops = &path_file_ops;
		*out = f;
		return 0;
	}
	switch (inode_type(i)) {
	case INODE_CHAR:
	case INODE_BLOCK:
		f->flags |= flags & (O_NOCTTY | O_EXCL);
		r = device_open(i, f);
		f->flags &= ~(unsigned)(O_NOCTTY | O_EXCL);
		break;
	case INODE_FIFO: r = fifo_open(i, f); break;
	case INODE_SOCKET: r = -ENXIO; break;
	default: f->seekable = true; r = i->ops->open ? i->ops->open(i, f) : -ENXIO;
	}
	if (r) {
		f->ops = NULL; /* nothing to release */
		file_put(f);
		return r;
	}
	*out = f;
	return 0;
}

int vfs_open_dentry(struct dentry *d, unsigned flags, struct file **out)
{
	struct inode *i = d->inode;
	int r = 0;

	if (!(flags & O_PATH))
		r = open_permission(i, flags);
	else if ((flags & O_DIRECTORY) && inode_type(i) != INODE_DIR)
		r = -ENOTDIR;
	if (!r && (flags & O_TRUNC) && !(flags & O_PATH) && inode_type(i) == INODE_FILE) {
		struct vstat to = { .size = 0 };

		r = inode_setattr(i, &to, VSTAT_SIZE);
	}
	return r ? r : open_checked(d, flags, out);
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
	int r = w->at->deleted ? -ENOENT : inode_permission(dir, MAY_WRITE | MAY_EXEC);

	if (r)
		return r;
	if (!dir->ops->create)
		return -EPERM;
	r = dir->ops->create(dir, w->name, (enum inode_type)S_TYPE(mode), mode & 07777, rdev,
	                     target, &i);
	if (r)
		return r;
	if (out) {
		r = dentry_add(w->at, w->name, i, out);
		if (!r)
			return 0;
	}
	inode_put(i);
	return r;
}

static int create_and_open(struct walk *w, unsigned flags, uint32_t mode, struct file **out)
{
	struct dentry *d;
	int r;

	if (w->slash)
		return -EISDIR;
	mutex_lock(&w->at->inode->lock);
	r = make_locked(w, S_IFREG | (mode & 07777), 0, NULL, &d);
	mutex_unlock(&w->at->inode->lock);
	if (r)
		return r;
	r = open_checked(d, flags, out); /* whatever mode says: the maker may use it */
	dentry_put(d);
	return r;
}

static int open_tmpfile(struct dentry *base, const char *path, unsigned flags, uint32_t mode,
                        struct file **out)
{
	struct dentry *dir, *d;
	struct inode *i;
	int r;

	if ((flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	r = path_lookup(base, path, WALK_FOLLOW, &dir);
	if (r)
		return r;
	r = inode_type(dir->inode) != INODE_DIR
	            ? -ENOTDIR
	            : inode_permission(dir->inode, MAY_WRITE | MAY_EXEC);
	if (!r)
		r = tmpfs_anon_file(dir->inode->fs, mode, &i);
	dentry_put(dir);
	if (r)
		return r;
	r = dentry_alone(i, "#tmpfile", &d);
	inode_put(i);
	if (r)
		return r;
	r = open_checked(d, flags & ~(unsigned)O_DIRECTORY, out);
	dentry_put(d);
	return r;
}

int vfs_open_at(struct dentry *base, const char *path, unsigned flags, uint32_t mode,
                struct file **out)
{
	unsigned follow = flags & O_NOFOLLOW || (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)
	                          ? 0
	                          : WALK_FOLLOW;
	struct walk *w;
	int r;

	if ((flags & O_TMPFILE) == O_TMPFILE)
		return open_tmpfile(base, path, flags, mode, out);
	if (flags & O_PATH)
		flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
		return -EINVAL;
	do {
		r = walk_new(base, path, follow | (flags & O_CREAT ? WALK_MAYBE : 0), &w);
		if (r)
			return r;
		if (w->name[0])
			r = create_and_open(w, flags, mode, out);
		else if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
			r = -EEXIST;
		else if ((flags & O_CREAT) && inode_type(w->at->inode) == INODE_DIR)
			r = -EISDIR;
		else
			r = vfs_open_dentry(w->at, flags, out);
		bool raced = r == -EEXIST && w->name[0] && !(flags & O_EXCL);
		walk_free(w);
		if (!raced)
			return r;
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
	int r = walk_new(base, path, WALK_PARENT, &w);

	if (r)
		return r;
	if (w->dots) {
		r = -EEXIST;
	} else if (w->too_long) {
		r = -ENAMETOOLONG;
	} else if (dentry_lookup(w->at, w->name, &d) == 0) {
		dentry_put(d);
		r = -EEXIST;
	} else if (w->slash && !S_ISTYPE(mode, S_IFDIR)) {
		r = -ENOENT;
	} else {
		mutex_lock(&w->at->inode->lock);
		r = make_locked(w, mode, rdev, target, out);
		mutex_unlock(&w->at->inode->lock);
	}
	walk_free(w);
	return r;
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
	int r = inode_permission(dir, MAY_WRITE | MAY_EXEC);

	if (!r && (dir->st.mode & S_ISVTX) && uid && uid != victim->st.uid && uid != dir->st.uid)
		r = -EPERM;
	return r;
}

/* Finds the victim without crossing onto what is mounted there; the directory's lock is held. */
static int remove_locked(struct walk *w, bool directory)
{
	struct inode *dir = w->at->inode;
	struct dentry *used = dentry_find(w->at, w->name);
	struct inode *victim;
	int r = 0;

	if (used && used->mounted)
		r = -EBUSY;
	dentry_put(used);
	if (!r)
		r = dir->ops->lookup ? dir->ops->lookup(dir, w->name, &victim) : -ENOENT;
	if (r)
		return r;
	r = may_remove(dir, victim);
	if (!r && directory != (inode_type(victim) == INODE_DIR))
		r = directory ? -ENOTDIR : -EISDIR;
	if (!r && w->slash && !directory)
		r = -ENOTDIR;
	if (!r)
		r = dir->ops->unlink ? dir->ops->unlink(dir, w->name, directory) : -EPERM;
	if (!r)
		dentry_deleted(w->at, w->name);
	inode_put(victim);
	return r;
}

int vfs_remove(struct dentry *base, const char *path, bool directory)
{
	struct walk *w;
	int r = walk_new(base, path, WALK_PARENT, &w);

	if (r)
		return r;
	if (w->dots)
		r = !directory              ? -EISDIR
		    : !strcmp(w->name, ".") ? -EINVAL
		    : w->name[0]            ? -ENOTEMPTY
		                            : -EBUSY;
	else if (w->too_long)
		r = -ENAMETOOLONG;
	if (!r) {
		mutex_lock(&w->at->inode->lock);
		r = remove_locked(w, directory);
		mutex_unlock(&w->at->inode->lock);
	}
	walk_free(w);
	return r;
}

int vfs_unlink(const char *path)
{
	return vfs_remove(vfs_root, path, false);
}

int vfs_link(struct dentry *old, struct dentry *base, const char *path)
{
	struct walk *w;
	int r = walk_new(base, path, WALK_PARENT, &w);

	if (r)
		return r;
	struct inode *dir = w->at->inode;

	if (w->dots)
		r = -EEXIST;
	else if (w->too_long)
		r = -ENAMETOOLONG;
	else if (inode_type(old->inode) == INODE_DIR)
		r = -EPERM;
	else if (w->slash)
		r = -ENOENT;
	else if (old->inode->fs != dir->fs)
		r = -EXDEV;
	else if (!dir->ops->link)
		r = -EPERM;
	if (!r) {
		mutex_lock(&dir->lock);
		r = inode_permission(dir, MAY_WRITE | MAY_EXEC);
		if (!r)
			r = w->at->deleted ? -ENOENT : dir->ops->link(dir, w->name, old->inode);
		mutex_unlock(&dir->lock);
	}
	walk_free(w);
	return r;
}

static void lock_pair(struct dentry *a, struct dentry *b)
{
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
	int r = from->ops->lookup(from, a->name, &src);

	if (r)
		return r;
	r = to->ops->lookup(to, b->name, &dst);
	if (r == -ENOENT)
		r = flags & RENAME_EXCHANGE ? -ENOENT : 0;
	else if (!r && (flags & RENAME_NOREPLACE))
		r = -EEXIST;
	if (!r)
		r = may_remove(from, src);
	if (!r)
		r = dst ? may_remove(to, dst) : inode_permission(to, MAY_WRITE | MAY_EXEC);
	if (!r && (a->slash || b->slash) && inode_type(src) != INODE_DIR)
		r = -ENOTDIR;
	if (!r && dst && dst != src && !(flags & RENAME_EXCHANGE)) {
		if (inode_type(dst) == INODE_DIR && inode_type(src) != INODE_DIR)
			r = -EISDIR;
		else if (inode_type(dst) != INODE_DIR && inode_type(src) == INODE_DIR)
			r = -ENOTDIR;
	}
	used = r ? NULL : dentry_find(a->at, a->name);
	if (used && (used->mounted || dentry_below(b->at, used)))
		r = used->mounted ? -EBUSY : -EINVAL; /* a directory into itself */
	dentry_put(used);
	used = r ? NULL : dentry_find(b->at, b->name);
	if (used && used->mounted)
		r = -EBUSY;
	else if (used && inode_type(used->inode) == INODE_DIR && dentry_below(a->at, used))
		r = flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	dentry_put(used);
	if (!r && src != dst) { /* two names of one file: nothing happens */
		r = from->ops->rename ? from->ops->rename(from, a->name, to, b->name, flags)
		                      : -EPERM;
		if (!r)
			r = dentry_renamed(a->at, a->name, b->at, b->name, flags & RENAME_EXCHANGE);
	}
	inode_put(src);
	inode_put(dst);
	return r;
}

int vfs_rename(struct dentry *from, const char *path, struct dentry *to, const char *to_path,
               unsigned flags)
{
	struct walk *a = NULL, *b = NULL;
	int r;

	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	r = walk_new(from, path, WALK_PARENT, &a);
	if (!r)
		r = walk_new(to, to_path, WALK_PARENT, &b);
	if (!r && (a->dots || b->dots))
		r = -EBUSY;
	if (!r && (a->too_long || b->too_long))
		r = -ENAMETOOLONG;
	if (!r && a->at->inode->fs != b->at->inode->fs)
		r = -EXDEV;
	if (!r) {
		mutex_lock(&rename_lock);
		lock_pair(a->at, b->at);
		r = a->at->deleted || b->at->deleted || !a->at->inode->ops->lookup
		            ? -ENOENT
		            : rename_locked(a, b, flags);
		mutex_unlock(&a->at->inode->lock);
		if (a->at->inode != b->at->inode)
			mutex_unlock(&b->at->inode->lock);
		mutex_unlock(&rename_lock);
	}
	walk_free(a);
	walk_free(b);
	return r;
}

int vfs_mount(const char *path, struct fs *fs)
{
	struct dentry *at = NULL, *root;
	int r = 0;

	if (!vfs_root)
		mutex_init(&rename_lock, "rename");
	else
		r = path_lookup(vfs_root, path, WALK_FOLLOW, &at);
	if (r)
		return r;
	r = at && inode_type(at->inode) != INODE_DIR ? -ENOTDIR
	                                             : dentry_alone(fs->root, "/", &root);
	if (!r) {
		root->deleted = false;
		r = dentry_mount(at, root);
		if (r)
			dentry_put(root);
	}
	dentry_put(at);
	return r;
}

int vfs_unmount(const char *path)
{
	struct dentry *root;
	int r = path_lookup(vfs_root, path, WALK_FOLLOW, &root);

	if (r)
		return r;
	r = dentry_unmount(root);
	dentry_put(root);
	return r;
}
