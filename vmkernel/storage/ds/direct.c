// SPDX-License-Identifier: Apache-2.0
/*
 * Contents without a copy, for virtual disks: the caller's pages go down to the device. Offsets and
 * lengths are whole sectors. A request whose blocks are all written and lie side by side is one
 * request to the device, in any world, without a lock. The rest sleeps: unwritten pieces read as
 * zeros; a first write fills its pieces on the device, the edges with zeros, and is published
 * behind that.
 */
#include "ds.h"

#include "vmk/mm.h"
#include "vmk/string.h"

/* Where [off, off + len) lies on the device; false: not all written, or not in one run. */
static bool place(const struct ds_file *f, uint64_t off, uint64_t len, uint64_t *at)
{
	uint64_t first = off >> DS_BLOCK_SHIFT, last = (off + len - 1) >> DS_BLOCK_SHIFT;
	uint64_t entry = ds_cached(f, first);

	/*
	 * Adding to an entry adds to its block number: DS_ALL_WRITTEN is the top bit, so neighbours
	 * on the device compare equal.
	 */
	for (uint64_t i = first; i <= last; i++)
		if (!(entry & DS_ALL_WRITTEN) || ds_cached(f, i) != entry + (i - first))
			return false;
	*at = ((entry & ~DS_ALL_WRITTEN) << DS_BLOCK_SHIFT) + off % DS_BLOCK;
	return true;
}

bool ds_direct(struct ds_file *f, struct blk_req *r, uint64_t off)
{
	if (off + r->len > f->size ||
	    (r->op != BLK_READ && (READ_ONCE(f->ds->read_only) || READ_ONCE(f->torn))) ||
	    /*
	 * read_only and torn are read without the lock: a request that slips past a change still
	 * overwrites only a mapped, written block of this file.
	 */
	    !ds_file_enter(f))
		return false;
	/*
	 * Behind the gate, so that the entries stay what they are until done calls ds_file_leave.
	 */
	if (!place(f, off, r->len, &r->offset)) {
		ds_file_leave(f);
		return false;
	}
	blk_submit(r, f->ds->dev);
	return true;
}

bool ds_direct_flush(struct ds_file *f, struct blk_req *r)
{
	struct ds *ds = f->ds;
	bool clean;

	/*
	 * The caller may be a vCPU and must not sleep. Whoever has the lock may be changing
	 * metadata, so the slow path would have to look anyway.
	 */
	if (!mutex_trylock(&ds->lock))
		return false;
	clean = !ds->read_only && !ds->txn_count;
	mutex_unlock(&ds->lock);
	if (!clean || !ds_file_enter(f))
		return false;
	blk_submit(r, ds->dev);
	return true;
}

/* A transfer on its way: what is left of the caller's list, and room for one block's part of it. */
struct transfer {
	struct ds_file *f;
	const struct sg *sg;
	uint32_t skip; /* bytes of *sg already passed */
	struct sg *part;
	pa_t zeros; /* a page of them, PA_NONE until one is needed */
};

/* Moves the next n bytes of the list behind the `count` pieces that part has; the new count. */
static unsigned take(struct transfer *t, uint64_t n, unsigned count)
{
	/* part has room for every piece of the caller's list and two of padding. */
	while (n) {
		uint32_t step = (uint32_t)MIN(n, (uint64_t)(t->sg->len - t->skip));

		t->part[count++] = (struct sg){ .pa = t->sg->pa + t->skip, .len = step };
		t->skip += step;
		n -= step;
		if (t->skip == t->sg->len) {
			t->sg++;
			t->skip = 0;
		}
	}
	return count;
}

static uint64_t on_device(uint64_t block, uint64_t off)
{
	return (block << DS_BLOCK_SHIFT) + off % DS_BLOCK;
}

