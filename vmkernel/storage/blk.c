// SPDX-License-Identifier: Apache-2.0
/*
 * The block layer's fast path: a request goes to the queue of its CPU, waits there while the device
 * is full (flow.c), is handed to the driver, comes back through blk_complete, is tried again when
 * the class of its error allows, and ends in done. Its deadline runs from the hand-over. Each
 * blk_queue has its lock; the driver is called without it.
 */
#include "storage/blk_impl.h"
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "vmk/world.h"

#define LOG_MODULE "blk"

STAT(errors, "blk.errors", "requests that ended with an error");
STAT(retries, "blk.retries", "requests tried again");
STAT(timeouts, "blk.timeouts", "requests that passed their deadline");
STAT(refused, "blk.refused", "requests that were wrong in themselves");

static struct blk_queue *blk_queue_here(struct blk_dev *disk)
{
	return &disk->queue[cpu_id() % disk->limits.queues];
}

/* 0, or why the request is wrong in itself. */
static int check(const struct blk_req *r, const struct blk_dev *d, const struct blk_limits *l)
{
	uint64_t end, sum = 0, size = blk_size(d);

	if (d->gone)
		return -ENODEV;
	if (r->op >= BLK_OPS)
		return -EINVAL;
	if (r->op == BLK_FLUSH)
		return 0;
	if (((r->offset | r->len) & (l->block_size - 1)) || !r->len ||
	    add_overflow(r->offset, r->len, &end) || end > size)
		return -EINVAL;
	if (l->read_only && r->op != BLK_READ)
		return -EROFS;
	if (r->op == BLK_DISCARD)
		return l->discard_max ? 0 : -EOPNOTSUPP;
	if (r->op == BLK_WRITE_ZEROES)
		return 0;
	for (unsigned i = 0; i < r->sg_count; i++)
		sum += r->sg[i].len;
	return sum == r->len ? 0 : -EINVAL;
}

/* Does r fit into one command? */
static bool blk_fits(const struct blk_req *r, const struct blk_limits *l)
{
	if (r->op == BLK_FLUSH)
		return true;
	if (r->op == BLK_DISCARD)
		return r->len <= l->discard_max;
	if (r->op == BLK_WRITE_ZEROES)
		return r->len <= l->zeroes_max;
	if (r->len > l->max_bytes || r->sg_count > l->max_sg)
		return false;
	if ((r->flags & BLK_FUA) && !l->fua && l->write_cache)
		return false;
	uint64_t mask = l->sg_align - 1, inner = 0, base = 0;
	unsigned last = r->sg_count - 1u;

	for (unsigned i = 0; i <= last; i++) {
		base |= r->sg[i].pa;
		inner |= i ? r->sg[i].pa : 0;
		inner |= i < last ? r->sg[i].pa + r->sg[i].len : 0;
	}
	return !(inner & mask) && !(base & (l->sg_base_align ? l->sg_base_align - 1 : 0));
}

static void tick_start(struct blk_queue *q)
{
	if (q->ticking)
		return;
	q->ticking = true;
	q->moved = time_now();
	timer_set(&q->tick, q->moved + BLK_TICK);
}

/* Runs done of a request that no list holds any more, then gives up its place. */
static void finish(struct blk_queue *q, struct blk_req *r, int status)
{
	r->status = status;
	r->done(r);
	uint64_t flags = spin_lock_irq(&q->lock);

	if (!--q->active && q->dev->gone)
		waitq_wake_all(&q->idle);
	spin_unlock_irq(&q->lock, flags);
}

static ns_t deadline_of(const struct blk_req *r, ns_t now)
{
	return now + (r->timeout ? r->timeout : BLK_DEADLINE);
}

/* The next one that waits, if the device has room for it, as one in flight. */
static bool take_waiting(struct blk_queue *q, struct blk_req **r, uint64_t *progress)
{
	ns_t now = time_now();
	uint64_t flags = spin_lock_irq(&q->lock);

	*r = q->stats.inflight < q->dev->limits.depth ? blk_next_waiting(q) : NULL;
	if (*r) {
		/* The time that it waited for others does not count. */
		(*r)->deadline = deadline_of(*r, now);
		list_push_back(&q->inflight, &(*r)->link);
		q->stats.inflight++;
		q->stats.max_inflight = MAX(q->stats.max_inflight, q->stats.inflight);
	}
	*progress = q->progress;
	spin_unlock_irq(&q->lock, flags);
	return *r;
}

