// SPDX-License-Identifier: Apache-2.0
/*
 * Spreading worlds over CPUs. Each CPU pulls, from the CPU whose virtual time is furthest behind its own: its worlds
 * get less than theirs. A CPU without work takes what waits longest anywhere. Another queue is only tried, never
 * waited for, so two CPUs that pull from each other cannot deadlock.
 */
#include "sched/runq.h"
#include "vmk/stat.h"
#include "x86/percpu.h"

#define BALANCE_PERIOD	  (2 * NS_PER_MS)
#define BALANCE_TOLERANCE ((int64_t)SHARE_SLICE) /* of virtual time */
#define BALANCE_REACH	  ((int64_t)(128 * NS_PER_MS))

static uint64_t idle_cpus[CPUS_MAX / 64]; /* atomic; whoever clears a bit has that CPU's attention */
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

		share_remove(&from->share, e);
		WRITE_ONCE(from->waiting, from->share.waiting.count);
		w->cpu = rq->cpu;
		w->times.migrations++;
		share_insert(&rq->share, e, now);
	}
	spin_unlock(&from->lock);
	return e != NULL;
}

/* The CPU with waiting worlds whose virtual time is least; for an idle CPU: with the most of them. */
static struct runq *slowest(const struct runq *rq, bool idle)
{
	struct runq *best = NULL;

	for (unsigned i = 0; i < cpu_count(); i++) {
		struct runq *r = runqs[i];

		if (!r || r == rq || !READ_ONCE(r->waiting))
			continue;
		if (!best || (idle ? r->waiting > best->waiting : r->clock < best->clock))
			best = r;
	}
	return best;
}

/* Somebody else may help: wakes one idle CPU, which pulls. */
static void call_for_help(void)
{
	for (unsigned i = 0; i < CPUS_MAX / 64; i++) {
		uint64_t m = READ_ONCE(idle_cpus[i]);
		unsigned cpu = i * 64 + (m ? (unsigned)__builtin_ctzll(m) : 0);

		if (m && claim_idle(cpu)) {
			WRITE_ONCE(percpu[cpu]->need_resched, 1);
			cpu_resched(cpu);
			return;
		}
	}
}

void balance(struct runq *rq, ns_t now)
{
	bool idle = !rq->share.count;
	struct runq *from;

	if (!idle && now < rq->balance_at)
		return;
	rq->balance_at = now + BALANCE_PERIOD;
	from = slowest(rq, idle);
	if (idle) {
		share_align(&rq->share, from ? READ_ONCE(from->clock) : reference, 0);
		if (from && pull(rq, from, true, now))
			stat_inc(stolen);
		return;
	}
	if (rq->share.waiting.count > 1)
		call_for_help();
	WRITE_ONCE(reference, share_time(&rq->share));
	if (!from)
		return;
	if (share_time(&rq->share) - READ_ONCE(from->clock) > BALANCE_REACH)
		share_align(&rq->share, READ_ONCE(from->clock), BALANCE_REACH);
	if (share_time(&rq->share) - READ_ONCE(from->clock) > BALANCE_TOLERANCE &&
	    pull(rq, from, false, now))
		stat_inc(pulled);
}
