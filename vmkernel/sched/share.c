// SPDX-License-Identifier: Apache-2.0
/* The policy of one CPU's queue; the model and its terms are explained in sched/share.h. */
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

/* V, in the queue's count; of an empty queue, what it was when the last entity left. */
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
	/* The first entity defines the queue's time: its own moment is 0. */
	if (!q->rates)
		q->base = e->node.start;
	q->rates += e->rate;
	q->moments += (int64_t)e->rate * (e->node.start - q->base);
	q->count++;
}

static void sums_remove(struct share_queue *q, const struct share_entity *e)
{
	int64_t time = average(q); /* before e leaves: it may be the last */

	q->rates -= e->rate;
	q->moments -= (int64_t)e->rate * (e->node.start - q->base);
	q->count--;
	/* An empty queue keeps its time. */
	if (!q->rates) {
		q->base = time;
		q->moments = 0;
	}
}

/*
 * Moves base to the average. base * rates + moments, and with it V, stays exactly the same: the
 * remainder of the division stays in moments, which are smaller than rates afterwards.
 */
static void rebase(struct share_queue *q)
{
	int64_t step = q->rates ? q->moments / (int64_t)q->rates : 0;

	q->base += step;
	q->moments -= step * (int64_t)q->rates;
}

/*
 * The deadline of e's request: one request later at its rate, but not later than the queue needs
 * for a slice of each of `count` entities. The second bound limits how long an entity with a small
 * rate waits once it is eligible. count includes e, whether or not it is in the sums yet.
 */
static void set_deadline(const struct share_queue *q, struct share_entity *e, unsigned count)
{
	uint64_t slices = (uint64_t)count * SHARE_SLICE;
	/*
	 * Service at the queue's sum of rates, in virtual time; a sum below a CPU idles the rest.
	 */
	int64_t round = (int64_t)((slices << 20) / MAX(q->rates, (uint64_t)RATE_ONE));

	e->node.deadline = e->node.start + MIN(in_virtual(e->rate, e->left), round);
}

/*
 * Starts a request: what e may use without interruption. It is e's part of a round of `count`
 * slices, so that entities with small rates run as often as those with large ones, and the
 * difference between entitled and given service never exceeds an entity's own part. count includes
 * e.
 */
static void new_request(const struct share_queue *q, struct share_entity *e, unsigned count)
{
	uint64_t part = (uint64_t)e->rate * count * SHARE_SLICE >> 20;

	/* Below a burst the switches would cost more than the work between them. */
	e->left = (int64_t)MIN(MAX(part, SHARE_BURST), (uint64_t)e->request);
	set_deadline(q, e, count);
}

/*
 * Applies a changed rate while e is not in the queue's sums. Its distance from the average is
 * rescaled so that its lag, the service owed to it, is unchanged.
 */
static void apply_rate(const struct share_queue *q, struct share_entity *e)
{
	uint32_t updated = MAX(READ_ONCE(e->new_rate), 1u);
	int64_t time;

	if (likely(updated == e->rate))
		return;
	time = average(q);
	e->node.start = time + (e->node.start - time) * (int64_t)e->rate / (int64_t)updated;
	e->rate = updated;
}

/* Makes e, which is in no sum, wait: for its turn, or for the end of its cap. */
static void wait_in(struct share_queue *q, struct share_entity *e, ns_t now)
{
	/* Before the test: an empty queue takes its time from e even if e is capped at once. */
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
 * Adds e, whose start is in the queue's count, and limits its credit or debt to so many slices of
 * service. The reference is this queue's average or the mean of all queues, whichever is less: a
 * queue whose rates are small is far ahead of the others, and a world that was measured against it
 * would wait until the others have caught up.
 */
static void enter(struct share_queue *q, struct share_entity *e, unsigned slices, ns_t now)
{
	int64_t time = MIN(average(q), q->common - q->shift), lag;

	apply_rate(q, e);
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

	/* It slept, or is new: what it did not use meanwhile is not saved up. */
	if (e->busy_since == NS_NEVER) {
		slices = SLEEP_SLICES;
		e->busy_since = now;
		/* The same for the limit in real time: at most one slice of unused allowance. */
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

	/* e is in the sums but not in the tree, so its start, the tree's key, may change. */
	e->node.start += step;
	q->moments += (int64_t)e->rate * step;
	e->left -= (int64_t)dt;
	e->burst = (uint32_t)MIN(e->burst + dt, (uint64_t)SHARE_SLICE);
	/*
	 * release is the time by which what was used has been earned at the limit: each ns used
	 * moves it by 1/limit. 0 means that no limit applied so far.
	 */
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
	/* Whether e leaves the sums: the usual preemption only puts it back into the tree. */
	bool leaves = how == SHARE_SLEEP || e->release > now || READ_ONCE(e->new_rate) != e->rate;

	q->running = NULL;
	if (leaves) {
		sums_remove(q, e);
		apply_rate(q, e);
	}
	if (how == SHARE_SLEEP) {
		/*
		 * The request follows the length of its bursts (a quarter of the new one): a world
		 * that sleeps a lot has near deadlines and runs soon after it wakes.
		 */
		e->request = (e->request * 3 + MAX(e->burst, (uint32_t)SHARE_BURST)) / 4;
		e->burst = 0;
		e->node.start += q->shift;
		e->busy += now - MIN(now, e->busy_since);
		e->busy_since = NS_NEVER;
		e->where = SHARE_OUT;
		return;
	}
	/* A whole slice without sleeping: it computes, and full slices save switches. */
	if (e->burst == SHARE_SLICE)
		e->request = SHARE_SLICE;
	/* Its deadline moves back with the new request; its virtual time it has paid for. */
	if (e->left <= 0 || how == SHARE_YIELD)
		new_request(q, e, q->count + leaves);
	if (leaves) {
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

		/* First: e may move. If it moves forward and is met again, its rate is current. */
		next = tl_next(n);
		if (READ_ONCE(e->new_rate) == e->rate)
			continue;
		tl_remove(&q->waiting, n);
		sums_remove(q, e);
		apply_rate(q, e);
		new_request(q, e, q->count + 1);
		sums_add(q, e);
		tl_insert(&q->waiting, n);
	}
}

/* Entities whose cap has ended wait for their turn again. */
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
	/* Now base is the average, and eligible means start <= base. */
	rebase(q);
	n = tl_earliest(&q->waiting, q->base);
	/*
	 * Some start is at or below the exact average; the rounded one may lie below all of them.
	 */
	if (!n)
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

	/*
	 * Alone it needs no end of its request. The minimum keeps the rate of interrupts bounded.
	 */
	if (e && q->waiting.root)
		next = now + (ns_t)MAX(e->left, (int64_t)SHARE_BURST / 4);
	/* A limited one is charged at least every slice, even alone: that is when it is capped. */
	if (e && e->limit < RATE_ONE)
		next = MIN(next, now + SHARE_SLICE);
	/* A capped one must be released, even on an idle CPU. */
	if (n)
		next = MIN(next, tree_entry(n, struct share_entity, capped)->release);
	return next;
}

struct share_entity *share_candidate(const struct share_queue *from, const struct share_queue *q,
                                     bool any)
{
	/*
	 * The rate that may move without `from` becoming the emptier queue: the excess of its
	 * rates, and the difference of the virtual times, which balancing evens out within
	 * SHARE_HORIZON. Both factors lose 6 bits so that the product fits.
	 */
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