/*
 * Back to the head of the line; true when there has been progress since, so that trying again makes
 * sense.
 */
static bool put_back(struct blk_queue *q, struct blk_req *r, uint64_t progress)
{
	uint64_t flags = spin_lock_irq(&q->lock);

	list_remove(&r->link);
	blk_wait_first(q, r);
	q->stats.inflight--;
	bool again = q->progress != progress;

	tick_start(q);
	spin_unlock_irq(&q->lock, flags);
	return again;
}

/*
 * The driver would not take it: ends it through the bottom half, since done must not run inside
 * submit.
 */
static void reject(struct blk_queue *q, struct blk_req *r, int status)
{
	uint64_t flags = spin_lock_irq(&q->lock);

	list_remove(&r->link);
	q->stats.inflight--;
	r->status = status;
	/* Active until it is finished: a removal must not see the queue idle in between. */
	list_push_back(&q->refused, &r->link);
	spin_unlock_irq(&q->lock, flags);
	bottom_raise(&q->bottom);
}

static void dispatch(struct blk_queue *q)
{
	struct blk_dev *d = q->dev;
	struct blk_req *r;
	uint64_t progress;

	while (take_waiting(q, &r, &progress)) {
		int err = d->ops->submit(d, r->queue, r);

		if (!err)
			continue;
		if (err != -EBUSY)
			reject(q, r, err);
		else if (!put_back(q, r, progress))
			return;
	}
}

void blk_enqueue(struct blk_req *r, struct blk_queue *q)
{
	struct blk_dev *d = q->dev;
	uint64_t flags = spin_lock_irq(&q->lock);

	if (unlikely(d->gone)) {
		spin_unlock_irq(&q->lock, flags);
		blk_refuse(r, q, -ENODEV);
		return;
	}
	q->active++;
	r->queue = (uint16_t)(q - d->queue);
	tick_start(q);
	/* Nobody overtakes those that wait, even while the device has room. */
	if (unlikely(q->waiting || q->stats.inflight >= d->limits.depth)) {
		blk_wait(q, r);
		spin_unlock_irq(&q->lock, flags);
		return;
	}
	r->deadline = deadline_of(r, r->submitted);
	list_push_back(&q->inflight, &r->link);
	q->stats.inflight++;
	q->stats.max_inflight = MAX(q->stats.max_inflight, q->stats.inflight);
	uint64_t progress = q->progress;

	spin_unlock_irq(&q->lock, flags);
	int err = d->ops->submit(d, r->queue, r);

	if (likely(!err))
		return;
	if (err != -EBUSY)
		reject(q, r, err);
	else if (put_back(q, r, progress))
		dispatch(q);
}

void blk_submit(struct blk_req *r, struct blk_dev *d)
{
	struct blk_dev *disk = blk_disk(d);
	struct blk_queue *q = blk_queue_here(disk);

	r->dev = d;
	r->status = 0;
	r->retries = 0;
	r->world = world_id(world_current());
	r->pos = d->start + r->offset;
	r->submitted = time_now();
	if (!r->owner)
		r->owner = world_current();
	int err = check(r, d, &disk->limits);

	if (unlikely(err)) {
		stat_inc(refused);
		blk_refuse(r, q, err);
	} else if (likely(blk_fits(r, &disk->limits))) {
		blk_enqueue(r, q);
	} else {
		blk_split(r, q);
	}
}

void blk_complete(struct blk_req *r, int status)
{
	struct blk_queue *q = &blk_disk(r->dev)->queue[r->queue];
	bool again = status == BLK_AGAIN && r->retries < BLK_RETRIES && !q->dev->gone;

	if (unlikely(status == BLK_AGAIN && !again))
		status = q->dev->gone ? -ENODEV : -EIO;
	ns_t now = time_now();
	uint64_t flags = spin_lock_irq(&q->lock);

	list_remove(&r->link);
	q->stats.inflight--;
	q->progress++;
	if (unlikely(again)) {
		r->retries++;
		q->stats.retries++;
		blk_wait_first(q, r);
	} else {
		blk_account(q, r, status, now);
	}
	bool more = q->waiting;

	spin_unlock_irq(&q->lock, flags);
	if (unlikely(again))
		stat_inc(retries);
	else if (unlikely(status))
		stat_inc(errors);
	if (likely(!again))
		finish(q, r, status);
	if (unlikely(more))
		dispatch(q);
}

