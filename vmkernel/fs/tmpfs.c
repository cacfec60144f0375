// SPDX-License-Identifier: Apache-2.0
/*
 * tmpfs: a file system in memory, also the root, /dev and what memfd_create makes. A directory
 * keeps its entries by name and by cookie (a number that only rises), so that a listing goes on
 * rightly while names come and go.
 */
#include "fs/tmpfs.h"
#include "vmk/mm.h"
#include "vmk/string.h"

static const struct inode_ops tmpfs_inode_ops;

static int by_name(const struct tree_node *a, const struct tree_node *b)
{
	return strcmp(tree_entry(a, struct tent, by_name)->name,
	              tree_entry(b, struct tent, by_name)->name);
}

static int by_cookie(const struct tree_node *a, const struct tree_node *b)
{
	uint64_t x = tree_entry(a, struct tent, by_cookie)->cookie;
	uint64_t y = tree_entry(b, struct tent, by_cookie)->cookie;

	return x < y ? -1 : x > y;
}

static int name_side(const struct tree_node *n, const void *key)
{
	return strcmp(tree_entry(n, struct tent, by_name)->name, key);
}

static int cookie_side(const struct tree_node *n, const void *key)
{
	return tree_entry(n, struct tent, by_cookie)->cookie < *(const uint64_t *)key ? -1 : 0;
}

static struct tent *find(struct tnode *dir, const char *name)
{
	struct tree_node *n = tree_lower(&dir->names, name_side, name);
	struct tent *e = n ? tree_entry(n, struct tent, by_name) : NULL;

	return e && strcmp(e->name, name) == 0 ? e : NULL;
}

static struct tmpfs *tmpfs_of(struct inode *i)
{
	return i->fs->priv;
}

/* One reference, which the entry will take. */
static int tnode_new(struct tmpfs *fs, uint32_t mode, uint64_t rdev, const char *target,
                     struct tnode **out)
{
	const struct cred *c = cred_current();
	struct tnode *t = kzalloc_charged(sizeof(*t));
	int err = 0;

	if (!t)
		return -ENOMEM;
	inode_init(&t->i, &fs->fs, &tmpfs_inode_ops, ino_next(), mode);
	t->i.st.uid = c->euid;
	t->i.st.gid = c->egid;
	t->i.st.rdev = rdev;
	tree_init(&t->names, by_name);
	tree_init(&t->cookies, by_cookie);
	t->next_cookie = 3; /* 1 and 2 are "." and ".." */
	if (S_ISTYPE(mode, S_IFDIR)) {
		t->i.st.nlink = 2;
	} else if (S_ISTYPE(mode, S_IFREG)) {
		err = tdata_create(fs, &t->data);
	} else if (S_ISTYPE(mode, S_IFLNK)) {
		size_t n = strlen(target);

		t->target = kmalloc_charged(n + 1);
		if (t->target)
			memcpy(t->target, target, n + 1);
		else
			err = -ENOMEM;
		t->i.st.size = n;
	}
	if (err)
		kfree(t);
	else
		*out = t;
	return err;
}

static void tmpfs_inode_release(struct inode *i)
{
	struct tnode *t = to_tnode(i);

	if (t->data)
		memobj_put(&t->data->obj);
	kfree(t->target);
	kfree(t);
}

static struct tent *tent_new(const char *name, struct tnode *to)
{
	size_t n = strlen(name);
	struct tent *e = kzalloc_charged(sizeof(*e) + n + 1);

	if (e) {
		memcpy(e->name, name, n + 1);
		e->to = to;
	}
	return e;
}

static void tent_insert(struct tnode *dir, struct tent *e)
{
	/* Never used again, so a listing that stopped here does not meet a newer name under it. */
	e->cookie = dir->next_cookie++;
	tree_insert(&dir->names, &e->by_name);
	tree_insert(&dir->cookies, &e->by_cookie);
	dir->i.st.mtime = dir->i.st.ctime = time_realtime();
	if (inode_type(&e->to->i) == INODE_DIR)
		dir->i.st.nlink++;
}

static void tent_remove(struct tnode *dir, struct tent *e)
{
	tree_remove(&dir->names, &e->by_name);
	tree_remove(&dir->cookies, &e->by_cookie);
	dir->i.st.mtime = dir->i.st.ctime = time_realtime();
	if (inode_type(&e->to->i) == INODE_DIR)
		dir->i.st.nlink--;
}

static int tmpfs_lookup(struct inode *dir, const char *name, struct inode **out)
{
	struct tent *e = find(to_tnode(dir), name);

	if (!e)
		return -ENOENT;
	*out = inode_get(&e->to->i);
	return 0;
}

