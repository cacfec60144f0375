// SPDX-License-Identifier: Apache-2.0
/*
 * Names in use. tree_lock guards every member of every dentry and the hash; inodes are put outside
 * of it.
 */
#include "fs/vfs.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum { HASH_SIZE = 1024 };

struct dentry *vfs_root;
static struct spinlock tree_lock = SPINLOCK_INIT("dentry", RANK_FS);
static struct list hash_table[HASH_SIZE];
static bool hash_ready;

static struct list *bucket(const struct dentry *dir, const char *name)
{
	uint64_t h = (uintptr_t)dir >> 5;

	if (!hash_ready) { /* first use is at boot, on one CPU */
		for (unsigned i = 0; i < HASH_SIZE; i++)
			list_init(&hash_table[i]);
		hash_ready = true;
	}
	while (*name)
		h = (h ^ (uint8_t)*name++) * 0x100000001b3ull;
	return &hash_table[(h ^ h >> 32) % HASH_SIZE];
}

struct dentry *dentry_get(struct dentry *d)
{
	spin_lock(&tree_lock);
	d->refs++;
	spin_unlock(&tree_lock);
	return d;
}

void dentry_put(struct dentry *d)
{
	/* The last user of a name lets go of its parent's too: a loop, for a path may be deep. */
	while (d) {
		struct dentry *parent;

		spin_lock(&tree_lock);
		if (--d->refs) {
			spin_unlock(&tree_lock);
			return;
		}
		/*
		 * Out of the hash under the lock: nobody can find it again, so what follows needs
		 * none.
		 */
		list_remove(&d->hash);
		spin_unlock(&tree_lock);
		parent = d->parent;
		inode_put(d->inode);
		kfree(d->name);
		kfree(d);
		d = parent;
	}
}

/* Takes the inode's reference, on success only. */
static int dentry_new(struct dentry *parent, const char *name, struct inode *i, struct dentry **out)
{
	size_t len = strlen(name);
	struct dentry *d = kzalloc_charged(sizeof(*d));

	if (d)
		d->name = kmalloc_charged(len + 1);
	if (!d || !d->name) {
		kfree(d);
		return -ENOMEM;
	}
	memcpy(d->name, name, len + 1);
	list_init(&d->hash);
	d->refs = 1;
	d->inode = i;
	d->parent = parent ? dentry_get(parent) : NULL;
	*out = d;
	return 0;
}

int dentry_alone(struct inode *i, const char *name, struct dentry **out)
{
	int err = dentry_new(NULL, name, i, out);

	if (!err) {
		inode_get(i);
		(*out)->deleted = true;
	}
	return err;
}

static struct dentry *find_locked(const struct dentry *dir, const char *name)
{
	struct dentry *d;
	struct list *b = bucket(dir, name);

	list_for_each(d, b, hash)
		if (d->parent == dir && strcmp(d->name, name) == 0)
			return d;
	return NULL;
}

/* Replaces d by the root of what is mounted on it. */
static struct dentry *cross_mounts(struct dentry *d)
{
	while (d->mounted)
		d = d->mounted;
	return d;
}

struct dentry *dentry_find(struct dentry *dir, const char *name)
{
	struct dentry *d;

	spin_lock(&tree_lock);
	d = find_locked(dir, name);
	if (d)
		d->refs++;
	spin_unlock(&tree_lock);
	return d;
}

static struct dentry *find_crossed(struct dentry *dir, const char *name)
{
	struct dentry *d;

	spin_lock(&tree_lock);
	d = find_locked(dir, name);
	if (d) {
		d = cross_mounts(d);
		d->refs++;
	}
	spin_unlock(&tree_lock);
	return d;
}

int dentry_add(struct dentry *dir, const char *name, struct inode *i, struct dentry **out)
{
	int err = dentry_new(dir, name, i, out);

	if (err)
		return err;
	spin_lock(&tree_lock);
	list_push_front(bucket(dir, name), &(*out)->hash);
	spin_unlock(&tree_lock);
	return 0;
}

int dentry_lookup(struct dentry *dir, const char *name, struct dentry **out)
{
	struct inode *i;
	int err = 0;

	*out = find_crossed(dir, name);
	if (*out)
		return 0;
	/*
	 * The directory's lock serializes with making and removing; look again, for another walk
	 * may have added the dentry meanwhile.
	 */
	mutex_lock(&dir->inode->lock);
	*out = find_crossed(dir, name);
	if (!*out) {
		err = dir->deleted || !dir->inode->ops->lookup
		              ? -ENOENT
		              : dir->inode->ops->lookup(dir->inode, name, &i);
		if (!err) {
			err = dentry_add(dir, name, i, out);
			if (err)
				inode_put(i);
		}
	}
	mutex_unlock(&dir->inode->lock);
	return err;
}

struct dentry *dentry_parent(struct dentry *d, struct dentry *root)
{
	spin_lock(&tree_lock);
	/*
	 * Down from mounted roots to the names that they cover; the process's root is never left.
	 */
	while (d != root && d->is_root && d->parent)
		d = d->parent;
	if (d != root && d->parent)
		d = d->parent;
	d = cross_mounts(d);
	d->refs++;
	spin_unlock(&tree_lock);
	return d;
}

