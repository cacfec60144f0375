// SPDX-License-Identifier: Apache-2.0
/*
 * The timer of a guest's local APIC: one-shot, periodic, TSC deadline. It counts nanoseconds (a bus
 * of 1 GHz). Periods stay on their grid when a callback comes late; those that were missed are
 * dropped.
 */
#include "vmm/vlapic_timer.h"

enum { LVT_TIMER = 1, MODE_ONESHOT = 0, MODE_PERIODIC = 1, MODE_DEADLINE = 2 };
/* Shorter periods than this would be all the CPU does. */
#define PERIOD_MIN (20 * NS_PER_US)

static unsigned mode_of(uint32_t lvt)
{
	return (unsigned)GET(APIC_LVT_TIMER_MODE, lvt);
}

static unsigned divider_shift(const struct vlapic *a)
{
	unsigned d = (a->timer_divide & 3) | (a->timer_divide & 8) >> 1;

	return (d + 1) & 7;
}

static void expired(struct timer *t)
{
	struct vlapic *a = container_of(t, struct vlapic, timer);
	uint32_t lvt = READ_ONCE(a->lvt[LVT_TIMER]);

	if (mode_of(lvt) == MODE_PERIODIC && a->timer_period) {
		ns_t now = time_now();

		a->timer_start += a->timer_period;
		if (a->timer_start + a->timer_period <= now)
			a->timer_start += (now - a->timer_start) / a->timer_period *
			                  a->timer_period;
		timer_set(t, a->timer_start + a->timer_period);
	} else if (mode_of(lvt) == MODE_DEADLINE) {
		a->deadline_tsc = 0;
	}
	if (!(lvt & APIC_LVT_MASKED))
		vlapic_post(a, lvt & APIC_LVT_VECTOR, false);
}

void vlapic_timer_init(struct vlapic *a)
{
	timer_init(&a->timer, expired);
}

void vlapic_timer_stop(struct vlapic *a)
{
	timer_cancel(&a->timer);
	a->timer_period = 0;
	a->deadline_tsc = 0;
}

void vlapic_timer_start(struct vlapic *a, uint32_t init)
{
	if (mode_of(a->lvt[LVT_TIMER]) == MODE_DEADLINE)
		return;
	vlapic_timer_stop(a);
	a->timer_init = init;
	if (!init)
		return;
	a->timer_start = time_now();
	a->timer_period = (ns_t)init << divider_shift(a);
	if (mode_of(a->lvt[LVT_TIMER]) == MODE_PERIODIC)
		a->timer_period = MAX(a->timer_period, PERIOD_MIN);
	timer_set(&a->timer, a->timer_start + a->timer_period);
}

uint32_t vlapic_timer_count(const struct vlapic *a)
{
	ns_t gone;

	if (!a->timer_period)
		return 0;
	gone = time_now() - a->timer_start;
	if (mode_of(a->lvt[LVT_TIMER]) == MODE_PERIODIC)
		gone %= a->timer_period;
	return gone >= a->timer_period ? 0
	                               : (uint32_t)((a->timer_period - gone) >> divider_shift(a));
}

void vlapic_timer_mode(struct vlapic *a, uint32_t old)
{
	bool was = mode_of(old) == MODE_DEADLINE, is = mode_of(a->lvt[LVT_TIMER]) == MODE_DEADLINE;

	if (was != is) {
		vlapic_timer_stop(a);
		a->timer_init = 0;
	}
}

void vlapic_set_deadline(struct vlapic *a, uint64_t tsc)
{
	uint64_t now = a->env->guest_tsc(a);

	if (mode_of(a->lvt[LVT_TIMER]) != MODE_DEADLINE)
		return;
	timer_cancel(&a->timer);
	a->deadline_tsc = tsc;
	if (tsc)
		timer_set(&a->timer,
		          time_now() + (tsc > now ? a->env->tsc_to_ns(a, tsc - now) : 0));
}
