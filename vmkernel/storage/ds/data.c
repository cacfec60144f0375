// SPDX-License-Identifier: Apache-2.0
/*
 * Contents. A block that is wholly written is read and written without ds->lock, straight at its
 * place. Everything else goes piece by piece (4 KiB): unwritten pieces read as zeros; a write fills
 * the pieces it touches on the device first, then marks them written, so no metadata ever shows
 * data that is not there.
 */
#include "ds.h"

#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/time.h"

static bool piece_written(const struct ds_map_entry *e, unsigned i)
{
	return e->block && e->written[i / 8] & 1 << i % 8;
}

static bool all_written(const struct ds_map_entry *e)
{
	for (unsigned i = 0; i < sizeof(e->written); i++)
		if (e->written[i] != 0xff)
			return false;
	return e->block != 0;
}

static uint64_t device_offset(uint64_t block, uint64_t off)
{
	return (block << DS_BLOCK_SHIFT) + off % DS_BLOCK;
}

int ds_lookup(struct ds_file *f, uint64_t index, struct ds_map_entry *e)
{
	uint64_t cached = ds_cached(f, index);
	struct ds_page *ip;
	int err;

	/*
	 * A cached entry is valid without the lock: it changes only under ds_file_drain, and the
	 * caller has entered the gate or holds f->writing.
	 */
	if (cached & DS_ALL_WRITTEN) {
		e->block = cached & ~DS_ALL_WRITTEN;
		memset(e->written, 0xff, sizeof(e->written));
		return 0;
	}
	mutex_lock(&f->ds->lock);
	err = ds_page_get(f->ds, f->inode, DS_INODE, &ip);
	if (err == 0) {
		err = ds_map_get(f->ds, ip->data, index, e);
		ds_page_put(f->ds, ip);
	}
	if (err == 0 && all_written(e))
		ds_cache_set(f, index, e->block | DS_ALL_WRITTEN);
	mutex_unlock(&f->ds->lock);
	return err;
}

/* Device I/O at any byte alignment inside one piece or a run of pieces: the edges are bounced. */
static int rw_bytes(struct ds *ds, enum blk_op op, uint64_t at, uint8_t *buf, size_t n)
{
	uint32_t unit = ds->dev->limits.block_size;
	uint64_t start = ALIGN_DOWN(at, (uint64_t)unit);
	size_t span = ALIGN_UP(at + n, (uint64_t)unit) - start;
	uint8_t *bounce;
	int err;

	if (start == at && span == n)
		return blk_rw_buf(ds->dev, op, at, buf, n);
	bounce = vmalloc(span);
	if (!bounce)
		return -ENOMEM;
	err = blk_rw_buf(ds->dev, BLK_READ, start, bounce, span);
	if (err == 0 && op == BLK_READ)
		memcpy(buf, bounce + (at - start), n);
	/*
	 * The sectors at the edges are read, changed and written back. f->writing keeps a second
	 * writer out of them meanwhile.
	 */
	if (err == 0 && op == BLK_WRITE) {
		memcpy(bounce + (at - start), buf, n);
		err = blk_rw_buf(ds->dev, BLK_WRITE, start, bounce, span);
	}
	vfree(bounce);
	return err;
}

size_t ds_run_of(const struct ds_map_entry *e, uint64_t off, size_t n, bool *written)
{
	unsigned i = (unsigned)(off % DS_BLOCK >> DS_PAGE_SHIFT), first = i;

	*written = piece_written(e, i);
	while (i < DS_PIECES && piece_written(e, i) == *written)
		i++;
	/* off may lie inside a piece: the run ends at a piece's boundary all the same. */
	return MIN(n, ((size_t)(i - first) << DS_PAGE_SHIFT) - off % DS_PAGE);
}

static int read_block(struct ds_file *f, uint64_t off, uint8_t *buf, size_t n)
{
	struct ds_map_entry e;
	int err = ds_lookup(f, off >> DS_BLOCK_SHIFT, &e);

	while (n && err == 0) {
		bool written;
		size_t part = ds_run_of(&e, off, n, &written);

		if (written)
			err = rw_bytes(f->ds, BLK_READ, device_offset(e.block, off), buf, part);
		else
			memset(buf, 0, part);
		off += part;
		buf += part;
		n -= part;
	}
	return err;
}

