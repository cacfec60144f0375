// SPDX-License-Identifier: Apache-2.0
/*
 * Inodes: birth, truncation, end; and the files that are open on them.
 *
 * What takes more than one transaction is on the orphan list from its first to its last, so a mount
 * finishes it: an inode without names, or one that is being truncated. Data I/O passes the file's
 * gate; truncation closes it and waits until nobody is inside.
 */
#include "ds.h"

#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/time.h"

#define LOG_MODULE "datastore"

STAT(orphans, "datastore.orphans", "unfinished deletions and truncations finished at mount");

enum { CUT_BUDGET = 1, ORPHANS_MAX = 1 << 20 /* a longer list is a loop */ };

int ds_inode_create(struct ds *ds, uint32_t mode, struct ds_page **out)
{
	struct ds_page *sp;
	struct ds_inode *ino;
	uint64_t page;
	int err = ds_meta_alloc(ds, &page);

	if (err)
		return err;
	/*
	 * Failing from here on leaks the page, but only on a volume that is read-only by then and
	 * never commits it.
	 */
	err = ds_page_get(ds, ds->super.state_page, DS_STATE, &sp);
	if (err)
		return err;
	err = ds_page_new(ds, page, DS_INODE, out);
	if (err == 0) {
		struct ds_state *state = sp->data;

		ds_page_dirty(ds, sp);
		ino = (*out)->data;
		/*
		 * The page number of a deleted inode is reused; the generation tells handles to the
		 * old file from the new one.
		 */
		ino->generation = state->generation++;
		state->inodes++;
		ino->mode = mode;
		ino->nlink = 1;
		ino->mtime = ino->ctime = time_realtime();
		if ((mode & DS_MODE_TYPE) != DS_MODE_DIR)
			ino->flags = DS_INLINE;
	}
	ds_page_put(ds, sp);
	return err;
}

static int orphan_add(struct ds *ds, struct ds_page *ip)
{
	struct ds_inode *ino = ip->data;
	struct ds_page *sp;
	int err = ds_page_get(ds, ds->super.state_page, DS_STATE, &sp);

	if (err)
		return err;
	ds_page_dirty(ds, sp);
	ds_page_dirty(ds, ip);
	ino->orphan = ((struct ds_state *)sp->data)->orphans;
	((struct ds_state *)sp->data)->orphans = ip->page;
	ds_page_put(ds, sp);
	return 0;
}

/* Takes the inode out of the list, which is short. */
static int orphan_remove(struct ds *ds, struct ds_page *ip)
{
	struct ds_inode *ino = ip->data;
	struct ds_page *p;
	uint64_t *link;
	int err = ds_page_get(ds, ds->super.state_page, DS_STATE, &p);

	if (err)
		return err;
	/*
	 * The list is singly linked and starts in the state page: `link` is the pointer that leads
	 * to ip, and p the page that holds it.
	 */
	link = &((struct ds_state *)p->data)->orphans;
	for (unsigned count = 0; *link && *link != ip->page; count++) {
		uint64_t next = *link;

		ds_page_put(ds, p);
		if (count == ORPHANS_MAX)
			return ds_damaged(ds, "the list of orphans has no end");
		err = ds_page_get(ds, next, DS_INODE, &p);
		if (err)
			return err;
		link = &((struct ds_inode *)p->data)->orphan;
	}
	if (*link) {
		ds_page_dirty(ds, p);
		ds_page_dirty(ds, ip);
		*link = ino->orphan;
		ino->orphan = 0;
	}
	ds_page_put(ds, p);
	return 0;
}

int ds_inode_unlinked(struct ds *ds, struct ds_page *ip)
{
	struct ds_file *f;

	list_for_each(f, &ds->files, link)
		if (f->inode == ip->page)
			f->unlinked = true;
	/* One that is being truncated stands on the list already. */
	return ((struct ds_inode *)ip->data)->flags & DS_TRUNCATING ? 0 : orphan_add(ds, ip);
}

/* Frees all blocks from block `first` of the file on, in as many transactions as it takes. */
static int cut_all(struct ds *ds, struct ds_page *ip, uint64_t first)
{
	bool more = true;
	int err = 0;

	while (more && err == 0) {
		/*
		 * Each round is a step of its own: a commit may fall between two, which is why the
		 * inode must be on the orphan list before the first.
		 */
		err = ds_begin(ds);
		if (err == 0) {
			ds_page_dirty(ds, ip);
			err = ds_map_cut(ds, ip, first, CUT_BUDGET, &more);
		}
	}
	return err;
}

