// SPDX-License-Identifier: Apache-2.0
/*
 * The watchdog. CPU 0 asks all others every second whether they still take interrupts, and CPU 1
 * asks CPU 0; an answer is any interrupt taken, a call is sent to provoke one. A CPU without an
 * answer for the whole time gets an NMI and panics where it is. With one CPU the HPET sends NMIs:
 * an NMI that finds interrupts off, and no interrupt taken since the last, counts. Each watcher's
 * state is its own CPU's.
 */
#include "boot/watchdog.h"
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/panic.h"
#include "vmk/time.h"
#include "x86/hpet.h"
#include "x86/insn.h"
#include "x86/lapic.h"
#include "x86/nmi.h"
#include "x86/percpu.h"

#define LOG_MODULE "watchdog"

enum { DEFAULT_SECONDS = 10 };
#define PERIOD NS_PER_S
/* The comparator may match while it is being set: an NMI this soon after that is the HPET's. */
#define ARMING (PERIOD / 2)

static struct watch {
	struct timer timer;
	unsigned first, count; /* CPUs that it watches */
} watches[2];

static struct {
	uint64_t irqs;    /* as last seen */
	unsigned periods; /* since they changed */
	bool suspect;     /* the NMI on its way means: you are stuck */
} seen[CPUS_MAX];
static unsigned limit; /* periods */
static ns_t armed;     /* the HPET, one CPU */

static void look_at(unsigned cpu)
{
	uint64_t irqs = READ_ONCE(percpu[cpu]->irqs);

	/* Any interrupt taken since the last look is an answer. */
	if (irqs != seen[cpu].irqs) {
		seen[cpu].irqs = irqs;
		seen[cpu].periods = 0;
		return;
	}
	/* The suspect panics itself, so that the backtrace is that of what hangs. */
	if (++seen[cpu].periods >= limit) {
		WRITE_ONCE(seen[cpu].suspect, true);
		lapic_send_nmi(percpu[cpu]->apic_id);
	} else {
		cpu_resched(cpu); /* idle CPUs take no interrupts of their own accord */
	}
}

static void watch(struct timer *t)
{
	struct watch *w = container_of(t, struct watch, timer);

	for (unsigned i = 0; i < w->count; i++)
		look_at(w->first + i);
	timer_set(t, time_now() + PERIOD);
}

static bool is_stuck(const struct trap_frame *f)
{
	unsigned cpu = cpu_id();
	uint64_t irqs = this_cpu()->irqs;

	if (cpu_count() > 1)
		return READ_ONCE(seen[cpu].suspect) && seen[cpu].irqs == irqs;
	if (seen[cpu].irqs != irqs || (f->rflags & RFLAGS_IF)) {
		seen[cpu].irqs = irqs;
		seen[cpu].periods = 0;
	}
	return seen[cpu].periods++ >= limit;
}

static bool watchdog_nmi(struct trap_frame *f)
{
	if (cpu_count() == 1 && !hpet_nmi_fired())
		return time_now() - armed < ARMING;
	/*
	 * An emulator may lose an interrupt that comes as a guest's run ends. With several CPUs the
	 * next call brings it again; with one the timer would be lost for good. This write has the
	 * APIC look at what it holds.
	 */
	if (cpu_count() == 1)
		lapic_write(APIC_TPR, 0);
	if (is_stuck(f))
		panic_frame(f, "cpu%u has been stuck with interrupts off for %u s", cpu_id(),
		            limit);
	/* On several CPUs a late answer: nobody else sends NMIs to a suspect. */
	return cpu_count() == 1 ||
	       __atomic_exchange_n(&seen[cpu_id()].suspect, false, __ATOMIC_RELAXED);
}

/* On the watching CPU: its timer queue is where the timer has to be. */
static void start(void *arg)
{
	struct watch *w = arg;

	timer_init(&w->timer, watch);
	timer_set(&w->timer, time_now() + PERIOD);
}

void watchdog_init(void)
{
	uint64_t seconds = DEFAULT_SECONDS;

	boot_option_u64("watchdog", &seconds);
	if (seconds == 0)
		return;
	limit = (unsigned)MIN(seconds, 1000ull);
	nmi_set_watchdog(watchdog_nmi);
	if (cpu_count() == 1) {
		armed = time_now();
		if (!hpet_start_nmi(PERIOD))
			log_info("no HPET line that could send NMIs: no watchdog");
		return;
	}
	watches[0].first = 1;
	watches[0].count = cpu_count() - 1;
	watches[1].count = 1;
	cpu_call(0, start, &watches[0]);
	cpu_call(1, start, &watches[1]);
}
