// SPDX-License-Identifier: Apache-2.0
/* What requests came to: by device in each of its queues, and there by world. */
#include "storage/blk_impl.h"

static void world_add(struct blk_world *to, const struct blk_world *w)
{
	to->errors += w->errors;
	to->ops += w->ops;
	to->bytes_read += w->bytes_read;
	to->bytes_written += w->bytes_written;
	to->time += w->time;
}

/* The row of a world; who had it before goes into the others. */
static struct blk_world *world_row(struct blk_queue *q, uint32_t id)
{
	struct blk_world *w = &q->worlds[id % BLK_WORLDS];

	if (unlikely(w->id != id)) {
		world_add(&q->others, w);
		*w = (struct blk_world){ .id = id };
	}
	return w;
}

void blk_account(struct blk_queue *q, const struct blk_req *r, int status, ns_t now)
{
	ns_t time = now - r->submitted;
	uint64_t us = time >> 10; /* near enough to a microsecond for powers of two */
	unsigned slot = us ? log2_floor(us) : 0;
	struct blk_world *w = world_row(q, r->world);

	q->stats.ops[r->op]++;
	q->stats.bytes[r->op] += r->len;
	q->stats.latency_us_log2[MIN(slot, (unsigned)ARRAY_SIZE(q->stats.latency_us_log2) - 1)]++;
	w->ops++;
	w->time += time;
	if (r->op == BLK_READ)
		w->bytes_read += r->len;
	else if (r->op == BLK_WRITE)
		w->bytes_written += r->len;
	if (status) {
		q->stats.errors++;
		w->errors++;
	}
}

void blk_stats_get(const struct blk_dev *d, struct blk_stats *s)
{
	const struct blk_dev *disk = d->parent ? d->parent : d;

	*s = (struct blk_stats){ 0 };
	for (unsigned i = 0; i < disk->limits.queues; i++) {
		const struct blk_stats *q = &disk->queue[i].stats;

		for (unsigned op = 0; op < BLK_OPS; op++) {
			s->ops[op] += q->ops[op];
			s->bytes[op] += q->bytes[op];
		}
		for (unsigned n = 0; n < ARRAY_SIZE(s->latency_us_log2); n++)
			s->latency_us_log2[n] += q->latency_us_log2[n];
		s->errors += q->errors;
		s->retries += q->retries;
		s->timeouts += q->timeouts;
		s->splits += q->splits;
		s->bounces += q->bounces;
		s->inflight += q->inflight;
		s->max_inflight += q->max_inflight;
	}
}

/* To the row with the same id, or to a new one, or, when there is no room, to the last. */
static unsigned merge(struct blk_world *rows, unsigned count, unsigned room,
                      const struct blk_world *w)
{
	unsigned i = 0;

	if (!w->ops)
		return count;
	while (i < count && rows[i].id != w->id)
		i++;
	if (i == room)
		rows[--i].id = 0;
	else if (i == count)
		rows[count++] = (struct blk_world){ .id = w->id };
	world_add(&rows[i], w);
	return count;
}

unsigned blk_worlds_get(struct blk_dev *d, struct blk_world *rows, unsigned room)
{
	struct blk_dev *disk = blk_disk(d);
	unsigned count = 0;

	for (unsigned i = 0; i < disk->limits.queues; i++) {
		struct blk_queue *q = &disk->queue[i];
		uint64_t flags = spin_lock_irq(&q->lock);

		count = merge(rows, count, room, &q->others);
		for (unsigned n = 0; n < BLK_WORLDS; n++)
			count = merge(rows, count, room, &q->worlds[n]);
		spin_unlock_irq(&q->lock, flags);
	}
	return count;
}
