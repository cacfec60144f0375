// SPDX-License-Identifier: Apache-2.0
/*
 * The journal: a ring of records, each one transaction. ds->lock guards everything.
 *
 * Commit: data that the transaction publishes is flushed first; then the record goes out, then a
 * flush. A record proves itself by its checksums, so no order between its pages is needed.
 * Checkpoint: all pages go to their places, a flush, then the tail moves on, alternating between
 * two pages.
 */
#include "ds.h"

#include "vmk/crc.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"

#define LOG_MODULE "datastore"

STAT(commits, "datastore.commits", "transactions made durable");
STAT(checkpoints, "datastore.checkpoints", "times the journal was emptied");
STAT(replayed, "datastore.replayed", "transactions replayed at mount");

enum { TAILS = 2 };
/* Counters of a tail that can rise for ever: no volume comes near it, and none wraps. */
#define SEQUENCE_MAX (UINT64_MAX / 2)

static uint64_t ring_offset(const struct ds *ds, uint64_t position)
{
	return (ds->super.journal_page + TAILS + position) << DS_PAGE_SHIFT;
}

/* Reads or writes pages of the ring from position on, around its end. */
static int ring_rw(struct ds *ds, enum blk_op op, uint64_t position, void *buf, uint64_t pages)
{
	uint64_t first = MIN(pages, ds->ring - position);
	int err = blk_urgent_rw(ds->dev, op, ring_offset(ds, position), buf,
	                        first << DS_PAGE_SHIFT);

	if (err || first == pages)
		return err;
	return blk_urgent_rw(ds->dev, op, ring_offset(ds, 0),
	                     (uint8_t *)buf + (first << DS_PAGE_SHIFT),
	                     (pages - first) << DS_PAGE_SHIFT);
}

static uint64_t ring_free(const struct ds *ds)
{
	/* One page stays free, so that head == tail always means an empty ring. */
	return ds->ring - 1 - (ds->head + ds->ring - ds->tail) % ds->ring;
}

static int write_tail(struct ds *ds)
{
	static const enum ds_type type = DS_TAIL;
	struct ds_tail *t = (struct ds_tail *)ds->record;
	uint64_t page = ds->super.journal_page + ++ds->tail_counter % TAILS;

	memset(t, 0, DS_PAGE);
	t->counter = ds->tail_counter;
	t->position = ds->tail;
	t->sequence = ds->tail_sequence;
	/* ds->record serves as the buffer: no record is being built during a checkpoint. */
	ds_seal(ds, t, page, type, ds->tail_sequence);
	return blk_urgent_rw(ds->dev, BLK_WRITE, page << DS_PAGE_SHIFT, t, DS_PAGE);
}

/*
 * Writes every committed page to its place and empties the journal. Only between transactions: a
 * page that the running one has changed must not reach its place before the record that covers it.
 */
int ds_checkpoint(struct ds *ds)
{
	struct ds_page *p, *n;
	int err = 0;

	ASSERT(ds->txn_count == 0);
	stat_inc(checkpoints);
	list_for_each(p, &ds->behind_pages, dirty) {
		err = blk_urgent_rw(ds->dev, BLK_WRITE, p->page << DS_PAGE_SHIFT, p->data, DS_PAGE);
		if (err)
			break;
	}
	/*
	 * The tail may move only when the pages are safely in place: a record behind the tail is
	 * never replayed again.
	 */
	if (err == 0)
		err = blk_urgent_flush(ds->dev);
	if (err == 0) {
		/*
		 * Two tails are written in turn, so a torn write of one leaves the other, which
		 * replays records that are in place already. That is harmless: replay is
		 * idempotent.
		 */
		ds->tail = ds->head;
		ds->tail_sequence = ds->sequence;
		err = write_tail(ds);
	}
	if (err == 0)
		err = blk_urgent_flush(ds->dev);
	if (err)
		return ds_damaged(ds, "metadata could not be written (error %d)", -err);
	/* Clean from here on, and the cache may drop what nobody has pinned. */
	list_for_each_safe(p, n, &ds->behind_pages, dirty) {
		p->behind = false;
		list_remove(&p->dirty);
		if (p->pins == 0)
			list_push_back(&ds->lru, &p->lru);
	}
	ds->behind_count = 0;
	return 0;
}

