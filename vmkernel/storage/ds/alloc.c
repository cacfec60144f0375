// SPDX-License-Identifier: Apache-2.0
/*
 * Blocks: reference counts, and two levels of sums above them, so that a free block is found by
 * looking at three pages whatever the volume's size. ds->lock guards everything.
 */
#include "ds.h"

#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"

#define LOG_MODULE "datastore"

STAT(discard_errors, "datastore.discard_errors", "discards of freed blocks that failed");
STAT(no_space, "datastore.no_space", "requests for a block that found none");

static int by_block(const struct tree_node *a, const struct tree_node *b)
{
	uint64_t x = tree_entry(a, struct ds_busy, node)->block;
	uint64_t y = tree_entry(b, struct ds_busy, node)->block;

	return x < y ? -1 : x > y;
}

static int side(const struct tree_node *n, const void *key)
{
	uint64_t x = tree_entry(n, struct ds_busy, node)->block, y = *(const uint64_t *)key;

	return x < y ? -1 : x > y;
}

static struct ds_busy *busy_find(const struct ds *ds, uint64_t block)
{
	struct tree_node *n = tree_lower(&ds->busy, side, &block);
	struct ds_busy *h = n ? tree_entry(n, struct ds_busy, node) : NULL;

	return h && h->block == block ? h : NULL;
}

static int busy_add(struct ds *ds, uint64_t block, uint64_t sequence)
{
	struct ds_busy *h = kzalloc(sizeof(*h));

	/*
	 * Without the entry a freed block could be reused too early: the volume has to stop
	 * changing.
	 */
	if (!h)
		return sequence == DS_RESERVED
		               ? -ENOMEM
		               : ds_damaged(ds, "no memory to free block %lu", block);
	h->block = block;
	h->sequence = sequence;
	list_init(&h->link);
	if (sequence != DS_RESERVED)
		list_push_back(&ds->freed, &h->link);
	tree_insert(&ds->busy, &h->node);
	return 0;
}

static void busy_remove(struct ds *ds, struct ds_busy *h)
{
	tree_remove(&ds->busy, &h->node);
	list_remove(&h->link);
	kfree(h);
}

/* Adds change to the sums above block's refs page. */
static int count_used(struct ds *ds, uint64_t block, int change)
{
	uint64_t refs = block / DS_REFS_PER, sum = refs / DS_SUM1_PER, used;
	struct ds_page *s1, *s2, *st;
	int err = ds_page_get(ds, ds->super.sum1_page + sum, DS_SUM1, &s1);

	if (err)
		return err;
	err = ds_page_get(ds, ds->super.sum2_page, DS_SUM2, &s2);
	if (err)
		goto put_s1;
	err = ds_page_get(ds, ds->super.state_page, DS_STATE, &st);
	if (err)
		goto put_s2;
	used = ((struct ds_state *)st->data)->used;
	if (change > 0 ? used >= ds->blocks
	               : used <= ds->first_block ||
	                         !((struct ds_sum1 *)s1->data)->used[refs % DS_SUM1_PER] ||
	                         !((struct ds_sum2 *)s2->data)->used[sum]) {
		err = ds_damaged(ds, "block %lu does not fit the counts of used blocks", block);
		goto put_st;
	}
	/*
	 * All three pages are at hand before the first is changed: the sums never disagree with
	 * each other because one could not be read.
	 */
	ds_page_dirty(ds, s1);
	ds_page_dirty(ds, s2);
	ds_page_dirty(ds, st);
	((struct ds_sum1 *)s1->data)->used[refs % DS_SUM1_PER] += change;
	((struct ds_sum2 *)s2->data)->used[sum] += change;
	((struct ds_state *)st->data)->used += change;
put_st:
	ds_page_put(ds, st);
put_s2:
	ds_page_put(ds, s2);
put_s1:
	ds_page_put(ds, s1);
	return err;
}

static int ds_block_refs(struct ds *ds, uint64_t block, unsigned *refs)
{
	struct ds_page *p;
	int err;

	if (block < ds->first_block || block >= ds->blocks)
		return ds_damaged(ds, "block %lu lies outside of the data area", block);
	err = ds_page_get(ds, ds->super.refs_page + block / DS_REFS_PER, DS_REFS, &p);
	if (err)
		return err;
	*refs = ((struct ds_refs *)p->data)->ref[block % DS_REFS_PER];
	ds_page_put(ds, p);
	return 0;
}

/*
 * Changes a block's reference count within the caller's step, and the sums above it when the block
 * becomes used or free.
 */
int ds_block_ref(struct ds *ds, uint64_t block, int change)
{
	struct ds_page *p;
	unsigned old = 0;
	int err = ds_block_refs(ds, block, &old);

	if (err)
		return err;
	if ((int)old + change < 0 || (int)old + change > UINT16_MAX)
		return ds_damaged(ds, "block %lu: reference count %u%+d", block, old, change);
	/*
	 * Registered as busy before the count falls, and before anything is dirtied: the allocator
	 * looks at counts that are not durable yet, and must not hand out a block that a crash
	 * would give back to its old file.
	 */
	if ((int)old + change == 0) {
		err = busy_add(ds, block, ds->sequence);
		if (err)
			return err;
	}
	err = ds_page_get(ds, ds->super.refs_page + block / DS_REFS_PER, DS_REFS, &p);
	if (err)
		return err;
	ds_page_dirty(ds, p);
	((struct ds_refs *)p->data)->ref[block % DS_REFS_PER] = (uint16_t)(old + change);
	ds_page_put(ds, p);
	if (old == 0 || (int)old + change == 0)
		err = count_used(ds, block, old == 0 ? 1 : -1);
	return err;
}

