// SPDX-License-Identifier: Apache-2.0
/*
 * What a metadata page must be before anything uses it: the one place where the datastore judges
 * what a disk says. A checksum shows that a page was written as a whole, not that whoever wrote it
 * meant well: a removable disk, a LUN that several hosts see, or a virtual machine's file may hold
 * a volume that was made to break this code.
 *
 * ds_validate() sees every page that enters the cache from the device, and every image of a
 * journal record before it is replayed. The code behind it relies on what is checked here: that
 * heights, sizes and counts are bounded, that pointers lead into the area where their targets can
 * be, and that the entries of a bucket fill it exactly. What one page alone cannot show is checked
 * where two meet: the type of a page by ds_page_get, the lengths of chains and lists by their
 * walks, a page that is freed or allocated twice by meta.c, counts by whoever changes them. All of
 * these end in ds_damaged(), and no assertion depends on the contents of a disk.
 */
#include "ds.h"

#include "vmk/string.h"

/* Inode, map, index and bucket pages: in blocks behind the fixed area, not a block's first page. */
static bool is_metadata_page(const struct ds *ds, uint64_t page)
{
	return page >= ds_block_page(ds->first_block) && page < ds_block_page(ds->blocks) &&
	       page % DS_BLOCK_PAGES != 0;
}

static bool is_meta_page(const struct ds *ds, uint64_t page)
{
	return page >= ds_block_page(ds->first_block) && page < ds_block_page(ds->blocks) &&
	       page % DS_BLOCK_PAGES == 0;
}

static bool within(uint64_t page, uint64_t first, uint64_t count)
{
	return page >= first && page - first < count;
}

/* Whether a page of this type can be in this place. */
static bool placed(const struct ds *ds, uint64_t page, enum ds_type type)
{
	const struct ds_super *s = &ds->super;

	switch (type) {
	case DS_STATE: return page == s->state_page;
	case DS_REFS: return within(page, s->refs_page, s->refs_pages);
	case DS_SUM1: return within(page, s->sum1_page, s->sum1_pages);
	case DS_SUM2: return page == s->sum2_page;
	case DS_META: return is_meta_page(ds, page);
	case DS_INODE:
	case DS_MAP:
	case DS_INDEX:
	case DS_BUCKET: return is_metadata_page(ds, page);
	/* Superblocks, records and tails are read by mount.c and journal.c and never cached. */
	default: return false;
	}
}

static const char *check_state(const struct ds *ds, const struct ds_state *s)
{
	if (!is_metadata_page(ds, s->root))
		return "root directory";
	if (s->meta_free && !is_meta_page(ds, s->meta_free))
		return "list of metadata blocks";
	if (s->orphans && !is_metadata_page(ds, s->orphans))
		return "list of orphans";
	if (s->used < ds->first_block || s->used > ds->blocks)
		return "count of used blocks";
	if (s->inodes > ds->blocks * DS_BLOCK_PAGES)
		return "count of inodes";
	return NULL;
}

static const char *check_sum1(const struct ds_sum1 *s)
{
	for (unsigned i = 0; i < DS_SUM1_PER; i++)
		if (s->used[i] > DS_REFS_PER)
			return "count of used blocks";
	return NULL;
}

static const char *check_sum2(const struct ds_sum2 *s)
{
	for (unsigned i = 0; i < DS_SUM2_PER; i++)
		if (s->used[i] > DS_SUM1_PER * DS_REFS_PER)
			return "count of used blocks";
	return NULL;
}

static const char *check_meta(const struct ds *ds, const struct ds_meta *m)
{
	unsigned taken = 0;

	for (unsigned i = 0; i < DS_BLOCK_PAGES; i++)
		taken += m->bitmap[i / 8] >> i % 8 & 1;
	if (!(m->bitmap[0] & 1) || taken != m->used)
		return "bitmap";
	/* A block is listed as long as it has a free page: walks of the list end because of it. */
	if (m->listed != (m->used < DS_BLOCK_PAGES) || (!m->listed && m->next))
		return "membership of the list";
	return m->next && !is_meta_page(ds, m->next) ? "next block" : NULL;
}

static const char *check_directory(const struct ds *ds, const struct ds_inode *d)
{
	uint64_t reach = 1;

	for (unsigned i = 0; i < d->height; i++)
		reach *= DS_INDEX_PER;
	if (d->flags)
		return "flags";
	if (d->buckets > DS_BUCKETS_MAX || d->buckets > reach || (d->buckets && !d->root))
		return "number of buckets";
	if (d->entries && !d->buckets)
		return "number of names";
	return is_metadata_page(ds, d->parent) ? NULL : "parent";
}

