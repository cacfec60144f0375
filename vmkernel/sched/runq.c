// SPDX-License-Identifier: Apache-2.0
/*
 * Run queues: one a CPU, around the policy of share.c. The queue's lock is held across a switch and
 * released by the world that was switched to, so nobody can take a world whose registers are not
 * saved yet.
 */
#include "sched/runq.h"
#include "sched/sched.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "x86/insn.h"
#include "x86/percpu.h"

struct runq *runqs[CPUS_MAX];

STAT(switches, "sched.switches", "switches from one world to another");
STAT(preempted, "sched.preempted", "worlds that lost the CPU while ready");
STAT(wakes, "sched.wakes", "worlds made ready");
STAT(ipis, "sched.resched_ipis", "other CPUs asked to look at their run queue");

static struct runq *this_runq(void)
{
	return this_cpu()->sched;
}

/*
 * The run queue that w belongs to, locked; interrupts off. w->cpu may change until the lock of the
 * queue that it names is held, so it is read again under it.
 */
static struct runq *lock_world(struct world *w)
{
	for (;;) {
		struct runq *rq = runqs[READ_ONCE(w->cpu)];

		spin_lock(&rq->lock);
		if (rq->cpu == w->cpu)
			return rq;
		spin_unlock(&rq->lock);
	}
}

static void ask_resched(unsigned cpu)
{
	WRITE_ONCE(percpu[cpu]->need_resched, 1);
	if (cpu != cpu_id()) {
		cpu_resched(cpu);
		stat_inc(ipis);
	}
}

/* Under the lock of rq, which w belongs to. */
static void insert(struct runq *rq, struct world *w, ns_t now)
{
	/* An idle queue's time stood still; published so that surveys do not see the old one. */
	if (!rq->share.count) {
		share_align(&rq->share, balance_reference(), 0);
		WRITE_ONCE(rq->clock, share_time(&rq->share));
	}
	rq->share.common = balance_reference();
	share_insert(&rq->share, &w->share, now);
	WRITE_ONCE(rq->waiting, rq->share.waiting.count);
	if (percpu[rq->cpu]->current == rq->idle || share_preempts(&rq->share, &w->share))
		ask_resched(rq->cpu);
}

/* Another CPU may have written `since` after this one took `now`. */
static ns_t elapsed(ns_t now, ns_t since)
{
	return now - MIN(now, since);
}

void sched_enqueue(struct world *w)
{
	uint64_t flags = irq_save();
	struct runq *rq;

	/* No lock yet: w is NEW and in no queue, so only its creator touches it. */
	w->cpu = w->pinned >= 0 ? (uint32_t)w->pinned : balance_place(w->cpu);
	rq = lock_world(w);
	w->state = WORLD_READY;
	w->since = time_now();
	insert(rq, w, w->since);
	spin_unlock_irq(&rq->lock, flags);
}

void world_wake(struct world *w)
{
	uint64_t flags = irq_save();
	struct runq *rq = lock_world(w);
	unsigned cpu;
	ns_t now;

	/*
	 * A world between sched_sleep_begin() and the switch still RUNS: clearing `sleeping` makes
	 * its schedule() return at once, so the wake-up is not lost.
	 */
	w->sleeping = false;
	if (w->state != WORLD_WAITING) {
		spin_unlock_irq(&rq->lock, flags);
		return;
	}
	stat_inc(wakes);
	now = time_now();
	w->times.wait += elapsed(now, w->since);
	w->since = now;
	w->state = WORLD_READY;
	cpu = w->pinned >= 0 ? w->cpu : balance_place(w->cpu);
	/*
	 * Between the two locks w is READY but in no queue: other wakers see the state and return,
	 * and balancing moves only worlds that are in a queue.
	 */
	if (cpu != w->cpu) {
		w->times.migrations++;
		w->cpu = cpu;
		spin_unlock(&rq->lock);
		rq = lock_world(w);
	}
	insert(rq, w, now);
	spin_unlock_irq(&rq->lock, flags);
}

void world_kick(struct world *w)
{
	uint32_t cpu = READ_ONCE(w->cpu);

	/* Without the lock: if w moves meanwhile, the switch itself takes it through the kernel. */
	__atomic_fetch_add(&w->times.kicks, 1, __ATOMIC_RELAXED);
	if (cpu != cpu_id() && READ_ONCE(percpu[cpu]->current) == w) {
		cpu_resched(cpu);
		stat_inc(ipis);
	}
}

