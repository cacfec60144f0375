// SPDX-License-Identifier: Apache-2.0
/*
 * Spreading worlds over CPUs. Each CPU pulls worlds from the CPU whose virtual time is furthest
 * behind its own, that is, whose worlds get less service than their rates promise. A CPU without
 * work pulls from the CPU where most worlds wait. A CPU holds its own queue's lock meanwhile and
 * only tries the other's, so two CPUs that pull from each other cannot deadlock. All queues are
 * measured against the mean of their virtual times: a queue that was empty starts there and not at
 * a neighbour's time, which may be behind.
 */
#include "sched/runq.h"
#include "vmk/stat.h"
#include "x86/percpu.h"

#define BALANCE_PERIOD    (2 * NS_PER_MS)
#define BALANCE_TOLERANCE ((int64_t)SHARE_SLICE) /* of virtual time */
#define BALANCE_REACH     ((int64_t)NS_PER_S)    /* differences beyond this are forgotten */

enum { MOVES = 2 };

/*
 * CPUs that have nothing to run; atomic. Whoever clears a bit gives that CPU a world or asks it to
 * pull, so that two wakers do not choose the same CPU.
 */
static uint64_t idle_cpus[CPUS_MAX / 64];
/* The mean of the virtual times. Written by each CPU that surveys, without a lock: any is good. */
static int64_t reference;

STAT(pulled, "sched.pulled", "worlds that a CPU took over from a slower one");
STAT(stolen, "sched.stolen", "worlds that an idle CPU took over");

int64_t balance_reference(void)
{
	return READ_ONCE(reference);
}

void balance_idle(unsigned cpu)
{
	__atomic_fetch_or(&idle_cpus[cpu / 64], BIT(cpu % 64), __ATOMIC_SEQ_CST);
}

static bool claim_idle(unsigned cpu)
{
	return __atomic_fetch_and(&idle_cpus[cpu / 64], ~BIT(cpu % 64), __ATOMIC_SEQ_CST) &
	       BIT(cpu % 64);
}

unsigned balance_place(unsigned last)
{
	int found = -1;

	/* Where its caches may still be warm; then a CPU of the same node; then any. */
	if (claim_idle(last))
		return last;
	for (unsigned i = 0; i < CPUS_MAX / 64; i++)
		for (uint64_t m = READ_ONCE(idle_cpus[i]); m; m &= m - 1) {
			unsigned cpu = i * 64 + (unsigned)__builtin_ctzll(m);

			if (found < 0 || cpu_node(cpu) == cpu_node(last))
				found = (int)cpu;
			if (cpu_node(cpu) == cpu_node(last))
				goto out;
		}
out:
	/* Another waker may have claimed it first: then the world waits where it ran last. */
	return found >= 0 && claim_idle((unsigned)found) ? (unsigned)found : last;
}

static bool pull(struct runq *rq, struct runq *from, bool any, ns_t now)
{
	struct share_entity *e;

	if (!spin_trylock(&from->lock))
		return false;
	e = share_candidate(&from->share, &rq->share, any);
	if (e) {
		struct world *w = container_of(e, struct world, share);

		/* w->cpu, which names the lock that guards w, changes under both locks. */
		rq->share.common = READ_ONCE(reference);
		share_remove(&from->share, e);
		WRITE_ONCE(from->waiting, from->share.waiting.count);
		w->cpu = rq->cpu;
		w->times.migrations++;
		share_insert(&rq->share, e, now);
	}
	spin_unlock(&from->lock);
	return e != NULL;
}

/*
 * Up to MOVES worlds. share_candidate() sees to it that `from` does not become the emptier queue.
 */
static void pull_some(struct runq *rq, struct runq *from, ns_t now)
{
	for (unsigned i = 0; i < MOVES && pull(rq, from, false, now); i++)
		stat_inc(pulled);
}

/*
 * An estimate of r's virtual time now, without its lock: r publishes its time at each decision, and
 * since then it has advanced by the elapsed time over the sum of rates.
 */
static int64_t clock_of(const struct runq *r, ns_t now)
{
	ns_t at = READ_ONCE(r->charged);
	uint32_t rates = READ_ONCE(r->rates);

	return READ_ONCE(r->clock) +
	       (rates && now > at ? (int64_t)(((now - at) << 20) / rates) : 0);
}

/*
 * One look at all queues, without their locks: a wrong choice costs a failed pull. Returns the CPU
 * with waiting worlds whose virtual time is least; for an idle CPU, the one with most of them. Sets
 * the reference to the mean of the virtual times, weighted with the sums of rates.
 */
static struct runq *survey(const struct runq *rq, bool idle, ns_t now)
{
	int64_t base = READ_ONCE(reference), moments = 0, rates = 0;
	struct runq *best = NULL;

	for (unsigned i = 0; i < cpu_count(); i++) {
		struct runq *r = runqs[i];
		int64_t weight, ahead;

		if (!r)
			continue;
		weight = r == rq ? (int64_t)rq->share.rates : READ_ONCE(r->rates);
		ahead = (r == rq ? share_time(&rq->share) : clock_of(r, now)) - base;
		/* Clipped: one queue that is far off (it was idle long) does not shift the mean. */
		rates += weight;
		moments += weight * MAX(MIN(ahead, BALANCE_REACH), -BALANCE_REACH) / RATE_ONE;
		if (r == rq || !READ_ONCE(r->waiting))
			continue;
		if (!best ||
		    (idle ? r->waiting > best->waiting : clock_of(r, now) < clock_of(best, now)))
			best = r;
	}
	if (rates)
		WRITE_ONCE(reference, base + moments * RATE_ONE / rates);
	return best;
}

/*
 * Asks another CPU to pull: an idle one, or one that runs its only world without interruption and
 * so makes no decisions at which it would balance.
 */
static void call_for_help(ns_t now)
{
	int helper = -1;

	for (unsigned i = 0; i < CPUS_MAX / 64 && helper < 0; i++) {
		uint64_t m = READ_ONCE(idle_cpus[i]);
		unsigned cpu = i * 64 + (m ? (unsigned)__builtin_ctzll(m) : 0);

		if (m && claim_idle(cpu))
			helper = (int)cpu;
	}
	for (unsigned i = 0; i < cpu_count() && helper < 0; i++)
		if (runqs[i] && !READ_ONCE(runqs[i]->waiting) &&
		    READ_ONCE(runqs[i]->balance_at) < now)
			helper = (int)i;
	if (helper >= 0) {
		WRITE_ONCE(percpu[helper]->need_resched, 1);
		cpu_resched((unsigned)helper);
	}
}

void balance(struct runq *rq, ns_t now)
{
	bool idle = !rq->share.count;
	struct runq *from;

	rq->balance_at = now + BALANCE_PERIOD;
	from = survey(rq, idle, now);
	if (idle) {
		/* What it pulls is measured against the mean, not against the time it went idle. */
		share_align(&rq->share, READ_ONCE(reference), 0);
		if (from && pull(rq, from, true, now))
			stat_inc(stolen);
		return;
	}
	if (rq->share.waiting.count)
		call_for_help(now);
	if (!from)
		return;
	/*
	 * A difference that pulling could not even out (pinned worlds) must not grow without bound.
	 */
	if (share_time(&rq->share) - clock_of(from, now) > BALANCE_REACH)
		share_align(&rq->share, clock_of(from, now), BALANCE_REACH);
	if (share_time(&rq->share) - clock_of(from, now) > BALANCE_TOLERANCE)
		pull_some(rq, from, now);
}
