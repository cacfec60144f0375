// SPDX-License-Identifier: Apache-2.0
/*
 * Worlds: everything that is scheduled (kernel threads, userworld threads, vCPUs), and the groups
 * that share CPU time among them (vmkernel/sched/).
 */
#ifndef VMK_WORLD_H
#define VMK_WORLD_H
#include "vmk/cpu.h"
#include "vmk/lock.h"
#include "vmk/time.h"
#include "vmk/tree.h"

enum world_kind { WORLD_KERNEL, WORLD_USER, WORLD_VCPU, WORLD_IDLE };
enum world_state { WORLD_NEW, WORLD_READY, WORLD_RUNNING, WORLD_WAITING, WORLD_COSTOP, WORLD_DEAD };

/*
 * Called with interrupts off, on the CPU that switches. switch_out is called under the run queue's
 * lock: it takes no lock and wakes nobody.
 */
struct world_hooks {
	void (*switch_in)(struct world *w);
	void (*switch_out)(struct world *w);
	/* The world has left its stack for good; frees what embeds it. In a work world. */
	void (*released)(struct world *w);
};

/*
 * Resource settings of a world or a group. min and max are in percent of one CPU (200 = two CPUs),
 * max 0 = unlimited; shares 1000 is normal.
 */
struct sched_params {
	uint32_t shares;
	uint32_t min_pct, max_pct;
};

struct group;       /* sched/ */
struct mem_account; /* vmk/account.h */

struct world_times { /* ns, monotone */
	ns_t used, ready, wait, costop;
	uint64_t switches, kicks, migrations;
};

struct world_attr {
	const char *name;
	enum world_kind kind;
	struct group *group;       /* NULL: the system group */
	struct sched_params sched; /* all 0: the defaults */
	int cpu;                   /* pinned to, or -1 */
	const struct world_hooks *hooks;
	/* What it makes the kernel allocate is charged to; NULL: nobody. Must outlive the world. */
	struct mem_account *account;
	void (*fn)(void *arg); /* returns: the world ends */
	void *arg;
};

/* Creates a world in state NEW; 0 or -ENOMEM. Reference counted; the creator holds one. */
int __must_check world_create(const struct world_attr *attr, struct world **out);
void world_start(struct world *w);
void world_put(struct world *w);
struct world *world_find(uint32_t id); /* with a reference, or NULL */
void world_exit(void) __noreturn;
struct world *world_current(void);
uint32_t world_id(const struct world *w);
const char *world_name(const struct world *w);
enum world_kind world_kind(const struct world *w);
enum world_state world_state(const struct world *w); /* at this moment */
void world_set_name(struct world *w, const char *name);
void *world_arg(const struct world *w);
struct mem_account *world_account(const struct world *w);
/* By w itself, or while it does not run: the old account's owner keeps it until then. */
void world_set_account(struct world *w, struct mem_account *a);
/* This world's allocations may take the last pages (vmk/mm.h) until (false); calls nest. */
void world_use_reserve(bool on);
bool world_uses_reserve(void); /* the current world; false before there is one */

/*
 * Ends w's sleep, or the one that it has announced; otherwise no effect. Any context below
 * RANK_RUNQ.
 */
void world_wake(struct world *w);
/* Forces w through the kernel soon: an IPI to its CPU if it runs (a vCPU leaves the guest). */
void world_kick(struct world *w);
/* Sets or clears the condition that ends interruptible waits; setting it wakes and kicks. */
void world_interrupt(struct world *w, bool on);
bool world_interrupted(const struct world *w);
void world_yield(void);
void world_sleep_until(ns_t deadline);
bool world_need_resched(void); /* this CPU wants to switch: long loops call world_yield */
void world_times_get(const struct world *w, struct world_times *t);
/* fn for every world, under the list's spin lock: fn must neither sleep nor look for a world. */
void world_for_each(void (*fn)(struct world *w, void *arg), void *arg);

int __must_check group_create(struct group *parent, const char *name, const struct sched_params *p,
                              struct group **out);
int __must_check group_set(struct group *g, const struct sched_params *p);
/* 0, or -EBUSY while worlds or groups are in it. */
int __must_check group_destroy(struct group *g);
struct group *group_root(void);
struct group_info {
	uint32_t id, parent, members;
	struct sched_params sched;
	ns_t used; /* by all worlds below, those that have ended too */
	const char *name;
};
/*
 * For every group, after the groups in it, under the tree's spin lock: fn must not sleep or walk.
 */
void group_for_each(void (*fn)(const struct group_info *g, void *arg), void *arg);
/* 0, -ENOENT, or -EINVAL for the root and for values that contradict each other. */
int __must_check group_set_by_id(uint32_t id, const struct sched_params *p);
#endif