void world_interrupt(struct world *w, bool on)
{
	WRITE_ONCE(w->interrupted, on);
	/* Pairs with wait_sleep(): it announces the sleep first and reads `interrupted` then. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (on) {
		world_wake(w);
		world_kick(w);
	}
}

/* What every world does first after a switch to it: the end of the switch. */
static void finish_switch(void)
{
	struct runq *rq = this_runq();
	struct world *left = rq->left, *me = percpu_read(current);
	bool dead = left->state == WORLD_DEAD;

	/* From here on another CPU may run `left`, whose registers are saved; look at it before. */
	spin_unlock(&rq->lock);
	/* Its stack is no longer in use, which only the world after it can know. */
	if (dead)
		world_reap(left);
	if (me->hooks && me->hooks->switch_in)
		me->hooks->switch_in(me);
}

static void switch_to(struct runq *rq, struct world *prev, struct world *next)
{
	struct percpu *p = this_cpu();

	if (prev->hooks && prev->hooks->switch_out)
		prev->hooks->switch_out(prev);
	stat_inc(switches);
	next->times.switches++;
	rq->left = prev;
	p->current = next;
	p->world_id = next->id;
	percpu_set_stack((uint64_t)next->stack);
	world_switch(prev, next);
	/* On prev's stack again, after another switch and perhaps on another CPU: rq is stale. */
	finish_switch();
}

/* Charges prev for its time and puts it back into the queue, or leaves it out (SHARE_SLEEP). */
static void stop_current(struct runq *rq, struct world *prev, enum share_leave how, ns_t now)
{
	prev->times.used += now - prev->since;
	prev->since = now;
	if (prev == rq->idle) {
		prev->state = WORLD_WAITING; /* its time is not used while others run */
		return;
	}
	share_charge(&rq->share, now - rq->charged, now);
	share_stop(&rq->share, how, now);
	if (prev->state == WORLD_RUNNING)
		prev->state = how == SHARE_SLEEP ? WORLD_WAITING : WORLD_READY;
}

/* Chooses who runs next, publishes the queue's state for other CPUs and arms the next decision. */
static struct world *pick(struct runq *rq, ns_t now)
{
	struct share_entity *e;
	struct world *w = rq->idle;

	/* prev, if it is ready, is in the queue already: balancing may give it to another CPU. */
	if (unlikely(now >= rq->balance_at || !rq->share.count))
		balance(rq, now);
	if (rq->fills != load_acquire(&group_fills)) {
		rq->fills = group_fills;
		share_refresh(&rq->share);
	}
	rq->share.common = balance_reference();
	e = share_pick(&rq->share, now);
	if (e)
		w = container_of(e, struct world, share);
	else
		balance_idle(rq->cpu);
	w->times.ready += w->state == WORLD_READY ? elapsed(now, w->since) : 0;
	w->since = now;
	w->state = WORLD_RUNNING;
	rq->charged = now;
	WRITE_ONCE(rq->waiting, rq->share.waiting.count);
	WRITE_ONCE(rq->clock, share_time_picked(&rq->share));
	WRITE_ONCE(rq->rates, (uint32_t)MIN(rq->share.rates, (uint64_t)UINT32_MAX));
	timer_slice_end(share_next(&rq->share, now));
	return w;
}

/* Interrupts off. */
static void schedule(enum share_leave how)
{
	struct percpu *p = this_cpu();
	struct runq *rq = p->sched;
	struct world *prev = p->current, *next;
	ns_t now = time_now();

	/* Before the run queue's lock: the lock of the groups has the lower rank. */
	if (unlikely(now >= READ_ONCE(group_fill_due)))
		group_refill(now);
	spin_lock(&rq->lock);
	/* Each spin lock counts as one, this one too. */
	if (p->preempt_count != 1)
		panic("world %s switches with %u locks held", prev->name, p->preempt_count - 1);
	/* Woken since it announced the sleep; a dead world has no wake-up to wait for. */
	if (how == SHARE_SLEEP && prev->state == WORLD_RUNNING && !prev->sleeping) {
		spin_unlock(&rq->lock);
		return;
	}
	p->need_resched = 0;
	stop_current(rq, prev, how, now);
	next = pick(rq, now);
	if (next != prev)
		switch_to(rq, prev, next);
	else
		spin_unlock(&rq->lock);
}

void sched_first(void)
{
	struct world *me;

	/* Interrupts are off, and the lock that the world before took is held. */
	finish_switch();
	cpu_sti();
	me = world_current();
	me->fn(me->arg);
	world_exit();
}

void sched_leave(void)
{
	/* Not restored: this world does not come back, and the next one has its own flags. */
	(void)irq_save();
	world_current()->state = WORLD_DEAD;
	schedule(SHARE_SLEEP);
	panic("a dead world runs");
}

void sched_preempt(void)
{
	struct percpu *p = this_cpu();

	/* The end of whichever holds it off looks at need_resched again. */
	if (p->preempt_count || p->irq_nesting || p->in_bottom || !p->current)
		return;
	stat_inc(preempted);
	schedule(SHARE_READY);
}

void world_yield(void)
{
	uint64_t flags = irq_save();

	schedule(SHARE_YIELD);
	irq_restore(flags);
}

bool world_need_resched(void)
{
	return percpu_read(need_resched);
}

void sched_sleep_begin(void)
{
	__atomic_store_n(&world_current()->sleeping, true, __ATOMIC_SEQ_CST);
}

void sched_sleep_end(void)
{
	WRITE_ONCE(world_current()->sleeping, false);
}

void sched_sleep(void)
{
	uint64_t flags = irq_save();

	schedule(SHARE_SLEEP);
	irq_restore(flags);
}

int sched_init_cpu(unsigned cpu)
{
	struct runq *rq = kzalloc(sizeof(*rq));
	struct world *idle = kzalloc(sizeof(*idle));

	if (!rq || !idle || timer_init_cpu(cpu) || bottom_init_cpu(cpu))
		return -ENOMEM;
	spin_init(&rq->lock, "runq", RANK_RUNQ);
	share_queue_init(&rq->share, cpu + 1);
	rq->cpu = cpu;
	rq->idle = idle;
	world_init_idle(idle, cpu);
	runqs[cpu] = rq;
	percpu[cpu]->sched = rq;
	percpu[cpu]->idle = idle;
	percpu[cpu]->current = idle;
	return 0;
}

void sched_run(void)
{
	struct percpu *p = this_cpu();

	p->need_resched = 1;
	for (;;) {
		/* cpu_sti_halt() lets interrupts in with the halt: one after the test ends it. */
		cpu_cli();
		if (READ_ONCE(p->need_resched))
			schedule(SHARE_READY);
		else
			cpu_sti_halt();
	}
}