static int tmpfs_make(struct inode *dir, const char *name, enum inode_type type, uint32_t mode,
                      uint64_t rdev, const char *target, struct inode **out)
{
	struct tnode *d = to_tnode(dir), *t;
	struct tent *e;
	int err;

	if (find(d, name))
		return -EEXIST;
	err = tnode_new(tmpfs_of(dir), (uint32_t)type << 12 | mode, rdev, target, &t);
	if (err)
		return err;
	/*
	 * Of a directory with the set-group-ID bit everything in it inherits the group: stat(2),
	 * inode(7).
	 */
	if (dir->st.mode & S_ISGID) {
		t->i.st.gid = dir->st.gid;
		if (type == INODE_DIR)
			t->i.st.mode |= S_ISGID;
	}
	e = tent_new(name, t);
	if (!e) {
		inode_put(&t->i);
		return -ENOMEM;
	}
	tent_insert(d, e);
	/* One reference for the entry, which t was made with, and one for the caller. */
	*out = inode_get(&t->i);
	return 0;
}

static int tmpfs_link(struct inode *dir, const char *name, struct inode *old)
{
	struct tent *e;

	if (find(to_tnode(dir), name))
		return -EEXIST;
	e = tent_new(name, to_tnode(old));
	if (!e)
		return -ENOMEM;
	inode_get(old);
	__atomic_fetch_add(&old->st.nlink, 1, __ATOMIC_RELAXED);
	old->st.ctime = time_realtime();
	tent_insert(to_tnode(dir), e);
	return 0;
}

/* The entry loses its file; the directory has been told. */
static void tent_drop(struct tent *e)
{
	struct inode *i = &e->to->i;

	__atomic_fetch_sub(&i->st.nlink, inode_type(i) == INODE_DIR ? 2 : 1, __ATOMIC_RELAXED);
	i->st.ctime = time_realtime();
	inode_put(i);
	kfree(e);
}

static int tmpfs_unlink(struct inode *dir, const char *name, bool directory)
{
	struct tent *e = find(to_tnode(dir), name);

	if (!e)
		return -ENOENT;
	if (directory && e->to->names.count)
		return -ENOTEMPTY;
	tent_remove(to_tnode(dir), e);
	tent_drop(e);
	return 0;
}

static int tmpfs_rename(struct inode *dir, const char *name, struct inode *to, const char *to_name,
                        unsigned flags)
{
	struct tnode *a = to_tnode(dir), *b = to_tnode(to);
	struct tent *e = find(a, name), *old = find(b, to_name), *fresh;

	if (!e)
		return -ENOENT;
	/*
	 * The entries stay where they are and change what they lead to; only links to parents move.
	 */
	if (flags & RENAME_EXCHANGE) {
		struct tnode *x = e->to;
		int da = inode_type(&x->i) == INODE_DIR, db = inode_type(&old->to->i) == INODE_DIR;

		e->to = old->to;
		old->to = x;
		a->i.st.nlink += (uint32_t)(db - da);
		b->i.st.nlink += (uint32_t)(da - db);
		return 0;
	}
	if (old && old->to->names.count)
		return -ENOTEMPTY;
	/* Everything that can fail comes before the first change. */
	fresh = tent_new(to_name, e->to);
	if (!fresh)
		return -ENOMEM;
	if (old) {
		tent_remove(b, old);
		tent_drop(old);
	}
	tent_remove(a, e);
	/* The reference to the file moves to the fresh entry. */
	kfree(e);
	tent_insert(b, fresh);
	fresh->to->i.st.ctime = time_realtime();
	return 0;
}

static int tmpfs_readlink(struct inode *i, char *buf, size_t size)
{
	size_t n = MIN((size_t)i->st.size, size);

	memcpy(buf, to_tnode(i)->target, n);
	return (int)n;
}

static int tmpfs_setattr(struct inode *i, const struct vstat *to, unsigned mask)
{
	if (!(mask & VSTAT_SIZE))
		return 0;
	if (inode_type(i) != INODE_FILE)
		return inode_type(i) == INODE_DIR ? -EISDIR : -EINVAL;
	return tdata_resize(to_tnode(i), to->size);
}