int ds_inode_destroy(struct ds *ds, uint64_t inode)
{
	struct ds_page *ip, *sp;
	struct ds_inode *ino;
	int err = ds_page_get(ds, inode, DS_INODE, &ip);

	if (err)
		return err;
	ino = ip->data;
	/*
	 * Contents go first, in as many transactions as it takes, while the inode is still on the
	 * orphan list. Only the last step takes it off and frees it, in one transaction.
	 */
	if ((ino->mode & DS_MODE_TYPE) == DS_MODE_DIR)
		err = ds_dir_free(ds, ip);
	else if (!(ino->flags & DS_INLINE))
		err = cut_all(ds, ip, 0);
	if (err == 0)
		err = ds_begin(ds);
	if (err == 0)
		err = orphan_remove(ds, ip);
	if (err == 0)
		err = ds_page_get(ds, ds->super.state_page, DS_STATE, &sp);
	if (err == 0) {
		if (((struct ds_state *)sp->data)->inodes) {
			ds_page_dirty(ds, sp);
			((struct ds_state *)sp->data)->inodes--;
		} else {
			err = ds_damaged(ds, "more inodes than the volume counts");
		}
		ds_page_put(ds, sp);
	}
	ds_page_put(ds, ip);
	return err ? err : ds_meta_free(ds, inode);
}

/* Bytes behind the end must read as zeros when the file grows again: the last piece's rest. */
static int zero_tail(struct ds *ds, const struct ds_inode *ino)
{
	uint64_t size = ino->size, piece = size & ~(uint64_t)(DS_PAGE - 1);
	struct ds_map_entry e;
	uint64_t at;
	uint8_t *buf;
	unsigned i;
	int err;

	if (size % DS_PAGE == 0)
		return 0;
	err = ds_map_get(ds, ino, size >> DS_BLOCK_SHIFT, &e);
	i = (unsigned)(piece >> DS_PAGE_SHIFT) % DS_PIECES;
	if (err || !e.block || !(e.written[i / 8] & 1 << i % 8))
		return err;
	buf = kmalloc(DS_PAGE);
	if (!buf)
		return -ENOMEM;
	at = (e.block << DS_BLOCK_SHIFT) + piece % DS_BLOCK;
	err = blk_urgent_rw(ds->dev, BLK_READ, at, buf, DS_PAGE);
	if (err == 0) {
		memset(buf + size % DS_PAGE, 0, DS_PAGE - size % DS_PAGE);
		/*
		 * In place and without a copy is safe: these bytes lie behind the durable size, and
		 * a crash has the mount do it again.
		 */
		err = blk_urgent_rw(ds->dev, BLK_WRITE, at, buf, DS_PAGE);
		ds->new_data = true;
	}
	kfree(buf);
	return err;
}

/* Pieces of the last block that lie wholly behind the end count as unwritten. */
static int cut_pieces(struct ds *ds, struct ds_page *ip)
{
	struct ds_inode *ino = ip->data;
	unsigned first = (unsigned)DIV_UP(ino->size % DS_BLOCK, (uint64_t)DS_PAGE), slot;
	struct ds_map_entry e;
	struct ds_page *leaf;
	int err = ds_map_get(ds, ino, ino->size >> DS_BLOCK_SHIFT, &e);

	if (err || !e.block || ino->size % DS_BLOCK == 0)
		return err;
	err = ds_map_leaf(ds, ip, ino->size >> DS_BLOCK_SHIFT, &leaf, &slot);
	if (err)
		return err;
	/*
	 * An unwritten piece reads as zeros, so the pieces behind the end need no write to the
	 * device. Without this a later growth would show old contents.
	 */
	ds_page_dirty(ds, leaf);
	for (unsigned i = first; i < DS_PIECES; i++)
		((struct ds_map *)leaf->data)->entry[slot].written[i / 8] &= ~(1 << i % 8);
	ds_page_put(ds, leaf);
	return 0;
}

/* Does what DS_TRUNCATING promised: the size is set and durable, the rest follows. */
static int finish_truncate(struct ds *ds, struct ds_page *ip)
{
	struct ds_inode *ino = ip->data;
	int err = cut_all(ds, ip, DIV_UP(ino->size, (uint64_t)DS_BLOCK));

	/*
	 * The order matters only within the last transaction: blocks are free, the tail is zero,
	 * and only then is the flag that would repeat it all cleared.
	 */
	if (err == 0)
		err = ds_begin(ds);
	if (err == 0)
		err = zero_tail(ds, ino);
	if (err == 0)
		err = cut_pieces(ds, ip);
	if (err == 0)
		err = orphan_remove(ds, ip);
	if (err == 0) {
		ds_page_dirty(ds, ip);
		ino->flags &= ~DS_TRUNCATING;
	}
	return err;
}

/*
 * Shrinking takes several transactions. The first sets the new size, DS_TRUNCATING and the place on
 * the orphan list, and is committed before a block is freed: from there on a crash at any point
 * leaves a file that ends where it should, and the mount frees the rest. ds->lock and f->writing
 * are held and the file is drained.
 */
