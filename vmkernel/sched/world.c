// SPDX-License-Identifier: Apache-2.0
/*
 * The life of worlds: creation, identity, end. worlds_lock guards the tree of ids and the list of
 * the dead.
 *
 * A world has one reference for its creator and, from world_start() on, one of its own, which ends
 * in reap(). It leaves the tree of ids in world_exit() while it still runs; the world that runs
 * after it on its CPU passes it to the reaper, because nobody can free the stack that it runs on.
 */
#include "sched/runq.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/wait.h"
#include "vmk/work.h"
#include "x86/percpu.h"

STAT(created, "sched.worlds.created", "worlds created");
STAT(released, "sched.worlds.released", "worlds whose stack was given back");

static int by_id(const struct tree_node *a, const struct tree_node *b)
{
	uint32_t x = tree_entry(a, struct world, by_id)->id;
	uint32_t y = tree_entry(b, struct world, by_id)->id;

	return x < y ? -1 : x > y;
}

static int side_of_id(const struct tree_node *n, const void *key)
{
	uint32_t x = tree_entry(n, struct world, by_id)->id, y = *(const uint32_t *)key;

	return x < y ? -1 : x > y;
}

static struct spinlock worlds_lock = SPINLOCK_INIT("worlds", RANK_RUNQ - 2);
static struct tree worlds = { .cmp = by_id };
static struct list dead = LIST_INIT(dead);
static uint32_t last_id;

static void reap(struct work *work);
static struct work reaper = { .link = LIST_INIT(reaper.link), .fn = reap };

static void wake_timer(struct timer *t)
{
	world_wake(container_of(t, struct world, timer));
}

static void init(struct world *w, const char *name, enum world_kind kind)
{
	str_copy(w->name, name, sizeof(w->name));
	w->kind = kind;
	w->refs = 1;
	w->pinned = -1;
	timer_init(&w->timer, wake_timer);
	list_init(&w->reap);
	share_entity_init(&w->share, RATE_ONE);
}

void world_init_idle(struct world *w, unsigned cpu)
{
	init(w, "idle", WORLD_IDLE);
	w->state = WORLD_RUNNING;
	w->cpu = cpu;
	w->pinned = (int)cpu;
	w->stack = (void *)percpu[cpu]->kernel_rsp;
}

/* Gives w a number that no living world has, and puts it into the tree. */
static void publish(struct world *w)
{
	uint64_t flags = spin_lock_irq(&worlds_lock);
	struct tree_node *n;

	/* After 2^32 worlds the count starts again, past the numbers that are still in use. */
	do {
		if (++last_id == 0)
			last_id = 1;
		n = tree_lower(&worlds, side_of_id, &last_id);
	} while (n && tree_entry(n, struct world, by_id)->id == last_id);
	w->id = last_id;
	tree_insert(&worlds, &w->by_id);
	spin_unlock_irq(&worlds_lock, flags);
}

int world_create(const struct world_attr *attr, struct world **out)
{
	struct world *w = kzalloc(sizeof(*w));
	uint64_t *sp;

	if (!w)
		return -ENOMEM;
	w->stack = kstack_alloc();
	if (!w->stack) {
		kfree(w);
		return -ENOMEM;
	}
	init(w, attr->name, attr->kind);
	w->hooks = attr->hooks;
	w->account = attr->account;
	w->fn = attr->fn;
	w->arg = attr->arg;
	w->pinned = attr->cpu;
	w->share.pinned = attr->cpu >= 0;
	w->cpu = attr->cpu >= 0 ? (uint32_t)attr->cpu : cpu_id();
	/*
	 * The stack as world_switch() leaves one: six saved registers, then the address to return
	 * to. The 0 above is the return address of sched_first(), where a backtrace ends.
	 */
	sp = w->stack;
	*--sp = 0;
	*--sp = (uint64_t)sched_first;
	sp -= 6;
	memset(sp, 0, 6 * sizeof(*sp));
	w->sp = (uint64_t)sp;
	publish(w);
	group_enter(attr->group ? attr->group : group_system(), w, &attr->sched);
	stat_inc(created);
	*out = w;
	return 0;
}

static void world_get(struct world *w)
{
	__atomic_fetch_add(&w->refs, 1, __ATOMIC_RELAXED);
}

