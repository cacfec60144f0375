// SPDX-License-Identifier: Apache-2.0
/*
 * The clock event: the local APIC's timer in TSC-deadline mode, or counting down once. Each CPU its
 * own, with interrupts off. Spec: Intel SDM 3A 10.5.4.
 */
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "x86/clock.h"
#include "x86/cpu.h"
#include "x86/insn.h"
#include "x86/lapic.h"
#include "x86/percpu.h"
#include "x86/trap.h"

#define LOG_MODULE "timer"

#define DIVIDE_BY_1    0xb
#define MEASURE_NS     (10 * NS_PER_MS)
#define COUNT_MAX      UINT32_MAX
#define SHORTEST_COUNT 2

STAT(timer_interrupts, "timer.interrupts", "clock events, all CPUs");
STAT(timer_early, "timer.early", "clock events before their deadline, armed again");

static bool by_deadline;
static uint64_t timer_hz;

static void arm(ns_t deadline)
{
	ns_t now = time_now(), sleep = MIN(deadline > now ? deadline - now : 0, time_max_sleep());
	uint64_t count;

	if (by_deadline) {
		wrmsr(MSR_TSC_DEADLINE, clock_tsc_at(deadline));
		return;
	}
	count = mul_div(sleep, timer_hz, NS_PER_S) + 1;
	lapic_write(APIC_TIMER_INIT, (uint32_t)MIN(MAX(count, SHORTEST_COUNT), COUNT_MAX));
}

void clockevent_set(ns_t deadline)
{
	this_cpu()->clock_deadline = deadline;
	/* Without a trusted TSC the clock has to be read now and then even if nothing is due. */
	if (deadline != NS_NEVER || time_max_sleep() != NS_NEVER)
		arm(deadline);
	else if (by_deadline)
		wrmsr(MSR_TSC_DEADLINE, 0);
	else
		lapic_write(APIC_TIMER_INIT, 0);
}

static void timer_interrupt(struct trap_frame *f)
{
	ns_t deadline = this_cpu()->clock_deadline;

	lapic_eoi();
	stat_inc(timer_interrupts);
	/* The counter is shorter than the wait, or a little fast. */
	if (time_now() < deadline) {
		stat_inc(timer_early);
		arm(deadline);
		return;
	}
	this_cpu()->clock_deadline = NS_NEVER;
	if (trap_hooks.timer != NULL)
		trap_hooks.timer();
}

/* Counts down at the bus or crystal clock, whose rate only a measurement tells everywhere. */
static uint64_t measure(void)
{
	uint64_t start, ticks;
	uint32_t left;

	lapic_write(APIC_TIMER_INIT, COUNT_MAX);
	start = rdtsc();
	time_delay(MEASURE_NS);
	left = lapic_read(APIC_TIMER_COUNT);
	ticks = rdtsc() - start;
	lapic_write(APIC_TIMER_INIT, 0);
	return mul_div(COUNT_MAX - left, time_tsc_hz(), ticks);
}

void lapic_timer_init_cpu(void)
{
	this_cpu()->clock_deadline = NS_NEVER;
	if (by_deadline) {
		lapic_write(APIC_LVT_TIMER, APIC_LVT_TIMER_DEADLINE | VEC_TIMER);
		/* The mode must be in force before the first deadline is written (10.5.4.1). */
		__asm__ volatile("mfence" ::: "memory");
		return;
	}
	lapic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	lapic_write(APIC_LVT_TIMER, VEC_TIMER);
}

void lapic_timer_init(void)
{
	by_deadline = cpu_features.tsc_deadline && time_tsc_reliable();
	trap_set_interrupt(VEC_TIMER, timer_interrupt);
	if (by_deadline) {
		log_info("TSC deadline");
		return;
	}
	lapic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	timer_hz = measure();
	log_info("local APIC, %llu.%03llu MHz", (unsigned long long)(timer_hz / 1000000),
	         (unsigned long long)(timer_hz / 1000 % 1000));
}