static int truncate_locked(struct ds_file *f, uint64_t size)
{
	struct ds *ds = f->ds;
	struct ds_page *ip;
	struct ds_inode *ino;
	bool shrink;
	int err = size > f->size ? ds_begin_room(ds) : ds_begin(ds);

	if (err == 0)
		err = ds_page_get(ds, f->inode, DS_INODE, &ip);
	if (err)
		return err;
	ino = ip->data;
	/*
	 * An earlier truncation met an error half way. It is finished first: growing now would
	 * expose what it has not cut off.
	 */
	if (ino->flags & DS_TRUNCATING) {
		err = finish_truncate(ds, ip);
		if (err == 0)
			err = ds_begin(ds);
		if (err)
			goto out;
	}
	ds_page_dirty(ds, ip);
	shrink = size < ino->size;
	/*
	 * Inline contents change within this transaction: no orphan list, no second step. The bytes
	 * behind the end are kept zero, which is what a later growth shows.
	 */
	if (ino->flags & DS_INLINE) {
		if (shrink)
			memset(ino->data + size, 0, ino->size - size);
		else if (size > DS_INLINE_MAX)
			err = ds_inline_move(ds, ip);
	} else if (shrink) {
		ino->flags |= DS_TRUNCATING;
		err = orphan_add(ds, ip);
	}
	if (err == 0) {
		ino->size = size;
		ino->mtime = ino->ctime = time_realtime();
	}
	/*
	 * Must be durable before the first block is freed: a freed block may be reused as soon as
	 * its own transaction is durable, and the old size would still claim it.
	 */
	if (err == 0 && ino->flags & DS_TRUNCATING) {
		err = ds_commit(ds);
		if (err == 0)
			err = finish_truncate(ds, ip);
	}
	/* Also after an error: the inode's size is what is true, whatever was asked for. */
	f->size = ino->size;
out:
	f->torn = ino->flags & DS_TRUNCATING;
	ds_page_put(ds, ip);
	return err;
}

int ds_file_mend(struct ds_file *f)
{
	return READ_ONCE(f->torn) ? ds_truncate(f, f->size) : 0;
}

/* From block `first` of the file on. */
static void cache_forget(struct ds_file *f, uint64_t first)
{
	for (unsigned g = first / DS_CHUNK / DS_CHUNKS; g < DS_GROUPS; g++)
		for (unsigned c = 0; f->group[g] && c < DS_CHUNKS; c++)
			/*
			 * The file is drained: nobody is between reading an entry here and
			 * submitting to the block that it names.
			 */
			for (unsigned i = 0; f->group[g][c] && i < DS_CHUNK; i++)
				if (((uint64_t)g * DS_CHUNKS + c) * DS_CHUNK + i >= first)
					WRITE_ONCE(f->group[g][c][i], 0);
}

int ds_truncate(struct ds_file *f, uint64_t size)
{
	int err;

	if (size > DS_BLOCKS_MAX << DS_BLOCK_SHIFT)
		return -EFBIG;
	/*
	 * In this order everywhere: f->writing, the gate, ds->lock. Writers hold f->writing while
	 * inside the gate, so taking it first means only lock-free I/O is left to drain.
	 */
	mutex_lock(&f->writing);
	ds_file_drain(f);
	mutex_lock(&f->ds->lock);
	/* Includes the block that the new end lies in: its last pieces become unwritten. */
	cache_forget(f, size >> DS_BLOCK_SHIFT);
	err = truncate_locked(f, size);
	mutex_unlock(&f->ds->lock);
	ds_file_resume(f);
	mutex_unlock(&f->writing);
	return err;
}

int ds_orphans(struct ds *ds)
{
	for (;;) {
		struct ds_page *p;
		uint64_t inode;
		bool named;
		int err = ds_page_get(ds, ds->super.state_page, DS_STATE, &p);

		if (err)
			return err;
		/*
		 * Always the first: finishing one takes it off the list. An error ends the walk,
		 * else the same inode would come again for ever.
		 */
		inode = ((struct ds_state *)p->data)->orphans;
		ds_page_put(ds, p);
		if (!inode)
			return 0;
		stat_inc(orphans);
		err = ds_page_get(ds, inode, DS_INODE, &p);
		if (err)
			return err;
		named = ((struct ds_inode *)p->data)->nlink != 0;
		/* One that needs nothing would be found at the list's head again and again. */
		if (named && !(((struct ds_inode *)p->data)->flags & DS_TRUNCATING))
			err = ds_damaged(ds, "inode %lu is no orphan", inode);
		else if (named)
			err = finish_truncate(ds, p);
		ds_page_put(ds, p);
		if (!named)
			err = ds_inode_destroy(ds, inode);
		if (err)
			return err;
	}
}

