// SPDX-License-Identifier: Apache-2.0
/*
 * Who runs next on one CPU. Pure decisions: no hardware, no locks, no clock of its own; the run
 * queue's lock guards a queue and its entities. Model: earliest eligible virtual deadline first
 * (EEVDF; Stoica, Abdel-Wahab 1995). An entity's rate is what it is entitled to (fill.h computes
 * it), in 2^-20 of a CPU; its virtual time advances by used/rate, so the virtual times of entities
 * that get what they are entitled to advance alike. An entity is eligible to run while its virtual
 * time is not ahead of the queue's average.
 *
 * The average is V = sum(rate * start) / sum(rate) over the waiting and the running entities. It is
 * kept as V = base + moments / rates, with moments = sum(rate * (start - base)), so that the
 * products stay small. An entity's lag, (V - start) * rate, is the service that the queue owes it.
 *
 * Two counts of virtual time: each queue counts its own, and `shift` turns it into the common count
 * that queues are compared by. The start of an entity is in the queue's count while it is part of
 * the sums, and in the common count otherwise (SHARE_OUT, SHARE_CAPPED).
 */
#ifndef SCHED_SHARE_H
#define SCHED_SHARE_H
#include "sched/timeline.h"
#include "vmk/tree.h"

#define RATE_ONE    (1u << 20)      /* one whole CPU */
#define SHARE_SLICE (4 * NS_PER_MS) /* what a world asks for at a time */
#define SHARE_BURST (NS_PER_MS / 4) /* the shortest request of a world that sleeps a lot */

enum share_where { SHARE_OUT, SHARE_WAITING, SHARE_CAPPED, SHARE_RUNNING };

struct share_entity {
	struct tl_node node; /* start: virtual time, the queue's or (out, capped) the common one */
	struct tree_node capped; /* by release */
	uint8_t where;           /* enum share_where */
	bool pinned;             /* balancing leaves it alone */
	bool fresh;              /* was never in a queue: starts without credit or debt */
	uint32_t rate;           /* in the queue's sums; >= 1 */
	/*
	 * fill.c writes these two without the queue's lock: any read may see another value.
	 * new_rate is applied when the entity stops, is refreshed or enters a queue.
	 */
	uint32_t new_rate;
	uint32_t limit;   /* hard limit in real time; RATE_ONE: none */
	int64_t left;     /* ns of the current request */
	uint32_t request; /* ns: the length of its bursts between sleeps, at most a slice */
	uint32_t burst;   /* ns used since it last slept */
	ns_t release;     /* with a limit: when it may run again */
	/* Time ready or running in all; since when it is that, NS_NEVER: it sleeps. */
	ns_t busy, busy_since;
};

struct share_queue {
	struct timeline waiting;
	struct tree capped;
	struct share_entity *running;
	uint64_t rates;  /* sum of rate, waiting and running */
	int64_t moments; /* sum of rate * (start - base) */
	int64_t base;
	int64_t shift; /* common virtual time - the queue's */
	/* the mean of all queues' share_time(), which the caller keeps up to date */
	int64_t common;
	unsigned count; /* waiting and running */
};

void share_queue_init(struct share_queue *q, uint32_t seed);
void share_entity_init(struct share_entity *e, uint32_t rate);
/* The queue's average virtual time, in the common count that queues are compared by. */
int64_t share_time(const struct share_queue *q);
/* The same right after share_pick(), which has just brought base up to the average. */
static inline int64_t share_time_picked(const struct share_queue *q)
{
	return q->base + q->shift;
}

/* A world that was created, woke up or comes from another CPU. */
void share_insert(struct share_queue *q, struct share_entity *e, ns_t now);
/* Takes out one that is waiting or capped. */
void share_remove(struct share_queue *q, struct share_entity *e);
/* Whether e, which has just been inserted, should run instead of the running one. */
bool share_preempts(const struct share_queue *q, const struct share_entity *e);

/* The running entity has used dt. */
void share_charge(struct share_queue *q, ns_t dt, ns_t now);
/* The running entity leaves the CPU: ready for more, giving up its request (yield), or asleep. */
enum share_leave { SHARE_READY, SHARE_YIELD, SHARE_SLEEP };
void share_stop(struct share_queue *q, enum share_leave how, ns_t now);
/* Entitlements have changed: applies those of waiting entities. O(n), as fill_pass() was. */
void share_refresh(struct share_queue *q);
/* Chooses and starts the next entity; NULL: idle. Nothing is running. */
struct share_entity *share_pick(struct share_queue *q, ns_t now);
/*
 * When to decide again at the latest: end of the request, or a capped entity's release; NS_NEVER.
 */
ns_t share_next(const struct share_queue *q, ns_t now);
/*
 * The waiting entity that should move from the slower queue to q, or NULL: of the first
 * CANDIDATES, the one with the largest rate that still brings the sums of rates and the virtual
 * times closer together. any: q is idle, the first that is not pinned will do.
 */
struct share_entity *share_candidate(const struct share_queue *from, const struct share_queue *q,
                                     bool any);
/*
 * Changes q's shift so that its share_time() is at most `reach` from `time`. An older difference is
 * forgotten: worlds that arrived later are not made to pay for it. A queue that was empty is
 * aligned with reach 0.
 */
void share_align(struct share_queue *q, int64_t time, int64_t reach);
#endif