static int tmpfs_readdir(struct file *f, uint64_t *pos,
                         bool (*emit)(void *, const char *, uint64_t, unsigned, uint64_t),
                         void *arg)
{
	struct tnode *dir = to_tnode(f->inode);
	uint64_t up = f->dentry && f->dentry->parent ? f->dentry->parent->inode->st.ino
	                                             : dir->i.st.ino;
	struct tree_node *n;

	mutex_lock(&dir->i.lock);
	if (*pos == 0 && emit(arg, ".", dir->i.st.ino, INODE_DIR, 1))
		*pos = 1;
	if (*pos == 1 && emit(arg, "..", up, INODE_DIR, 2))
		*pos = 2;
	/* From the first cookie that is not below *pos: the entry that it meant may be gone. */
	if (*pos >= 2)
		for (n = tree_lower(&dir->cookies, cookie_side, pos); n; n = tree_next(n)) {
			struct tent *e = tree_entry(n, struct tent, by_cookie);

			if (!emit(arg, e->name, e->to->i.st.ino, inode_type(&e->to->i),
			          e->cookie + 1))
				break;
			*pos = e->cookie + 1;
		}
	mutex_unlock(&dir->i.lock);
	return 0;
}

static const struct file_ops tmpfs_dir_ops = { .name = "tmpfs", .readdir = tmpfs_readdir };

static int tmpfs_open(struct inode *i, struct file *f)
{
	f->ops = inode_type(i) == INODE_DIR ? &tmpfs_dir_ops : &tmpfs_file_ops;
	return 0;
}

static const struct inode_ops tmpfs_inode_ops = {
	.lookup = tmpfs_lookup,
	.create = tmpfs_make,
	.link = tmpfs_link,
	.unlink = tmpfs_unlink,
	.rename = tmpfs_rename,
	.readlink = tmpfs_readlink,
	.open = tmpfs_open,
	.setattr = tmpfs_setattr,
};

static int tmpfs_statfs(struct fs *fs, uint64_t *block_size, uint64_t *blocks, uint64_t *free,
                        uint64_t *inodes, uint64_t *inodes_free, char name[16])
{
	struct tmpfs *t = fs->priv;

	*block_size = PAGE_SIZE;
	*blocks = t->limit;
	*free = t->limit - MIN(t->used, t->limit);
	*inodes = *inodes_free = t->limit;
	str_copy(name, fs->name, 16);
	return 0;
}

static void tmpfs_refresh(struct inode *i)
{
	struct tnode *t = to_tnode(i);

	if (t->data)
		i->st.blocks512 = MAX(t->data->pages_used * 8,
		                      DIV_UP(t->data->backing_len, 512ull));
	if (inode_type(i) == INODE_DIR)
		i->st.size = (t->names.count + 2) * 20;
}

static const struct fs_ops tmpfs_ops = {
	.statfs = tmpfs_statfs,
	.inode_release = tmpfs_inode_release,
	.refresh = tmpfs_refresh,
};

int tmpfs_create(const char *name, uint64_t limit, struct fs **out)
{
	struct tmpfs *fs = kzalloc(sizeof(*fs));
	struct tnode *root;
	int err;

	if (!fs)
		return -ENOMEM;
	fs->fs = (struct fs){ .name = name, .ops = &tmpfs_ops, .dev = fs_next_dev(), .priv = fs };
	fs->limit = limit;
	err = tnode_new(fs, S_IFDIR | 0755, 0, NULL, &root);
	if (err) {
		kfree(fs);
		return err;
	}
	fs->fs.root = &root->i;
	*out = &fs->fs;
	return 0;
}

int tmpfs_anon_file(struct fs *fs, uint32_t mode, struct inode **out)
{
	struct tnode *t;
	int err;

	if (fs->ops != &tmpfs_ops)
		return -EOPNOTSUPP;
	err = tnode_new(fs->priv, S_IFREG | (mode & 07777), 0, NULL, &t);
	if (err)
		return err;
	/* Nameless, so its space goes with the last reference. */
	t->i.st.nlink = 0;
	*out = &t->i;
	return 0;
}

int tmpfs_punch(struct inode *i, uint64_t from, uint64_t to)
{
	int err;

	if (i->fs->ops != &tmpfs_ops || inode_type(i) != INODE_FILE)
		return -EOPNOTSUPP;
	mutex_lock(&i->lock);
	err = to_tnode(i)->seals & F_SEAL_WRITE ? -EPERM : tdata_punch(to_tnode(i), from, to);
	mutex_unlock(&i->lock);
	return err;
}

long tmpfs_seals(struct inode *i, int add)
{
	struct tnode *t = to_tnode(i);
	long err;

	if (i->fs->ops != &tmpfs_ops || inode_type(i) != INODE_FILE)
		return -EINVAL;
	mutex_lock(&i->lock);
	if (add < 0)
		err = t->seals;
	/* fcntl(2), F_ADD_SEALS: seals only accumulate, and F_SEAL_SEAL ends that. */
	else if (t->seals & F_SEAL_SEAL || (add & ~F_SEAL_ALL))
		err = add & ~F_SEAL_ALL ? -EINVAL : -EPERM;
	else
		err = (t->seals |= (uint32_t)add, 0);
	mutex_unlock(&i->lock);
	return err;
}
