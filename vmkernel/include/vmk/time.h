// SPDX-License-Identifier: Apache-2.0
/* Clocks and timers. Timer functions run in the bottom half of the CPU that armed them. */
#ifndef VMK_TIME_H
#define VMK_TIME_H
#include "vmk/tree.h"

ns_t time_now(void);      /* monotonic, since boot */
ns_t time_realtime(void); /* since 1970-01-01 UTC; monotonic + offset */
void time_set_realtime(ns_t now);
uint64_t time_tsc_hz(void);
bool time_tsc_reliable(void);
/* What the clocks are made of, for those who read a reliable TSC themselves. */
struct time_page {
	uint64_t tsc_base, tsc_mult; /* time_now(): time_scale(TSC - tsc_base, tsc_mult) */
	ns_t realtime_offset;        /* may change at any time, in one store */
};
static inline ns_t time_scale(uint64_t ticks, uint64_t mult)
{
	return (ns_t)((unsigned __int128)ticks * mult >> 32);
}
void time_share(struct time_page *p); /* kept true from now on; once, at boot */
/* The clock must be read at least this often, or it loses time: the longest deadline to set. */
ns_t time_max_sleep(void);
/* Busy wait, for hardware delays only. */
void time_delay(ns_t ns);

/* A calendar date, Gregorian, UTC (vmkernel/lib/date.c). Seconds since 1970-01-01. */
struct date {
	unsigned year, month, day, hour, minute, second; /* month and day from 1 */
};
void date_from_unix(uint64_t seconds, struct date *d);
uint64_t date_to_unix(const struct date *d);

/*
 * This CPU's clock event: an interrupt at or soon after the deadline (at once when it is past),
 * which calls trap_hooks.timer. NS_NEVER disarms it. One deadline at a time. Interrupts off.
 */
void clockevent_set(ns_t deadline);

/*
 * A one-shot timer, owned by the caller. Arm, re-arm and cancel from any context of rank below
 * RANK_TIMER. The owner's lock serializes timer_set() on one timer, fn's own included: two at the
 * same time would corrupt the queues. fn may re-arm. timer_cancel returns true when it prevented
 * fn; timer_cancel_sync also waits until a running fn has returned (not from fn itself).
 */
struct timer {
	struct tree_node node;
	ns_t deadline;
	void (*fn)(struct timer *t);
	int cpu; /* whose queue; -1 when idle */
};
void timer_init(struct timer *t, void (*fn)(struct timer *));
void timer_set(struct timer *t, ns_t deadline);
bool timer_cancel(struct timer *t);
void timer_cancel_sync(struct timer *t);
#endif
