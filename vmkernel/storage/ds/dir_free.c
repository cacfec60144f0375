// SPDX-License-Identifier: Apache-2.0
/*
 * The end of a directory: its buckets and their table go back in steps, each of which leaves a
 * smaller valid directory, so that a mount after a crash goes on. ds->lock is held.
 */
#include "ds.h"

/* Frees the index pages below and with `page`; every step leaves a tree that can be freed again. */
static int free_index(struct ds *ds, uint64_t page, unsigned height)
{
	struct ds_page *p;
	int err = ds_begin(ds);

	if (err == 0)
		err = ds_page_get(ds, page, DS_INDEX, &p);
	if (err)
		return err;
	for (unsigned i = 0; i < DS_INDEX_PER && height > 1 && err == 0; i++) {
		uint64_t *child = &((struct ds_index *)p->data)->child[i];

		if (*child == 0)
			continue;
		/*
		 * The recursion is as deep as the tree is high. Its ds_begin may commit in between:
		 * child is cleared at once, so the tree on disk never points at a freed page.
		 */
		err = free_index(ds, *child, height - 1);
		ds_page_dirty(ds, p);
		*child = 0;
	}
	ds_page_put(ds, p);
	return err ? err : ds_meta_free(ds, page);
}

static int free_chain(struct ds *ds, uint64_t page)
{
	for (unsigned count = 1; page; count++) {
		struct ds_page *p;
		uint64_t here = page;
		int err = ds_dir_chain_step(ds, here, count);

		if (err == 0)
			err = ds_page_get(ds, here, DS_BUCKET, &p);
		if (err)
			return err;
		page = ((struct ds_bucket *)p->data)->next;
		ds_page_put(ds, p);
		err = ds_meta_free(ds, here);
		if (err)
			return err;
	}
	return 0;
}

int ds_dir_free(struct ds *ds, struct ds_page *ino_page)
{
	struct ds_inode *d = ino_page->data;
	int err = 0;

	while (d->buckets && err == 0) {
		uint64_t page;

		/*
		 * One bucket a step, the last first, with buckets lowered in the same transaction:
		 * at each commit the directory is a smaller, valid one, and the mount goes on from
		 * there.
		 */
		err = ds_begin(ds);
		if (err == 0)
			err = ds_dir_bucket(ds, d, d->buckets - 1, &page);
		if (err == 0)
			err = free_chain(ds, page);
		if (err == 0) {
			ds_page_dirty(ds, ino_page);
			d->buckets--;
		}
	}
	if (err == 0 && d->height && d->root)
		err = free_index(ds, d->root, d->height);
	if (err == 0) {
		ds_page_dirty(ds, ino_page);
		d->root = 0;
		d->height = 0;
	}
	return err;
}
