// SPDX-License-Identifier: Apache-2.0
/*
 * Bottom halves: a list for each CPU, run at interrupt exit. bottom.pending is 1 from the raise
 * until just before fn, so a raise while fn runs queues it again. The list is this CPU's own,
 * guarded by interrupts being off.
 */
#include "sched/bottom.h"
#include "vmk/cpu.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/work.h"
#include "vmk/world.h"
#include "x86/insn.h"
#include "x86/percpu.h"

STAT(runs, "sched.bottom.runs", "bottom halves run");
STAT(again, "sched.bottom.again", "passes that left bottom halves for the next one");

enum { PASSES_MAX = 4 }; /* at one interrupt exit; the rest waits for a self-IPI */

int bottom_init_cpu(unsigned cpu)
{
	struct list *l = kzalloc(sizeof(*l));

	if (!l)
		return -ENOMEM;
	list_init(l);
	percpu[cpu]->bottom = l;
	return 0;
}

void bottom_init(struct bottom *b, void (*fn)(struct bottom *))
{
	list_init(&b->link);
	b->fn = fn;
	b->pending = 0;
	b->running = 0;
}

void bottom_raise(struct bottom *b)
{
	uint64_t flags;
	struct percpu *p;

	/* Whoever set it first puts it into its own CPU's list, so it is in one list at most. */
	if (__atomic_exchange_n(&b->pending, 1, __ATOMIC_ACQ_REL))
		return;
	flags = irq_save();
	p = this_cpu();
	list_push_back(p->bottom, &b->link);
	p->bottom_pending = 1;
	/* Outside of an interrupt nothing would run it soon. */
	if (!p->irq_nesting && !p->in_bottom)
		cpu_resched(p->id);
	irq_restore(flags);
}

void bottom_run(void)
{
	struct percpu *p = this_cpu();
	struct list *queue = p->bottom, batch;

	p->in_bottom = 1;
	p->preempt_count++;
	for (unsigned pass = 0; p->bottom_pending && pass < PASSES_MAX; pass++) {
		/*
		 * A batch of its own: one that raises itself again (its budget is spent) waits for
		 * the next pass, after all others.
		 */
		list_init(&batch);
		list_splice_back(&batch, queue);
		p->bottom_pending = 0;
		while (!list_empty(&batch)) {
			struct bottom *b = list_first(&batch, struct bottom, link);

			/*
			 * running before pending is cleared: bottom_flush() sees one or the other.
			 * pending is clear before fn starts: a raise from now on means another run,
			 * since fn may have looked at its work already.
			 */
			list_remove(&b->link);
			(void)__atomic_fetch_add(&b->running, 1, __ATOMIC_ACQ_REL);
			store_release(&b->pending, 0);
			/* preempt_count keeps the scheduler out while interrupts are on. */
			irq_restore(RFLAGS_IF);
			b->fn(b);
			(void)__atomic_fetch_sub(&b->running, 1, __ATOMIC_RELEASE);
			stat_inc(runs);
			(void)irq_save();
		}
	}
	p->preempt_count--;
	p->in_bottom = 0;
	/*
	 * The rest comes back as an interrupt: a world that waits for the CPU gets a turn before.
	 */
	if (p->bottom_pending) {
		stat_inc(again);
		cpu_resched(p->id);
	}
}

/* pending before running: a pass counts itself as running before it clears pending. */
void bottom_flush(struct bottom *b)
{
	while (load_acquire(&b->pending) || load_acquire(&b->running))
		world_yield();
}
