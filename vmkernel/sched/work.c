// SPDX-License-Identifier: Apache-2.0
/*
 * Work worlds: one queue for all, served by as many worlds as are needed so that work that sleeps
 * does not delay the rest. A worker that was the last idle one starts another before it runs its
 * item. `lock` guards the queue and the counts; work.pending is 1 from queueing until just before
 * fn. An item that is queued while it runs stays in the queue until its function has returned: the
 * worker that ran it looks at the queue next.
 */
#include "sched/sched.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "vmk/wait.h"
#include "vmk/work.h"
#include "vmk/world.h"

#define LOG_MODULE "work"

enum { WORKERS_MAX = 64 };

static struct spinlock lock = SPINLOCK_INIT("work", RANK_WAIT - 1);
static struct list queue = LIST_INIT(queue);
static unsigned idle; /* workers that wait for an item */
static bool used[WORKERS_MAX];
static struct waitq more = { SPINLOCK_INIT("work", RANK_WAIT), LIST_INIT(more.waiters) };
static struct waitq done = { SPINLOCK_INIT("work done", RANK_WAIT), LIST_INIT(done.waiters) };

static struct work *running[WORKERS_MAX]; /* by worker; lock */

STAT(items, "sched.work.items", "work items run");
STAT(starts, "sched.work.worlds", "work worlds started");

void work_init(struct work *w, void (*fn)(struct work *))
{
	list_init(&w->link);
	w->fn = fn;
	w->pending = 0;
}

void work_queue(struct work *w)
{
	uint64_t flags;

	if (__atomic_exchange_n(&w->pending, 1, __ATOMIC_ACQ_REL))
		return;
	flags = spin_lock_irq(&lock);
	list_push_back(&queue, &w->link);
	spin_unlock_irq(&lock, flags);
	waitq_wake_one(&more);
}

static int start_worker(void);

/* Under lock. Compares the address only: the function may have freed the item. */
static bool is_running(const struct work *w)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		if (running[i] == w)
			return true;
	return false;
}

/* The first item that no worker is in, or NULL. */
static struct work *first_ready(void)
{
	struct work *w;

	list_for_each(w, &queue, link)
		if (!is_running(w))
			return w;
	return NULL;
}

/*
 * The next item for worker me; false when there is none. Sets *grow when no worker is left to wait.
 */
static bool take(unsigned me, bool *grow)
{
	uint64_t flags = spin_lock_irq(&lock);
	struct work *w = first_ready();

	if (w) {
		/* Running before it is no longer pending: busy() sees one or the other. */
		list_remove(&w->link);
		running[me] = w;
		idle--;
		*grow = !idle;
		store_release(&w->pending, 0);
	}
	spin_unlock_irq(&lock, flags);
	return w != NULL;
}

static void worker(void *arg)
{
	unsigned me = (unsigned)(uintptr_t)arg;

	for (;;) {
		bool grow = false;
		uint64_t flags;

		wait_event(&more, take(me, &grow));
		if (grow && start_worker())
			log_warn("no memory for another work world");
		running[me]->fn(running[me]); /* may free the item */
		stat_inc(items);
		flags = spin_lock_irq(&lock);
		running[me] = NULL;
		idle++;
		spin_unlock_irq(&lock, flags);
		waitq_wake_all(&done);
	}
}

/* A free number for a worker, which counts as idle from now on; WORKERS_MAX: none. */
static unsigned claim_worker(void)
{
	uint64_t flags = spin_lock_irq(&lock);
	unsigned me = 0;

	while (me < WORKERS_MAX && used[me])
		me++;
	if (me < WORKERS_MAX) {
		used[me] = true;
		idle++;
	}
	spin_unlock_irq(&lock, flags);
	return me;
}

static void unclaim_worker(unsigned me)
{
	uint64_t flags = spin_lock_irq(&lock);

	used[me] = false;
	idle--;
	spin_unlock_irq(&lock, flags);
}

/* Starts another worker unless there are WORKERS_MAX; more work than that waits. 0 or -ENOMEM. */
static int start_worker(void)
{
	unsigned me = claim_worker();
	struct world *w;
	int err;

	if (me == WORKERS_MAX)
		return 0;
	err = world_create(&(struct world_attr){ .name = "work",
	                                         .kind = WORLD_KERNEL,
	                                         .cpu = -1,
	                                         .fn = worker,
	                                         .arg = (void *)(uintptr_t)me },
	                   &w);
	if (err) {
		unclaim_worker(me);
		return err;
	}
	stat_inc(starts);
	world_start(w);
	world_put(w);
	return 0;
}

int work_init_worlds(void)
{
	return start_worker();
}

/* Queued, or in the hands of a worker. */
static bool busy(struct work *w)
{
	uint64_t flags = spin_lock_irq(&lock);
	bool is = w->pending || is_running(w);

	spin_unlock_irq(&lock, flags);
	return is;
}

void work_flush(struct work *w)
{
	wait_event(&done, !busy(w));
}