/* First free block of refs page `index` at or behind `from`; -ENOSPC when it has none. */
static int find_in_refs(struct ds *ds, uint64_t index, uint64_t from, uint64_t *block)
{
	uint64_t first = index * DS_REFS_PER, end = MIN(first + DS_REFS_PER, ds->blocks);
	struct ds_page *p;
	int err = ds_page_get(ds, ds->super.refs_page + index, DS_REFS, &p);

	if (err)
		return err;
	err = -ENOSPC;
	/* The fixed area's counts are 0 in the format; it is skipped by first_block. */
	for (uint64_t b = MAX(MAX(first, from), ds->first_block); b < end; b++) {
		if (((struct ds_refs *)p->data)->ref[b % DS_REFS_PER] == 0 && !busy_find(ds, b)) {
			*block = b;
			err = 0;
			break;
		}
	}
	ds_page_put(ds, p);
	return err;
}

static uint64_t capacity(const struct ds *ds, uint64_t first, uint64_t span)
{
	return first >= ds->blocks ? 0 : MIN(span, ds->blocks - first);
}

/* First refs page of sum page `index` that has room and a free block. */
static int find_in_sum1(struct ds *ds, uint64_t index, uint64_t from, uint64_t *block)
{
	struct ds_page *p;
	int err = ds_page_get(ds, ds->super.sum1_page + index, DS_SUM1, &p);

	if (err)
		return err;
	err = -ENOSPC;
	for (unsigned i = 0; i < DS_SUM1_PER && err == -ENOSPC; i++) {
		uint64_t refs = index * DS_SUM1_PER + i;
		uint64_t room = capacity(ds, refs * DS_REFS_PER, DS_REFS_PER);

		if (room == 0)
			break;
		/*
		 * A refs page that is not full may still have only busy blocks: then -ENOSPC comes
		 * back and the search goes on.
		 */
		if ((refs + 1) * DS_REFS_PER > from && ((struct ds_sum1 *)p->data)->used[i] < room)
			err = find_in_refs(ds, refs, from, block);
	}
	ds_page_put(ds, p);
	return err;
}

static int find(struct ds *ds, uint64_t from, uint64_t *block)
{
	const uint64_t span = (uint64_t)DS_SUM1_PER * DS_REFS_PER;
	struct ds_page *p;
	int err = ds_page_get(ds, ds->super.sum2_page, DS_SUM2, &p);

	if (err)
		return err;
	err = -ENOSPC;
	/*
	 * sum2 is one page, so a full volume is noticed here and a free block costs three page
	 * look-ups.
	 */
	for (uint64_t i = from / span; i < ds->super.sum1_pages && err == -ENOSPC; i++)
		if (((struct ds_sum2 *)p->data)->used[i] < capacity(ds, i * span, span))
			err = find_in_sum1(ds, i, from, block);
	ds_page_put(ds, p);
	return err;
}

int ds_block_reserve(struct ds *ds, uint64_t *block)
{
	int err = find(ds, ds->hint, block);

	/*
	 * Next fit, which lays files out in rising blocks; once around before the volume counts as
	 * full.
	 */
	if (err == -ENOSPC && ds->hint)
		err = find(ds, 0, block);
	if (err == -ENOSPC)
		stat_inc(no_space);
	/*
	 * A reservation lives in memory only: a crash before ds_block_take has allocated nothing.
	 */
	if (err == 0)
		err = busy_add(ds, *block, DS_RESERVED);
	if (err == 0)
		ds->hint = *block + 1;
	return err;
}

void ds_block_unreserve(struct ds *ds, uint64_t block)
{
	struct ds_busy *h = busy_find(ds, block);

	if (h && h->sequence == DS_RESERVED)
		busy_remove(ds, h);
}

int ds_block_take(struct ds *ds, uint64_t block)
{
	ds_block_unreserve(ds, block);
	return ds_block_ref(ds, block, 1);
}

static void discard(struct ds *ds, uint64_t first, uint64_t count)
{
	if (count && ds->dev->limits.discard_max &&
	    blk_range(ds->dev, BLK_DISCARD, first << DS_BLOCK_SHIFT, count << DS_BLOCK_SHIFT) != 0)
		stat_inc(discard_errors);
}

void ds_freed_release(struct ds *ds)
{
	struct ds_busy *h, *n;
	uint64_t first = 0, count = 0;

	list_for_each_safe(h, n, &ds->freed, link) {
		/*
		 * The list is in order of the freeing transactions: the first that is not durable
		 * ends it.
		 */
		if (h->sequence > ds->durable)
			break;
		/* Neighbours are given to the device in one discard. */
		if (h->block != first + count) {
			discard(ds, first, count);
			first = h->block;
			count = 0;
		}
		count++;
		busy_remove(ds, h);
	}
	discard(ds, first, count);
}

void ds_busy_init(struct ds *ds)
{
	tree_init(&ds->busy, by_block);
}

void ds_busy_drop(struct ds *ds)
{
	while (tree_min(&ds->busy))
		busy_remove(ds, tree_entry(tree_min(&ds->busy), struct ds_busy, node));
}
