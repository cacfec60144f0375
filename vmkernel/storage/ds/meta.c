// SPDX-License-Identifier: Apache-2.0
/*
 * Single pages for inodes, maps and directories, taken from metadata blocks. A metadata block never
 * becomes a data block again: an old journal record may still be replayed over its pages. ds->lock
 * guards everything.
 */
#include "ds.h"

#include "vmk/string.h"

/*
 * Turns a free block into a metadata block at the head of the list of those with free pages; the
 * state page is dirty.
 */
static int new_block(struct ds *ds, struct ds_state *state)
{
	struct ds_page *p;
	struct ds_meta *m;
	uint64_t block;
	int err = ds_block_reserve(ds, &block);

	if (err)
		return err;
	/* Reserved and taken in one step: no data is written to the block before it is mapped. */
	err = ds_block_take(ds, block);
	if (err)
		return err;
	err = ds_page_new(ds, ds_block_page(block), DS_META, &p);
	if (err)
		return err;
	m = p->data;
	/* Bit 0 is the page that holds this bitmap. */
	m->bitmap[0] = 1;
	m->used = 1;
	m->listed = 1;
	m->next = state->meta_free;
	state->meta_free = p->page;
	ds_page_put(ds, p);
	return 0;
}

static unsigned take_first(struct ds_meta *m)
{
	for (unsigned i = 0; i < DS_BLOCK_PAGES; i++) {
		if (!(m->bitmap[i / 8] & 1 << i % 8)) {
			m->bitmap[i / 8] |= 1 << i % 8;
			m->used++;
			return i;
		}
	}
	return 0;
}

int ds_meta_alloc(struct ds *ds, uint64_t *page)
{
	struct ds_page *sp, *mp;
	struct ds_state *state;
	struct ds_meta *m;
	unsigned i;
	int err = ds_page_get(ds, ds->super.state_page, DS_STATE, &sp);

	if (err)
		return err;
	state = sp->data;
	ds_page_dirty(ds, sp);
	if (!state->meta_free)
		err = new_block(ds, state);
	if (err == 0)
		err = ds_page_get(ds, state->meta_free, DS_META, &mp);
	if (err)
		goto out;
	m = mp->data;
	ds_page_dirty(ds, mp);
	i = take_first(m);
	/* Bit 0 is always taken, so 0 means that no bit was free although the list promised one. */
	if (i == 0) {
		err = ds_damaged(ds, "metadata block at page %lu is listed but full", mp->page);
		goto put;
	}
	*page = mp->page + i;
	/*
	 * Full blocks are on no list; ds_meta_free puts them back at the head when a page is freed.
	 */
	if (m->used == DS_BLOCK_PAGES) {
		state->meta_free = m->next;
		m->next = 0;
		m->listed = 0;
	}
put:
	ds_page_put(ds, mp);
out:
	ds_page_put(ds, sp);
	return err;
}

int ds_meta_free(struct ds *ds, uint64_t page)
{
	unsigned i = page % DS_BLOCK_PAGES;
	struct ds_page *sp, *mp;
	struct ds_meta *m;
	int err = ds_page_get(ds, page - i, DS_META, &mp);

	if (err)
		return err;
	m = mp->data;
	if (i == 0 || !(m->bitmap[i / 8] & 1 << i % 8)) {
		err = ds_damaged(ds, "metadata page %lu is freed twice", page);
		goto out;
	}
	err = ds_page_forget(ds, page);
	if (err == 0)
		err = ds_page_get(ds, ds->super.state_page, DS_STATE, &sp);
	if (err)
		goto out;
	ds_page_dirty(ds, mp);
	m->bitmap[i / 8] &= ~(1 << i % 8);
	m->used--;
	/*
	 * The block was full. It stays on the list from here on even when it becomes empty:
	 * metadata blocks are never given back.
	 */
	if (!m->listed) {
		struct ds_state *state = sp->data;

		ds_page_dirty(ds, sp);
		m->next = state->meta_free;
		m->listed = 1;
		state->meta_free = mp->page;
	}
	ds_page_put(ds, sp);
out:
	ds_page_put(ds, mp);
	return err;
}

/*
 * Pages that one step may take: an inode, a leaf or a bucket that is split, index pages on the way.
 */
enum { ROOM = 16 };

static int make_room(struct ds *ds)
{
	struct ds_page *sp, *mp;
	uint64_t page;
	unsigned room = 0;
	int err = ds_page_get(ds, ds->super.state_page, DS_STATE, &sp);

	if (err)
		return err;
	page = ((struct ds_state *)sp->data)->meta_free;
	/*
	 * Blocks on the list have at least one free page each, so this looks at ROOM blocks at
	 * most.
	 */
	while (page && room < ROOM && err == 0) {
		err = ds_page_get(ds, page, DS_META, &mp);
		if (err)
			break;
		room += DS_BLOCK_PAGES - ((struct ds_meta *)mp->data)->used;
		page = ((struct ds_meta *)mp->data)->next;
		ds_page_put(ds, mp);
	}
	if (err == 0 && room < ROOM) {
		ds_page_dirty(ds, sp);
		/*
		 * One new block has 255 pages. After this the step cannot meet -ENOSPC for metadata
		 * in its middle.
		 */
		err = new_block(ds, sp->data);
	}
	ds_page_put(ds, sp);
	return err;
}

int ds_begin_room(struct ds *ds)
{
	int err = ds_begin(ds);

	if (err == 0)
		err = make_room(ds);
	/* As in ds_reserve: a commit turns blocks that were freed into free ones. */
	if (err != -ENOSPC || list_empty(&ds->freed) || ds_commit(ds) != 0)
		return err;
	err = ds_begin(ds);
	return err ? err : make_room(ds);
}
