// SPDX-License-Identifier: Apache-2.0
/*
 * Ticket spin locks (Mellor-Crummey, Scott 1991). A lock names the CPU that holds it. A CPU that
 * has to wait for a lock that it holds would wait for ever: it panics at once, with the lock's
 * name. Debug builds also keep the list of locks that each CPU holds and panic on a wrong order, on
 * recursion and on a release by another CPU. Ranks are compared within one interrupt level only: an
 * interrupted holder does not wait for a lock that its interrupter holds. Equal ranks are allowed
 * in the order of addresses (two run queues, all page caches).
 */
#include "vmk/lock.h"
#include "vmk/log.h"
#include "x86/preempt.h"
#include "x86/trap.h"

#ifdef VMK_DEBUG
enum { HELD_MAX = 300 }; /* mm_totals takes one for each CPU */

static struct held {
	unsigned count;
	struct {
		struct spinlock *lock;
		unsigned level;
	} lock[HELD_MAX];
} * held[CPUS_MAX], held_boot;

static struct held *this_held(void)
{
	unsigned cpu = cpu_id();

	return cpu == 0 ? &held_boot : held[cpu];
}

size_t lock_cpu_size(void)
{
	return sizeof(struct held);
}

void lock_init_cpu(unsigned cpu, void *memory)
{
	held[cpu] = memory;
}

static unsigned level_now(void)
{
	return percpu_read(irq_nesting) * 2 + percpu_read(in_bottom);
}

static void check_order(struct spinlock *l, bool trying)
{
	struct held *h = this_held();

	if (!h)
		return;
	for (unsigned i = h->count; i-- > 0;) {
		const struct spinlock *other = h->lock[i].lock;

		if (other == l)
			panic("lock %s taken twice", l->name);
		if (trying || h->lock[i].level != level_now())
			continue;
		if (other->rank > l->rank || (other->rank == l->rank && other > l))
			panic("lock %s (rank %u) wanted while %s (rank %u) is held", l->name,
			      l->rank, other->name, other->rank);
	}
}

static void note_taken(struct spinlock *l)
{
	struct held *h = this_held();

	if (!h)
		return;
	ASSERT(h->count < HELD_MAX);
	h->lock[h->count].lock = l;
	h->lock[h->count++].level = level_now();
}

static void note_released(struct spinlock *l)
{
	struct held *h = this_held();
	unsigned i;

	if (l->cpu != (int16_t)cpu_id())
		panic("lock %s released by a CPU that does not hold it", l->name);
	if (!h)
		return;
	for (i = h->count; i-- > 0 && h->lock[i].lock != l;)
		;
	for (h->count--; i < h->count; i++)
		h->lock[i] = h->lock[i + 1];
}
#else
size_t lock_cpu_size(void)
{
	return 0;
}
void lock_init_cpu(unsigned cpu, void *memory) {}
static inline void check_order(struct spinlock *l, bool trying) {}
static inline void note_taken(struct spinlock *l) {}
static inline void note_released(struct spinlock *l) {}
#endif

void preempt_check(void)
{
	uint64_t flags;

	/*
	 * With interrupts off the switch waits: for the end of the handler that this is, or for the
	 * caller's next preempt_on(). trap_hooks.preempt is the scheduler's.
	 */
	if (percpu_read(preempt_count) || !irq_enabled() || trap_hooks.preempt == NULL)
		return;
	flags = irq_save();
	if (percpu_read(need_resched))
		trap_hooks.preempt();
	irq_restore(flags);
}

void spin_init(struct spinlock *l, const char *name, enum lock_rank rank)
{
	*l = (struct spinlock){ .rank = rank, .cpu = -1, .name = name };
}

/*
 * A CPU writes its own number once it holds the lock and takes it away before it lets go, with
 * preemption off for as long: a CPU that reads its own number holds the lock, whatever the others
 * write meanwhile.
 */
static inline void set_holder(struct spinlock *l, int cpu)
{
	WRITE_ONCE(l->cpu, (int16_t)cpu);
}

bool spin_held(const struct spinlock *l)
{
	return READ_ONCE(l->cpu) == (int16_t)percpu_read(id);
}

static inline void take(struct spinlock *l)
{
	uint32_t ticket;

	check_order(l, false);
	ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_ACQUIRE);
	if (unlikely(load_acquire(&l->serving) != ticket)) {
		if (spin_held(l))
			panic("lock %s taken twice", l->name);
		while (load_acquire(&l->serving) != ticket)
			cpu_relax();
	}
	set_holder(l, (int)percpu_read(id));
	note_taken(l);
}

static inline void release(struct spinlock *l)
{
	note_released(l);
	set_holder(l, -1);
	store_release(&l->serving, l->serving + 1);
}

void spin_lock(struct spinlock *l)
{
	preempt_off();
	take(l);
}

bool spin_trylock(struct spinlock *l)
{
	uint32_t serving;

	preempt_off();
	check_order(l, true);
	serving = READ_ONCE(l->serving);
	if (__atomic_compare_exchange_n(&l->next, &serving, serving + 1, false, __ATOMIC_ACQUIRE,
	                                __ATOMIC_RELAXED)) {
		set_holder(l, (int)percpu_read(id));
		note_taken(l);
		return true;
	}
	preempt_on();
	return false;
}

void spin_unlock(struct spinlock *l)
{
	release(l);
	preempt_on();
}

uint64_t spin_lock_irq(struct spinlock *l)
{
	uint64_t flags = irq_save();

	preempt_off();
	take(l);
	return flags;
}

void spin_unlock_irq(struct spinlock *l, uint64_t flags)
{
	release(l);
	irq_restore(flags);
	preempt_on();
}

void preempt_disable(void)
{
	preempt_off();
}

void preempt_enable(void)
{
	preempt_on();
}