int ds_file_open(struct ds *ds, uint64_t inode, struct ds_file **out)
{
	struct ds_page *ip;
	struct ds_file *f;
	int err;

	list_for_each(f, &ds->files, link) {
		if (f->inode == inode) {
			f->refs++;
			*out = f;
			return 0;
		}
	}
	err = ds_page_get(ds, inode, DS_INODE, &ip);
	if (err)
		return err;
	f = vmalloc(sizeof(*f));
	if (f) {
		f->ds = ds;
		f->inode = inode;
		f->refs = 1;
		f->size = ((struct ds_inode *)ip->data)->size;
		/*
		 * The mount could not finish a truncation, or a later one failed: the first write
		 * repairs it (ds_file_mend).
		 */
		f->torn = ((struct ds_inode *)ip->data)->flags & DS_TRUNCATING;
		waitq_init(&f->idle, "datastore file");
		mutex_init(&f->writing, "datastore file");
		list_push_back(&ds->files, &f->link);
		*out = f;
	}
	ds_page_put(ds, ip);
	return f ? 0 : -ENOMEM;
}

void ds_file_close(struct ds_file *f)
{
	struct ds *ds = f->ds;

	mutex_lock(&ds->lock);
	if (--f->refs) {
		mutex_unlock(&ds->lock);
		return;
	}
	list_remove(&f->link);
	/*
	 * Off the list of open files first, so that no ds_file_open finds it while its blocks go.
	 */
	if (f->unlinked && !ds->read_only && ds_inode_destroy(ds, f->inode) != 0)
		log_warn("%s: an unlinked file remains until the next mount", ds->label);
	mutex_unlock(&ds->lock);
	for (unsigned g = 0; g < DS_GROUPS; g++) {
		for (unsigned c = 0; f->group[g] && c < DS_CHUNKS; c++)
			kfree(f->group[g][c]);
		kfree(f->group[g]);
	}
	vfree(f);
}

bool ds_file_enter(struct ds_file *f)
{
	__atomic_fetch_add(&f->in_flight, 1, __ATOMIC_SEQ_CST);
	/*
	 * Count first, then look; ds_file_drain sets the flag first, then looks at the count. With
	 * sequentially consistent accesses at least one of the two sees the other.
	 */
	if (likely(!__atomic_load_n(&f->draining, __ATOMIC_SEQ_CST)))
		return true;
	ds_file_leave(f);
	return false;
}

void ds_file_leave(struct ds_file *f)
{
	/* Only a drainer sleeps on idle, so the usual path wakes nobody. */
	if (__atomic_sub_fetch(&f->in_flight, 1, __ATOMIC_SEQ_CST) == 0 &&
	    __atomic_load_n(&f->draining, __ATOMIC_SEQ_CST))
		waitq_wake_all(&f->idle);
}

void ds_file_drain(struct ds_file *f)
{
	__atomic_store_n(&f->draining, true, __ATOMIC_SEQ_CST);
	wait_event(&f->idle, __atomic_load_n(&f->in_flight, __ATOMIC_SEQ_CST) == 0);
}

void ds_file_resume(struct ds_file *f)
{
	__atomic_store_n(&f->draining, false, __ATOMIC_SEQ_CST);
	waitq_wake_all(&f->idle);
}

uint64_t ds_cached(const struct ds_file *f, uint64_t index)
{
	/*
	 * Pairs with store_release in ds_cache_set: a table that is seen is seen filled with zeros.
	 * Tables live as long as the file.
	 */
	uint64_t **group = load_acquire(&f->group[index / DS_CHUNK / DS_CHUNKS]);
	uint64_t *chunk = group ? load_acquire(&group[index / DS_CHUNK % DS_CHUNKS]) : NULL;

	return chunk ? READ_ONCE(chunk[index % DS_CHUNK]) : 0;
}

void ds_cache_set(struct ds_file *f, uint64_t index, uint64_t entry)
{
	uint64_t ***group = &f->group[index / DS_CHUNK / DS_CHUNKS], **chunk;

	/*
	 * ds->lock is held, so there is one writer; readers come without it. An entry of 0 needs no
	 * table.
	 */
	if (!*group && entry)
		store_release(group, kzalloc(DS_CHUNKS * sizeof(**group)));
	if (!*group)
		return; /* the cache may always be empty */
	chunk = &(*group)[index / DS_CHUNK % DS_CHUNKS];
	if (!*chunk && entry)
		store_release(chunk, kzalloc(DS_CHUNK * sizeof(**chunk)));
	if (*chunk)
		WRITE_ONCE((*chunk)[index % DS_CHUNK], entry);
}
