// SPDX-License-Identifier: Apache-2.0
/* Locks on the host: one thread, so they only check that they are used by the rules. */
#include "seam.h"
#include "vmk/cpu.h"
#include "vmk/lock.h"
#include "vmk/log.h"
#include "vmk/world.h"

enum { HELD_MAX = 16 };
static struct spinlock *held[HELD_MAX];
static unsigned depth;
static bool interrupts = true;
SEAM unsigned seam_cpu, seam_cpus = 1;

SEAM void spin_init(struct spinlock *l, const char *name, enum lock_rank rank)
{
	*l = (struct spinlock){ .rank = rank, .cpu = -1, .name = name };
}

SEAM bool spin_held(const struct spinlock *l)
{
	return l->cpu >= 0;
}

SEAM void spin_lock(struct spinlock *l)
{
	if (spin_held(l))
		panic("lock %s: taken twice", l->name);
	/* Equal ranks (two run queues, all page caches) are taken in the order of addresses. */
	if (depth && (held[depth - 1]->rank > l->rank ||
	              (held[depth - 1]->rank == l->rank && held[depth - 1] > l)))
		panic("lock %s (rank %u) under %s (rank %u)", l->name, l->rank,
		      held[depth - 1]->name, held[depth - 1]->rank);
	ASSERT(depth < HELD_MAX);
	held[depth++] = l;
	l->cpu = (int16_t)seam_cpu;
}

SEAM bool spin_trylock(struct spinlock *l)
{
	if (spin_held(l))
		return false;
	ASSERT(depth < HELD_MAX);
	held[depth++] = l;
	l->cpu = (int16_t)seam_cpu;
	return true;
}

SEAM void spin_unlock(struct spinlock *l)
{
	unsigned i = depth;

	if (!spin_held(l))
		panic("lock %s: released while free", l->name);
	while (held[i - 1] != l)
		i--;
	for (depth--; i <= depth; i++)
		held[i - 1] = held[i];
	l->cpu = -1;
}

SEAM uint64_t irq_save(void)
{
	uint64_t before = interrupts;

	interrupts = false;
	return before;
}

SEAM void irq_restore(uint64_t flags)
{
	interrupts = flags != 0;
}

SEAM bool irq_enabled(void)
{
	return interrupts;
}

SEAM uint64_t spin_lock_irq(struct spinlock *l)
{
	uint64_t flags = irq_save();

	spin_lock(l);
	return flags;
}

SEAM void spin_unlock_irq(struct spinlock *l, uint64_t flags)
{
	spin_unlock(l);
	irq_restore(flags);
}

/* Any address serves as the one world's identity. */
static char the_world;

SEAM struct world *world_current(void)
{
	return (struct world *)&the_world;
}

bool seam_reserve;

SEAM void world_use_reserve(bool on)
{
	seam_reserve = on;
}

SEAM bool world_uses_reserve(void)
{
	return seam_reserve;
}

SEAM struct mem_account *world_account(const struct world *w)
{
	(void)w;
	return NULL;
}

SEAM void mutex_init(struct mutex *m, const char *name)
{
	spin_init(&m->lock, name, RANK_WAIT);
	m->owner = NULL;
	list_init(&m->waiters);
}

SEAM bool mutex_held(const struct mutex *m)
{
	return m->owner == world_current();
}

SEAM bool mutex_trylock(struct mutex *m)
{
	if (m->owner)
		return false;
	m->owner = world_current();
	return true;
}

SEAM void mutex_lock(struct mutex *m)
{
	if (depth)
		panic("mutex %s: taken under spin lock %s", m->lock.name, held[depth - 1]->name);
	if (!mutex_trylock(m))
		panic("mutex %s: taken twice", m->lock.name);
}

SEAM void mutex_unlock(struct mutex *m)
{
	if (!mutex_held(m))
		panic("mutex %s: released while free", m->lock.name);
	m->owner = NULL;
}

SEAM void preempt_disable(void) {}

SEAM void preempt_enable(void) {}

SEAM unsigned cpu_id(void)
{
	return seam_cpu;
}

SEAM unsigned cpu_count(void)
{
	return seam_cpus;
}

SEAM unsigned cpu_node(unsigned cpu)
{
	(void)cpu;
	return 0;
}

SEAM uint32_t cpu_apic_id(unsigned cpu)
{
	return cpu;
}

SEAM void cpu_resched(unsigned cpu)
{
	(void)cpu;
}

SEAM void cpu_call(unsigned cpu, void (*fn)(void *), void *arg)
{
	unsigned before = seam_cpu;

	seam_cpu = cpu;
	fn(arg);
	seam_cpu = before;
}

SEAM void cpu_call_all(void (*fn)(void *), void *arg)
{
	for (unsigned cpu = 0; cpu < seam_cpus; cpu++)
		cpu_call(cpu, fn, arg);
}