/* Seals the pages of the running transaction into ds->record. */
static void fill_record(struct ds *ds)
{
	struct ds_record *rec = (struct ds_record *)ds->record;
	uint8_t *image = ds->record + DS_PAGE;
	struct ds_page *p;

	memset(rec, 0, DS_PAGE);
	list_for_each(p, &ds->txn_pages, dirty) {
		/*
		 * The images are sealed as they will stand in their places: replay and checkpoint
		 * write them as they are.
		 */
		ds_seal(ds, p->data, p->page, ((struct ds_head *)p->data)->type, ds->sequence);
		memcpy(image, p->data, DS_PAGE);
		image += DS_PAGE;
		rec->page[rec->count++] = p->page;
	}
	rec->images_crc = crc32c(0, ds->record + DS_PAGE, (size_t)rec->count << DS_PAGE_SHIFT);
	ds_seal(ds, rec, ds->super.journal_page + TAILS + ds->head, DS_JOURNAL, ds->sequence);
}

/*
 * Makes the running transaction durable. Nothing on the volume has changed before the record is
 * whole; after it, a mount replays it. An error leaves the transaction in memory and the volume
 * read-only: nobody can tell whether the record is on the device.
 */
int ds_commit(struct ds *ds)
{
	struct ds_page *p;
	uint64_t pages = ds->txn_count + 1;
	int err = 0;

	if (ds->txn_count == 0)
		return 0;
	if (ds->read_only)
		return -EROFS;
	/*
	 * ds_begin keeps a whole record's room free before the first page of a transaction is
	 * dirtied.
	 */
	ASSERT(pages <= ring_free(ds));
	/*
	 * The device may reorder writes: data that the record publishes has to be on the medium
	 * before it.
	 */
	if (ds->new_data)
		err = blk_urgent_flush(ds->dev);
	/*
	 * The record's pages go out in one or two requests, in any order: its checksums tell a torn
	 * one.
	 */
	if (err == 0) {
		fill_record(ds);
		err = ring_rw(ds, BLK_WRITE, ds->head, ds->record, pages);
	}
	if (err == 0)
		err = blk_urgent_flush(ds->dev);
	if (err)
		return ds_damaged(ds, "the journal could not be written (error %d)", -err);
	stat_inc(commits);
	list_for_each(p, &ds->txn_pages, dirty) {
		p->in_txn = false;
		ds->behind_count += !p->behind;
		p->behind = true;
	}
	list_splice_back(&ds->behind_pages, &ds->txn_pages);
	ds->txn_count = 0;
	ds->new_data = false;
	ds->head = (ds->head + pages) % ds->ring;
	/* What this transaction freed may be reused from here on. */
	ds->durable = ds->sequence++;
	ds_freed_release(ds);
	return 0;
}

int ds_begin(struct ds *ds)
{
	int err;

	if (ds->read_only)
		return -EROFS;
	/*
	 * A transaction grows until the next step might not fit its record. The commit falls
	 * between steps, never inside one.
	 */
	if (ds->txn_count + DS_RESERVE > DS_RECORD_MAX) {
		err = ds_commit(ds);
		if (err)
			return err;
	}
	/*
	 * Room for the largest record, taken before the transaction begins: later a checkpoint
	 * would be too late, since it must not run over pages of the running transaction.
	 */
	if (ds->txn_count == 0 && ring_free(ds) < DS_RECORD_MAX + 1)
		return ds_checkpoint(ds);
	return 0;
}

