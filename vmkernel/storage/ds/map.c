// SPDX-License-Identifier: Apache-2.0
/*
 * Trees of pages: an inode's leaves (block map) or buckets (directory) below up to three levels
 * of index pages. Height 0: the root is child 0 itself. ds->lock guards everything.
 */
#include "ds.h"

#include "vmk/string.h"

/* Children that a tree of that height can have. */
static uint64_t reach(unsigned height)
{
	uint64_t n = 1;

	while (height--)
		n *= DS_INDEX_PER;
	return n;
}

int ds_index_get(struct ds *ds, uint64_t root, unsigned height, uint64_t i, uint64_t *child)
{
	/* Beyond what the tree's height reaches there is a hole. */
	*child = i < reach(height) ? root : 0;
	while (height && *child) {
		uint64_t below = reach(--height);
		struct ds_page *p;
		int err = ds_page_get(ds, *child, DS_INDEX, &p);

		if (err)
			return err;
		*child = ((struct ds_index *)p->data)->child[i / below];
		i %= below;
		ds_page_put(ds, p);
	}
	return 0;
}

static int new_index(struct ds *ds, uint64_t first_child, uint64_t *page)
{
	struct ds_page *p;
	int err = ds_meta_alloc(ds, page);

	if (err)
		return err;
	err = ds_page_new(ds, *page, DS_INDEX, &p);
	if (err)
		return err;
	((struct ds_index *)p->data)->child[0] = first_child;
	ds_page_put(ds, p);
	return 0;
}

static int grow(struct ds *ds, struct ds_inode *ino, uint64_t i)
{
	while (i >= reach(ino->height)) {
		if (ino->height == DS_HEIGHT_MAX)
			return -EFBIG;
		/*
		 * The old root becomes child 0 of a page above it. Without a root only the height
		 * grows: holes need no pages.
		 */
		if (ino->root) {
			uint64_t page;
			int err = new_index(ds, ino->root, &page);

			if (err)
				return err;
			ino->root = page;
		}
		ino->height++;
	}
	return 0;
}

/*
 * Sets child i, with the index pages on the way. The caller has room for them (ds_begin_room), has
 * dirtied the inode and holds ds->lock.
 */
int ds_index_set(struct ds *ds, struct ds_page *ino_page, uint64_t i, uint64_t child)
{
	struct ds_inode *ino = ino_page->data;
	unsigned height;
	uint64_t at;
	int err = grow(ds, ino, i);

	if (err)
		return err;
	height = ino->height;
	/* The root is child 0 itself; grow() has made sure that i is 0. */
	if (height == 0) {
		ino->root = child;
		return 0;
	}
	if (!ino->root) {
		err = new_index(ds, 0, &ino->root);
		if (err)
			return err;
	}
	at = ino->root;
	while (height--) {
		uint64_t below = reach(height);
		struct ds_page *p;
		uint64_t *slot;

		err = ds_page_get(ds, at, DS_INDEX, &p);
		if (err)
			return err;
		slot = &((struct ds_index *)p->data)->child[i / below];
		ds_page_dirty(ds, p);
		if (height == 0)
			*slot = child;
		/*
		 * The slot is in a page that is dirty and pinned: new_index() may write straight
		 * into it.
		 */
		else if (*slot == 0)
			err = new_index(ds, 0, slot);
		at = *slot;
		i %= below;
		ds_page_put(ds, p);
		if (err)
			return err;
	}
	return 0;
}

int ds_map_get(struct ds *ds, const struct ds_inode *ino, uint64_t index, struct ds_map_entry *out)
{
	struct ds_page *p;
	uint64_t leaf;
	int err = ds_index_get(ds, ino->root, ino->height, index / DS_MAP_PER, &leaf);

	memset(out, 0, sizeof(*out));
	if (err || !leaf)
		return err;
	err = ds_page_get(ds, leaf, DS_MAP, &p);
	if (err)
		return err;
	*out = ((struct ds_map *)p->data)->entry[index % DS_MAP_PER];
	ds_page_put(ds, p);
	return 0;
}

int ds_map_leaf(struct ds *ds, struct ds_page *ino_page, uint64_t index, struct ds_page **leaf,
                unsigned *slot)
{
	struct ds_inode *ino = ino_page->data;
	uint64_t page;
	int err = ds_index_get(ds, ino->root, ino->height, index / DS_MAP_PER, &page);

	if (err)
		return err;
	*slot = index % DS_MAP_PER;
	if (page)
		return ds_page_get(ds, page, DS_MAP, leaf);
	err = ds_meta_alloc(ds, &page);
	if (err)
		return err;
	/*
	 * Linked before it is made: if ds_page_new fails the volume is read-only, and nothing of
	 * this step is committed.
	 */
	err = ds_index_set(ds, ino_page, index / DS_MAP_PER, page);
	if (err)
		return err;
	return ds_page_new(ds, page, DS_MAP, leaf);
}

/* What a cut still may do, and for which inode. */
struct cut {
	struct ds *ds;
	struct ds_inode *ino;
	uint64_t first; /* block of the file */
	unsigned budget;
};

