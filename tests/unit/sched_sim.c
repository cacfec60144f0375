// SPDX-License-Identifier: Apache-2.0
/*
 * Simulated CPUs around the scheduler's deciding code (share.c, fill.c, group.c, balance.c): each
 * decision happens at the time that share_next() named or when a world's burst ends or it wakes up.
 * Does what runq.c does, minus stacks, locks and interrupts.
 */
#include "sched_sim.h"
#include "sched/runq.h"
#include "seam.h"
#include "vmk/log.h"
#include "x86/percpu.h"

#include <stdlib.h>
#include <string.h>

enum { SIM_WORLDS = 100000, SIM_GROUPS = 512 };

struct sim_world {
	struct world w;
	ns_t burst, sleep; /* runs so long, sleeps so long; burst 0: never sleeps */
	ns_t left;         /* of the burst */
	ns_t wake_at;
	ns_t eligible_since, worst_wait;
};

struct runq *runqs[CPUS_MAX];
struct percpu *percpu[CPUS_MAX];
static struct sim_world *worlds;
static struct group *groups[SIM_GROUPS];
static unsigned world_count, group_count;
static ns_t due[CPUS_MAX];
static bool watch_waits;
uint64_t sim_decisions;

static struct sim_world *of(struct share_entity *e)
{
	return container_of(container_of(e, struct world, share), struct sim_world, w);
}

void cpu_resched(unsigned cpu)
{
	due[cpu] = seam_now;
}

void sim_start(unsigned cpus)
{
	seam_now += NS_PER_S; /* time goes on between simulations, as group.c expects */
	seam_cpus = cpus;
	worlds = calloc(SIM_WORLDS, sizeof(*worlds));
	world_count = group_count = 0;
	for (unsigned i = 0; i < cpus; i++) {
		runqs[i] = calloc(1, sizeof(*runqs[i]));
		percpu[i] = calloc(1, sizeof(*percpu[i]));
		spin_init(&runqs[i]->lock, "runq", RANK_RUNQ);
		share_queue_init(&runqs[i]->share, i + 1);
		runqs[i]->cpu = i;
		due[i] = seam_now;
	}
	for (unsigned i = 0; i < CPUS_MAX; i++)
		(void)balance_place(i); /* forgets idle CPUs of an earlier simulation */
	groups[group_count++] = group_root();
}

void sim_end(void)
{
	for (unsigned i = 0; i < world_count; i++)
		group_leave(&worlds[i].w);
	while (group_count > 1)
		if (group_destroy(groups[--group_count]))
			panic("sim: a group still has members");
	free(worlds);
}

int sim_group(unsigned parent, uint32_t shares, uint32_t min_pct, uint32_t max_pct)
{
	struct sched_params p = { shares, min_pct, max_pct };

	if (group_create(groups[parent], "sim", &p, &groups[group_count]))
		return -1;
	return (int)group_count++;
}

/* runq.c's insert(). */
static void enter(struct sim_world *s, unsigned cpu)
{
	struct runq *rq = runqs[cpu];

	s->w.cpu = cpu;
	s->w.state = WORLD_READY;
	s->w.since = seam_now;
	if (!rq->share.count) {
		share_align(&rq->share, balance_reference(), 0);
		rq->clock = share_time(&rq->share);
	}
	rq->share.common = balance_reference();
	share_insert(&rq->share, &s->w.share, seam_now);
	rq->waiting = rq->share.waiting.count;
	if (!rq->share.running || share_preempts(&rq->share, &s->w.share))
		due[cpu] = seam_now;
}

int sim_world(unsigned group, uint32_t shares, uint32_t min_pct, uint32_t max_pct, ns_t burst,
              ns_t sleep)
{
	struct sim_world *s = &worlds[world_count];
	struct sched_params p = { shares, min_pct, max_pct };

	share_entity_init(&s->w.share, RATE_ONE);
	s->w.pinned = -1;
	s->burst = s->left = burst;
	s->sleep = sleep;
	s->wake_at = s->eligible_since = NS_NEVER;
	group_enter(groups[group], &s->w, &p);
	enter(s, balance_place(world_count % seam_cpus));
	return (int)world_count++;
}

/* Since when each waiting world could have run, for the longest such wait. */
static void note_waits(struct runq *rq)
{
	int64_t now = share_time(&rq->share) - rq->share.shift;

	for (struct tl_node *n = tl_first(&rq->share.waiting); n; n = tl_next(n)) {
		struct sim_world *s = of(container_of(n, struct share_entity, node));

		if (n->start > now)
			s->eligible_since = NS_NEVER;
		else if (s->eligible_since == NS_NEVER)
			s->eligible_since = seam_now;
		else
			s->worst_wait = MAX(s->worst_wait, seam_now - s->eligible_since);
	}
}

