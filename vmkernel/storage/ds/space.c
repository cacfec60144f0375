// SPDX-License-Identifier: Apache-2.0
/* Which parts of a file are there: seeking data and holes, allocating ahead, punching holes. */
#include "ds.h"

#include "vmk/mm.h"
#include "vmk/string.h"

/* Contents that stand in the inode are data from the first byte to the last. */
static int is_inline(struct ds_file *f, bool *yes)
{
	struct ds_page *ip;
	int err;

	mutex_lock(&f->ds->lock);
	err = ds_page_get(f->ds, f->inode, DS_INODE, &ip);
	if (err == 0) {
		*yes = ((struct ds_inode *)ip->data)->flags & DS_INLINE;
		ds_page_put(f->ds, ip);
	}
	mutex_unlock(&f->ds->lock);
	return err;
}

/* First block at or behind index that is mapped; beyond the end when there is none. */
static int next_mapped(struct ds_file *f, uint64_t *index)
{
	struct ds_page *ip;
	bool any = false;
	int err;

	mutex_lock(&f->ds->lock);
	err = ds_page_get(f->ds, f->inode, DS_INODE, &ip);
	if (err == 0) {
		err = ds_map_next(f->ds, ip->data, *index, index, &any);
		ds_page_put(f->ds, ip);
	}
	mutex_unlock(&f->ds->lock);
	if (err == 0 && !any)
		*index = DS_BLOCKS_MAX;
	return err;
}

int ds_seek(struct ds_file *f, uint64_t from, bool hole, uint64_t *found)
{
	uint64_t at = from;
	bool whole = false;
	int err = from < f->size ? is_inline(f, &whole) : -ENXIO;

	while (err == 0 && !whole && at < f->size) {
		struct ds_map_entry e;
		uint64_t index = at >> DS_BLOCK_SHIFT;
		bool written;
		size_t n;

		err = ds_lookup(f, index, &e);
		if (err)
			break;
		n = ds_run_of(&e, at, DS_BLOCK, &written);
		if (written != hole)
			break;
		at += n;
		/*
		 * Unlocked between the two look-ups: seeking races with writers as on any file
		 * system, and either answer was true at some time.
		 */
		if (!e.block && !hole) { /* holes may be long */
			err = next_mapped(f, &index);
			at = MAX(at, index << DS_BLOCK_SHIFT);
		}
	}
	if (err)
		return err;
	*found = hole && whole ? f->size : MIN(at, f->size);
	return !hole && at >= f->size ? -ENXIO : 0;
}

/* A block of its own, nothing of it written, for one that is a hole. Under f->writing. */
static int allocate_block(struct ds_file *f, uint64_t index)
{
	struct ds *ds = f->ds;
	struct ds_page *ip, *leaf;
	struct ds_map_entry e;
	uint64_t block;
	unsigned slot;
	int err = ds_lookup(f, index, &e);

	if (err || e.block)
		return err;
	err = ds_reserve(ds, &block);
	if (err)
		return err;
	mutex_lock(&ds->lock);
	err = ds_begin_room(ds);
	if (err == 0)
		err = ds_page_get(ds, f->inode, DS_INODE, &ip);
	if (err == 0) {
		ds_page_dirty(ds, ip);
		err = ds_map_leaf(ds, ip, index, &leaf, &slot);
		if (err == 0) {
			ds_page_dirty(ds, leaf);
			/*
			 * No piece is marked written: the block reads as zeros, whatever is on it,
			 * and needs no write.
			 */
			err = ds_block_take(ds, block);
			((struct ds_map *)leaf->data)->entry[slot].block = block;
			((struct ds_inode *)ip->data)->blocks++;
			ds_page_put(ds, leaf);
		}
		ds_page_put(ds, ip);
	}
	if (err)
		ds_block_unreserve(ds, block);
	mutex_unlock(&ds->lock);
	return err;
}

/* Contents leave the inode, so that the file has a map. */
static int leave_inline(struct ds_file *f)
{
	struct ds *ds = f->ds;
	struct ds_page *ip;
	int err;

	mutex_lock(&ds->lock);
	err = ds_begin_room(ds);
	if (err == 0)
		err = ds_page_get(ds, f->inode, DS_INODE, &ip);
	if (err == 0) {
		ds_page_dirty(ds, ip);
		if (((struct ds_inode *)ip->data)->flags & DS_INLINE)
			err = ds_inline_move(ds, ip);
		ds_page_put(ds, ip);
	}
	mutex_unlock(&ds->lock);
	return err;
}

int ds_allocate(struct ds_file *f, uint64_t off, uint64_t len, bool keep)
{
	uint64_t end;
	int err;

	if (add_overflow(off, len, &end) || end > DS_BLOCKS_MAX << DS_BLOCK_SHIFT)
		return -EFBIG;
	err = ds_file_mend(f);
	/*
	 * The size first: blocks behind the end are kept by allocation with `keep` only, and a
	 * crash in between leaves a sparse file of the right size.
	 */
	if (err == 0 && !keep && end > f->size)
		err = ds_truncate(f, end);
	if (err)
		return err;
	mutex_lock(&f->writing);
	err = leave_inline(f);
	/*
	 * A step each, so that any length fits the journal. -ENOSPC half way leaves what was
	 * allocated, as fallocate(2) allows.
	 */
	for (uint64_t i = off >> DS_BLOCK_SHIFT; i << DS_BLOCK_SHIFT < end && err == 0; i++)
		err = allocate_block(f, i);
	mutex_unlock(&f->writing);
	return err;
}

/* Zeros over what is written of [off, end). */
static int zero_written(struct ds_file *f, uint64_t off, uint64_t end)
{
	uint8_t *zeros = kzalloc(DS_PAGE);
	bool whole = false;
	int err = zeros ? is_inline(f, &whole) : -ENOMEM;

	while (off < end && err == 0) {
		struct ds_map_entry e;
		uint64_t n = MIN(end - off, DS_PAGE - off % DS_PAGE);
		bool written = true;

		if (!whole) {
			err = ds_lookup(f, off >> DS_BLOCK_SHIFT, &e);
			if (err == 0)
				(void)ds_run_of(&e, off, n, &written);
		}
		/* Unwritten pieces read as zeros already; only written ones cost a write. */
		if (err == 0 && written)
			err = (int)MIN(ds_write(f, off, zeros, n), (ssize_t)0);
		off += n;
	}
	kfree(zeros);
	return err;
}

int ds_punch(struct ds_file *f, uint64_t off, uint64_t len)
{
	uint64_t end = MIN(off + len, f->size), first = ALIGN_UP(off, (uint64_t)DS_BLOCK), last;
	int err;

	if (off >= end)
		return 0;
	/*
	 * A hole up to the file's end takes the last block with it, of which the rest lies behind
	 * the end.
	 */
	last = end == f->size ? ALIGN_UP(end, (uint64_t)DS_BLOCK)
	                      : ALIGN_DOWN(end, (uint64_t)DS_BLOCK);
	if (first >= last)
		return zero_written(f, off, end);
	err = zero_written(f, off, MIN(first, end));
	if (err == 0)
		err = ds_unmap(f, first, last - first);
	return err || last >= end ? err : zero_written(f, last, end);
}
