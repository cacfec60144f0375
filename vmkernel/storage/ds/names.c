// SPDX-License-Identifier: Apache-2.0
/*
 * What changes names, each as one transaction: create, link, unlink, rename. Each takes ds->lock.
 */
#include "ds.h"

#include "vmk/string.h"
#include "vmk/time.h"

static bool is_dir(const struct ds_inode *ino)
{
	return (ino->mode & 0170000) == 0040000;
}

static uint8_t type_of(const struct ds_inode *ino)
{
	return ino->mode >> 12 & 15;
}

/* Adds to a directory's link count (its children's "..") and sets its times. */
static int touch_dir(struct ds *ds, uint64_t dir, int links)
{
	struct ds_page *p;
	int r = ds_page_get(ds, dir, DS_INODE, &p);

	if (r)
		return r;
	ds_page_dirty(ds, p);
	((struct ds_inode *)p->data)->nlink += links;
	((struct ds_inode *)p->data)->mtime = ((struct ds_inode *)p->data)->ctime = time_realtime();
	ds_page_put(ds, p);
	return 0;
}

static int create(struct ds *ds, uint64_t dir, const char *name, uint32_t mode, const char *target,
                  uint64_t *inode)
{
	struct ds_page *ip;
	struct ds_inode *ino;
	uint64_t there;
	int r = ds_dir_find(ds, dir, name, &there);

	if (r != -ENOENT)
		return r ? r : -EEXIST;
	r = ds_begin_room(ds);
	if (r == 0)
		r = ds_inode_create(ds, mode, &ip);
	if (r)
		return r;
	ino = ip->data;
	if (is_dir(ino)) {
		ino->nlink = 2;
		ino->parent = dir;
	}
	if (target) {
		ino->size = strlen(target);
		memcpy(ino->data, target, ino->size);
	}
	*inode = ip->page;
	r = ds_dir_add(ds, dir, name, ip->page, type_of(ino));
	if (r == 0)
		r = touch_dir(ds, dir, is_dir(ino));
	ds_page_put(ds, ip);
	return r;
}

int ds_create(struct ds *ds, uint64_t dir, const char *name, uint32_t mode, const char *target,
              uint64_t *inode)
{
	int r;

	if (strlen(name) > DS_NAME_MAX || (target && strlen(target) > DS_INLINE_MAX - 1))
		return -ENAMETOOLONG;
	mutex_lock(&ds->lock);
	r = create(ds, dir, name, mode, target, inode);
	mutex_unlock(&ds->lock);
	return r;
}

/* The inode lost a name; with the last one it becomes an orphan and ends when nobody has it open. */
static int drop_link(struct ds *ds, uint64_t inode)
{
	struct ds_page *ip;
	struct ds_inode *ino;
	struct ds_file *f;
	bool open = false;
	int r = ds_page_get(ds, inode, DS_INODE, &ip);

	if (r)
		return r;
	ino = ip->data;
	ds_page_dirty(ds, ip);
	ino->nlink -= is_dir(ino) ? 2 : 1;
	ino->ctime = time_realtime();
	if (ino->nlink == 0) {
		r = ds_inode_unlinked(ds, ip);
		list_for_each(f, &ds->files, link)
			open |= f->inode == inode;
	} else {
		open = true;
	}
	ds_page_put(ds, ip);
	return r || open ? r : ds_inode_destroy(ds, inode);
}

/* Whether name may go: directories when asked for and empty only. */
static int removable(struct ds *ds, uint64_t inode, bool directory, bool *was_dir)
{
	struct ds_page *ip;
	const struct ds_inode *ino;
	int r = ds_page_get(ds, inode, DS_INODE, &ip);

	if (r)
		return r;
	ino = ip->data;
	*was_dir = is_dir(ino);
	if (*was_dir != directory)
		r = *was_dir ? -EISDIR : -ENOTDIR;
	else if (*was_dir && ino->entries)
		r = -ENOTEMPTY;
	ds_page_put(ds, ip);
	return r;
}

int ds_unlink(struct ds *ds, uint64_t dir, const char *name, bool directory)
{
	uint64_t inode;
	bool was_dir;
	int r;

	mutex_lock(&ds->lock);
	r = ds_dir_find(ds, dir, name, &inode);
	if (r == 0)
		r = removable(ds, inode, directory, &was_dir);
	if (r == 0)
		r = ds_begin(ds);
	if (r == 0)
		r = ds_dir_remove(ds, dir, name);
	if (r == 0)
		r = touch_dir(ds, dir, was_dir ? -1 : 0);
	if (r == 0)
		r = drop_link(ds, inode);
	mutex_unlock(&ds->lock);
	return r;
}

int ds_link(struct ds *ds, uint64_t dir, const char *name, uint64_t inode)
{
	struct ds_page *ip;
	uint64_t there;
	int r;

	mutex_lock(&ds->lock);
	r = ds_dir_find(ds, dir, name, &there);
	r = r == -ENOENT ? ds_begin_room(ds) : r ? r : -EEXIST;
	if (r == 0)
		r = ds_page_get(ds, inode, DS_INODE, &ip);
	if (r == 0) {
		r = ds_dir_add(ds, dir, name, inode, type_of(ip->data));
		if (r == 0) {
			ds_page_dirty(ds, ip);
			((struct ds_inode *)ip->data)->nlink++;
			r = touch_dir(ds, dir, 0);
		}
		ds_page_put(ds, ip);
	}
	mutex_unlock(&ds->lock);
	return r;
}

static int set_parent(struct ds *ds, uint64_t inode, uint64_t parent)
{
	struct ds_page *ip;
	int r = ds_page_get(ds, inode, DS_INODE, &ip);

	if (r)
		return r;
	ds_page_dirty(ds, ip);
	((struct ds_inode *)ip->data)->parent = parent;
	ds_page_put(ds, ip);
	return 0;
}

static int rename_locked(struct ds *ds, uint64_t dir, const char *name, uint64_t to,
                         const char *to_name)
{
	uint64_t inode, target = 0;
	struct ds_page *ip;
	uint8_t type;
	bool directory, was_dir = false;
	int r = ds_dir_find(ds, dir, name, &inode);

	if (r)
		return r;
	r = ds_page_get(ds, inode, DS_INODE, &ip);
	if (r)
		return r;
	type = type_of(ip->data);
	directory = is_dir(ip->data);
	ds_page_put(ds, ip);
	r = ds_dir_find(ds, to, to_name, &target);
	if (r == 0 && target == inode)
		return 0;
	r = r == -ENOENT ? 0 : r ? r : removable(ds, target, directory, &was_dir);
	if (r == 0)
		r = ds_begin_room(ds);
	if (r == 0)
		r = target ? ds_dir_replace(ds, to, to_name, inode, type)
		           : ds_dir_add(ds, to, to_name, inode, type);
	if (r == 0)
		r = ds_dir_remove(ds, dir, name);
	if (r == 0 && directory)
		r = set_parent(ds, inode, to);
	if (r == 0)
		r = touch_dir(ds, dir, directory ? -1 : 0);
	if (r == 0)
		r = touch_dir(ds, to, (directory ? 1 : 0) - (was_dir ? 1 : 0));
	if (r == 0 && target)
		r = drop_link(ds, target);
	return r;
}

int ds_rename(struct ds *ds, uint64_t dir, const char *name, uint64_t to, const char *to_name)
{
	int r;

	if (strlen(to_name) > DS_NAME_MAX)
		return -ENAMETOOLONG;
	mutex_lock(&ds->lock);
	r = rename_locked(ds, dir, name, to, to_name);
	mutex_unlock(&ds->lock);
	return r;
}
