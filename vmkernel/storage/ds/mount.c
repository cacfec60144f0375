// SPDX-License-Identifier: Apache-2.0
/* Making, mounting and unmounting a datastore. */
#include "ds.h"

#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"

#define LOG_MODULE "datastore"

static int write_page(struct ds *ds, uint64_t page, void *data, enum ds_type type)
{
	ds_seal(ds, data, page, type, 1);
	return blk_rw_buf(ds->dev, BLK_WRITE, page << DS_PAGE_SHIFT, data, DS_PAGE);
}

/* Where everything lies on a volume of ds->blocks blocks. */
static void lay_out(struct ds *ds, const char *label)
{
	struct ds_super *s = &ds->super;
	uint64_t journal = ds->blocks / 256;

	journal = MIN(MAX(journal, (uint64_t)DS_JOURNAL_BLOCKS_MIN),
	              (uint64_t)DS_JOURNAL_BLOCKS_MAX);
	memcpy(s->signature, DS_SIGNATURE, sizeof(s->signature));
	s->version = DS_VERSION;
	memcpy(s->uuid, ds->uuid, sizeof(s->uuid));
	str_copy(s->label, label, sizeof(s->label));
	s->blocks = ds->blocks;
	s->state_page = DS_STATE_PAGE;
	s->heartbeat_page = DS_HEARTBEAT_PAGE;
	s->heartbeat_pages = DS_HEARTBEAT_PAGES;
	s->journal_page = DS_BLOCK_PAGES;
	s->journal_pages = journal * DS_BLOCK_PAGES;
	s->refs_page = s->journal_page + s->journal_pages;
	s->refs_pages = DIV_UP(ds->blocks, (uint64_t)DS_REFS_PER);
	s->sum1_page = s->refs_page + s->refs_pages;
	s->sum1_pages = DIV_UP(s->refs_pages, (uint64_t)DS_SUM1_PER);
	s->sum2_page = s->sum1_page + s->sum1_pages;
	s->first_block = DIV_UP(s->sum2_page + 1, (uint64_t)DS_BLOCK_PAGES);
	ds->first_block = s->first_block;
}

/*
 * Zeros over the counts, by the device where it can, and over whatever an old volume left behind.
 */
static int wipe(struct ds *ds)
{
	uint64_t from = ds->super.refs_page << DS_PAGE_SHIFT;
	uint64_t end = ds->super.first_block << DS_BLOCK_SHIFT;
	uint8_t *zeros;
	int err = blk_range(ds->dev, BLK_WRITE_ZEROES, from, end - from);

	/*
	 * The metadata blocks behind it need no zeros: their pages are told from those of an older
	 * volume by the UUID's tag.
	 */
	if (err != -EOPNOTSUPP)
		return err;
	zeros = vmalloc(DS_BLOCK);
	if (!zeros)
		return -ENOMEM;
	err = 0;
	while (from < end && err == 0) {
		uint64_t n = MIN(end - from, (uint64_t)DS_BLOCK);

		err = blk_rw_buf(ds->dev, BLK_WRITE, from, zeros, n);
		from += n;
	}
	vfree(zeros);
	return err;
}

/* The lists, the record buffer and the journal's place in memory. */
static int set_up(struct ds *ds)
{
	mutex_init(&ds->lock, "datastore");
	for (unsigned i = 0; i < DS_HASH; i++)
		list_init(&ds->hash[i]);
	list_init(&ds->lru);
	list_init(&ds->txn_pages);
	list_init(&ds->behind_pages);
	list_init(&ds->freed);
	list_init(&ds->files);
	ds_busy_init(ds);
	ds->record = vmalloc((size_t)(DS_RECORD_MAX + 1) * DS_PAGE);
	return ds->record ? 0 : -ENOMEM;
}

static void tear_down(struct ds *ds)
{
	ds_cache_drop(ds);
	ds_busy_drop(ds);
	vfree(ds->record);
	vfree(ds);
}

