// SPDX-License-Identifier: Apache-2.0
/*
 * What changes names, each as one transaction: create, link, unlink, rename. Each takes ds->lock.
 */
#include "ds.h"

#include "vmk/string.h"
#include "vmk/time.h"

static bool is_dir(const struct ds_inode *ino)
{
	return (ino->mode & DS_MODE_TYPE) == DS_MODE_DIR;
}

static uint8_t type_of(const struct ds_inode *ino)
{
	return ino->mode >> 12 & 15;
}

/* Adds to a directory's link count (its children's "..") and sets its times. */
static int touch_dir(struct ds *ds, uint64_t dir, int links)
{
	struct ds_inode *ino;
	struct ds_page *p;
	int err = ds_page_get(ds, dir, DS_INODE, &p);

	if (err)
		return err;
	ino = p->data;
	/* A directory's own two links never go here, and a crafted count must not wrap. */
	if ((links < 0 && ino->nlink <= 2) || (links > 0 && ino->nlink == UINT32_MAX)) {
		ds_page_put(ds, p);
		return ds_damaged(ds, "directory %lu has %u links", dir, ino->nlink);
	}
	ds_page_dirty(ds, p);
	/* Already in this transaction in most cases; dirtying a page twice costs nothing. */
	ino->nlink += links;
	ino->mtime = ino->ctime = time_realtime();
	ds_page_put(ds, p);
	return 0;
}

/* Inode and name appear in one transaction, or neither does. ds->lock is held. */
static int create(struct ds *ds, uint64_t dir, const char *name, uint32_t mode, const char *target,
                  uint64_t *inode)
{
	struct ds_page *ip;
	struct ds_inode *ino;
	uint64_t there;
	int err = ds_dir_find(ds, dir, name, &there);

	if (err != -ENOENT)
		return err ? err : -EEXIST;
	err = ds_dir_room(ds, dir, name);
	if (err)
		return err;
	/*
	 * After the look-up: it may commit, and a commit must not fall between the inode and its
	 * name.
	 */
	err = ds_begin_room(ds);
	if (err == 0)
		err = ds_inode_create(ds, mode, &ip);
	if (err)
		return err;
	ino = ip->data;
	if (is_dir(ino)) {
		/* Its name and its own ".". */
		ino->nlink = 2;
		ino->parent = dir;
	}
	if (target) {
		ino->size = strlen(target);
		memcpy(ino->data, target, ino->size);
	}
	*inode = ip->page;
	err = ds_dir_add(ds, dir, name, ip->page, type_of(ino));
	if (err == 0)
		err = touch_dir(ds, dir, is_dir(ino));
	ds_page_put(ds, ip);
	return err;
}

int ds_create(struct ds *ds, uint64_t dir, const char *name, uint32_t mode, const char *target,
              uint64_t *inode)
{
	int err;

	if (strlen(name) > DS_NAME_MAX || (target && strlen(target) > DS_INLINE_MAX - 1))
		return -ENAMETOOLONG;
	mutex_lock(&ds->lock);
	err = create(ds, dir, name, mode, target, inode);
	mutex_unlock(&ds->lock);
	return err;
}

/*
 * The inode lost a name; with the last one it becomes an orphan and ends when nobody has it open.
 */
static int drop_link(struct ds *ds, uint64_t inode)
{
	struct ds_page *ip;
	struct ds_inode *ino;
	struct ds_file *f;
	bool open = false;
	int err = ds_page_get(ds, inode, DS_INODE, &ip);

	if (err)
		return err;
	ino = ip->data;
	if (ino->nlink < (is_dir(ino) ? 2 : 1)) {
		ds_page_put(ds, ip);
		return ds_damaged(ds, "inode %lu has more names than links", inode);
	}
	ds_page_dirty(ds, ip);
	ino->nlink -= is_dir(ino) ? 2 : 1;
	ino->ctime = time_realtime();
	/* An open file lives on until its last close; the orphan list ends it after a crash. */
	if (ino->nlink == 0) {
		err = ds_inode_unlinked(ds, ip);
		list_for_each(f, &ds->files, link)
			open |= f->inode == inode;
	} else {
		open = true;
	}
	ds_page_put(ds, ip);
	/*
	 * Several transactions, the first of which is the caller's: name and link are gone in it.
	 */
	return err || open ? err : ds_inode_destroy(ds, inode);
}

/* Whether name may go: directories when asked for and empty only. */
static int removable(struct ds *ds, uint64_t inode, bool directory, bool *was_dir)
{
	struct ds_page *ip;
	const struct ds_inode *ino;
	int err = ds_page_get(ds, inode, DS_INODE, &ip);

	if (err)
		return err;
	ino = ip->data;
	*was_dir = is_dir(ino);
	if (*was_dir != directory)
		err = *was_dir ? -EISDIR : -ENOTDIR;
	else if (*was_dir && ino->entries)
		err = -ENOTEMPTY;
	ds_page_put(ds, ip);
	return err;
}

