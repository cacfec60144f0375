// SPDX-License-Identifier: Apache-2.0
/*
 * Worlds and run queues as the scheduler's own files see them. Locks: a world's state, cpu and
 * share are guarded by the lock of the run queue that world.cpu names; lists and ids by
 * worlds_lock; the tree of groups by groups_lock, which is taken before a run queue's.
 */
#ifndef SCHED_WORLD_H
#define SCHED_WORLD_H
#include "sched/fill.h"
#include "sched/share.h"
#include "vmk/world.h"

struct world {
	uint64_t sp; /* saved stack pointer; switch.S knows that it comes first */
	void *stack; /* its top */
	struct share_entity share;
	enum world_state state;
	enum world_kind kind;
	uint32_t cpu;  /* whose run queue it is in, runs on or ran on last */
	int pinned;    /* to a CPU, or -1 */
	bool sleeping; /* between sched_sleep_begin() and a wake */
	bool interrupted;
	uint32_t reserve; /* calls of world_use_reserve(true) that are open; its own */
	struct mem_account *account;
	uint32_t refs;
	uint32_t id;
	const struct world_hooks *hooks;
	void (*fn)(void *arg);
	void *arg;
	ns_t since; /* of the state */
	struct world_times times;
	struct timer timer; /* of a wait with a deadline */
	struct fill_node fill;
	struct group *group;
	struct tree_node by_id;
	struct list reap; /* dead worlds on their way out */
	char name[32];
};

struct runq {
	struct spinlock lock;
	struct share_queue share;
	struct world *idle;
	struct world *left; /* whom the last switch left: finished by the next world */
	ns_t balance_at;
	/* For other CPUs to read without the lock: */
	ns_t charged;     /* until when the running world has paid, */
	int64_t clock;    /* share_time() then, */
	uint32_t rates;   /* and its sum of rates, at which the clock goes on */
	uint32_t waiting; /* worlds */
	uint32_t fills;   /* of group_fills: whose results the waiting worlds have */
	unsigned cpu;
} __aligned(CACHE_LINE);

extern struct runq *runqs[CPUS_MAX];

/*
 * The steps of a sleep: announce it, test the condition, sleep until world_wake(). A wake between
 * the announcement and the sleep makes the sleep return at once. sched_sleep_end() withdraws the
 * announcement when the test found the condition true.
 */
void sched_sleep_begin(void);
void sched_sleep(void);
void sched_sleep_end(void);

/* Makes a world that is in no queue READY. */
void sched_enqueue(struct world *w);
/* Never returns: the current world is DEAD. */
void sched_leave(void) __noreturn;
/* The first function of each new world. */
void sched_first(void);
/*
 * In x86/switch.S: saves the callee-saved registers on from's stack and goes on where to was left.
 */
void world_switch(struct world *from, struct world *to);
/* A dead world's last reference on its stack is gone: hands it to the reaper. Interrupts off. */
void world_reap(struct world *w);
/* Under groups_lock: attaches a new world to its group and guesses its rate. */
void group_enter(struct group *g, struct world *w, const struct sched_params *p);
void group_leave(struct world *w);
/* Computes the entitlements again, from group_fill_due on. Interrupts off, no run queue locked. */
void group_refill(ns_t now);
extern ns_t group_fill_due;
extern uint32_t group_fills; /* counts the passes */
struct group *group_system(void);
#endif
