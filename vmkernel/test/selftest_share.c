// SPDX-License-Identifier: Apache-2.0
/*
 * Proportional share in the running kernel: 60 worlds in nested groups on two CPUs, judged by the
 * worlds' own counters. The two first CPUs do all of it; others idle.
 */
#include "test/selftest.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/wait.h"
#include "vmk/world.h"

#define LOG_MODULE "selftest"

enum { WORLDS = 60, GROUPS = 4, SECONDS = 60 };

/* Shares, maximum in percent of a CPU. Group 3 lies within group 2. */
static const struct sched_params group_params[GROUPS] = {
	{ .shares = 1000 },
	{ .shares = 3000 },
	{ .shares = 2000 },
	{ .shares = 8000, .max_pct = 20 },
};

struct spinner {
	struct world *world;
	struct group *group;
	uint32_t shares;
};
static struct spinner spinners[WORLDS];
static bool go, stop;
static uint32_t living;
static struct waitq gate, ended;

static void spin(void *arg)
{
	wait_event(&gate, READ_ONCE(go));
	while (!READ_ONCE(stop))
		cpu_relax();
	if (!__atomic_sub_fetch(&living, 1, __ATOMIC_ACQ_REL))
		waitq_wake_all(&ended);
}

static ns_t used(const struct spinner *s)
{
	struct world_times t;

	world_times_get(s->world, &t);
	return t.used;
}

/* What all spinners of some groups have used. */
static ns_t used_by(struct group *const *groups, unsigned first, unsigned last)
{
	ns_t sum = 0;

	for (unsigned i = 0; i < WORLDS; i++)
		for (unsigned g = first; g <= last; g++)
			if (spinners[i].group == groups[g])
				sum += used(&spinners[i]);
	return sum;
}

static bool within(ns_t is, ns_t should, unsigned percent)
{
	ns_t off = is > should ? is - should : should - is;

	if (off * 100 <= should * percent)
		return true;
	log_info("share: %llu ms instead of %llu", (unsigned long long)(is / NS_PER_MS),
	         (unsigned long long)(should / NS_PER_MS));
	return false;
}

static const char *judge(struct group *const *groups)
{
	ns_t all = used_by(groups, 0, 3), inner = used_by(groups, 3, 3);
	ns_t group[3] = { used_by(groups, 0, 0), used_by(groups, 1, 1), used_by(groups, 2, 3) };

	for (unsigned g = 0; g < 3; g++)
		CHECK(within(group[g], all * group_params[g].shares / 6000, 3));
	CHECK(within(inner, SECONDS * NS_PER_S / 5, 3));
	for (unsigned i = 0; i < WORLDS; i++) {
		unsigned g = 0;
		uint64_t shares = 0;

		while (spinners[i].group != groups[g])
			g++;
		if (g == 2) /* shares its group with the inner one */
			continue;
		for (unsigned k = 0; k < WORLDS; k++)
			if (spinners[k].group == groups[g])
				shares += spinners[k].shares;
		CHECK(within(used(&spinners[i]),
		             (g == 3 ? inner : group[g]) * spinners[i].shares / shares, 3));
	}
	return NULL;
}

static const char *start(struct group **groups)
{
	for (unsigned g = 0; g < GROUPS; g++)
		CHECK(!group_create(g == 3 ? groups[2] : NULL, "share", &group_params[g],
		                    &groups[g]));
	for (unsigned i = 0; i < WORLDS; i++) {
		struct spinner *s = &spinners[i];
		struct world_attr attr = { .name = "spinner", .cpu = -1, .fn = spin };

		s->group = groups[i % GROUPS];
		s->shares = 500 + i * 37 % 1000;
		attr.group = s->group;
		attr.sched.shares = s->shares;
		CHECK(!world_create(&attr, &s->world));
		world_start(s->world);
	}
	return NULL;
}

static const char *test_share(void)
{
	struct group *groups[GROUPS];
	const char *why;

	if (cpu_count() != 2)
		return NULL; /* the figures below are those of two CPUs */
	go = stop = false;
	living = WORLDS;
	waitq_init(&gate, "share");
	waitq_init(&ended, "share");
	why = start(groups);
	if (why)
		return why;
	/* All begin together, once they are asleep. */
	world_sleep_until(time_now() + 100 * NS_PER_MS);
	go = true;
	waitq_wake_all(&gate);
	world_sleep_until(time_now() + SECONDS * NS_PER_S);
	why = judge(groups);
	stop = true;
	wait_event(&ended, !READ_ONCE(living));
	for (unsigned i = 0; i < WORLDS; i++)
		world_put(spinners[i].world);
	for (unsigned g = GROUPS; g-- > 0;)
		while (group_destroy(groups[g]))
			world_sleep_until(time_now() + NS_PER_MS);
	return why;
}

const struct selftest selftests_share[] = { { "share", test_share, .measures = true },
	                                    { .name = NULL } };