/* Contents that stand in the inode: true when they do, with the copy done. */
static int read_inline(struct ds_file *f, uint64_t off, void *buf, size_t n, bool *is_inline)
{
	struct ds_page *ip;
	int err;

	*is_inline = false;
	/*
	 * Contents only ever leave the inode, so a file larger than this has a map; that saves the
	 * lock on the usual path.
	 */
	if (f->size > DS_INLINE_MAX)
		return 0;
	mutex_lock(&f->ds->lock);
	err = ds_page_get(f->ds, f->inode, DS_INODE, &ip);
	if (err == 0) {
		const struct ds_inode *ino = ip->data;

		*is_inline = ino->flags & DS_INLINE;
		if (*is_inline && off + n <= DS_INLINE_MAX)
			memcpy(buf, ino->data + off, n);
		ds_page_put(f->ds, ip);
	}
	mutex_unlock(&f->ds->lock);
	return err;
}

void ds_file_enter_wait(struct ds_file *f)
{
	while (!ds_file_enter(f))
		wait_event(&f->idle, !__atomic_load_n(&f->draining, __ATOMIC_SEQ_CST));
}

ssize_t ds_read(struct ds_file *f, uint64_t off, void *buf, size_t n)
{
	size_t done = 0;
	bool is_inline;
	int err;

	ds_file_enter_wait(f);
	/* The size is read once, behind the gate: a truncation waits until this read is over. */
	n = off >= f->size ? 0 : MIN((uint64_t)n, f->size - off);
	err = n ? read_inline(f, off, buf, n, &is_inline) : 0;
	while (err == 0 && done < n && !is_inline) {
		size_t part = MIN(n - done, DS_BLOCK - (off + done) % DS_BLOCK);

		err = read_block(f, off + done, (uint8_t *)buf + done, part);
		done += part;
	}
	ds_file_leave(f);
	return err ? err : (ssize_t)n;
}

/*
 * Makes data visible that is on the device already but not yet flushed: one step of the running
 * transaction. The caller holds ds->lock and f->writing and has entered the file's gate, so neither
 * the entry nor the size can change under it except by ds_publish itself.
 */
int ds_publish(struct ds_file *f, uint64_t off, size_t n, uint64_t fresh)
{
	struct ds *ds = f->ds;
	uint64_t index = off >> DS_BLOCK_SHIFT;
	unsigned first = (unsigned)(off % DS_BLOCK >> DS_PAGE_SHIFT), slot;
	unsigned last = (unsigned)((off + n - 1) % DS_BLOCK >> DS_PAGE_SHIFT);
	struct ds_page *ip, *leaf;
	struct ds_map_entry *e;
	struct ds_inode *ino;
	int err = ds_begin_room(ds);

	if (err == 0)
		err = ds_page_get(ds, f->inode, DS_INODE, &ip);
	if (err)
		return err;
	ds_page_dirty(ds, ip);
	ino = ip->data;
	/*
	 * From here on a failure leaves a half-done step in the running transaction. That is safe,
	 * because every such failure has marked the volume read-only and a read-only volume commits
	 * nothing.
	 */
	err = ds_map_leaf(ds, ip, index, &leaf, &slot);
	if (err)
		goto out;
	/*
	 * The size grows in the same transaction as the written bits: after a crash a reader sees
	 * the whole write or none of it, never a grown file whose end was not written.
	 */
	if (off + n > ino->size) {
		ino->size = off + n;
		f->size = ino->size;
	}
	e = &((struct ds_map *)leaf->data)->entry[slot];
	ds_page_dirty(ds, leaf);
	/*
	 * The reservation turns into a reference in the step that maps the block, so no commit can
	 * fall between the two and leak the block.
	 */
	if (fresh) {
		err = ds_block_take(ds, fresh);
		e->block = fresh;
		ino->blocks++;
	}
	for (unsigned i = first; i <= last && err == 0; i++)
		e->written[i / 8] |= 1 << i % 8;
	/*
	 * The commit flushes the device before it writes its record: a durable map entry never
	 * points at data that is still in the device's cache.
	 */
	ds->new_data = true;
	/*
	 * Only now may lock-free readers and writers use the block: before, a piece that nobody
	 * wrote would have shown what an older file left there.
	 */
	if (err == 0 && all_written(e))
		ds_cache_set(f, index, e->block | DS_ALL_WRITTEN);
	ds_page_put(ds, leaf);
out:
	ds_page_put(ds, ip);
	return err;
}

