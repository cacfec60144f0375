// SPDX-License-Identifier: Apache-2.0
/*
 * Vectors for devices, per CPU. vector_lock guards allocation; dispatch reads its own CPU's slots
 * without a lock, and vector_free() passes through that CPU so that none is in use any more.
 */
#include "x86/vector.h"
#include "vmk/cpu.h"
#include "vmk/errno.h"
#include "vmk/lock.h"
#include "vmk/stat.h"
#include "x86/lapic.h"
#include "x86/percpu.h"
#include "x86/trap.h"

STAT(vector_stray, "irq.stray", "interrupts on a vector whose source is gone");

static struct spinlock vector_lock = SPINLOCK_INIT("vector", RANK_LEAF);

static void device_interrupt(struct trap_frame *f)
{
	struct vector_slot *s = &this_cpu()->vector[f->vector - VEC_DEVICE];
	void (*fn)(void *) = load_acquire(&s->fn);

	if (fn != NULL)
		fn(s->arg);
	else
		stat_inc(vector_stray);
	lapic_eoi();
}

void vector_init(void)
{
	for (unsigned v = VEC_DEVICE; v <= VEC_DEVICE_LAST; v++)
		trap_set_interrupt(v, device_interrupt);
}

int vector_alloc(unsigned cpu, void (*fn)(void *arg), void *arg)
{
	struct percpu *p = percpu[cpu];
	uint64_t flags = spin_lock_irq(&vector_lock);
	int vector = -ENOSPC;

	for (unsigned i = 0; i < ARRAY_SIZE(p->vector); i++) {
		if (p->vector[i].fn != NULL)
			continue;
		/* fn last: an interrupt that comes now sees both. */
		p->vector[i].arg = arg;
		store_release(&p->vector[i].fn, fn);
		p->vectors_used++;
		vector = (int)(VEC_DEVICE + i);
		break;
	}
	spin_unlock_irq(&vector_lock, flags);
	return vector;
}

/* Runs on the CPU with interrupts off: after it, its dispatch sees an empty slot. */
static void pass_through(void *arg) {}

void vector_free(unsigned cpu, unsigned vector)
{
	struct percpu *p = percpu[cpu];
	uint64_t flags = spin_lock_irq(&vector_lock);

	store_release(&p->vector[vector - VEC_DEVICE].fn, NULL);
	p->vectors_used--;
	spin_unlock_irq(&vector_lock, flags);
	cpu_call(cpu, pass_through, NULL);
}

unsigned vector_used(unsigned cpu)
{
	return READ_ONCE(percpu[cpu]->vectors_used);
}
