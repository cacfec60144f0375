// SPDX-License-Identifier: Apache-2.0
/*
 * Calls to other CPUs. A caller owns one outgoing slot, its percpu's, while it may not be
 * preempted; in each target a bit says whose slots to look at. No lock: a caller waits for its
 * targets with interrupts on, and serves theirs meanwhile.
 */
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "x86/insn.h"
#include "x86/ipi.h"
#include "x86/lapic.h"
#include "x86/paging.h"
#include "x86/preempt.h"
#include "x86/trap.h"

STAT(ipi_calls, "ipi.calls", "functions called on other CPUs");
STAT(ipi_resched, "ipi.resched", "requests to look at the run queue");
STAT(tlb_shootdowns, "tlb.shootdowns", "flushes of kernel mappings on all CPUs");

/* More pages than this are flushed by flushing everything. */
enum { FLUSH_PAGES_MAX = 32 };

static void serve(struct percpu *p)
{
	for (unsigned w = 0; w < ARRAY_SIZE(p->callers); w++) {
		uint64_t bits = __atomic_exchange_n(&p->callers[w], 0, __ATOMIC_ACQ_REL);

		while (bits != 0) {
			struct cpu_slot *s =
				&percpu[w * 64 + (unsigned)__builtin_ctzll(bits)]->slot;

			bits &= bits - 1;
			/*
			 * The caller waits, so slot and argument are its own until waiting falls.
			 */
			s->fn(s->arg);
			__atomic_sub_fetch(&s->waiting, 1, __ATOMIC_RELEASE);
		}
	}
}

static void call_interrupt(struct trap_frame *f)
{
	lapic_eoi();
	serve(this_cpu());
}

/* need_resched is set by whoever sends it; the way out of the interrupt looks at it. */
static void resched_interrupt(struct trap_frame *f)
{
	lapic_eoi();
	/* world_kick() too: a thread in ring 3 may have got a signal. */
	this_cpu()->user_work = 1;
}

/* Preemption is off between the two: the world stays on this CPU, whose slot it uses. */
static struct percpu *pin(void)
{
	preempt_off();
	return this_cpu();
}

static void unpin(void)
{
	preempt_on();
}

static void ask(struct percpu *me, struct percpu *target)
{
	__atomic_fetch_or(&target->callers[me->id / 64], BIT(me->id % 64), __ATOMIC_ACQ_REL);
	lapic_send(target->apic_id, VEC_CALL);
	stat_inc(ipi_calls);
}

static void wait_for_all(struct percpu *me)
{
	while (load_acquire(&me->slot.waiting) != 0)
		cpu_relax();
	me->slot.fn = NULL;
}

static void here(void (*fn)(void *), void *arg)
{
	uint64_t flags = irq_save();

	fn(arg);
	irq_restore(flags);
}

static void open_slot(struct percpu *me, void (*fn)(void *), void *arg, uint32_t targets)
{
	/*
	 * With interrupts off two CPUs that call each other would wait for ever. A slot in use
	 * means a call from within a called function.
	 */
	ASSERT(irq_enabled() && me->slot.fn == NULL);
	me->slot.arg = arg;
	me->slot.fn = fn;
	store_release(&me->slot.waiting, targets);
}

void cpu_call(unsigned cpu, void (*fn)(void *), void *arg)
{
	struct percpu *me = pin();

	if (cpu == me->id) {
		here(fn, arg);
	} else {
		open_slot(me, fn, arg, 1);
		ask(me, percpu[cpu]);
		wait_for_all(me);
	}
	unpin();
}

void cpu_call_all(void (*fn)(void *), void *arg)
{
	struct percpu *me = pin();
	unsigned count = cpu_count();

	if (count > 1) {
		open_slot(me, fn, arg, count - 1);
		for (unsigned cpu = 0; cpu < count; cpu++)
			if (cpu != me->id)
				ask(me, percpu[cpu]);
	}
	here(fn, arg);
	if (count > 1)
		wait_for_all(me);
	unpin();
}

void cpu_resched(unsigned cpu)
{
	stat_inc(ipi_resched);
	lapic_send(percpu[cpu]->apic_id, VEC_RESCHED);
}

struct flush {
	va_t va;
	uint64_t len;
};

static void flush(void *arg)
{
	const struct flush *f = arg;

	if (f->len > FLUSH_PAGES_MAX * PAGE_SIZE) {
		tlb_flush_all();
		return;
	}
	for (uint64_t at = 0; at < f->len; at += PAGE_SIZE)
		tlb_flush_page(f->va + at);
}

void tlb_shootdown(va_t va, uint64_t len)
{
	struct flush f = { va, len };

	stat_inc(tlb_shootdowns);
	cpu_call_all(flush, &f);
}

void ipi_init(void)
{
	trap_set_interrupt(VEC_CALL, call_interrupt);
	trap_set_interrupt(VEC_RESCHED, resched_interrupt);
}
