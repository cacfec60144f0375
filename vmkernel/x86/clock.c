// SPDX-License-Identifier: Apache-2.0
/*
 * time_now(): the TSC where it can be trusted, else a slow counter that slow_lock extends to 64
 * bits; that one has to be read once per half its period: clockevent_set() sets no deadline further
 * away than that.
 */
#include "x86/clock.h"
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/string.h"
#include "x86/cpu.h"
#include "x86/insn.h"

#define LOG_MODULE "clock"

/* ns = (ticks * mult) >> 32. */
static uint64_t tsc_hz, tsc_base, tsc_mult;
static bool tsc_trusted;
static ns_t realtime_offset;
static struct time_page *shared;

static struct {
	const struct counter *counter;
	uint32_t lock;
	uint64_t last, ticks; /* last reading; ticks since boot */
	uint64_t mult;
} slow;

static uint64_t mult_of(uint64_t hz)
{
	return mul_div(NS_PER_S, 1ull << 32, hz);
}

/* Interrupts off and a bare word: this is also called by an NMI, which must not wait for itself. */
static ns_t slow_now(void)
{
	uint64_t flags = irq_save(), now;
	uint32_t free = 0;
	ns_t ns;

	/*
	 * After a bounded wait the lock is passed: its holder was stopped by a panic, or is what an
	 * NMI interrupted. A wrong time is better than none.
	 */
	for (int i = 0; i < 100000; i++, free = 0) {
		if (__atomic_compare_exchange_n(&slow.lock, &free, 1, false, __ATOMIC_ACQUIRE,
		                                __ATOMIC_RELAXED))
			break;
		cpu_relax();
	}
	now = slow.counter->read();
	slow.ticks += (now - slow.last) & slow.counter->mask;
	slow.last = now;
	ns = time_scale(slow.ticks, slow.mult);
	store_release(&slow.lock, 0u);
	irq_restore(flags);
	return ns;
}

ns_t time_now(void)
{
	if (tsc_trusted)
		return time_scale(rdtsc() - tsc_base, tsc_mult);
	return slow.counter != NULL ? slow_now() : 0;
}

ns_t time_max_sleep(void)
{
	return tsc_trusted ? NS_NEVER : time_scale(slow.counter->mask / 2, slow.mult);
}

ns_t time_realtime(void)
{
	return time_now() + READ_ONCE(realtime_offset);
}

void time_set_realtime(ns_t now)
{
	WRITE_ONCE(realtime_offset, now - time_now());
	if (shared)
		WRITE_ONCE(shared->realtime_offset, realtime_offset);
}

void time_share(struct time_page *p)
{
	*p = (struct time_page){ tsc_base, tsc_mult, realtime_offset };
	shared = p;
}

uint64_t time_tsc_hz(void)
{
	return tsc_hz;
}

bool time_tsc_reliable(void)
{
	return tsc_trusted;
}

void time_delay(ns_t ns)
{
	uint64_t ticks = mul_div(ns, tsc_hz, NS_PER_S), start = rdtsc();

	while (rdtsc() - start < ticks)
		cpu_relax();
}

uint64_t clock_tsc_at(ns_t t)
{
	return tsc_base + mul_div(t, tsc_hz, NS_PER_S);
}

/* What the CPU says of itself (CPUID 15H), or 0. */
static uint64_t tsc_hz_cpuid(void)
{
	struct cpuid r;

	if (cpu_features.max_leaf < 0x15)
		return 0;
	r = cpuid(0x15, 0);
	return r.a != 0 && r.b != 0 ? (uint64_t)r.c * r.b / r.a : 0;
}

bool clock_distrust_tsc(void)
{
	ns_t now = time_now();

	if (slow.counter == NULL)
		return false;
	slow.ticks = mul_div(now, slow.counter->hz, NS_PER_S);
	slow.last = slow.counter->read();
	tsc_trusted = false;
	return true;
}

void clock_start(void)
{
	tsc_base = rdtsc();
}

static const struct log_clock log_clock = { .now = time_now, .realtime = time_realtime };

void clock_init(void)
{
	const struct counter *ref = hpet_counter();
	char option[16];

	if (ref == NULL)
		ref = pm_timer_counter();
	/* The PIT can measure, but wraps after 55 ms: too short to keep time with. */
	slow.counter = ref;
	if (ref == NULL)
		ref = pit_counter();
	tsc_hz = tsc_hz_cpuid();
	if (tsc_hz == 0)
		tsc_hz = tsc_calibrate(ref);
	tsc_mult = mult_of(tsc_hz);
	/* Without a slow counter there is no choice but the TSC. */
	tsc_trusted = cpu_features.invariant_tsc || slow.counter == NULL ||
	              (boot_option("tsc", option, sizeof(option)) &&
	               strcmp(option, "reliable") == 0);
	if (slow.counter != NULL) {
		/* It goes on from where the TSC is, so that time does not jump at a change. */
		slow.mult = mult_of(ref->hz);
		slow.ticks = mul_div(rdtsc() - tsc_base, ref->hz, tsc_hz);
		slow.last = ref->read();
	}
	log_set_clock(&log_clock);
	log_info("TSC %llu.%03llu MHz, measured with the %s; the clock is the %s",
	         (unsigned long long)(tsc_hz / 1000000), (unsigned long long)(tsc_hz / 1000 % 1000),
	         ref->name, tsc_trusted ? "TSC" : slow.counter->name);
}
