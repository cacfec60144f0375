// SPDX-License-Identifier: Apache-2.0
/*
 * Metadata pages in memory, by number. A page that cannot be had stops a step in its middle, of
 * which nothing may become durable then: the volume is read-only from there on, and sound as of its
 * last commit. ds->lock guards everything. A page of the running transaction or one that is not yet
 * in place stays; clean ones go, least recently used first.
 */
#include "ds.h"

#include "vmk/crc.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"

#define LOG_MODULE "datastore"

STAT(page_reads, "datastore.page_reads", "metadata pages read from a device");
STAT(bad_pages, "datastore.bad_pages", "metadata pages that failed their check");

int ds_damaged(struct ds *ds, const char *fmt, ...)
{
	va_list ap;

	/* The first cause is what an administrator needs; what follows it is its consequence. */
	if (!ds->damage[0]) {
		va_start(ap, fmt);
		vmk_vsnprintf(ds->damage, sizeof(ds->damage), fmt, ap);
		va_end(ap);
		log_err("%s: %s: read-only from now on", ds->label, ds->damage);
	}
	/*
	 * ds->lock is held by nearly all callers; readers without it (ds_direct) may let one more
	 * overwrite of mapped data through, which is harmless.
	 */
	ds->read_only = true;
	return -EIO;
}

static uint32_t page_crc(void *data)
{
	struct ds_head *h = data;
	uint32_t keep = h->crc, crc;

	/*
	 * The page is the cache's or ours, and ds->lock keeps others from seeing it with the field
	 * cleared.
	 */
	h->crc = 0;
	crc = crc32c(0, data, DS_PAGE);
	h->crc = keep;
	return crc;
}

void ds_seal(struct ds *ds, void *data, uint64_t page, enum ds_type type, uint64_t txn)
{
	struct ds_head *h = data;

	h->magic = DS_MAGIC;
	h->page = page;
	h->txn = txn;
	h->type = type;
	memcpy(&h->tag, ds->uuid, sizeof(h->tag));
	h->crc = page_crc(data);
}

bool ds_sealed(const struct ds *ds, const void *data, uint64_t page, enum ds_type type)
{
	const struct ds_head *h = data;

	return h->magic == DS_MAGIC && h->page == page && h->type == type &&
	       memcmp(&h->tag, ds->uuid, sizeof(h->tag)) == 0 && h->crc == page_crc((void *)data);
}

/* Counts start as zeros that mkfs never wrote. */
static bool empty_counts(const void *data, enum ds_type type)
{
	const uint64_t *w = data;

	if (type != DS_REFS && type != DS_SUM1 && type != DS_SUM2)
		return false;
	for (unsigned i = 0; i < DS_PAGE / 8; i++)
		if (w[i])
			return false;
	return true;
}

static struct list *bucket(struct ds *ds, uint64_t page)
{
	return &ds->hash[(page ^ page >> 10) % DS_HASH];
}

static struct ds_page *lookup(struct ds *ds, uint64_t page)
{
	struct ds_page *p;

	list_for_each(p, bucket(ds, page), hash)
		if (p->page == page)
			return p;
	return NULL;
}

static void discard(struct ds *ds, struct ds_page *p)
{
	list_remove(&p->hash);
	list_remove(&p->lru);
	if (p->in_txn)
		ds->txn_count--;
	if (p->behind)
		ds->behind_count--;
	/*
	 * Removing from a list that it is not on does nothing: list_init has made it its own
	 * neighbour.
	 */
	list_remove(&p->dirty);
	ds->cached--;
	page_free(va_to_pa(p->data), ORDER_4K);
	kfree(p);
}

static struct ds_page *insert(struct ds *ds, uint64_t page)
{
	struct ds_page *p, *old = list_first(&ds->lru, struct ds_page, lru);
	pa_t pa;

	/*
	 * One out, one in. With every page pinned, changed or not yet in place there is none to go,
	 * and the cache grows beyond its size until the next checkpoint; a record holds at most
	 * DS_RECORD_MAX pages, so that growth is bounded by the journal.
	 */
	if (ds->cached >= DS_CACHE_PAGES && old)
		discard(ds, old);
	p = kzalloc(sizeof(*p));
	pa = p ? page_alloc(ORDER_4K, FRAME_KERNEL, ALLOC_ZERO) : PA_NONE;
	if (pa == PA_NONE) {
		kfree(p);
		/*
		 * A step that stops in its middle must not become durable (see the head of this
		 * file).
		 */
		(void)ds_damaged(ds, "no memory for page %lu", page);
		return NULL;
	}
	p->data = pa_to_va(pa);
	p->page = page;
	p->pins = 1;
	list_init(&p->lru);
	list_init(&p->dirty);
	list_push_front(bucket(ds, page), &p->hash);
	ds->cached++;
	return p;
}

