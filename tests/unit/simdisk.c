// SPDX-License-Identifier: Apache-2.0
/*
 * A simulated disk behind blk.h for host tests: sparse contents in 4 KiB pages, a log of every
 * write and flush, errors on demand. A clone plus any part of another disk's log is what a crash
 * could have left.
 */
#include "simdisk.h"

#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/work.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE = 4096, CHUNK = 16 << 20, CHUNK_PAGES = CHUNK / PAGE };

struct sim *sim_create(uint64_t bytes)
{
	struct sim *s = calloc(1, sizeof(*s));

	s->bytes = bytes;
	s->chunk = calloc((bytes + CHUNK - 1) / CHUNK, sizeof(*s->chunk));
	s->fail_at = -1;
	s->dev.limits.block_size = 512;
	s->dev.limits.blocks = bytes / 512;
	s->dev.limits.discard_max = 1 << 30;
	s->dev.drvdata = s;
	strcpy(s->dev.id, "sim");
	return s;
}

void sim_destroy(struct sim *s)
{
	for (uint64_t c = 0; c * CHUNK < s->bytes; c++) {
		for (unsigned i = 0; s->chunk[c] && i < CHUNK_PAGES; i++)
			free(s->chunk[c][i]);
		free(s->chunk[c]);
	}
	for (uint64_t i = 0; i < s->events; i++)
		free(s->event[i].data);
	free(s->event);
	free(s->chunk);
	free(s);
}

/* The page that holds byte off; NULL: never written, unless it is to be made. */
static uint8_t *page_at(const struct sim *s, uint64_t off, int make)
{
	uint8_t ***c = &s->chunk[off / CHUNK], **p;

	if (!*c && make)
		*c = calloc(CHUNK_PAGES, sizeof(**c));
	if (!*c)
		return NULL;
	p = &(*c)[off % CHUNK / PAGE];
	if (!*p && make)
		*p = calloc(1, PAGE);
	return *p;
}

struct sim *sim_clone(const struct sim *from)
{
	struct sim *s = sim_create(from->bytes);

	for (uint64_t c = 0; c * CHUNK < s->bytes; c++)
		for (unsigned i = 0; from->chunk[c] && i < CHUNK_PAGES; i++)
			if (from->chunk[c][i])
				memcpy(page_at(s, c * CHUNK + i * PAGE, 1), from->chunk[c][i],
				       PAGE);
	return s;
}

static void put(struct sim *s, uint64_t off, const uint8_t *data, uint64_t len)
{
	while (len) {
		uint64_t at = off % PAGE, n = PAGE - at < len ? PAGE - at : len;
		uint8_t *p = page_at(s, off, data != NULL);

		if (data)
			memcpy(p + at, data, n);
		else if (p)
			memset(p + at, 0, n);
		off += n;
		len -= n;
		data = data ? data + n : NULL;
	}
}

static void get(const struct sim *s, uint64_t off, uint8_t *data, uint64_t len)
{
	while (len) {
		uint64_t at = off % PAGE, n = PAGE - at < len ? PAGE - at : len;
		const uint8_t *p = page_at(s, off, 0);

		if (p)
			memcpy(data, p + at, n);
		else
			memset(data, 0, n);
		off += n;
		len -= n;
		data += n;
	}
}

void sim_peek(const struct sim *s, uint64_t off, uint8_t *data, uint64_t len)
{
	get(s, off, data, len);
}

void sim_poke(struct sim *s, uint64_t off, const uint8_t *data, uint64_t len)
{
	put(s, off, data, len);
}

void sim_apply(struct sim *s, const struct sim *log, uint64_t event, uint64_t sectors)
{
	const struct sim_event *e = &log->event[event];
	uint64_t len = e->len < sectors * 512 ? e->len : sectors * 512;

	if (e->op != BLK_FLUSH)
		put(s, e->offset, e->data, len);
}

static void record(struct sim *s, enum blk_op op, uint64_t off, const void *data, uint64_t len)
{
	struct sim_event *e;

	if (!s->recording)
		return;
	if (s->events == s->room) {
		s->room = s->room ? s->room * 2 : 256;
		s->event = realloc(s->event, s->room * sizeof(*s->event));
	}
	e = &s->event[s->events++];
	*e = (struct sim_event){ .op = op, .offset = off, .len = len };
	if (data) {
		e->data = malloc(len);
		memcpy(e->data, data, len);
	}
}

static int fails(struct sim *s, uint64_t off, uint64_t len)
{
	bool bad = s->bad_len && off < s->bad + s->bad_len && s->bad < off + len;

	return bad || (s->fail_at >= 0 && s->fail_at-- == 0) ? -EIO : 0;
}

int blk_rw_buf(struct blk_dev *d, enum blk_op op, uint64_t offset, void *buf, size_t len)
{
	struct sim *s = d->drvdata;
	int err = fails(s, offset, len);

	if (offset % 512 || len % 512 || offset + len > s->bytes)
		panic("simdisk: %lu bytes at %#lx", len, offset);
	s->ops++;
	if (err)
		return err;
	if (op == BLK_READ) {
		get(s, offset, buf, len);
	} else {
		record(s, op, offset, buf, len);
		put(s, offset, buf, len);
	}
	return 0;
}

int blk_flush(struct blk_dev *d)
{
	struct sim *s = d->drvdata;
	int err = fails(s, 0, 0);

	s->ops++;
	if (err == 0)
		record(s, BLK_FLUSH, 0, NULL, 0);
	return err;
}

int blk_urgent_rw(struct blk_dev *d, enum blk_op op, uint64_t offset, void *buf, size_t len)
{
	return blk_rw_buf(d, op, offset, buf, len);
}

int blk_urgent_flush(struct blk_dev *d)
{
	return blk_flush(d);
}

int blk_range(struct blk_dev *d, enum blk_op op, uint64_t offset, uint64_t len)
{
	struct sim *s = d->drvdata;
	int err = fails(s, offset, len);

	if (err)
		return err;
	if (op == BLK_DISCARD)
		s->discarded += len;
	/*
	 * A discarded block's contents are anybody's guess: zeros here, and logged as a write of
	 * zeros.
	 */
	record(s, op, offset, NULL, len);
	put(s, offset, NULL, len);
	return 0;
}

int blk_rw(struct blk_dev *d, enum blk_op op, uint64_t offset, const struct sg *sg, unsigned count)
{
	int err = 0;

	for (unsigned i = 0; i < count && err == 0; i++) {
		err = blk_rw_buf(d, op, offset, pa_to_va(sg[i].pa), sg[i].len);
		offset += sg[i].len;
	}
	((struct sim *)d->drvdata)->last_pa = sg[0].pa;
	return err;
}

/* Done at once; the submitter hears of it from the bottom half. */
static struct list over = LIST_INIT(over);

static void complete(struct bottom *b)
{
	struct blk_req *r;

	while ((r = list_first(&over, struct blk_req, link))) {
		list_remove(&r->link);
		r->done(r);
	}
	(void)b;
}

void blk_submit(struct blk_req *r, struct blk_dev *d)
{
	static struct bottom bottom;

	if (!bottom.fn)
		bottom_init(&bottom, complete);
	if (r->op == BLK_FLUSH)
		r->status = blk_flush(d);
	else if (r->op == BLK_READ || r->op == BLK_WRITE)
		r->status = blk_rw(d, r->op, r->offset, r->sg, r->sg_count);
	else
		r->status = blk_range(d, r->op, r->offset, r->len);
	list_push_back(&over, &r->link);
	bottom_raise(&bottom);
}
