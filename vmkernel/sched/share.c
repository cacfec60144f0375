// SPDX-License-Identifier: Apache-2.0
/* The policy of one CPU's queue. */
#include "sched/share.h"

enum {
	SLEEP_SLICES = 1, /* of credit or debt that a sleeper keeps */
	MOVE_SLICES = 64, /* that a move to another CPU keeps */
	CANDIDATES = 16,  /* looked at for one move */
};
#define SHARE_HORIZON (64 * NS_PER_MS) /* within which balancing lets virtual times meet */

#define tl_share(n) container_of(n, struct share_entity, node)

/* ns of service in virtual time. */
static inline int64_t in_virtual(uint32_t rate, int64_t ns)
{
	return (ns << 20) / (int64_t)rate;
}

static int by_release(const struct tree_node *a, const struct tree_node *b)
{
	const struct share_entity *x = tree_entry(a, struct share_entity, capped);
	const struct share_entity *y = tree_entry(b, struct share_entity, capped);

	return x->release < y->release ? -1 : x->release > y->release;
}

void share_queue_init(struct share_queue *q, uint32_t seed)
{
	*q = (struct share_queue){ .waiting.seed = seed };
	tree_init(&q->capped, by_release);
}

void share_entity_init(struct share_entity *e, uint32_t rate)
{
	*e = (struct share_entity){ .rate = rate,
		                    .new_rate = rate,
		                    .limit = RATE_ONE,
		                    .left = SHARE_SLICE,
		                    .request = SHARE_SLICE,
		                    .busy_since = NS_NEVER,
		                    .fresh = true };
}

static int64_t average(const struct share_queue *q)
{
	return q->rates ? q->base + q->moments / (int64_t)q->rates : q->base;
}

int64_t share_time(const struct share_queue *q)
{
	return average(q) + q->shift;
}

static void sums_add(struct share_queue *q, const struct share_entity *e)
{
	if (!q->rates)
		q->base = e->node.start;
	q->rates += e->rate;
	q->moments += (int64_t)e->rate * (e->node.start - q->base);
	q->count++;
}

static void sums_remove(struct share_queue *q, const struct share_entity *e)
{
	int64_t time = average(q);

	q->rates -= e->rate;
	q->moments -= (int64_t)e->rate * (e->node.start - q->base);
	q->count--;
	if (!q->rates) {
		q->base = time;
		q->moments = 0;
	}
}

/* Keeps moments small: they are exact again afterwards, so this costs no fairness. */
static void rebase(struct share_queue *q)
{
	int64_t step = q->rates ? q->moments / (int64_t)q->rates : 0;

	q->base += step;
	q->moments -= step * (int64_t)q->rates;
}

/*
 * A deadline one request away at the entitled rate, but no later than a round of everyone's slices:
 * so small shares wait for a bounded time once they are eligible.
 */
static void set_deadline(const struct share_queue *q, struct share_entity *e, unsigned count)
{
	uint64_t slices = (uint64_t)count * SHARE_SLICE;
	int64_t round = (int64_t)((slices << 20) / MAX(q->rates, (uint64_t)RATE_ONE));

	e->node.deadline = e->node.start + MIN(in_virtual(e->rate, e->left), round);
}

/*
 * What it may use in a row: its part of a round of `count` slices, so that small rates come round
 * as often as large ones and no error is larger than a world's own part.
 */
static void new_request(const struct share_queue *q, struct share_entity *e, unsigned count)
{
	uint64_t part = (uint64_t)e->rate * count * SHARE_SLICE >> 20;

	e->left = (int64_t)MIN(MAX(part, SHARE_BURST), (uint64_t)e->request);
	set_deadline(q, e, count);
}

/*
 * Takes over an entitlement that changed, while e is in no sum: what it lags behind stays the same
 * service.
 */
static void take_rate(const struct share_queue *q, struct share_entity *e)
{
	uint32_t updated = MAX(READ_ONCE(e->new_rate), 1u);
	int64_t time;

	if (likely(updated == e->rate))
		return;
	time = average(q);
	e->node.start = time + (e->node.start - time) * (int64_t)e->rate / (int64_t)updated;
	e->rate = updated;
}

static void wait_in(struct share_queue *q, struct share_entity *e, ns_t now)
{
	sums_add(q, e);
	if (e->release > now) {
		sums_remove(q, e);
		e->node.start += q->shift;
		e->where = SHARE_CAPPED;
		tree_insert(&q->capped, &e->capped);
		return;
	}
	e->where = SHARE_WAITING;
	tl_insert(&q->waiting, &e->node);
}

/*
 * Puts e in, with what it is ahead or behind limited to some slices of service: against this
 * queue's time, or the mean of all where that is less, for a queue that serves small rates only
 * runs far ahead of the rest.
 */
static void enter(struct share_queue *q, struct share_entity *e, unsigned slices, ns_t now)
{
	int64_t time = MIN(average(q), q->common - q->shift), lag;

	take_rate(q, e);
	lag = in_virtual(e->rate, slices * (int64_t)SHARE_SLICE);
	if (e->fresh)
		e->node.start = time;
	e->fresh = false;
	e->node.start = MAX(e->node.start, time - lag);
	e->node.start = MIN(e->node.start, time + lag);
	new_request(q, e, q->count + 1);
	wait_in(q, e, now);
}

void share_insert(struct share_queue *q, struct share_entity *e, ns_t now)
{
	unsigned slices = MOVE_SLICES;

	if (e->busy_since == NS_NEVER) {
		slices = SLEEP_SLICES;
		e->busy_since = now;
		/* Of what it was allowed and slept through it keeps one slice. */
		if (e->release)
			e->release = MAX(e->release, now - MIN(now, SHARE_SLICE));
	}
	e->node.start -= q->shift;
	enter(q, e, slices, now);
}

