// SPDX-License-Identifier: Apache-2.0
/*
 * The timer of a guest's local APIC: one-shot, periodic, TSC deadline. It counts nanoseconds (a bus
 * of 1 GHz). Periods stay on their grid when a callback comes late; those that were missed are
 * dropped.
 *
 * The expiry may run on another CPU than the vCPU, and the guest may rewrite the timer meanwhile.
 * timer_lock orders the two. A callback that had to wait for the lock finds out by timer_due
 * whether what it was called for still stands: the timer may have been stopped or set anew.
 */
#include "vmm/vlapic_timer.h"

enum { LVT_TIMER = 1, MODE_ONESHOT = 0, MODE_PERIODIC = 1, MODE_DEADLINE = 2 };
/* Shorter periods than this would be all the CPU does. */
#define PERIOD_MIN (20 * NS_PER_US)
/* Deadlines further ahead are as good as this one. */
#define AHEAD_MAX (365 * 86400 * NS_PER_S)

/* timer_lock: taken on every write of the timer, so without a function call. */
static inline uint64_t lock(struct vlapic *a)
{
	uint64_t flags = irq_save();

	spin_lock_raw(&a->timer_lock);
	return flags;
}

static inline void unlock(struct vlapic *a, uint64_t flags)
{
	spin_unlock_raw(&a->timer_lock);
	irq_restore(flags);
}

static unsigned mode_of(uint32_t lvt)
{
	return (unsigned)GET(APIC_LVT_TIMER_MODE, lvt);
}

static unsigned mode(const struct vlapic *a)
{
	return mode_of(READ_ONCE(a->lvt[LVT_TIMER]));
}

/* The divide configuration register: 0 is by 2, ..., 6 by 128, 7 by 1, in bits 3, 1 and 0. */
static unsigned divider_shift(const struct vlapic *a)
{
	unsigned d = (a->timer_divide & 3) | (a->timer_divide & 8) >> 1;

	return (d + 1) & 7;
}

/* These two under timer_lock, as everything that sets or cancels the timer. */
static void arm(struct vlapic *a, ns_t due)
{
	a->timer_due = due;
	timer_set(&a->timer, due);
}

static void disarm(struct vlapic *a)
{
	timer_cancel(&a->timer);
	a->timer_due = NS_NEVER;
	a->timer_period = 0;
	a->deadline_tsc = 0;
}

static void expired(struct timer *t)
{
	struct vlapic *a = container_of(t, struct vlapic, timer);
	uint64_t flags = lock(a);
	uint32_t lvt = READ_ONCE(a->lvt[LVT_TIMER]);
	ns_t now = time_now();

	if (now < a->timer_due) {
		unlock(a, flags);
		return;
	}
	if (mode_of(lvt) == MODE_PERIODIC && a->timer_period) {
		/*
		 * The period that ends starts the next one; whole ones that have passed are
		 * skipped.
		 */
		a->timer_start = a->timer_due;
		a->timer_start += (now - a->timer_start) / a->timer_period * a->timer_period;
		arm(a, a->timer_start + a->timer_period);
	} else {
		a->timer_due = NS_NEVER;
		a->timer_period = 0;
		a->deadline_tsc = 0;
	}
	unlock(a, flags);
	if (!(lvt & APIC_LVT_MASKED))
		vlapic_post(a, lvt & APIC_LVT_VECTOR, false);
}

void vlapic_timer_init(struct vlapic *a)
{
	spin_init(&a->timer_lock, "vlapic timer", RANK_VLAPIC);
	timer_init(&a->timer, expired);
	a->timer_due = NS_NEVER;
}

void vlapic_timer_stop(struct vlapic *a)
{
	uint64_t flags = lock(a);

	disarm(a);
	unlock(a, flags);
}

void vlapic_timer_start(struct vlapic *a, uint32_t init)
{
	uint64_t flags;

	/* The initial count is ignored in deadline mode (11.5.4.1). */
	if (mode(a) == MODE_DEADLINE)
		return;
	flags = lock(a);
	a->timer_init = init;
	if (init) {
		a->timer_start = time_now();
		a->timer_period = (ns_t)init << divider_shift(a);
		if (mode(a) == MODE_PERIODIC)
			a->timer_period = MAX(a->timer_period, PERIOD_MIN);
		arm(a, a->timer_start + a->timer_period);
	} else {
		disarm(a);
	}
	unlock(a, flags);
}

uint32_t vlapic_timer_count(struct vlapic *a)
{
	uint64_t flags = lock(a);
	ns_t period = a->timer_period, gone = time_now() - a->timer_start;
	bool periodic = mode(a) == MODE_PERIODIC;

	unlock(a, flags);
	if (!period)
		return 0;
	/* An expiry that is late has not moved the start yet. */
	if (periodic)
		gone %= period;
	return gone >= period ? 0 : (uint32_t)((period - gone) >> divider_shift(a));
}

void vlapic_timer_mode(struct vlapic *a, uint32_t old)
{
	bool was = mode_of(old) == MODE_DEADLINE, is = mode(a) == MODE_DEADLINE;
	uint64_t flags = lock(a);

	if (was != is) { /* 11.5.4.1: the change disarms the timer */
		disarm(a);
		a->timer_init = 0;
	} else if (mode(a) == MODE_PERIODIC && a->timer_period) {
		/* A one-shot count may be shorter than a period: it ends as it was set. */
		a->timer_period = MAX(a->timer_period, PERIOD_MIN);
	}
	unlock(a, flags);
}

void vlapic_set_deadline(struct vlapic *a, uint64_t tsc)
{
	uint64_t now = a->env->guest_tsc(a), flags;

	if (mode(a) != MODE_DEADLINE)
		return;
	flags = lock(a);
	if (!tsc)
		disarm(a);
	a->deadline_tsc = tsc;
	if (tsc)
		arm(a,
		    time_now() + (tsc > now ? MIN(a->env->tsc_to_ns(a, tsc - now), AHEAD_MAX) : 0));
	unlock(a, flags);
}
