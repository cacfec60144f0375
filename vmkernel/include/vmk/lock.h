// SPDX-License-Identifier: Apache-2.0
/*
 * Locks. A spin lock disables preemption while it is held; a lock that an interrupt handler or a
 * bottom half also takes is taken with spin_lock_irq everywhere else. Ranks are acquired in rising
 * order; debug builds check that. To wait for a spin lock that the same CPU holds, or a mutex that
 * the same world holds, is a panic in every build. Nothing sleeps under a spin lock. Mutexes sleep
 * (worlds only), outside every spin lock. On the host both are checked no-ops.
 */
#ifndef VMK_LOCK_H
#define VMK_LOCK_H
#include "vmk/cpu.h"
#include "vmk/list.h"

/* Lower ranks are outer. Locks at or above RANK_BOTTOM may be taken in a bottom half. */
enum lock_rank {
	RANK_OUTER = 10, /* VM, process, file tables */
	RANK_ASPACE = 20,
	RANK_FS = 30,
	RANK_BOTTOM = 40, /* first rank that completions may take */
	RANK_VDEV = 42,
	RANK_VLAPIC = 46,
	RANK_DEVICE = 50, /* driver queues */
	RANK_BLK = 54,
	RANK_NET = 56,
	RANK_FILE = 60, /* pipes, sockets, ttys: wait queue owners */
	RANK_WAIT = 70,
	RANK_TIMER = 74,
	RANK_RUNQ = 78,
	RANK_MM = 84,    /* slabs */
	RANK_FRAME = 88, /* buddy */
	RANK_LEAF = 94,
	RANK_LOG = 98,
};

struct spinlock {
	uint32_t next, serving; /* ticket lock */
	uint16_t rank;
	int16_t cpu; /* holder; -1: free, or taken raw */
	const char *name;
};
#define SPINLOCK_INIT(n, r)                         \
	{                                           \
		.rank = (r), .cpu = -1, .name = (n) \
	}

void spin_init(struct spinlock *l, const char *name, enum lock_rank rank);
void spin_lock(struct spinlock *l);
bool __must_check spin_trylock(struct spinlock *l);
void spin_unlock(struct spinlock *l);
/* Disables interrupts; returns the old RFLAGS for spin_unlock_irq. */
uint64_t __must_check spin_lock_irq(struct spinlock *l);
void spin_unlock_irq(struct spinlock *l, uint64_t flags);
bool spin_held(const struct spinlock *l); /* by this CPU */

/* The world stays on this CPU in between. They nest, with each other and with spin locks. */
void preempt_disable(void);
void preempt_enable(void);

/*
 * The same lock without function calls, for the hottest paths: interrupts are off already and stay
 * off, so nothing can preempt the holder. Debug builds do not check its rank.
 */
static inline void spin_lock_raw(struct spinlock *l)
{
	uint32_t ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_ACQUIRE);

	while (unlikely(load_acquire(&l->serving) != ticket))
		cpu_relax();
}
static inline void spin_unlock_raw(struct spinlock *l)
{
	store_release(&l->serving, l->serving + 1);
}

/*
 * Debug builds: the list of locks that a CPU holds, lock_cpu_size() zeroed bytes, set before it
 * starts; the boot CPU has one of its own. In other builds the size is 0.
 */
size_t lock_cpu_size(void);
void lock_init_cpu(unsigned cpu, void *memory);

struct world;
struct mutex {
	struct spinlock lock;
	struct world *owner;
	struct list waiters;
};
void mutex_init(struct mutex *m, const char *name);
void mutex_lock(struct mutex *m);
bool __must_check mutex_trylock(struct mutex *m);
void mutex_unlock(struct mutex *m);
bool mutex_held(const struct mutex *m); /* by this world */
#endif