static void stop(struct runq *rq)
{
	struct sim_world *s = of(rq->share.running);
	ns_t used = seam_now - rq->charged;
	bool sleeps;

	s->w.times.used += used;
	share_charge(&rq->share, used, seam_now);
	s->left -= MIN(s->left, used);
	sleeps = s->burst && !s->left;
	share_stop(&rq->share, sleeps ? SHARE_SLEEP : SHARE_READY, seam_now);
	s->w.state = sleeps ? WORLD_WAITING : WORLD_READY;
	if (sleeps) {
		s->left = s->burst;
		s->wake_at = seam_now + s->sleep;
	}
}

static void decide(unsigned cpu)
{
	struct runq *rq = runqs[cpu];
	struct share_entity *e;

	sim_decisions++;
	if (seam_now >= group_fill_due)
		group_refill(seam_now);
	if (rq->share.running)
		stop(rq);
	if (seam_now >= rq->balance_at || !rq->share.count)
		balance(rq, seam_now);
	if (watch_waits)
		note_waits(rq);
	if (rq->fills != group_fills) {
		rq->fills = group_fills;
		share_refresh(&rq->share);
	}
	rq->share.common = balance_reference();
	e = share_pick(&rq->share, seam_now);
	rq->charged = seam_now;
	rq->waiting = rq->share.waiting.count;
	rq->clock = share_time_picked(&rq->share);
	rq->rates = (uint32_t)rq->share.rates;
	due[cpu] = share_next(&rq->share, seam_now);
	if (!e) {
		balance_idle(cpu);
		return;
	}
	of(e)->eligible_since = NS_NEVER;
	of(e)->w.state = WORLD_RUNNING;
	if (of(e)->burst)
		due[cpu] = MIN(due[cpu], seam_now + of(e)->left);
}

void sim_run(ns_t duration, bool waits)
{
	ns_t end = seam_now + duration;

	watch_waits = waits;
	for (;;) {
		ns_t next = end;

		for (unsigned i = 0; i < seam_cpus; i++)
			next = MIN(next, MAX(due[i], seam_now));
		for (unsigned i = 0; i < world_count; i++)
			if (worlds[i].burst)
				next = MIN(next, worlds[i].wake_at);
		seam_now = next;
		if (next >= end)
			break;
		for (unsigned i = 0; i < world_count; i++)
			if (worlds[i].burst && worlds[i].wake_at <= seam_now) {
				worlds[i].wake_at = NS_NEVER;
				enter(&worlds[i], balance_place(worlds[i].w.cpu));
			}
		for (unsigned i = 0; i < seam_cpus; i++)
			if (due[i] <= seam_now)
				decide(i);
	}
	for (unsigned i = 0; i < seam_cpus; i++)
		if (runqs[i]->share.running) {
			of(runqs[i]->share.running)->w.times.used += seam_now - runqs[i]->charged;
			share_charge(&runqs[i]->share, seam_now - runqs[i]->charged, seam_now);
			runqs[i]->charged = seam_now;
		}
}

ns_t sim_used(unsigned world)
{
	return worlds[world].w.times.used;
}

ns_t sim_worst_wait(unsigned world)
{
	return worlds[world].worst_wait;
}

void world_times_get(const struct world *w, struct world_times *t)
{
	*t = w->times;
}

struct found {
	struct group_info *out;
	unsigned count, max;
};

static void note(const struct group_info *g, void *arg)
{
	struct found *f = arg;

	if (f->count < f->max)
		f->out[f->count++] = *g;
}

unsigned sim_groups(struct group_info *out, unsigned max)
{
	struct found f = { out, 0, max };

	group_for_each(note, &f);
	return f.count;
}

uint64_t sim_migrations(void)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < world_count; i++)
		sum += worlds[i].w.times.migrations;
	return sum;
}

uint32_t sim_rate(unsigned world)
{
	return worlds[world].w.share.new_rate;
}

/* Nodes touched by each of `decisions` on a queue of n worlds with random rates. */
double sim_decision_steps(unsigned n, unsigned decisions)
{
	struct share_entity *e = calloc(n, sizeof(*e));
	struct share_queue q;
	ns_t now = NS_PER_S;
	uint32_t seed = 1;
	uint64_t before;

	share_queue_init(&q, 1);
	for (unsigned i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		share_entity_init(&e[i], 1 + (seed >> 8) % (2 * RATE_ONE / n));
		share_insert(&q, &e[i], now);
	}
	before = tl_steps;
	for (unsigned i = 0; i < decisions; i++) {
		share_pick(&q, now);
		now += SHARE_SLICE;
		share_charge(&q, SHARE_SLICE, now);
		share_stop(&q, SHARE_READY, now);
	}
	free(e);
	return (double)(tl_steps - before) / decisions;
}
