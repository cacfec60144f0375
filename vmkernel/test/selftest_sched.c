// SPDX-License-Identifier: Apache-2.0
/* The scheduler's self tests: locks, waits, timers, worlds, work, on all CPUs of the machine. */
#include "test/selftest.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/wait.h"
#include "vmk/work.h"
#include "vmk/world.h"

enum { ROUNDS = 64 };

/* Worlds that run one function, and a count of those that have not finished. */
struct team {
	struct waitq done;
	uint32_t left;
	void (*fn)(struct team *t, unsigned member);
	struct spinlock lock;
	struct mutex mutex;
	struct waitq turn;
	uint64_t counter, spin_counter;
	uint32_t token, members;
	bool bad;
};
struct member {
	struct team *team;
	unsigned index;
};

static void member_main(void *arg)
{
	struct member *m = arg;
	struct team *t = m->team;

	t->fn(t, m->index);
	kfree(m);
	if (!__atomic_sub_fetch(&t->left, 1, __ATOMIC_ACQ_REL))
		waitq_wake_all(&t->done);
}

static bool team_start(struct team *t, unsigned members, void (*fn)(struct team *, unsigned))
{
	*t = (struct team){ .left = members, .members = members, .fn = fn };
	waitq_init(&t->done, "team");
	waitq_init(&t->turn, "turn");
	spin_init(&t->lock, "team", RANK_LEAF);
	mutex_init(&t->mutex, "team");
	for (unsigned i = 0; i < members; i++) {
		struct member *m = kmalloc(sizeof(*m));
		struct world_attr attr = { .name = "selftest",
			                   .kind = WORLD_KERNEL,
			                   .cpu = -1,
			                   .fn = member_main,
			                   .arg = m };
		struct world *w;

		if (!m || world_create(&attr, &w))
			return false;
		*m = (struct member){ t, i };
		world_start(w);
		world_put(w);
	}
	return true;
}

/* Within a minute, or the test has hung. */
static bool team_finish(struct team *t)
{
	ns_t limit = time_now() + 60 * NS_PER_S;

	return !wait_event_until(&t->done, !READ_ONCE(t->left), limit) && !t->bad;
}

static void contend(struct team *t, unsigned member)
{
	for (unsigned i = 0; i < 2000; i++) {
		uint64_t flags = spin_lock_irq(&t->lock);

		WRITE_ONCE(t->spin_counter, READ_ONCE(t->spin_counter) + 1);
		spin_unlock_irq(&t->lock, flags);
		mutex_lock(&t->mutex);
		uint64_t c = READ_ONCE(t->counter);

		if (i % 64 == 0)
			world_yield();
		WRITE_ONCE(t->counter, c + 1);
		mutex_unlock(&t->mutex);
	}
}

static const char *test_locks(void)
{
	struct team t;

	CHECK(team_start(&t, 8, contend));
	CHECK(team_finish(&t));
	CHECK(t.counter == 8 * 2000 && t.spin_counter == 8 * 2000);
	return NULL;
}

/* A token goes round: each world waits for its turn. */
static void pass_token(struct team *t, unsigned member)
{
	for (unsigned round = 0; round < ROUNDS; round++) {
		wait_event(&t->turn, READ_ONCE(t->token) % t->members == member);
		t->token++;
		waitq_wake_all(&t->turn);
	}
}

static const char *test_waits(void)
{
	struct team t;
	ns_t start;

	CHECK(team_start(&t, 8, pass_token));
	CHECK(team_finish(&t));
	CHECK(t.token == 8 * ROUNDS);
	start = time_now();
	CHECK(wait_event_until(&t.turn, false, start + 20 * NS_PER_MS) == -ETIMEDOUT);
	CHECK(time_now() >= start + 20 * NS_PER_MS);
	world_interrupt(world_current(), true);
	CHECK(wait_event_interruptible(&t.turn, false) == -EINTR);
	world_interrupt(world_current(), false);
	return NULL;
}