void blk_kick(struct blk_dev *d)
{
	for (unsigned i = 0; i < d->limits.queues; i++) {
		struct blk_queue *q = &d->queue[i];
		uint64_t flags = spin_lock_irq(&q->lock);

		q->progress++;
		spin_unlock_irq(&q->lock, flags);
		dispatch(q);
	}
}

void blk_refuse(struct blk_req *r, struct blk_queue *q, int status)
{
	uint64_t flags = spin_lock_irq(&q->lock);

	r->status = status;
	q->active++;
	list_push_back(&q->refused, &r->link);
	spin_unlock_irq(&q->lock, flags);
	bottom_raise(&q->bottom);
}

static struct blk_req *take(struct blk_queue *q, struct list *from)
{
	uint64_t flags = spin_lock_irq(&q->lock);
	struct blk_req *r = list_first(from, struct blk_req, link);

	if (r)
		list_remove(&r->link);
	spin_unlock_irq(&q->lock, flags);
	return r;
}

void blk_queue_bottom(struct bottom *b)
{
	struct blk_queue *q = container_of(b, struct blk_queue, bottom);
	struct blk_req *r;

	for (unsigned n = 0; n < BOTTOM_BUDGET; n++) {
		if (!(r = take(q, &q->refused)))
			return;
		finish(q, r, r->status);
	}
	bottom_raise(b);
}

/* The next request in flight that is past its deadline, with its deadline moved on. */
static struct blk_req *take_late(struct blk_queue *q, ns_t now)
{
	struct blk_req *r;

	/* At most limits.depth of them. What waits has no deadline yet, however much it is. */
	list_for_each(r, &q->inflight, link) {
		if (r->deadline <= now) {
			r->deadline = now + BLK_ABORT_GRACE;
			return r;
		}
	}
	return NULL;
}

/*
 * Requests wait, the driver has none, and nothing moves: after BLK_STALL they fail, a bounded
 * number a tick. The lock is held. True: the caller tries the driver once more.
 */
static bool stalled(struct blk_queue *q, ns_t now)
{
	struct blk_req *r;

	if (q->progress != q->seen || q->stats.inflight || !q->waiting) {
		q->seen = q->progress;
		q->moved = now;
	}
	if (!q->waiting || q->stats.inflight)
		return false;
	if (now - q->moved < BLK_STALL)
		return true;
	for (unsigned n = 0; n < BOTTOM_BUDGET && (r = blk_next_waiting(q)); n++) {
		q->stats.timeouts++;
		r->status = -ETIMEDOUT;
		list_push_back(&q->refused, &r->link);
	}
	bottom_raise(&q->bottom);
	return false;
}

void blk_queue_tick(struct timer *t)
{
	struct blk_queue *q = container_of(t, struct blk_queue, tick);
	ns_t now = time_now();
	bool again = false;

	for (unsigned late = 0;; late++) {
		uint64_t flags = spin_lock_irq(&q->lock);
		struct blk_req *r = take_late(q, now);

		if (r) {
			q->stats.timeouts++;
		} else {
			again = stalled(q, now);
			q->ticking = q->waiting || q->stats.inflight;
			if (q->ticking)
				timer_set(&q->tick, now + BLK_TICK);
		}
		spin_unlock_irq(&q->lock, flags);
		if (!r)
			break;
		stat_inc(timeouts);
		if (!late)
			log_warn("%s: queue %u: a request passed its deadline", q->dev->id,
			         (unsigned)(q - q->dev->queue));
		/* Without the lock: r may end meanwhile, drivers only compare it. */
		q->dev->ops->timeout(q->dev, r);
	}
	if (unlikely(again))
		dispatch(q);
}
