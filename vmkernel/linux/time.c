// SPDX-License-Identifier: Apache-2.0
/* Clocks and sleeping. Spec: clock_gettime(2), clock_nanosleep(2), times(2), getrusage(2). */
#include "vmk/syscall.h"
#include "vmk/time.h"
#include "proc/proc.h"
#include "proc/timespec.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"

enum { TIMER_ABSTIME = 1, TICKS_PER_S = 100 };

/*
 * The time of a clock; -EINVAL for one that is not there. CPU clocks of others: (~pid << 3) | kind.
 */
static int clock_read(int id, ns_t *t)
{
	struct world_times w;
	struct usage u;
	struct proc *p;

	switch (id) {
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_TAI: *t = time_realtime(); return 0;
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME: *t = time_now(); return 0;
	case CLOCK_PROCESS_CPUTIME_ID:
		usage_of(proc_current(), &u);
		*t = u.user + u.system;
		return 0;
	case CLOCK_THREAD_CPUTIME_ID:
		world_times_get(uthread_current()->world, &w);
		*t = w.used;
		return 0;
	default: break;
	}
	if (id >= 0)
		return -EINVAL;
	p = ~(id >> 3) ? proc_find(~(id >> 3)) : NULL;
	/*
	 * Linux encodes ~id << 3 | kind, bit 2 for a thread's clock: include/linux/posix-timers.h.
	 */
	if (id & 4 || (~(id >> 3) && !p)) { /* a thread's: only this process's own */
		if (p)
			proc_put(p);
		return clock_read(CLOCK_THREAD_CPUTIME_ID, t);
	}
	usage_of(p ? p : proc_current(), &u);
	if (p)
		proc_put(p);
	*t = u.user + u.system;
	return 0;
}

SYSCALL2(clock_gettime, int, clock, uva_t, out)
{
	ns_t t;
	int err = clock_read(clock, &t);

	return err ? err : timespec_put(out, t);
}

SYSCALL2(clock_getres, int, clock, uva_t, out)
{
	ns_t t;
	int err = clock_read(clock, &t);

	return err || !out ? err : timespec_put(out, 1);
}

SYSCALL2(clock_settime, int, clock, uva_t, from)
{
	ns_t t;
	int err;

	if (clock != CLOCK_REALTIME)
		return -EINVAL;
	if (!proc_is_root())
		return -EPERM;
	err = timespec_get(from, &t);
	if (!err)
		time_set_realtime(t);
	return err;
}

SYSCALL2(gettimeofday, uva_t, time, uva_t, zone_va)
{
	ns_t t = time_realtime();
	const int64_t tv[2] = { (int64_t)(t / NS_PER_S), (int64_t)(t % NS_PER_S / NS_PER_US) };
	const int32_t zone[2] = { 0, 0 };
	int err = time ? user_write(time, &tv) : 0;

	return err || !zone_va ? err : user_write(zone_va, &zone);
}

SYSCALL1(time, uva_t, out)
{
	int64_t t = (int64_t)(time_realtime() / NS_PER_S);
	int err = out ? user_write(out, &t) : 0;

	return err ? err : t;
}

/* Sleeps; a relative sleep that a signal cuts short tells what is left and may be resumed. */
static long sleep_until(struct uthread *t, ns_t deadline, uva_t left);

static long sleep_again(struct uthread *t)
{
	return sleep_until(t, t->restart_arg[0], t->restart_arg[1]);
}

static long sleep_until(struct uthread *t, ns_t deadline, uva_t left)
{
	struct waitq never;
	ns_t now;
	int err;

	/* A queue that nobody knows: only the deadline or a signal ends the wait. */
	waitq_init(&never, "sleep");
	err = wait_event_intr_until(&never, false, deadline);
	if (err != -EINTR)
		return 0;
	now = time_now();
	if (left && timespec_put(left, deadline > now ? deadline - now : 0))
		return -EFAULT;
	/* Without a handler the sleep goes on to the same deadline; with one it is -EINTR. */
	t->restart = sleep_again;
	t->restart_arg[0] = deadline;
	t->restart_arg[1] = left;
	return -ERESTART_RESTARTBLOCK;
}

SYSCALL2(nanosleep, uva_t, length, uva_t, left)
{
	ns_t t;
	int err = timespec_get(length, &t);

	return err ? err : sleep_until(uthread_current(), ns_add(time_now(), t), left);
}

SYSCALL4(clock_nanosleep, int, clock, unsigned, flags, uva_t, from, uva_t, left)
{
	ns_t t, now;
	long err = clock_read(clock, &now);

	if (!err)
		err = timespec_get(from, &t);
	if (err)
		return err;
	if (clock == CLOCK_THREAD_CPUTIME_ID || clock == CLOCK_PROCESS_CPUTIME_ID || clock < 0)
		return -EOPNOTSUPP;
	if (!(flags & TIMER_ABSTIME))
		return sleep_until(uthread_current(), ns_add(time_now(), t), left);
	if (clock == CLOCK_REALTIME || clock == CLOCK_TAI)
		t = realtime_to_monotonic(t);
	/* An absolute sleep can simply be repeated: no restart block. */
	err = sleep_until(uthread_current(), t, 0);
	return err == -ERESTART_RESTARTBLOCK ? -ERESTARTNOHAND : err;
}

SYSCALL0(restart_syscall)
{
	struct uthread *t = uthread_current();

	return t->restart ? t->restart(t) : -EINTR;
}

SYSCALL2(getrusage, int, who, uva_t, out)
{
	enum { RUSAGE_CHILDREN = -1, RUSAGE_SELF = 0, RUSAGE_THREAD = 1 };
	struct uthread *t = uthread_current();
	struct usage u = { 0 };
	struct linux_rusage ru;
	struct world_times w;

	switch (who) {
	case RUSAGE_SELF: usage_of(t->proc, &u); break;
	case RUSAGE_CHILDREN: u = t->proc->children_usage; break;
	case RUSAGE_THREAD:
		world_times_get(t->world, &w);
		u.user = w.used;
		u.nvcsw = w.switches;
		break;
	default: return -EINVAL;
	}
	usage_to_linux(&u, &ru);
	return user_write(out, &ru);
}

SYSCALL1(times, uva_t, out)
{
	struct proc *p = proc_current();
	struct usage u;
	int64_t tms[4];

	usage_of(p, &u);
	tms[0] = (int64_t)(u.user / (NS_PER_S / TICKS_PER_S));
	tms[1] = (int64_t)(u.system / (NS_PER_S / TICKS_PER_S));
	tms[2] = (int64_t)(p->children_usage.user / (NS_PER_S / TICKS_PER_S));
	tms[3] = (int64_t)(p->children_usage.system / (NS_PER_S / TICKS_PER_S));
	if (out && user_write(out, &tms))
		return -EFAULT;
	return (long)(time_now() / (NS_PER_S / TICKS_PER_S));
}