/* Writes [off, off + n) of one block, of which not every piece was written before. */
static int write_pieces(struct ds_file *f, const struct ds_map_entry *e, uint64_t block,
                        uint64_t off, const uint8_t *buf, size_t n)
{
	uint64_t start = ALIGN_DOWN(off, (uint64_t)DS_PAGE);
	size_t span = ALIGN_UP(off + n, (uint64_t)DS_PAGE) - start;
	unsigned first = (unsigned)(start % DS_BLOCK >> DS_PAGE_SHIFT);
	unsigned last = first + (unsigned)(span >> DS_PAGE_SHIFT) - 1;
	uint64_t at = device_offset(block, start);
	uint8_t *bounce;
	int err = 0;

	if (start == off && span == n)
		return blk_rw_buf(f->ds->dev, BLK_WRITE, at, (void *)buf, n);
	/*
	 * Pieces are marked written as a whole, so the part of the first and last piece that this
	 * write does not cover goes out with it: the old contents where the piece was written
	 * before, else zeros (vmalloc clears).
	 */
	bounce = vmalloc(span);
	if (!bounce)
		return -ENOMEM;
	if (piece_written(e, first) && start != off)
		err = blk_rw_buf(f->ds->dev, BLK_READ, at, bounce, DS_PAGE);
	if (err == 0 && piece_written(e, last) && start + span != off + n)
		err = blk_rw_buf(f->ds->dev, BLK_READ, at + span - DS_PAGE, bounce + span - DS_PAGE,
		                 DS_PAGE);
	if (err == 0) {
		memcpy(bounce + (off - start), buf, n);
		err = blk_rw_buf(f->ds->dev, BLK_WRITE, at, bounce, span);
	}
	vfree(bounce);
	return err;
}

int ds_reserve(struct ds *ds, uint64_t *block)
{
	int err;

	mutex_lock(&ds->lock);
	err = ds->read_only ? -EROFS : ds_block_reserve(ds, block);
	/*
	 * Blocks freed by the running transaction are usable once it is durable: committing it now
	 * may be all that is missing.
	 */
	if (err == -ENOSPC && !list_empty(&ds->freed) && ds_commit(ds) == 0)
		err = ds_block_reserve(ds, block);
	mutex_unlock(&ds->lock);
	return err;
}

/* f->writing is held, so the block's entry changes under nobody. */
static int write_block(struct ds_file *f, uint64_t off, const uint8_t *buf, size_t n)
{
	struct ds *ds = f->ds;
	struct ds_map_entry e;
	uint64_t fresh = 0;
	int err = ds_lookup(f, off >> DS_BLOCK_SHIFT, &e);

	if (err)
		return err;
	if (all_written(&e))
		return rw_bytes(ds, BLK_WRITE, device_offset(e.block, off), (uint8_t *)buf, n);
	if (!e.block) {
		err = ds_reserve(ds, &fresh);
		if (err)
			return err;
	}
	/*
	 * The data goes to the device without ds->lock. Nobody can see it yet: the pieces are not
	 * marked written, or the block is not mapped at all.
	 */
	err = write_pieces(f, &e, fresh ? fresh : e.block, off, buf, n);
	mutex_lock(&ds->lock);
	if (err == 0)
		err = ds_publish(f, off, n, fresh);
	/* Does nothing if ds_publish has taken the block already. */
	if (err && fresh)
		ds_block_unreserve(ds, fresh);
	mutex_unlock(&ds->lock);
	return err;
}

int ds_inline_move(struct ds *ds, struct ds_page *ip)
{
	struct ds_inode *ino = ip->data;
	struct ds_page *leaf;
	uint8_t *piece;
	uint64_t block;
	unsigned slot;
	int err;

	/* An empty file needs no block: without the flag it is a file of holes. */
	if (ino->size == 0) {
		/*
		 * The leaf exists: what remains cannot fail short of damage, so the inode may
		 * change its form.
		 */
		ino->flags &= ~DS_INLINE;
		return 0;
	}
	piece = kzalloc(DS_PAGE);
	if (!piece)
		return -ENOMEM;
	memcpy(piece, ino->data, ino->size);
	err = ds_block_reserve(ds, &block);
	if (err)
		goto out;
	/*
	 * Data first, then the metadata that publishes it, as in ds_publish. The write sleeps with
	 * ds->lock held; it is one page, once in a file's life.
	 */
	err = blk_urgent_rw(ds->dev, BLK_WRITE, block << DS_BLOCK_SHIFT, piece, DS_PAGE);
	if (err == 0)
		err = ds_map_leaf(ds, ip, 0, &leaf, &slot);
	if (err) {
		ds_block_unreserve(ds, block);
		goto out;
	}
	ino->flags &= ~DS_INLINE;
	ds_page_dirty(ds, leaf);
	err = ds_block_take(ds, block);
	((struct ds_map *)leaf->data)->entry[slot].block = block;
	((struct ds_map *)leaf->data)->entry[slot].written[0] = 1;
	ds_page_put(ds, leaf);
	ino->blocks = 1;
	memset(ino->data, 0, sizeof(ino->data));
	ds->new_data = true;
out:
	kfree(piece);
	return err;
}