static const char *check_file(const struct ds_inode *ino, bool link)
{
	if (ino->entries || ino->buckets || ino->parent)
		return "fields of a directory";
	if (!(ino->flags & DS_INLINE))
		return link ? "target that is not in the inode" : NULL;
	if (ino->size > DS_INLINE_MAX || ino->root || ino->height || ino->blocks ||
	    ino->flags & DS_TRUNCATING)
		return "contents in the inode";
	/* Shorter than what is there, so that a reader's terminator fits. */
	return link && ino->size >= DS_INLINE_MAX ? "length of the target" : NULL;
}

static const char *check_inode(const struct ds *ds, const struct ds_inode *ino)
{
	uint32_t type = ino->mode & DS_MODE_TYPE;

	if (ino->mode & ~(DS_MODE_TYPE | 07777u))
		return "mode";
	/*
	 * Only these are ever made: a device's node or a socket on a volume comes from elsewhere.
	 */
	if (type != DS_MODE_DIR && type != DS_MODE_FILE && type != DS_MODE_LINK)
		return "type";
	if (ino->flags & ~(uint32_t)(DS_INLINE | DS_TRUNCATING))
		return "flags";
	if (ino->height > DS_HEIGHT_MAX)
		return "height";
	if (ino->size > DS_BLOCKS_MAX << DS_BLOCK_SHIFT)
		return "size";
	if (ino->root && !is_metadata_page(ds, ino->root))
		return "root";
	if (ino->orphan && !is_metadata_page(ds, ino->orphan))
		return "next orphan";
	if (ino->blocks > DS_BLOCKS_MAX)
		return "number of blocks";
	return type == DS_MODE_DIR ? check_directory(ds, ino)
	                           : check_file(ino, type == DS_MODE_LINK);
}

static const char *check_map(const struct ds *ds, const struct ds_map *m)
{
	for (unsigned i = 0; i < DS_MAP_PER; i++) {
		uint64_t block = m->entry[i].block;

		if (block && (block < ds->first_block || block >= ds->blocks))
			return "block";
	}
	return NULL;
}

static const char *check_index(const struct ds *ds, const struct ds_index *x)
{
	for (unsigned i = 0; i < DS_INDEX_PER; i++)
		if (x->child[i] && !is_metadata_page(ds, x->child[i]))
			return "child";
	return NULL;
}

/* A name that a path can hold, and the hash that a look-up computes for it. */
static bool name_valid(const struct ds_name *n)
{
	if (!n->len || memchr(n->name, '/', n->len) || memchr(n->name, 0, n->len))
		return false;
	if (n->name[0] == '.' && (n->len == 1 || (n->len == 2 && n->name[1] == '.')))
		return false;
	return n->hash == ds_hash(n->name, n->len);
}

static const char *check_bucket(const struct ds *ds, const struct ds_bucket *b)
{
	uint32_t off = 0;

	if (b->next && !is_metadata_page(ds, b->next))
		return "overflow page";
	if (b->used > sizeof(b->data))
		return "length";
	while (off < b->used) {
		const struct ds_name *n = (const struct ds_name *)(b->data + off);

		/* len is read only if the entry's fixed part is inside. */
		if (b->used - off < sizeof(*n) || b->used - off < ds_name_size(n->len))
			return "length of an entry";
		if (!name_valid(n))
			return "name";
		if (!is_metadata_page(ds, n->inode))
			return "inode of a name";
		off += ds_name_size(n->len);
	}
	return NULL;
}

const char *ds_validate(const struct ds *ds, const void *data, uint64_t page, enum ds_type type)
{
	if (!placed(ds, page, type))
		return "place";
	switch (type) {
	case DS_STATE: return check_state(ds, data);
	case DS_SUM1: return check_sum1(data);
	case DS_SUM2: return check_sum2(data);
	case DS_META: return check_meta(ds, data);
	case DS_INODE: return check_inode(ds, data);
	case DS_MAP: return check_map(ds, data);
	case DS_INDEX: return check_index(ds, data);
	case DS_BUCKET: return check_bucket(ds, data);
	default: return NULL; /* reference counts: every value is one */
	}
}
