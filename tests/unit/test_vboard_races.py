# SPDX-License-Identifier: Apache-2.0
"""Device models whose timers expire on one CPU while the guest writes registers on another."""

import pytest

from tests.unit import cunit

SOURCES = [
    *(f"vmkernel/vmm/{name}.c" for name in ("iobus", "vlapic", "vlapic_timer")),
    *(f"vmkernel/vdev/{name}.c" for name in ("vpit", "vrtc")),
    "vmkernel/lib/date.c",
]
CODE = """
#include <string.h>
#include <unistd.h>
#include "threads.h"

/*
 * Timers as the vmkernel's: a node is in one tree at most. Cancelling and inserting are two steps,
 * as in sched/timer.c: who sets one timer from two CPUs at once inserts it twice. Between the two
 * the other CPU gets some turns, unless it waits for the model's lock.
 */
static unsigned inside, twice;
static ns_t now = NS_PER_S;
static unsigned loops; /* of the other CPU */
static void turns(void)
{
	unsigned before = __atomic_load_n(&loops, __ATOMIC_SEQ_CST);

	for (unsigned n = 0; n < 100; n++) {
		if (__atomic_load_n(&loops, __ATOMIC_SEQ_CST) - before >= 3)
			return;
		usleep(10);
	}
}
ns_t time_now(void) { return __atomic_load_n(&now, __ATOMIC_SEQ_CST); }
void timer_init(struct timer *t, void (*fn)(struct timer *))
{
	*t = (struct timer){ .fn = fn, .deadline = NS_NEVER, .cpu = -1 };
}
bool timer_cancel(struct timer *t)
{
	return __atomic_exchange_n(&t->cpu, -1, __ATOMIC_SEQ_CST) >= 0;
}
void timer_set(struct timer *t, ns_t deadline)
{
	bool alone = !__atomic_fetch_add(&inside, 1, __ATOMIC_SEQ_CST);

	timer_cancel(t);
	turns();
	__atomic_store_n(&t->deadline, deadline, __ATOMIC_SEQ_CST);
	__atomic_store_n(&t->cpu, 0, __ATOMIC_SEQ_CST);
	__atomic_fetch_sub(&inside, 1, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&twice, !alone, __ATOMIC_SEQ_CST);
}
void timer_cancel_sync(struct timer *t) { timer_cancel(t); }

static void wake(struct vlapic *a) {}
static uint64_t tsc(struct vlapic *a) { return time_now(); }
static ns_t to_ns(struct vlapic *a, uint64_t ticks) { return ticks; }
static const struct vlapic_env env = { .wake = wake, .guest_tsc = tsc, .tsc_to_ns = to_ns };
static void set(struct virq *q, bool level) {}
static struct virq line = { set };
static struct vlapic apic;
static struct vpit pit;
static struct vrtc rtc;
static struct iobus io;

static void write_apic(unsigned n)
{
	vlapic_write(&apic, APIC_LVT_TIMER, n % 8 < 6 ? 0x20040 : 0x40);
	vlapic_write(&apic, APIC_TIMER_INIT, n % 5 ? 1000 + n : 0);
	(void)vlapic_read(&apic, APIC_TIMER_COUNT);
}
static void write_pit(unsigned n)
{
	iobus_port_write(&io, 0x43, 1, 0x34);
	iobus_port_write(&io, 0x40, 1, n & 0xff);
	iobus_port_write(&io, 0x40, 1, 1);
}
static void write_rtc(unsigned n)
{
	iobus_port_write(&io, 0x70, 1, 10 + n % 2);
	iobus_port_write(&io, 0x71, 1, n % 2 ? 0x42 : 0x23);
}
static const struct { void (*write)(unsigned n); struct timer *timer; } models[] = {
	{ write_apic, &apic.timer }, { write_pit, &pit.timer }, { write_rtc, &rtc.timer }
};
static unsigned model, end;
static bool taken_out(struct timer *t)
{
	int armed = 0;

	return __atomic_compare_exchange_n(&t->cpu, &armed, -1, false, 5, 5);
}
/* The other CPU: what is due expires there. */
static void *expire(void *arg)
{
	struct timer *t = models[model].timer;

	while (!__atomic_load_n(&end, __ATOMIC_SEQ_CST)) {
		__atomic_fetch_add(&loops, 1, __ATOMIC_SEQ_CST);
		__atomic_fetch_add(&now, 60000, __ATOMIC_SEQ_CST);
		bool due = time_now() >= __atomic_load_n(&t->deadline, __ATOMIC_SEQ_CST);

		if (due && taken_out(t))
			t->fn(t);
		else
			sched_yield();
	}
	return NULL;
}
int race(unsigned which, unsigned rounds)
{
	pthread_t other;

	twice = end = 0;
	model = which;
	memset(&apic, 0, sizeof apic);
	vlapic_init(&apic, &env, 0, true);
	vlapic_write(&apic, APIC_SVR, 0x1ff);
	if (iobus_init(&io) || vpit_init(&pit, &io, &line) || vrtc_init(&rtc, &io, &line, 64 << 20))
		return -1;
	pthread_create(&other, NULL, expire, NULL);
	for (unsigned n = 0; n < rounds && !twice; n++) {
		models[which].write(n);
		turns();
	}
	__atomic_store_n(&end, 1, __ATOMIC_SEQ_CST);
	pthread_join(other, NULL);
	vlapic_stop(&apic);
	iobus_destroy(&io);
	return (int)twice;
}
/* A stale expiry: it was taken out of the tree, and the guest set the timer before it ran. */
unsigned stale_expiry(void)
{
	memset(&apic, 0, sizeof apic);
	vlapic_init(&apic, &env, 0, true);
	vlapic_write(&apic, APIC_SVR, 0x1ff);
	vlapic_write(&apic, APIC_LVT_TIMER, 0x20040);
	vlapic_write(&apic, APIC_TIMER_INIT, 100000);
	now += 100000;
	timer_cancel(&apic.timer);
	vlapic_write(&apic, APIC_TIMER_INIT, 1000000);
	apic.timer.fn(&apic.timer);
	return (vlapic_pending(&apic) >= 0) | (apic.timer.deadline < now + 1000000) << 1;
}
/* The shortest time between two expiries of a one-shot count that is made periodic. */
uint64_t shortest_period(void)
{
	ns_t first;

	memset(&apic, 0, sizeof apic);
	vlapic_init(&apic, &env, 0, true);
	vlapic_write(&apic, APIC_SVR, 0x1ff);
	vlapic_write(&apic, APIC_TIMER_DIVIDE, 0xb);
	vlapic_write(&apic, APIC_LVT_TIMER, 0x40);
	vlapic_write(&apic, APIC_TIMER_INIT, 10);
	vlapic_write(&apic, APIC_LVT_TIMER, 0x20040);
	now = first = apic.timer.deadline;
	timer_cancel(&apic.timer);
	apic.timer.fn(&apic.timer);
	return apic.timer.deadline - first;
}
"""
CDEF = "int race(unsigned which, unsigned rounds); unsigned stale_expiry(void);"
CDEF += "uint64_t shortest_period(void);"


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    headers = ["vmm/vlapic.h", "vdev/vpit.h", "vdev/vrtc.h", "seam.h"]
    return cunit.build("vboard_races", SOURCES, headers, CDEF, code=CODE, options=["-pthread"])


@pytest.mark.parametrize("model", ["local APIC", "PIT", "RTC"])
def test_a_timer_is_set_by_one_at_a_time(unit: cunit.Unit, model: str) -> None:
    assert unit.lib.race(["local APIC", "PIT", "RTC"].index(model), 60) == 0


def test_an_expiry_that_comes_too_late_changes_nothing(unit: cunit.Unit) -> None:
    assert unit.lib.stale_expiry() == 0


def test_a_one_shot_count_turned_periodic_keeps_the_floor(unit: cunit.Unit) -> None:
    assert unit.lib.shortest_period() >= 20_000