/* What has just been read: sealed, and what a page of this type in this place may be. */
static int check_loaded(struct ds *ds, struct ds_page *p, enum ds_type type)
{
	const char *wrong;

	/* A page of zeros gets its head when the first commit seals it. */
	if (empty_counts(p->data, type))
		((struct ds_head *)p->data)->type = type;
	else if (!ds_sealed(ds, p->data, p->page, type)) {
		stat_inc(bad_pages);
		return ds_damaged(ds, "page %lu of type %u fails its check", p->page, type);
	}
	wrong = ds_validate(ds, p->data, p->page, type);
	if (!wrong)
		return 0;
	stat_inc(bad_pages);
	return ds_damaged(ds, "page %lu of type %u is not valid: %s", p->page, type, wrong);
}

int ds_page_get(struct ds *ds, uint64_t page, enum ds_type type, struct ds_page **out)
{
	struct ds_page *p = lookup(ds, page);
	int err;

	if (p) {
		if (((struct ds_head *)p->data)->type != type)
			return ds_damaged(ds, "page %lu is not of type %u", page, type);
		p->pins++;
		/* A pinned page is on no list from which insert() takes. */
		list_remove(&p->lru);
		*out = p;
		return 0;
	}
	if (page >= ds->blocks * DS_BLOCK_PAGES)
		return ds_damaged(ds, "page %lu lies outside of the volume", page);
	p = insert(ds, page);
	if (!p)
		return -ENOMEM;
	stat_inc(page_reads);
	err = blk_urgent_rw(ds->dev, BLK_READ, page << DS_PAGE_SHIFT, p->data, DS_PAGE);
	if (err)
		err = ds_damaged(ds, "page %lu could not be read (error %d)", page, -err);
	else
		err = check_loaded(ds, p, type);
	if (err) {
		discard(ds, p);
		return err;
	}
	*out = p;
	return 0;
}

int ds_page_new(struct ds *ds, uint64_t page, enum ds_type type, struct ds_page **out)
{
	struct ds_page *p;

	/*
	 * A page that was freed is forgotten: one that is here is in use, whatever its bitmap says.
	 */
	if (lookup(ds, page))
		return ds_damaged(ds, "page %lu is in use and was allocated", page);
	p = insert(ds, page);
	if (!p)
		return -ENOMEM;
	((struct ds_head *)p->data)->type = type;
	ds_page_dirty(ds, p);
	*out = p;
	return 0;
}

void ds_page_put(struct ds *ds, struct ds_page *p)
{
	ASSERT(p->pins > 0);
	if (--p->pins == 0 && !p->in_txn && !p->behind)
		list_push_back(&ds->lru, &p->lru);
}

void ds_page_dirty(struct ds *ds, struct ds_page *p)
{
	if (p->in_txn)
		return;
	/*
	 * A step dirties at most DS_RESERVE pages and ds_begin leaves room for as many. Should a
	 * volume's structure get around that bound: a read-only volume commits nothing.
	 */
	if (unlikely(ds->txn_count >= DS_RECORD_MAX))
		(void)ds_damaged(ds, "a step changes more pages than a record holds");
	/*
	 * It may be behind at the same time: a checkpoint cannot run before the commit (ds_begin),
	 * so the older image is never written in place with half of the newer change in it.
	 */
	p->in_txn = true;
	list_remove(&p->dirty);
	list_push_back(&ds->txn_pages, &p->dirty);
	ds->txn_count++;
}

int ds_page_forget(struct ds *ds, uint64_t page)
{
	struct ds_page *p = lookup(ds, page);

	if (!p)
		return 0;
	if (p->pins)
		return ds_damaged(ds, "page %lu is in use and was freed", page);
	/*
	 * Also from the running transaction: the page must not be written over whatever takes its
	 * place. Its older image in the journal is harmless, since a metadata block never becomes
	 * data (meta.c).
	 */
	discard(ds, p);
	return 0;
}

void ds_cache_drop(struct ds *ds)
{
	for (unsigned i = 0; i < DS_HASH; i++)
		while (!list_empty(&ds->hash[i]))
			discard(ds, list_first(&ds->hash[i], struct ds_page, hash));
}
