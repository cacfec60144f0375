// SPDX-License-Identifier: Apache-2.0
/*
 * Waiting on several files. A waiter in each file's queue sets `woken` and wakes the world, which
 * then asks the files again. Spec: POSIX.1-2017 poll.
 */
#include "fs/poll.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/world.h"

struct table {
	struct waitq wait; /* where the world sleeps; woken is set before it is woken */
	struct world *world;
	uint32_t woken;
};
struct table_waiter {
	struct waiter w;
	struct waitq *q;
	struct table *table;
};

/* Any context, under a file's queue lock. */
static void table_wake(struct waiter *w)
{
	struct table *t = container_of(w, struct table_waiter, w)->table;

	store_release(&t->woken, 1);
	world_wake(t->world);
}

unsigned file_poll(struct file *f, struct waitq **q)
{
	*q = NULL;
	return f->ops->poll ? f->ops->poll(f, q) : FPOLLIN | FPOLLOUT;
}

/* Asks every file; waiters go into the queues on the first round, until something is ready. */
static long ask(struct poll_item *items, unsigned count, struct table_waiter *tw)
{
	long ready = 0;

	for (unsigned i = 0; i < count; i++) {
		struct waitq *q = NULL;

		if (!items[i].f)
			continue;
		if (tw && !ready) {
			(void)file_poll(items[i].f, &q);
			if (q) {
				tw[i].q = q;
				waitq_add(q, &tw[i].w);
			}
		}
		/* Asked after the waiter is in the queue: a change in between sets woken. */
		items[i].ready = file_poll(items[i].f, &q) & (items[i].want | FPOLLERR | FPOLLHUP);
		ready += items[i].ready != 0;
	}
	return ready;
}

long poll_wait(struct poll_item *items, unsigned count, ns_t deadline)
{
	struct table t = { .world = world_current() };
	struct table_waiter *tw;
	long ready = ask(items, count, NULL);
	int err;

	/* The usual case takes no memory and touches no queue. */
	if (ready || deadline == 0)
		return ready;
	tw = kcalloc(MAX(count, 1u), sizeof(*tw));
	if (!tw)
		return -ENOMEM;
	waitq_init(&t.wait, "poll");
	for (unsigned i = 0; i < count; i++) {
		tw[i].table = &t;
		tw[i].w.fn = table_wake;
		list_init(&tw[i].w.link);
	}
	ready = ask(items, count, tw);
	/*
	 * woken is cleared before the files are asked, so that a change after the question ends the
	 * next wait.
	 */
	while (!ready) {
		err = wait_event_intr_until(&t.wait, load_acquire(&t.woken), deadline);
		WRITE_ONCE(t.woken, 0);
		ready = ask(items, count, NULL);
		if (err && !ready) {
			ready = err == -ETIMEDOUT ? 0 : -EINTR;
			break;
		}
	}
	for (unsigned i = 0; i < count; i++)
		/* Wakes run under the queue's lock: after this none uses the table. */
		if (tw[i].q)
			waitq_remove(tw[i].q, &tw[i].w);
	kfree(tw);
	return ready;
}