void dentry_deleted(struct dentry *dir, const char *name)
{
	struct dentry *d;

	spin_lock(&tree_lock);
	d = find_locked(dir, name);
	if (d) {
		d->deleted = true;
		list_remove(&d->hash);
	}
	spin_unlock(&tree_lock);
}

/* Hangs d below dir as name; returns the parent that lost its reference. */
static struct dentry *move_locked(struct dentry *d, struct dentry *dir, char *name)
{
	struct dentry *old = d->parent;

	list_remove(&d->hash);
	dir->refs++;
	d->parent = dir;
	d->name = name;
	list_push_front(bucket(dir, name), &d->hash);
	return old;
}

static char *copy_name(const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = kmalloc(n);

	if (p)
		memcpy(p, s, n);
	return p;
}

int dentry_renamed(struct dentry *dir, const char *name, struct dentry *to, const char *to_name,
                   bool exchange)
{
	/*
	 * Both names are allocated before the lock, and swapped under it: path readers never see
	 * half of one.
	 */
	char *there = copy_name(to_name), *back = copy_name(name);
	struct dentry *d, *e, *drop[2] = { NULL, NULL };
	char *old = NULL, *old_e = NULL;

	if (!there || !back) {
		kfree(there);
		kfree(back);
		return -ENOMEM;
	}
	spin_lock(&tree_lock);
	d = find_locked(dir, name);
	e = find_locked(to, to_name);
	/* The old target is replaced: its users keep a deleted dentry. */
	if (e && !exchange) {
		e->deleted = true;
		list_remove(&e->hash);
	}
	if (d) {
		old = d->name;
		drop[0] = move_locked(d, to, there);
		there = NULL;
	}
	if (e && exchange) {
		old_e = e->name;
		drop[1] = move_locked(e, dir, back);
		back = NULL;
	}
	spin_unlock(&tree_lock);
	/* Outside of the lock: the last reference of a parent puts inodes. */
	dentry_put(drop[0]);
	dentry_put(drop[1]);
	kfree(old);
	kfree(old_e);
	kfree(there);
	kfree(back);
	return 0;
}

bool dentry_below(struct dentry *d, struct dentry *above)
{
	spin_lock(&tree_lock);
	while (d && d != above)
		d = d->parent;
	spin_unlock(&tree_lock);
	return d != NULL;
}

/* Puts s before *at; false when it does not fit. */
static bool prepend(char *buf, size_t *at, const char *s)
{
	size_t n = strlen(s);

	if (n > *at)
		return false;
	*at -= n;
	memcpy(buf + *at, s, n);
	return true;
}

int dentry_path(struct dentry *d, struct dentry *root, char *buf, size_t size)
{
	size_t at = size;
	bool ok;

	if (!size)
		return -ERANGE;
	buf[--at] = 0;
	spin_lock(&tree_lock);
	ok = !d->deleted || prepend(buf, &at, " (deleted)");
	if (d == root || !d->parent)
		ok = ok && prepend(buf, &at, "/");
	/*
	 * From the end to the front; a mounted root has no name of its own, the one that it covers
	 * comes next.
	 */
	while (ok && d != root && d->parent) {
		if (!d->is_root)
			ok = prepend(buf, &at, d->name) && prepend(buf, &at, "/");
		d = d->parent;
	}
	spin_unlock(&tree_lock);
	if (!ok)
		return -ERANGE;
	if (at + 1 == size && size > 1) /* only covers of the root were on the way */
		buf[--at] = '/';
	memmove(buf, buf + at, size - at);
	return (int)(size - at - 1);
}

int dentry_mount(struct dentry *at, struct dentry *root)
{
	int err = 0;

	root->is_root = true;
	spin_lock(&tree_lock);
	if (at && at->mounted) {
		err = -EBUSY;
	} else if (at) {
		at->mounted = root;
		at->refs++; /* the mounted root holds the name it covers */
		root->parent = at;
	} else {
		vfs_root = root;
	}
	spin_unlock(&tree_lock);
	return err;
}

int dentry_unmount(struct dentry *root)
{
	struct dentry *at;

	spin_lock(&tree_lock);
	/*
	 * Open files and dentries below hold references, so the count tells whether the mount is in
	 * use.
	 */
	at = root->is_root ? root->parent : NULL;
	if (!at || root->refs > 2) { /* the mount's own and the caller's */
		spin_unlock(&tree_lock);
		return at ? -EBUSY : -EINVAL;
	}
	at->mounted = NULL;
	root->parent = NULL;
	root->refs--;
	spin_unlock(&tree_lock);
	dentry_put(at);
	return 0;
}

void dentry_each_mount(void (*fn)(struct dentry *root, void *arg), void *arg)
{
	struct dentry *d;

	spin_lock(&tree_lock);
	fn(vfs_root, arg);
	/*
	 * A mount holds the name that it covers, which is in the hash; covers of covers follow in a
	 * chain.
	 */
	for (unsigned i = 0; i < HASH_SIZE; i++)
		list_for_each(d, &hash_table[i], hash)
			for (struct dentry *m = d->mounted; m; m = m->mounted)
				fn(m, arg);
	spin_unlock(&tree_lock);
}