/* State and root directory, as the first transaction; the fixed area counts as used. */
static int first_transaction(struct ds *ds)
{
	struct ds_page *p, *root;
	int err = ds_page_new(ds, DS_STATE_PAGE, DS_STATE, &p);

	if (err)
		return err;
	((struct ds_state *)p->data)->used = ds->first_block;
	((struct ds_state *)p->data)->generation = 1;
	err = ds_inode_create(ds, DS_MODE_DIR | 0755, &root);
	if (err == 0) {
		((struct ds_inode *)root->data)->nlink = 2;
		((struct ds_inode *)root->data)->parent = root->page;
		((struct ds_state *)p->data)->root = root->page;
		ds_page_put(ds, root);
	}
	ds_page_put(ds, p);
	return err ? err : ds_commit(ds);
}

int ds_format(struct blk_dev *dev, const char *label, const uint8_t uuid[16])
{
	struct ds *ds = vmalloc(sizeof(*ds));
	uint64_t bytes = dev->limits.blocks * dev->limits.block_size;
	int err;

	if (!ds)
		return -ENOMEM;
	ds->dev = dev;
	ds->blocks = MIN(bytes >> DS_BLOCK_SHIFT, (uint64_t)DS_BLOCKS_MAX);
	memcpy(ds->uuid, uuid, sizeof(ds->uuid));
	err = set_up(ds);
	lay_out(ds, label);
	if (err == 0 && (ds->blocks < DS_BLOCKS_MIN || ds->first_block + 2 > ds->blocks))
		err = -ENOSPC;
	if (err)
		goto out;
	/*
	 * An unfinished volume must not look like one: no superblock until everything else is
	 * there.
	 */
	memset(ds->record, 0, DS_PAGE);
	err = blk_rw_buf(dev, BLK_WRITE, DS_SUPER_A << DS_PAGE_SHIFT, ds->record, DS_PAGE);
	if (err == 0)
		err = blk_rw_buf(dev, BLK_WRITE, (uint64_t)DS_SUPER_B << DS_PAGE_SHIFT, ds->record,
		                 DS_PAGE);
	if (err == 0)
		err = wipe(ds);
	ds->sequence = 1;
	/*
	 * A journal of its own: state and root directory are the first transaction, so formatting
	 * uses the same code as everything later.
	 */
	ds->ring = ds->super.journal_pages - 2;
	ds->tail_sequence = 1;
	if (err == 0)
		err = first_transaction(ds);
	if (err == 0)
		err = ds_checkpoint(ds);
	if (err == 0)
		err = ds_checkpoint(ds); /* the other tail */
	/* The copy first: a crash between the two leaves a volume that mounts by its copy. */
	if (err == 0)
		err = write_page(ds, DS_SUPER_B, &ds->super, DS_SUPER);
	if (err == 0)
		err = write_page(ds, DS_SUPER_A, &ds->super, DS_SUPER);
	if (err == 0)
		err = blk_flush(dev);
out:
	tear_down(ds);
	return err;
}

/* Whether what the superblock says fits the device and itself. */
static bool plausible(const struct ds_super *s, uint64_t device_blocks)
{
	uint64_t refs = DIV_UP(s->blocks, (uint64_t)DS_REFS_PER);

	return s->blocks >= DS_BLOCKS_MIN && s->blocks <= DS_BLOCKS_MAX &&
	       s->blocks <= device_blocks && s->state_page == DS_STATE_PAGE &&
	       s->journal_page == DS_BLOCK_PAGES &&
	       s->journal_pages >= DS_JOURNAL_BLOCKS_MIN * DS_BLOCK_PAGES &&
	       s->journal_pages <= DS_JOURNAL_BLOCKS_MAX * DS_BLOCK_PAGES &&
	       s->refs_page == s->journal_page + s->journal_pages && s->refs_pages == refs &&
	       s->sum1_page == s->refs_page + refs &&
	       s->sum1_pages == DIV_UP(refs, (uint64_t)DS_SUM1_PER) &&
	       s->sum2_page == s->sum1_page + s->sum1_pages &&
	       s->first_block == DIV_UP(s->sum2_page + 1, (uint64_t)DS_BLOCK_PAGES) &&
	       s->first_block < s->blocks;
}

/* A label is printed to logs and terminals: no control characters. */
static void copy_label(struct ds *ds, const char *label)
{
	for (unsigned i = 0; i < sizeof(ds->label) - 1 && label[i]; i++)
		ds->label[i] = (unsigned char)label[i] < ' ' || label[i] == 0x7f ? '?' : label[i];
}