void share_remove(struct share_queue *q, struct share_entity *e)
{
	if (e->where == SHARE_CAPPED) {
		tree_remove(&q->capped, &e->capped);
	} else {
		tl_remove(&q->waiting, &e->node);
		sums_remove(q, e);
		e->node.start += q->shift;
	}
	e->where = SHARE_OUT;
}

bool share_preempts(const struct share_queue *q, const struct share_entity *e)
{
	const struct share_entity *r = q->running;

	return e->where == SHARE_WAITING &&
	       (!r || (e->node.start <= average(q) && e->node.deadline < r->node.deadline));
}

void share_charge(struct share_queue *q, ns_t dt, ns_t now)
{
	struct share_entity *e = q->running;
	int64_t step = in_virtual(e->rate, (int64_t)dt);

	e->node.start += step;
	q->moments += (int64_t)e->rate * step;
	e->left -= (int64_t)dt;
	e->burst = (uint32_t)MIN(e->burst + dt, (uint64_t)SHARE_SLICE);
	if (e->limit < RATE_ONE) {
		if (!e->release)
			e->release = now - dt;
		e->release += (dt << 20) / MAX(e->limit, 1u);
	} else {
		e->release = 0;
	}
}

void share_stop(struct share_queue *q, enum share_leave how, ns_t now)
{
	struct share_entity *e = q->running;
	bool moves = how == SHARE_SLEEP || e->release > now || READ_ONCE(e->new_rate) != e->rate;

	q->running = NULL;
	if (moves) {
		sums_remove(q, e);
		take_rate(q, e);
	}
	if (how == SHARE_SLEEP) {
		e->request = (e->request * 3 + MAX(e->burst, (uint32_t)SHARE_BURST)) / 4;
		e->burst = 0;
		e->node.start += q->shift;
		e->busy += now - MIN(now, e->busy_since);
		e->busy_since = NS_NEVER;
		e->where = SHARE_OUT;
		return;
	}
	if (e->burst == SHARE_SLICE)
		e->request = SHARE_SLICE;
	if (e->left <= 0 || how == SHARE_YIELD)
		new_request(q, e, q->count + moves);
	if (moves) {
		wait_in(q, e, now);
		return;
	}
	e->where = SHARE_WAITING;
	tl_insert(&q->waiting, &e->node);
}

void share_refresh(struct share_queue *q)
{
	struct tl_node *n = tl_first(&q->waiting), *next;

	for (; n; n = next) {
		struct share_entity *e = tl_share(n);

		next = tl_next(n);
		if (READ_ONCE(e->new_rate) == e->rate)
			continue;
		tl_remove(&q->waiting, n);
		sums_remove(q, e);
		take_rate(q, e);
		new_request(q, e, q->count + 1);
		sums_add(q, e);
		tl_insert(&q->waiting, n);
	}
}

static void release_capped(struct share_queue *q, ns_t now)
{
	struct tree_node *n;

	while ((n = tree_min(&q->capped))) {
		struct share_entity *e = tree_entry(n, struct share_entity, capped);

		if (e->release > now)
			break;
		tree_remove(&q->capped, n);
		e->node.start -= q->shift;
		enter(q, e, MOVE_SLICES, now);
	}
}

struct share_entity *share_pick(struct share_queue *q, ns_t now)
{
	struct tl_node *n;
	struct share_entity *e;

	if (q->capped.count)
		release_capped(q, now);
	if (!q->waiting.root)
		return NULL;
	rebase(q);
	n = tl_earliest(&q->waiting, q->base);
	if (!n) /* rounding: the average lies below all */
		n = tl_first(&q->waiting);
	tl_remove(&q->waiting, n);
	e = tl_share(n);
	e->where = SHARE_RUNNING;
	q->running = e;
	return e;
}

ns_t share_next(const struct share_queue *q, ns_t now)
{
	ns_t next = NS_NEVER;
	struct tree_node *n = tree_min(&q->capped);
	const struct share_entity *e = q->running;

	if (e && q->waiting.root)
		next = now + (ns_t)MAX(e->left, (int64_t)SHARE_BURST / 4);
	if (e && e->limit < RATE_ONE)
		next = MIN(next, now + SHARE_SLICE);
	if (n)
		next = MIN(next, tree_entry(n, struct share_entity, capped)->release);
	return next;
}

struct share_entity *share_candidate(const struct share_queue *from, const struct share_queue *q,
                                     bool any)
{
	/* Excess of rates there over here, and what the difference of virtual times is worth. */
	int64_t ahead = share_time(q) - share_time(from);
	int64_t room = (int64_t)(from->rates - q->rates) +
	               ahead * (int64_t)(from->rates >> 6) / (int64_t)(SHARE_HORIZON >> 6);
	struct tl_node *n = tl_first(&from->waiting);
	struct share_entity *best = NULL;

	for (unsigned i = 0; n && i < CANDIDATES; i++, n = tl_next(n)) {
		struct share_entity *e = tl_share(n);

		if (e->pinned)
			continue;
		if (any)
			return e;
		if ((int64_t)e->rate <= room && (!best || e->rate > best->rate))
			best = e;
	}
	return best;
}

void share_align(struct share_queue *q, int64_t time, int64_t reach)
{
	int64_t distance = share_time(q) - time;

	if (distance > reach)
		q->shift -= distance - reach;
	else if (distance < -reach)
		q->shift += -reach - distance;
}