int ds_unlink(struct ds *ds, uint64_t dir, const char *name, bool directory)
{
	uint64_t inode;
	bool was_dir;
	int err;

	mutex_lock(&ds->lock);
	err = ds_dir_find(ds, dir, name, &inode);
	if (err == 0)
		err = removable(ds, inode, directory, &was_dir);
	if (err == 0)
		err = ds_begin(ds);
	if (err == 0)
		err = ds_dir_remove(ds, dir, name);
	if (err == 0)
		err = touch_dir(ds, dir, was_dir ? -1 : 0);
	if (err == 0)
		err = drop_link(ds, inode);
	mutex_unlock(&ds->lock);
	return err;
}

int ds_link(struct ds *ds, uint64_t dir, const char *name, uint64_t inode)
{
	struct ds_page *ip;
	uint64_t there;
	int err;

	mutex_lock(&ds->lock);
	err = ds_dir_find(ds, dir, name, &there);
	err = err == -ENOENT ? ds_dir_room(ds, dir, name) : err ? err : -EEXIST;
	if (err == 0)
		err = ds_begin_room(ds);
	if (err == 0)
		err = ds_page_get(ds, inode, DS_INODE, &ip);
	if (err == 0) {
		if (((struct ds_inode *)ip->data)->nlink == UINT32_MAX)
			err = -EMLINK;
		else
			err = ds_dir_add(ds, dir, name, inode, type_of(ip->data));
		if (err == 0) {
			ds_page_dirty(ds, ip);
			/*
			 * After the name is in: both are in the running transaction, so no commit
			 * sees one without the other.
			 */
			((struct ds_inode *)ip->data)->nlink++;
			err = touch_dir(ds, dir, 0);
		}
		ds_page_put(ds, ip);
	}
	mutex_unlock(&ds->lock);
	return err;
}

static int set_parent(struct ds *ds, uint64_t inode, uint64_t parent)
{
	struct ds_page *ip;
	int err = ds_page_get(ds, inode, DS_INODE, &ip);

	if (err)
		return err;
	ds_page_dirty(ds, ip);
	((struct ds_inode *)ip->data)->parent = parent;
	ds_page_put(ds, ip);
	return 0;
}

/*
 * One transaction: after a crash the old name or the new one leads to the inode, and an inode that
 * was replaced is gone or an orphan. The caller has checked that a directory does not move below
 * itself.
 */
static int rename_locked(struct ds *ds, uint64_t dir, const char *name, uint64_t to,
                         const char *to_name)
{
	uint64_t inode, target = 0;
	struct ds_page *ip;
	uint8_t type;
	bool directory, was_dir = false;
	int err = ds_dir_find(ds, dir, name, &inode);

	if (err)
		return err;
	err = ds_page_get(ds, inode, DS_INODE, &ip);
	if (err)
		return err;
	type = type_of(ip->data);
	directory = is_dir(ip->data);
	ds_page_put(ds, ip);
	err = ds_dir_find(ds, to, to_name, &target);
	/* Two names of one inode: POSIX has rename() do nothing. */
	if (err == 0 && target == inode)
		return 0;
	/* A directory replaces an empty directory only, anything else no directory. */
	err = err == -ENOENT ? ds_dir_room(ds, to, to_name)
	      : err          ? err
	                     : removable(ds, target, directory, &was_dir);
	/* The only step that may commit; everything behind it belongs to one transaction. */
	if (err == 0)
		err = ds_begin_room(ds);
	if (err == 0)
		err = target ? ds_dir_replace(ds, to, to_name, inode, type)
		             : ds_dir_add(ds, to, to_name, inode, type);
	if (err == 0)
		err = ds_dir_remove(ds, dir, name);
	if (err == 0 && directory)
		err = set_parent(ds, inode, to);
	if (err == 0)
		err = touch_dir(ds, dir, directory ? -1 : 0);
	/* Its ".." moves with a directory, and that of a replaced one goes. */
	if (err == 0)
		err = touch_dir(ds, to, (directory ? 1 : 0) - (was_dir ? 1 : 0));
	if (err == 0 && target)
		err = drop_link(ds, target);
	return err;
}

int ds_rename(struct ds *ds, uint64_t dir, const char *name, uint64_t to, const char *to_name)
{
	int err;

	if (strlen(to_name) > DS_NAME_MAX)
		return -ENAMETOOLONG;
	mutex_lock(&ds->lock);
	err = rename_locked(ds, dir, name, to, to_name);
	mutex_unlock(&ds->lock);
	return err;
}
