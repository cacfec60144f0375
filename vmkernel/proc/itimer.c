// SPDX-License-Identifier: Apache-2.0
/*
 * alarm, setitimer, getitimer. ITIMER_REAL is a timer of the kernel's; ITIMER_VIRTUAL and
 * ITIMER_PROF are looked at by a poll timer while one is set, against the process's CPU time.
 * proc_lock guards the settings.
 * Spec: setitimer(2), alarm(2).
 */
#include "proc/proc.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/syscall.h"

enum { ITIMER_REAL = 0, ITIMER_VIRTUAL = 1, ITIMER_PROF = 2 };
#define CPU_POLL      (4 * NS_PER_MS)
#define IGNORED_PAUSE (10 * NS_PER_MS) /* between ticks that the process ignores */

struct itimerval {
	int64_t interval[2], value[2]; /* seconds, microseconds */
};

/* The next tick of the interval that is still to come; proc_lock is held. */
static void alarm_next(struct proc *p, ns_t pause)
{
	ns_t now = time_now(), next = p->alarm.deadline + p->alarm_interval;

	if (next <= now)
		next += DIV_UP(now - next, p->alarm_interval) * p->alarm_interval;
	timer_set(&p->alarm, MAX(next, now + pause));
}

/*
 * In the timer's context. An interval goes on only when its signal is taken (itimer_taken()), so
 * that a very short one costs the time of its own process and not interrupts. Where the signal is
 * ignored nothing takes it: then the timer goes on by itself, not faster than IGNORED_PAUSE.
 */
static void alarm_fire(struct timer *timer)
{
	struct proc *p = container_of(timer, struct proc, alarm);
	uint64_t flags = spin_lock_irq(&proc_lock);

	if (!p->zombie) {
		signal_send_locked(p, NULL, SIGALRM, NULL);
		if (p->alarm_interval && !(p->pending.bits & sig_bit(SIGALRM)))
			alarm_next(p, IGNORED_PAUSE);
	}
	spin_unlock_irq(&proc_lock, flags);
}

void itimer_taken(struct proc *p)
{
	/* cpu < 0: the timer is not set. A set one was set anew by setitimer meanwhile. */
	if (p->alarm_interval && p->alarm.cpu < 0)
		alarm_next(p, 0);
}

static ns_t cpu_time_locked(struct proc *p)
{
	ns_t sum = p->dead.user + p->dead.system;
	struct world_times w;
	struct uthread *t;

	list_for_each(t, &p->threads, link) {
		world_times_get(t->world, &w);
		sum += w.used;
	}
	return sum;
}

static void cpu_poll_fire(struct timer *timer)
{
	static const int signals[2] = { SIGVTALRM, SIGPROF };
	struct proc *p = container_of(timer, struct proc, cpu_poll);
	uint64_t flags = spin_lock_irq(&proc_lock);
	ns_t now = cpu_time_locked(p);

	/* Late by up to CPU_POLL: intervals are counted from now, they do not pile up. */
	for (unsigned i = 0; i < 2; i++) {
		if (!p->cpu_deadline[i] || now < p->cpu_deadline[i])
			continue;
		p->cpu_deadline[i] = p->cpu_interval[i] ? now + p->cpu_interval[i] : 0;
		signal_send_locked(p, NULL, signals[i], NULL);
	}
	if (!p->zombie && (p->cpu_deadline[0] || p->cpu_deadline[1]))
		timer_set(timer, time_now() + CPU_POLL);
	spin_unlock_irq(&proc_lock, flags);
}

void itimers_init(struct proc *p)
{
	timer_init(&p->alarm, alarm_fire);
	timer_init(&p->cpu_poll, cpu_poll_fire);
}

void itimers_stop(struct proc *p)
{
	uint64_t flags = spin_lock_irq(&proc_lock);

	p->alarm_interval = p->cpu_deadline[0] = p->cpu_deadline[1] = 0;
	/* Without the lock: the callbacks take it, and we wait for a running one. */
	spin_unlock_irq(&proc_lock, flags);
	timer_cancel_sync(&p->alarm);
	timer_cancel_sync(&p->cpu_poll);
}

static void to_timeval(ns_t t, int64_t tv[2])
{
	tv[0] = (int64_t)(t / NS_PER_S);
	tv[1] = (int64_t)(t % NS_PER_S / NS_PER_US);
}

/* What is left and the interval; proc_lock is held. */
static void get_locked(struct proc *p, int which, struct itimerval *out)
{
	ns_t now = which == ITIMER_REAL ? time_now() : cpu_time_locked(p), deadline, interval;

	if (which == ITIMER_REAL) {
		deadline = p->alarm.cpu >= 0 ? p->alarm.deadline : 0;
		interval = p->alarm_interval;
	} else {
		deadline = p->cpu_deadline[which - 1];
		interval = p->cpu_interval[which - 1];
	}
	/* One that is about to fire must not look disarmed. */
	to_timeval(!deadline ? 0 : MAX(deadline > now ? deadline - now : 0, NS_PER_US), out->value);
	to_timeval(interval, out->interval);
}

static void set(struct proc *p, int which, ns_t value, ns_t interval, struct itimerval *old)
{
	uint64_t flags = spin_lock_irq(&proc_lock);

	/* A callback that runs now waits for the lock and finds the new settings. */
	get_locked(p, which, old);
	if (which == ITIMER_REAL) {
		p->alarm_interval = value ? interval : 0;
		if (value)
			timer_set(&p->alarm, time_now() + value);
		else
			timer_cancel(&p->alarm);
	} else {
		p->cpu_interval[which - 1] = interval;
		p->cpu_deadline[which - 1] = value ? cpu_time_locked(p) + value : 0;
		if (value)
			timer_set(&p->cpu_poll, time_now() + CPU_POLL);
	}
	spin_unlock_irq(&proc_lock, flags);
}

static bool timeval_ok(const int64_t tv[2])
{
	return tv[0] >= 0 && tv[1] >= 0 && tv[1] < 1000000;
}

/* Seconds are cut at 272 years, so that nanoseconds do not overflow. */
static ns_t from_timeval(const int64_t tv[2])
{
	return (ns_t)MIN(tv[0], 1ll << 33) * NS_PER_S + (ns_t)tv[1] * NS_PER_US;
}

SYSCALL3(setitimer, unsigned, which, uva_t, from, uva_t, out)
{
	struct itimerval updated = { 0 }, old;

	if (which > ITIMER_PROF)
		return -EINVAL;
	if (from && user_read(&updated, from))
		return -EFAULT;
	if (!timeval_ok(updated.value) || !timeval_ok(updated.interval))
		return -EINVAL;
	set(proc_current(), (int)which, from_timeval(updated.value), from_timeval(updated.interval),
	    &old);
	return out ? user_write(out, &old) : 0;
}

SYSCALL2(getitimer, unsigned, which, uva_t, out)
{
	struct proc *p = proc_current();
	struct itimerval now;
	uint64_t flags;

	if (which > ITIMER_PROF)
		return -EINVAL;
	flags = spin_lock_irq(&proc_lock);
	get_locked(p, (int)which, &now);
	spin_unlock_irq(&proc_lock, flags);
	return user_write(out, &now);
}

SYSCALL1(alarm, uint32_t, seconds)
{
	struct itimerval old;

	set(proc_current(), ITIMER_REAL, seconds * NS_PER_S, 0, &old);
	/* Rounded, but never to "none". */
	return old.value[0] || old.value[1] ? MAX(old.value[0] + (old.value[1] >= 500000), 1ll) : 0;
}