/* The newer valid tail. */
static int read_tail(struct ds *ds)
{
	bool found = false;

	for (unsigned i = 0; i < TAILS; i++) {
		const struct ds_tail *t = (const struct ds_tail *)ds->record;
		uint64_t page = ds->super.journal_page + i;
		int err = blk_urgent_rw(ds->dev, BLK_READ, page << DS_PAGE_SHIFT, ds->record,
		                        DS_PAGE);

		if (err)
			return err;
		/* One torn tail is normal after a power cut; the older one then holds. */
		if (!ds_sealed(ds, t, page, DS_TAIL) || t->position >= ds->ring ||
		    t->sequence > SEQUENCE_MAX || t->counter > SEQUENCE_MAX ||
		    (found && t->counter < ds->tail_counter))
			continue;
		found = true;
		ds->tail_counter = t->counter;
		ds->tail = t->position;
		ds->tail_sequence = t->sequence;
	}
	return found ? 0 : ds_damaged(ds, "both journal tails fail their check");
}

/* The record at ds->head into ds->record: 1 whole and expected, 0 the end of the journal. */
static int read_record(struct ds *ds)
{
	const struct ds_record *rec = (const struct ds_record *)ds->record;
	int err = ring_rw(ds, BLK_READ, ds->head, ds->record, 1);

	if (err)
		return err;
	/*
	 * The ring is never erased: what follows the last record is an older one, told by its
	 * sequence, or one that was torn by the crash, told by its checksums. Both mean the end,
	 * not damage.
	 */
	if (!ds_sealed(ds, rec, ds->super.journal_page + TAILS + ds->head, DS_JOURNAL) ||
	    rec->head.txn != ds->sequence || rec->count == 0 || rec->count > DS_RECORD_MAX)
		return 0;
	err = ring_rw(ds, BLK_READ, (ds->head + 1) % ds->ring, ds->record + DS_PAGE, rec->count);
	if (err)
		return err;
	return crc32c(0, ds->record + DS_PAGE, (size_t)rec->count << DS_PAGE_SHIFT) ==
	       rec->images_crc;
}

static int replay_record(struct ds *ds)
{
	const struct ds_record *rec = (const struct ds_record *)ds->record;

	for (unsigned i = 0; i < rec->count; i++) {
		void *image = ds->record + DS_PAGE + ((size_t)i << DS_PAGE_SHIFT);
		enum ds_type type = ((struct ds_head *)image)->type;
		int err;

		/* images_crc was right, so this is no torn write: somebody wrote nonsense. */
		/*
		 * images_crc was right, so this is no torn write. The place is checked too: a
		 * record must not reach superblocks, the journal itself or data.
		 */
		if (!ds_sealed(ds, image, rec->page[i], type) ||
		    ds_validate(ds, image, rec->page[i], type))
			return ds_damaged(ds, "journal record %lu holds a bad page", ds->sequence);
		err = blk_urgent_rw(ds->dev, BLK_WRITE, rec->page[i] << DS_PAGE_SHIFT, image,
		                    DS_PAGE);
		if (err)
			return err;
	}
	stat_inc(replayed);
	return 0;
}

int ds_journal_replay(struct ds *ds)
{
	unsigned count = 0;
	int err = read_tail(ds);

	if (err)
		return err;
	ds->head = ds->tail;
	ds->sequence = ds->tail_sequence;
	for (;;) {
		err = read_record(ds);
		if (err < 0)
			return err;
		if (err == 0)
			break;
		err = replay_record(ds);
		if (err)
			return err;
		ds->head = (ds->head + 1 + ((struct ds_record *)ds->record)->count) % ds->ring;
		ds->sequence++;
		count++;
	}
	ds->durable = ds->sequence - 1;
	if (count == 0)
		return 0;
	log_info("%s: %u transactions replayed", ds->label, count);
	/*
	 * Empties the journal at once, so that a crash during the next transaction replays only
	 * that.
	 */
	return ds_checkpoint(ds);
}