/* The root directory is its own parent; every path begins there. */
static int check_root(struct ds *ds, uint64_t root)
{
	const struct ds_inode *ino;
	struct ds_page *p;
	int err = ds_page_get(ds, root, DS_INODE, &p);

	if (err)
		return err;
	ino = p->data;
	if ((ino->mode & DS_MODE_TYPE) != DS_MODE_DIR || ino->parent != root || !ino->nlink)
		err = ds_damaged(ds, "page %lu is no root directory", root);
	ds_page_put(ds, p);
	return err;
}

static int read_super(struct ds *ds)
{
	static const uint64_t copies[] = { DS_SUPER_A, DS_SUPER_B };
	uint64_t bytes = ds->dev->limits.blocks * ds->dev->limits.block_size;
	struct ds_super *s = (struct ds_super *)ds->record;

	for (unsigned i = 0; i < ARRAY_SIZE(copies); i++) {
		int err = blk_rw_buf(ds->dev, BLK_READ, copies[i] << DS_PAGE_SHIFT, s, DS_PAGE);

		if (err)
			return err;
		if (memcmp(s->signature, DS_SIGNATURE, sizeof(s->signature)) != 0)
			continue;
		/*
		 * ds_sealed() compares the tag with the volume's UUID, which only the superblock
		 * itself knows.
		 */
		memcpy(ds->uuid, s->uuid, sizeof(ds->uuid));
		if (!ds_sealed(ds, s, copies[i], DS_SUPER))
			continue;
		if (s->version != DS_VERSION) {
			log_err("%s: datastore version %u, this host reads %u", ds->dev->id,
			        s->version, DS_VERSION);
			return -EPROTONOSUPPORT;
		}
		if (!plausible(s, bytes >> DS_BLOCK_SHIFT)) {
			log_err("%s: the datastore's superblock does not fit the device",
			        ds->dev->id);
			return -EIO;
		}
		ds->super = *s;
		ds->blocks = s->blocks;
		ds->first_block = s->first_block;
		ds->ring = s->journal_pages - 2;
		copy_label(ds, s->label);
		return 0;
	}
	return -EINVAL; /* no datastore */
}

int ds_mount(struct blk_dev *dev, struct ds **out)
{
	struct ds *ds = vmalloc(sizeof(*ds));
	struct ds_page *p;
	int err;

	if (!ds)
		return -ENOMEM;
	ds->dev = dev;
	err = set_up(ds);
	if (err == 0)
		err = read_super(ds);
	if (err)
		goto fail;
	/*
	 * With records to replay, a device that cannot be written fails the mount: the replay
	 * writes them to their places.
	 */
	ds->read_only = dev->limits.read_only;
	mutex_lock(&ds->lock);
	err = ds_journal_replay(ds);
	/*
	 * Neither a damaged journal nor a failed replay keeps the data from being read: the volume
	 * is read-only by then.
	 */
	if (err == 0 || ds->damage[0]) /* damaged: what can be read may be */
		err = ds_page_get(ds, DS_STATE_PAGE, DS_STATE, &p);
	if (err == 0) {
		err = check_root(ds, ((struct ds_state *)p->data)->root);
		ds_page_put(ds, p);
	}
	if (err == 0) {
		/*
		 * What cannot be finished now stays on the list; damage leaves the volume
		 * read-only.
		 */
		if (!ds->read_only && ds_orphans(ds) != 0)
			log_warn("%s: unfinished deletions remain", ds->label);
	}
	mutex_unlock(&ds->lock);
	if (err)
		goto fail;
	log_info("%s: datastore \"%s\", %lu MiB%s", dev->id, ds->label, ds->blocks,
	         ds->read_only ? ", read-only" : "");
	*out = ds;
	return 0;
fail:
	tear_down(ds);
	return err;
}

int ds_freeze(struct ds *ds)
{
	int err = 0;

	mutex_lock(&ds->lock);
	if (!ds->read_only) {
		err = ds_commit(ds);
		if (err == 0)
			err = ds_checkpoint(ds);
		/*
		 * After the lock is released nobody dirties a page any more, and the journal is
		 * empty.
		 */
		ds->read_only = true;
	}
	mutex_unlock(&ds->lock);
	return err;
}

int ds_unmount(struct ds *ds)
{
	int err;

	/* The caller keeps others from opening files meanwhile. */
	if (!list_empty(&ds->files))
		return -EBUSY;
	err = ds_freeze(ds);
	tear_down(ds);
	return err;
}
