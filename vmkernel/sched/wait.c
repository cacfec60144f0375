// SPDX-License-Identifier: Apache-2.0
/*
 * Wait queues and mutexes, both over sched_sleep_begin() and sched_sleep(). A waiter's link is
 * touched under the queue's lock only, and its world is woken under it too: so a world that has
 * left wait_finish() is no longer known to any waker. FIFO.
 */
#include "vmk/wait.h"
#include "sched/world.h"
#include "vmk/errno.h"
#include "vmk/log.h"

void waitq_init(struct waitq *q, const char *name)
{
	spin_init(&q->lock, name, RANK_WAIT);
	list_init(&q->waiters);
}

void waitq_add(struct waitq *q, struct waiter *w)
{
	uint64_t flags = spin_lock_irq(&q->lock);

	list_push_back(&q->waiters, &w->link);
	spin_unlock_irq(&q->lock, flags);
}

void waitq_remove(struct waitq *q, struct waiter *w)
{
	uint64_t flags = spin_lock_irq(&q->lock);

	list_remove(&w->link);
	spin_unlock_irq(&q->lock, flags);
}

/* Functions are told of every wake; of the worlds only the first, unless all. */
static void wake(struct waitq *q, bool all)
{
	uint64_t flags;
	struct waiter *w, *next;

	/*
	 * Pairs with the order in a wait: a waiter enters the queue and then tests its condition.
	 * We made the condition true before; so either it sees that, or we see it in the list here.
	 */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (list_empty(&q->waiters))
		return;
	flags = spin_lock_irq(&q->lock);
	list_for_each_safe(w, next, &q->waiters, link) {
		if (w->fn) {
			w->fn(w);
			continue;
		}
		if (!w->world)
			continue;
		/*
		 * Under the lock: once it is released, the waiter on the world's stack may be gone.
		 */
		list_remove(&w->link);
		world_wake(w->world);
		if (all)
			continue;
		break;
	}
	spin_unlock_irq(&q->lock, flags);
}

void waitq_wake_one(struct waitq *q)
{
	wake(q, false);
}

void waitq_wake_all(struct waitq *q)
{
	wake(q, true);
}

void wait_prepare(struct waitq *q, struct waiter *w)
{
	uint64_t flags;

	if (!w->world) {
		w->world = world_current();
		w->fn = NULL;
		list_init(&w->link);
	}
	/* Before it is in the queue: a wake from then on clears the announcement. */
	sched_sleep_begin();
	flags = spin_lock_irq(&q->lock);
	/* The wake that ended the last sleep has taken it out; a deadline or a signal has not. */
	if (list_empty(&w->link))
		list_push_back(&q->waiters, &w->link);
	spin_unlock_irq(&q->lock, flags);
}

int wait_sleep(ns_t deadline, bool interruptible)
{
	struct world *me = world_current();

	/* After the announcement, so an interruption that is not seen here ends the sleep. */
	if (interruptible && world_interrupted(me))
		return -EINTR;
	if (deadline == NS_NEVER) {
		sched_sleep();
	} else {
		if (time_now() >= deadline)
			return -ETIMEDOUT;
		timer_set(&me->timer, deadline);
		sched_sleep();
		/* If its function still runs it wakes this world once more: one needless test. */
		timer_cancel(&me->timer);
		if (time_now() >= deadline)
			return -ETIMEDOUT;
	}
	return interruptible && world_interrupted(me) ? -EINTR : 0;
}

void wait_finish(struct waitq *q, struct waiter *w)
{
	sched_sleep_end();
	waitq_remove(q, w);
}

void mutex_init(struct mutex *m, const char *name)
{
	spin_init(&m->lock, name, RANK_WAIT);
	m->owner = NULL;
	list_init(&m->waiters);
}

/*
 * Unlocking hands the mutex over to the world that waited longest: a world that locks and unlocks
 * in a loop cannot keep the others out. m->lock is taken with interrupts on, since only worlds take
 * mutexes.
 */
void mutex_lock(struct mutex *m)
{
	struct world *me = world_current();
	struct waiter w = { .world = me };

	spin_lock(&m->lock);
	if (!m->owner) {
		m->owner = me;
		spin_unlock(&m->lock);
		return;
	}
	if (m->owner == me)
		panic("mutex %s locked twice", m->lock.name);
	list_push_back(&m->waiters, &w.link);
	spin_unlock(&m->lock);
	/* In a loop: a world may also be woken for another reason, such as a signal. */
	for (;;) {
		sched_sleep_begin();
		if (load_acquire(&m->owner) == me)
			break;
		sched_sleep();
	}
	sched_sleep_end();
	/*
	 * mutex_unlock() stores the owner before it wakes, and w is on this stack: wait until it
	 * has left the lock, and does not use w any more.
	 */
	spin_lock(&m->lock);
	spin_unlock(&m->lock);
}

bool mutex_trylock(struct mutex *m)
{
	bool got;

	spin_lock(&m->lock);
	got = !m->owner;
	if (got)
		m->owner = world_current();
	spin_unlock(&m->lock);
	return got;
}

void mutex_unlock(struct mutex *m)
{
	struct waiter *w;

	spin_lock(&m->lock);
	if (m->owner != world_current())
		panic("mutex %s unlocked by a world that does not hold it", m->lock.name);
	w = list_first(&m->waiters, struct waiter, link);
	if (w) {
		struct world *next = w->world;

		list_remove(&w->link);
		store_release(&m->owner, next);
		world_wake(next);
	} else {
		m->owner = NULL;
	}
	spin_unlock(&m->lock);
}

bool mutex_held(const struct mutex *m)
{
	return READ_ONCE(m->owner) == world_current();
}