static int read_part(struct transfer *t, uint64_t off, uint64_t n)
{
	struct ds_map_entry e;
	int err = ds_lookup(t->f, off >> DS_BLOCK_SHIFT, &e);

	while (n && err == 0) {
		bool written;
		uint64_t run = ds_run_of(&e, off, n, &written);
		unsigned count = take(t, run, 0);

		if (written)
			err = blk_rw(t->f->ds->dev, BLK_READ, on_device(e.block, off), t->part,
			             count);
		for (unsigned i = 0; i < count && !written; i++)
			memset(pa_to_va(t->part[i].pa), 0, t->part[i].len);
		off += run;
		n -= run;
	}
	return err;
}

/* Appends n zero bytes, less than a page, to the part. */
static int pad(struct transfer *t, uint64_t n, unsigned *count)
{
	if (n == 0)
		return 0;
	if (t->zeros == PA_NONE)
		t->zeros = page_alloc(0, FRAME_DMA, ALLOC_ZERO);
	if (t->zeros == PA_NONE)
		return -ENOMEM;
	t->part[(*count)++] = (struct sg){ .pa = t->zeros, .len = (uint32_t)n };
	return 0;
}

/*
 * [off, off + n) of one block at `block`; pieces at the edges that were unwritten are filled up
 * with zeros.
 */
static int write_data(struct transfer *t, const struct ds_map_entry *e, uint64_t block,
                      uint64_t off, uint64_t n)
{
	bool head, tail;
	uint64_t before, behind;
	unsigned count = 0;
	int err;

	/*
	 * Only the first and the last piece can be covered in part; whether they were written
	 * before decides what is around the data on the device.
	 */
	(void)ds_run_of(e, off, n, &head);
	(void)ds_run_of(e, off + n - 1, 1, &tail);
	before = head ? 0 : off % DS_PAGE;
	behind = tail ? 0 : ALIGN_UP(off + n, (uint64_t)DS_PAGE) - (off + n);
	err = pad(t, before, &count);
	count = take(t, n, count);
	if (err == 0)
		err = pad(t, behind, &count);
	return err ? err
	           : blk_rw(t->f->ds->dev, BLK_WRITE, on_device(block, off - before), t->part,
	                    count);
}

static bool written_through(const struct ds_map_entry *e, uint64_t off, uint64_t n)
{
	bool written;

	return ds_run_of(e, off, n, &written) == n && written;
}

/*
 * One block's part of a write; f->writing is held and the gate entered. As in write_block (data.c):
 * data first, then the metadata that publishes it.
 */
static int write_part(struct transfer *t, uint64_t off, uint64_t n)
{
	struct ds_file *f = t->f;
	struct ds_map_entry e;
	uint64_t fresh = 0;
	int err = ds_lookup(f, off >> DS_BLOCK_SHIFT, &e);

	if (err)
		return err;
	/*
	 * All written already, but not all of the block, or not in one run with its neighbours: no
	 * metadata changes.
	 */
	if (written_through(&e, off, n))
		return blk_rw(f->ds->dev, BLK_WRITE, on_device(e.block, off), t->part,
		              take(t, n, 0));
	if (!e.block) {
		err = ds_reserve(f->ds, &fresh);
		if (err)
			return err;
	}
	err = write_data(t, &e, fresh ? fresh : e.block, off, n);
	mutex_lock(&f->ds->lock);
	if (err == 0)
		err = ds_publish(f, off, n, fresh);
	if (err && fresh)
		ds_block_unreserve(f->ds, fresh);
	mutex_unlock(&f->ds->lock);
	return err;
}

int ds_rw_sg(struct ds_file *f, enum blk_op op, uint64_t off, const struct sg *sg, unsigned count,
             uint64_t len)
{
	struct transfer t = { .f = f, .sg = sg, .zeros = PA_NONE };
	bool write = op == BLK_WRITE;
	int err = 0;

	if (write && f->ds->read_only)
		return -EROFS;
	/* Before f->writing is taken: ds_truncate takes it. */
	if (write)
		err = ds_file_mend(f);
	if (err)
		return err;
	/* Two more than the caller has: zeros in front of and behind the data. */
	t.part = kmalloc((count + 2) * sizeof(*t.part));
	if (!t.part)
		return -ENOMEM;
	if (write)
		mutex_lock(&f->writing);
	ds_file_enter_wait(f);
	while (len && err == 0) {
		uint64_t n = MIN(len, DS_BLOCK - off % DS_BLOCK);

		err = write ? write_part(&t, off, n) : read_part(&t, off, n);
		off += n;
		len -= n;
	}
	ds_file_leave(f);
	if (write)
		mutex_unlock(&f->writing);
	kfree(t.part);
	if (t.zeros != PA_NONE)
		page_free(t.zeros, 0);
	return err;
}

