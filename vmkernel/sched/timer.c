// SPDX-License-Identifier: Apache-2.0
/*
 * Timers: one queue a CPU, a tree by deadline, run in the CPU's bottom half. The CPU's clock event
 * is armed for the earlier of the first timer and the end of the running world's slice. It is only
 * moved to an earlier time: an event that came too early rearms it, which costs less than a write
 * of the device at each switch of worlds. timer_queue.lock guards the queue and the fields of its
 * timers; timer.cpu changes under the lock of the queue that it names (or from -1 under the one
 * that it is to name). Who arms a timer serializes timer_set() on it: two at once would each put it
 * into a tree.
 */
#include "sched/timerq.h"
#include "vmk/cpu.h"
#include "vmk/errno.h"
#include "vmk/lock.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/time.h"
#include "vmk/work.h"
#include "x86/percpu.h"

struct timer_queue {
	struct spinlock lock;
	struct tree tree;
	ns_t armed;            /* what the clock event is set to; this CPU only */
	ns_t slice_end;        /* this CPU only */
	struct timer *running; /* whose fn this CPU is in */
	struct bottom bottom;
};

static struct timer_queue *queues[CPUS_MAX];

STAT(set, "sched.timer.set", "timers armed");
STAT(fired, "sched.timer.fired", "timer functions run");
STAT(events, "sched.timer.events", "clock event interrupts");

static int by_deadline(const struct tree_node *a, const struct tree_node *b)
{
	const struct timer *x = tree_entry(a, struct timer, node);
	const struct timer *y = tree_entry(b, struct timer, node);

	return x->deadline < y->deadline ? -1 : x->deadline > y->deadline;
}

static ns_t first_deadline(const struct timer_queue *q)
{
	struct tree_node *n = tree_min(&q->tree);

	return n ? tree_entry(n, struct timer, node)->deadline : NS_NEVER;
}

/* Interrupts off, on the queue's CPU. */
static void arm(struct timer_queue *q, ns_t deadline)
{
	if (deadline < q->armed) {
		q->armed = deadline;
		clockevent_set(deadline);
	}
}

static void run_timers(struct bottom *b)
{
	struct timer_queue *q = container_of(b, struct timer_queue, bottom);
	uint64_t flags = spin_lock_irq(&q->lock);
	unsigned budget = BOTTOM_BUDGET;

	while (first_deadline(q) <= time_now()) {
		struct timer *t = tree_entry(tree_min(&q->tree), struct timer, node);

		if (!budget--) {
			bottom_raise(b);
			break;
		}
		/*
		 * Idle before fn runs, since fn may arm it again; running under the same lock, so
		 * that timer_cancel_sync() finds it in the queue or running, never in between.
		 */
		tree_remove(&q->tree, &t->node);
		t->cpu = -1;
		WRITE_ONCE(q->running, t);
		spin_unlock_irq(&q->lock, flags);
		t->fn(t); /* may free t */
		store_release(&q->running, NULL);
		stat_inc(fired);
		flags = spin_lock_irq(&q->lock);
	}
	arm(q, first_deadline(q));
	spin_unlock_irq(&q->lock, flags);
}

void timer_interrupt(void)
{
	struct timer_queue *q = this_cpu()->timer;
	ns_t now = time_now();

	stat_inc(events);
	/* The event has come, so the device is not armed for anything. */
	q->armed = NS_NEVER;
	if (q->slice_end <= now) {
		q->slice_end = NS_NEVER;
		this_cpu()->need_resched = 1;
	}
	arm(q, q->slice_end);
	bottom_raise(&q->bottom); /* runs what is due, then arms for the first that is not */
}

void timer_slice_end(ns_t deadline)
{
	struct timer_queue *q = this_cpu()->timer;

	q->slice_end = deadline;
	arm(q, deadline);
}

int timer_init_cpu(unsigned cpu)
{
	struct timer_queue *q = kzalloc(sizeof(*q));

	if (!q)
		return -ENOMEM;
	spin_init(&q->lock, "timers", RANK_TIMER);
	tree_init(&q->tree, by_deadline);
	q->armed = q->slice_end = NS_NEVER;
	bottom_init(&q->bottom, run_timers);
	queues[cpu] = q;
	percpu[cpu]->timer = q;
	return 0;
}

void timer_init(struct timer *t, void (*fn)(struct timer *))
{
	*t = (struct timer){ .fn = fn, .cpu = -1 };
}

/* Takes t out of whatever queue it is in. */
bool timer_cancel(struct timer *t)
{
	int cpu;

	while ((cpu = READ_ONCE(t->cpu)) >= 0) {
		/*
		 * It may fire and be armed on another CPU before the lock is held: then look again.
		 */
		struct timer_queue *q = queues[cpu];
		uint64_t flags = spin_lock_irq(&q->lock);
		bool mine = t->cpu == cpu;

		if (mine) {
			tree_remove(&q->tree, &t->node);
			t->cpu = -1;
		}
		spin_unlock_irq(&q->lock, flags);
		if (mine)
			return true;
	}
	return false;
}

void timer_set(struct timer *t, ns_t deadline)
{
	struct timer_queue *q;
	uint64_t flags;

	timer_cancel(t);
	/* Off before this CPU's queue is chosen: it has to be this CPU that arms its own event. */
	flags = irq_save();
	q = this_cpu()->timer;
	spin_lock(&q->lock);
	t->deadline = deadline;
	t->cpu = (int)cpu_id();
	tree_insert(&q->tree, &t->node);
	if (tree_min(&q->tree) == &t->node)
		arm(q, deadline);
	spin_unlock_irq(&q->lock, flags);
	stat_inc(set);
}

void timer_cancel_sync(struct timer *t)
{
	/* Until it is idle after its function has ended: the function may have armed it again. */
	do {
		timer_cancel(t);
		for (unsigned i = 0; i < cpu_count(); i++)
			while (queues[i] && load_acquire(&queues[i]->running) == t)
				cpu_relax();
	} while (READ_ONCE(t->cpu) >= 0);
}