/*
 * Small contents go into the inode; *done when they did, else the file has none inline afterwards.
 */
static int write_inline(struct ds_file *f, uint64_t off, const void *buf, size_t n, bool *done)
{
	struct ds *ds = f->ds;
	struct ds_page *ip;
	struct ds_inode *ino;
	int err;

	*done = false;
	mutex_lock(&ds->lock);
	err = ds_page_get(ds, f->inode, DS_INODE, &ip);
	if (err)
		goto unlock;
	ino = ip->data;
	if (!(ino->flags & DS_INLINE))
		goto put;
	/*
	 * Moving the contents out takes a leaf and perhaps a metadata block; a write that stays
	 * inside the inode takes none and works on a full volume too.
	 */
	err = off + n <= DS_INLINE_MAX ? ds_begin(ds) : ds_begin_room(ds);
	if (err)
		goto put;
	ds_page_dirty(ds, ip);
	if (off + n <= DS_INLINE_MAX) {
		memcpy(ino->data + off, buf, n);
		ino->size = MAX(ino->size, off + n);
		ino->mtime = ino->ctime = time_realtime();
		f->size = ino->size;
		*done = true;
	} else {
		err = ds_inline_move(ds, ip);
		/* The commit took the inode out of the running transaction: it is dirtied again. */
		if (err == -ENOSPC && !list_empty(&ds->freed) && ds_commit(ds) == 0) {
			ds_page_dirty(ds, ip);
			err = ds_inline_move(ds, ip);
		}
	}
put:
	ds_page_put(ds, ip);
unlock:
	mutex_unlock(&ds->lock);
	return err;
}

/* The end of a write: the size, when it grew, and the times. */
static int write_end(struct ds_file *f, uint64_t end)
{
	struct ds *ds = f->ds;
	struct ds_page *ip;
	int err;

	mutex_lock(&ds->lock);
	err = ds_begin(ds);
	if (err == 0)
		err = ds_page_get(ds, f->inode, DS_INODE, &ip);
	if (err == 0) {
		struct ds_inode *ino = ip->data;

		if (end > ino->size) {
			ds_page_dirty(ds, ip);
			ino->size = end;
			ino->mtime = ino->ctime = time_realtime();
			f->size = end;
		}
		ds_page_put(ds, ip);
	}
	mutex_unlock(&ds->lock);
	return err;
}

ssize_t ds_write(struct ds_file *f, uint64_t off, const void *buf, size_t n)
{
	size_t done = 0;
	bool in_inode = false;
	int err;

	if (n == 0)
		return 0;
	if (off + n < off || off + n > DS_BLOCKS_MAX << DS_BLOCK_SHIFT)
		return -EFBIG;
	err = ds_file_mend(f);
	if (err)
		return err;
	mutex_lock(&f->writing);
	ds_file_enter_wait(f);
	/* f->size is stable here: f->writing is held, and truncation takes it too. */
	err = f->size <= DS_INLINE_MAX ? write_inline(f, off, buf, n, &in_inode) : 0;
	if (in_inode)
		done = n;
	while (err == 0 && done < n) {
		size_t part = MIN(n - done, DS_BLOCK - (off + done) % DS_BLOCK);

		err = write_block(f, off + done, (const uint8_t *)buf + done, part);
		if (err == 0)
			done += part;
	}
	/*
	 * Blocks that were written already (ds_allocate) took the path without metadata and did not
	 * move the size.
	 */
	if (done && !in_inode && off + done > f->size) {
		int end = write_end(f, off + done);

		err = err ? err : end;
	}
	ds_file_leave(f);
	mutex_unlock(&f->writing);
	return done ? (ssize_t)done : err;
}

int ds_sync(struct ds *ds)
{
	int err;

	mutex_lock(&ds->lock);
	/*
	 * Overwrites touch no metadata: with nothing to commit, the device's cache still has to be
	 * flushed.
	 */
	if (ds->read_only)
		err = -EROFS;
	else
		err = ds->txn_count ? ds_commit(ds) : blk_urgent_flush(ds->dev);
	mutex_unlock(&ds->lock);
	return err;
}