void world_start(struct world *w)
{
	ASSERT(w->state == WORLD_NEW);
	world_get(w); /* the running world's own */
	sched_enqueue(w);
}

static void withdraw(struct world *w)
{
	uint64_t flags = spin_lock_irq(&worlds_lock);

	tree_remove(&worlds, &w->by_id);
	spin_unlock_irq(&worlds_lock, flags);
	group_leave(w);
}

void world_put(struct world *w)
{
	if (__atomic_sub_fetch(&w->refs, 1, __ATOMIC_ACQ_REL))
		return;
	/* Never started: what world_exit() and reap() would have done. */
	if (w->state == WORLD_NEW) {
		withdraw(w);
		kstack_free(w->stack);
	}
	kfree(w);
}

struct world *world_find(uint32_t id)
{
	uint64_t flags = spin_lock_irq(&worlds_lock);
	struct tree_node *n = tree_lower(&worlds, side_of_id, &id);
	struct world *w = n ? tree_entry(n, struct world, by_id) : NULL;

	if (w && w->id == id)
		world_get(w);
	else
		w = NULL;
	spin_unlock_irq(&worlds_lock, flags);
	return w;
}

void world_exit(void)
{
	struct world *me = world_current();

	withdraw(me);
	/* A wait's timer function that still runs on another CPU uses this world. */
	timer_cancel_sync(&me->timer);
	sched_leave();
}

void world_reap(struct world *w)
{
	spin_lock(&worlds_lock);
	list_push_back(&dead, &w->reap);
	spin_unlock(&worlds_lock);
	work_queue(&reaper);
}

static void reap(struct work *work)
{
	/* In a work world, since giving a stack back may sleep for the shoot-down. */
	for (;;) {
		uint64_t flags = spin_lock_irq(&worlds_lock);
		struct world *w = list_first(&dead, struct world, reap);

		if (w)
			list_remove(&w->reap);
		spin_unlock_irq(&worlds_lock, flags);
		if (!w)
			return;
		kstack_free(w->stack);
		stat_inc(released);
		if (w->hooks && w->hooks->released)
			w->hooks->released(w);
		world_put(w);
	}
}

struct world *world_current(void)
{
	return percpu_read(current);
}

uint32_t world_id(const struct world *w)
{
	return w->id;
}

enum world_kind world_kind(const struct world *w)
{
	return w->kind;
}

enum world_state world_state(const struct world *w)
{
	return READ_ONCE(w->state);
}

const char *world_name(const struct world *w)
{
	return w->name;
}

void world_set_name(struct world *w, const char *name)
{
	str_copy(w->name, name, sizeof(w->name));
}

void *world_arg(const struct world *w)
{
	return w->arg;
}

struct mem_account *world_account(const struct world *w)
{
	return w->account;
}

void world_set_account(struct world *w, struct mem_account *a)
{
	w->account = a;
}

void world_use_reserve(bool on)
{
	struct world *me = world_current();

	ASSERT(on || me->reserve);
	me->reserve += on ? 1 : -1u;
}

bool world_uses_reserve(void)
{
	struct world *me = world_current();

	return me && me->reserve;
}

bool world_interrupted(const struct world *w)
{
	return READ_ONCE(w->interrupted);
}

void world_sleep_until(ns_t deadline)
{
	while (time_now() < deadline) {
		sched_sleep_begin();
		(void)wait_sleep(deadline, false);
	}
	sched_sleep_end();
}

void world_times_get(const struct world *w, struct world_times *t)
{
	ns_t now = time_now(), in_state = now - MIN(now, READ_ONCE(w->since));

	/* Without the run queue's lock: a switch meanwhile may count the last stretch twice. */
	*t = w->times;
	if (w->state == WORLD_RUNNING)
		t->used += in_state;
	else if (w->state == WORLD_READY)
		t->ready += in_state;
	else if (w->state == WORLD_WAITING)
		t->wait += in_state;
	else if (w->state == WORLD_COSTOP)
		t->costop += in_state;
}

void world_for_each(void (*fn)(struct world *w, void *arg), void *arg)
{
	uint64_t flags = spin_lock_irq(&worlds_lock);

	for (struct tree_node *n = tree_min(&worlds); n; n = tree_next(n))
		fn(tree_entry(n, struct world, by_id), arg);
	spin_unlock_irq(&worlds_lock, flags);
}