struct probe {
	struct timer timer;
	uint32_t *fired;
	ns_t early;
	struct waitq *q;
};

static void probe_fire(struct timer *timer)
{
	struct probe *p = container_of(timer, struct probe, timer);

	if (time_now() < timer->deadline)
		p->early = timer->deadline - time_now();
	__atomic_fetch_add(p->fired, 1, __ATOMIC_RELAXED);
	waitq_wake_all(p->q);
}

static const char *test_timers(void)
{
	enum { TIMERS = 200 };
	struct probe *p = kcalloc(TIMERS, sizeof(*p));
	uint32_t fired = 0, expected = 0;
	struct waitq q;
	ns_t now = time_now();

	CHECK(p);
	waitq_init(&q, "timers");
	for (unsigned i = 0; i < TIMERS; i++) {
		p[i].fired = &fired;
		p[i].q = &q;
		timer_init(&p[i].timer, probe_fire);
		timer_set(&p[i].timer, now + (1 + i * 37 % 50) * NS_PER_MS);
	}
	for (unsigned i = 0; i < TIMERS; i++)
		expected += i % 3 || !timer_cancel(&p[i].timer);
	CHECK(!wait_event_until(&q, READ_ONCE(fired) == expected, now + 10 * NS_PER_S));
	for (unsigned i = 0; i < TIMERS; i++) {
		timer_cancel_sync(&p[i].timer);
		CHECK(!p[i].early);
	}
	CHECK(fired == expected);
	kfree(p);
	return NULL;
}

static void run_briefly(struct team *t, unsigned member)
{
	__atomic_fetch_add(&t->counter, 1, __ATOMIC_RELAXED);
}

static uint64_t memory_used(void)
{
	struct mm_totals t;

	mm_totals(&t);
	return t.total_pages - t.pages[FRAME_FREE] - t.pages[FRAME_CACHE];
}

/*
 * 10,000 worlds come and go: memory grows at most by the 64 stacks of 4 pages that kmap.c keeps,
 * and magazines.
 */
static const char *test_worlds(void)
{
	enum { KEPT = 64 * 4 + 128 };
	uint64_t before = 0;
	ns_t limit;
	struct team t;

	for (unsigned round = 0; round < 400; round++) {
		if (round == 100)
			before = memory_used();
		CHECK(team_start(&t, 25, run_briefly));
		CHECK(team_finish(&t) && t.counter == 25);
	}
	/* The last worlds go when their CPUs have switched away from them. */
	limit = time_now() + 60 * NS_PER_S;
	while (memory_used() > before + KEPT && time_now() < limit)
		world_sleep_until(time_now() + NS_PER_MS);
	CHECK(memory_used() <= before + KEPT);
	return NULL;
}

struct errand {
	struct work work;
	struct team *team;
	bool sleeps;
};

static void run_errand(struct work *w)
{
	struct errand *e = container_of(w, struct errand, work);

	if (e->sleeps)
		world_sleep_until(time_now() + 5 * NS_PER_MS);
	__atomic_fetch_add(&e->team->counter, 1, __ATOMIC_RELAXED);
}

static const char *test_work(void)
{
	static struct errand errands[40];
	struct team t = { .counter = 0 };

	for (unsigned i = 0; i < ARRAY_SIZE(errands); i++) {
		errands[i].team = &t;
		errands[i].sleeps = i % 2;
		work_init(&errands[i].work, run_errand);
		work_queue(&errands[i].work);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(errands); i++)
		work_flush(&errands[i].work);
	CHECK(t.counter == ARRAY_SIZE(errands));
	return NULL;
}

const struct selftest selftests_sched[] = {
	{ "locks", test_locks },   { "waits", test_waits }, { "timers", test_timers },
	{ "worlds", test_worlds }, { "work", test_work },   { .name = NULL },
};
