// SPDX-License-Identifier: Apache-2.0
/*
 * Wait queues: worlds wait for a condition that another world, a bottom half or an interrupt makes
 * true and then wakes. Wakers may be in any context. The condition is evaluated without a lock of
 * the queue.
 */
#ifndef VMK_WAIT_H
#define VMK_WAIT_H
#include "vmk/lock.h"

struct waitq {
	struct spinlock lock;
	struct list waiters;
};

/*
 * A wait in progress; usually on the waiting world's stack. fn, when set, is called at each wake
 * instead of waking world (poll and epoll use it), in the waker's context, under the queue's lock.
 */
struct waiter {
	struct list link;
	struct world *world;
	void (*fn)(struct waiter *w);
};

void waitq_init(struct waitq *q, const char *name);
void waitq_wake_one(struct waitq *q);
void waitq_wake_all(struct waitq *q);
void waitq_add(struct waitq *q, struct waiter *w);
void waitq_remove(struct waitq *q, struct waiter *w);

/*
 * Steps of a wait, the waiter zeroed before the first: prepare (marks the world as sleeping), test,
 * sleep, finish. wait_sleep returns 0 when woken, -ETIMEDOUT at the absolute deadline (NS_NEVER:
 * none), -EINTR when interruptible and the world was asked to stop or has a signal
 * (world_interrupt()).
 */
void wait_prepare(struct waitq *q, struct waiter *w);
int wait_sleep(ns_t deadline, bool interruptible);
void wait_finish(struct waitq *q, struct waiter *w);

#define WAIT_LOOP_(q, cond, deadline, intr)                                                  \
	({                                                                                   \
		struct waiter w_ = { .world = NULL };                                        \
		const ns_t deadline_ = (deadline); /* once: it may contain time_now() */     \
		int err_ = 0;                                                                \
		for (;;) {                                                                   \
			wait_prepare((q), &w_);                                              \
			/* Once more after a deadline or a signal: a true condition wins. */ \
			if (cond) {                                                          \
				err_ = 0;                                                    \
				break;                                                       \
			}                                                                    \
			if (err_)                                                            \
				break;                                                       \
			err_ = wait_sleep(deadline_, (intr));                                \
		}                                                                            \
		wait_finish((q), &w_);                                                       \
		err_;                                                                        \
	})
/* Each re-tests the condition after every wake; cond may have side effects only when true. */
#define wait_event(q, cond)                ((void)WAIT_LOOP_(q, cond, NS_NEVER, false))
#define wait_event_until(q, cond, dl)      WAIT_LOOP_(q, cond, dl, false)
#define wait_event_interruptible(q, cond)  WAIT_LOOP_(q, cond, NS_NEVER, true)
#define wait_event_intr_until(q, cond, dl) WAIT_LOOP_(q, cond, dl, true)
#endif