/* Frees the leaf's blocks from `first` on; *empty: nothing is left in it. */
static int cut_leaf(struct cut *c, uint64_t page, uint64_t base, bool *empty)
{
	struct ds_page *p;
	struct ds_map *m;
	bool freed = false;
	int err = ds_page_get(c->ds, page, DS_MAP, &p);

	if (err)
		return err;
	m = p->data;
	*empty = base >= c->first;
	for (unsigned i = 0; i < DS_MAP_PER && err == 0; i++) {
		if (base + i < c->first || !m->entry[i].block)
			continue;
		/*
		 * A leaf's 100 blocks may lie anywhere, and each may dirty a refs page and two
		 * sums: that is why a budget counts leaves and DS_RESERVE is above 100.
		 */
		ds_page_dirty(c->ds, p);
		if (!c->ino->blocks)
			err = ds_damaged(c->ds, "a file has more blocks than it counts");
		else
			err = ds_block_ref(c->ds, m->entry[i].block, -1);
		memset(&m->entry[i], 0, sizeof(m->entry[i]));
		c->ino->blocks--;
		freed = true;
	}
	/*
	 * A leaf that keeps its place and had nothing to give costs no budget: the cut ends there.
	 */
	c->budget -= freed || *empty;
	ds_page_put(c->ds, p);
	return err;
}

static int cut_tree(struct cut *c, uint64_t page, unsigned height, uint64_t base, bool *empty);

/* Cuts the children of an index page from the last backwards, as long as the budget lasts. */
static int cut_index(struct cut *c, uint64_t page, unsigned height, uint64_t base, bool *empty)
{
	uint64_t span = reach(height - 1) * DS_MAP_PER;
	struct ds_page *p;
	uint64_t *child;
	int err = ds_page_get(c->ds, page, DS_INDEX, &p);

	if (err)
		return err;
	child = ((struct ds_index *)p->data)->child;
	*empty = base >= c->first;
	for (unsigned i = DS_INDEX_PER; i-- && err == 0;) {
		bool gone;

		/* Wholly in front of the cut. */
		if (!child[i] || base + (i + 1) * span <= c->first)
			continue;
		if (!c->budget) {
			*empty = false;
			break;
		}
		err = cut_tree(c, child[i], height - 1, base + i * span, &gone);
		if (err == 0 && gone) {
			/* Freed and unlinked in one transaction. */
			ds_page_dirty(c->ds, p);
			err = ds_meta_free(c->ds, child[i]);
			child[i] = 0;
			/* An index page without leaves: a tree of them must not fill one step. */
			if (height > 1 && c->budget)
				c->budget--;
		} else {
			*empty = false;
		}
	}
	ds_page_put(c->ds, p);
	return err;
}

static int cut_tree(struct cut *c, uint64_t page, unsigned height, uint64_t base, bool *empty)
{
	return height ? cut_index(c, page, height, base, empty) : cut_leaf(c, page, base, empty);
}

int ds_map_cut(struct ds *ds, struct ds_page *ino_page, uint64_t first, unsigned budget, bool *more)
{
	struct ds_inode *ino = ino_page->data;
	struct cut c = { ds, ino, first, budget };
	bool empty;
	int err;

	*more = false;
	if (!ino->root)
		return 0;
	err = cut_tree(&c, ino->root, ino->height, 0, &empty);
	if (err)
		return err;
	/* The last page of the tree: the caller has dirtied the inode. */
	if (empty) {
		uint64_t root = ino->root;

		ino->root = 0;
		ino->height = 0;
		return ds_meta_free(ds, root);
	}
	/* With budget left, the walk has seen everything behind `first`. */
	*more = c.budget == 0;
	return 0;
}

/*
 * The first mapped block at or behind `from` below a page that stands for blocks from base on;
 * *found stays if none.
 */
static int next_below(struct ds *ds, uint64_t page, unsigned height, uint64_t base, uint64_t from,
                      uint64_t *found)
{
	uint64_t span = height ? reach(height - 1) * DS_MAP_PER : 1;
	/*
	 * Only the first child on the path can hold blocks in front of `from`; all later ones lie
	 * behind it.
	 */
	uint64_t first = from > base ? (from - base) / span : 0;
	struct ds_page *p;
	int err = ds_page_get(ds, page, height ? DS_INDEX : DS_MAP, &p);

	if (err)
		return err;
	/*
	 * Nothing lies behind the largest file's end. The bound also ends walks over a tree whose
	 * pages lead to the same children again and again.
	 */
	for (uint64_t i = first; i < (height ? DS_INDEX_PER : DS_MAP_PER) && err == 0; i++) {
		if (base + i * span >= DS_BLOCKS_MAX)
			break;
		if (height && ((struct ds_index *)p->data)->child[i])
			err = next_below(ds, ((struct ds_index *)p->data)->child[i], height - 1,
			                 base + i * span, from, found);
		else if (!height && ((struct ds_map *)p->data)->entry[i].block)
			*found = base + i;
		if (*found != UINT64_MAX)
			break;
	}
	ds_page_put(ds, p);
	return err;
}

int ds_map_next(struct ds *ds, const struct ds_inode *ino, uint64_t index, uint64_t *found,
                bool *any)
{
	int err = 0;

	*found = UINT64_MAX;
	if (ino->root)
		err = next_below(ds, ino->root, ino->height, 0, index, found);
	*any = *found != UINT64_MAX;
	return err;
}