/*
 * Unwritten pieces and holes read as zeros already: only written runs are zeroed on the device. The
 * map stays, so nothing is committed.
 */
int ds_zero(struct ds_file *f, uint64_t off, uint64_t len)
{
	int err = f->ds->read_only ? -EROFS : 0;

	mutex_lock(&f->writing);
	ds_file_enter_wait(f);
	while (len && err == 0) {
		struct ds_map_entry e;
		uint64_t n = MIN(len, DS_BLOCK - off % DS_BLOCK);
		bool written;

		err = ds_lookup(f, off >> DS_BLOCK_SHIFT, &e);
		if (err)
			break;
		/*
		 * Under f->writing no piece changes between this look and the write; lock-free
		 * writers touch only blocks that are written throughout.
		 */
		n = ds_run_of(&e, off, n, &written);
		if (written)
			err = blk_range(f->ds->dev, BLK_WRITE_ZEROES, on_device(e.block, off), n);
		off += n;
		len -= n;
	}
	ds_file_leave(f);
	mutex_unlock(&f->writing);
	return err;
}

/*
 * Frees what [*index, end) has in the leaf of *index, as one step; *index is behind that leaf
 * afterwards.
 */
static int unmap_leaf(struct ds_file *f, uint64_t *index, uint64_t end)
{
	struct ds *ds = f->ds;
	uint64_t stop = MIN(end, (*index / DS_MAP_PER + 1) * DS_MAP_PER), child = 0;
	struct ds_page *ip, *leaf;
	struct ds_inode *ino;
	unsigned slot;
	int err = ds_begin(ds);

	if (err == 0)
		err = ds_page_get(ds, f->inode, DS_INODE, &ip);
	if (err)
		return err;
	ino = ip->data;
	if (!(ino->flags & DS_INLINE))
		err = ds_index_get(ds, ino->root, ino->height, *index / DS_MAP_PER, &child);
	if (err == 0 && child) {
		ds_page_dirty(ds, ip);
		/*
		 * The leaf exists (child is set), so this allocates nothing: ds_begin without room
		 * is enough, and a full volume can be emptied.
		 */
		err = ds_map_leaf(ds, ip, *index, &leaf, &slot);
	}
	if (err == 0 && child) {
		ds_page_dirty(ds, leaf);
		for (uint64_t i = *index; i < stop && err == 0; i++, slot++) {
			struct ds_map_entry *e = &((struct ds_map *)leaf->data)->entry[slot];

			if (!e->block)
				continue;
			/*
			 * Before the block is freed. The file is drained, so nobody has looked the
			 * entry up and not yet submitted.
			 */
			ds_cache_set(f, i, 0);
			err = ds_block_ref(ds, e->block, -1);
			memset(e, 0, sizeof(*e));
			ino->blocks--;
		}
		ds_page_put(ds, leaf);
	}
	ds_page_put(ds, ip);
	*index = stop;
	return err;
}

int ds_unmap(struct ds_file *f, uint64_t off, uint64_t len)
{
	uint64_t index = DIV_UP(off, (uint64_t)DS_BLOCK), end = (off + len) >> DS_BLOCK_SHIFT;
	int err = 0;

	if (index >= end)
		return 0;
	mutex_lock(&f->writing);
	ds_file_drain(f);
	mutex_lock(&f->ds->lock);
	while (index < end && err == 0)
		err = unmap_leaf(f, &index, end);
	mutex_unlock(&f->ds->lock);
	ds_file_resume(f);
	mutex_unlock(&f->writing);
	return err;
}
