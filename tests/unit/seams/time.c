// SPDX-License-Identifier: Apache-2.0
/*
 * Time, timers, waiting and deferred execution on the host: nothing happens until a test says so.
 */
#include "seam.h"
#include "vmk/log.h"
#include "vmk/time.h"
#include "vmk/wait.h"
#include "vmk/work.h"
#include "vmk/world.h"

#include <errno.h>

enum { TIMERS_MAX = 256 };
static struct timer *timers[TIMERS_MAX];
static struct list bottoms = LIST_INIT(bottoms), works = LIST_INIT(works);
SEAM ns_t seam_now = 1000000;
SEAM bool (*seam_sleep)(ns_t deadline);
SEAM bool seam_interrupted;

SEAM ns_t time_now(void)
{
	return seam_now;
}

SEAM ns_t time_realtime(void)
{
	return 1700000000 * NS_PER_S + seam_now;
}

SEAM uint64_t time_tsc_hz(void)
{
	return NS_PER_S;
}

SEAM bool time_tsc_reliable(void)
{
	return true;
}

SEAM void time_delay(ns_t ns)
{
	seam_now += ns;
}

SEAM void timer_init(struct timer *t, void (*fn)(struct timer *))
{
	*t = (struct timer){ .fn = fn, .deadline = NS_NEVER, .cpu = -1 };
}

SEAM bool timer_cancel(struct timer *t)
{
	bool armed = t->cpu >= 0;

	for (unsigned i = 0; i < TIMERS_MAX; i++)
		if (timers[i] == t)
			timers[i] = NULL;
	t->cpu = -1;
	return armed;
}

SEAM void timer_cancel_sync(struct timer *t)
{
	(void)timer_cancel(t);
}

SEAM void timer_set(struct timer *t, ns_t deadline)
{
	(void)timer_cancel(t);
	t->deadline = deadline;
	for (unsigned i = 0; i < TIMERS_MAX; i++)
		if (!timers[i]) {
			timers[i] = t;
			t->cpu = 0;
			return;
		}
	panic("more than %u timers", TIMERS_MAX);
}

static struct timer *first_due(ns_t limit)
{
	struct timer *first = NULL;

	for (unsigned i = 0; i < TIMERS_MAX; i++)
		if (timers[i] && timers[i]->deadline <= limit &&
		    (!first || timers[i]->deadline < first->deadline))
			first = timers[i];
	return first;
}

void seam_advance(ns_t ns)
{
	ns_t end = seam_now + ns;
	struct timer *t;

	while ((t = first_due(end))) {
		seam_now = MAX(seam_now, t->deadline);
		(void)timer_cancel(t);
		t->fn(t);
	}
	seam_now = end;
}

SEAM void waitq_init(struct waitq *q, const char *name)
{
	spin_init(&q->lock, name, RANK_WAIT);
	list_init(&q->waiters);
}

SEAM void waitq_add(struct waitq *q, struct waiter *w)
{
	list_push_back(&q->waiters, &w->link);
}

SEAM void waitq_remove(struct waitq *q, struct waiter *w)
{
	(void)q;
	list_remove(&w->link);
}

SEAM void waitq_wake_all(struct waitq *q)
{
	struct waiter *w, *next;

	list_for_each_safe(w, next, &q->waiters, link)
		if (w->fn)
			w->fn(w);
}

SEAM void waitq_wake_one(struct waitq *q)
{
	waitq_wake_all(q);
}

SEAM void wait_prepare(struct waitq *q, struct waiter *w)
{
	(void)q;
	w->world = world_current();
	w->fn = NULL;
	list_init(&w->link);
}

SEAM int wait_sleep(ns_t deadline, bool interruptible)
{
	if (interruptible && seam_interrupted)
		return -EINTR;
	if (seam_sleep && seam_sleep(deadline))
		return 0;
	if (seam_run_bottoms() + seam_run_work())
		return 0;
	if (deadline == NS_NEVER)
		panic("a wait that nothing will end");
	if (deadline > seam_now)
		seam_advance(deadline - seam_now);
	return -ETIMEDOUT;
}

SEAM void wait_finish(struct waitq *q, struct waiter *w)
{
	(void)q;
	list_remove(&w->link);
}

SEAM bool world_interrupted(const struct world *w)
{
	(void)w;
	return seam_interrupted;
}

SEAM void world_yield(void) {}

SEAM bool world_need_resched(void)
{
	return false;
}

SEAM void bottom_init(struct bottom *b, void (*fn)(struct bottom *))
{
	b->fn = fn;
	b->pending = 0;
	list_init(&b->link);
}

SEAM void bottom_raise(struct bottom *b)
{
	if (!b->pending)
		list_push_back(&bottoms, &b->link);
	b->pending = 1;
}

SEAM void work_init(struct work *w, void (*fn)(struct work *))
{
	w->fn = fn;
	w->pending = 0;
	list_init(&w->link);
}

SEAM void work_queue(struct work *w)
{
	if (!w->pending)
		list_push_back(&works, &w->link);
	w->pending = 1;
}

SEAM void work_flush(struct work *w)
{
	(void)w;
	seam_run_work();
}

unsigned seam_run_bottoms(void)
{
	unsigned n = 0;

	for (; !list_empty(&bottoms); n++) {
		struct bottom *b = list_first(&bottoms, struct bottom, link);

		list_remove(&b->link);
		b->pending = 0;
		b->fn(b);
	}
	return n;
}

unsigned seam_run_work(void)
{
	unsigned n = 0;

	for (; !list_empty(&works); n++) {
		struct work *w = list_first(&works, struct work, link);

		list_remove(&w->link);
		w->pending = 0;
		w->fn(w);
	}
	return n;
}
