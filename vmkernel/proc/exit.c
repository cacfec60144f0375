// SPDX-License-Identifier: Apache-2.0
/*
 * How threads and processes end, and how parents hear of it. Locks: proc/proc.h.
 *
 * A process ends in four steps. proc_exit_group() marks it as exiting; every thread sees that on
 * its way to ring 3 and leaves by uthread_exit(). The last one releases memory and parts
 * (proc_end()), makes the process a zombie and tells the parent. wait4 takes the zombie out of the
 * table, or proc_end() does when the parent ignores its children. The last reference frees it
 * (proc_put()).
 */
#include "mm/aspace.h"
#include "proc/futex.h"
#include "proc/proc.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/log.h"

#define LOG_MODULE "user"

enum { TICKS_PER_S = 100 };

void usage_add(struct usage *to, const struct usage *u)
{
	to->user += u->user;
	to->system += u->system;
	to->minflt += u->minflt;
	to->majflt += u->majflt;
	to->nvcsw += u->nvcsw;
	to->nivcsw += u->nivcsw;
	to->maxrss = MAX(to->maxrss, u->maxrss);
}

static void usage_thread(const struct uthread *t, struct usage *u)
{
	struct world_times w;

	/* The scheduler does not tell ring 3 from ring 0: all is user time. */
	world_times_get(t->world, &w);
	u->user += w.used;
	u->nvcsw += w.switches;
}

void usage_of(struct proc *p, struct usage *u)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct uthread *t;

	*u = p->dead;
	list_for_each(t, &p->threads, link)
		usage_thread(t, u);
	spin_unlock_irq(&proc_lock, flags);
}

void usage_to_linux(const struct usage *u, struct linux_rusage *out)
{
	/* Linux counts maxrss in KiB. What stays 0 is not measured here, nor by Linux. */
	*out = (struct linux_rusage){
		.utime = { (int64_t)(u->user / NS_PER_S),
		           (int64_t)(u->user % NS_PER_S / NS_PER_US) },
		.stime = { (int64_t)(u->system / NS_PER_S),
		           (int64_t)(u->system % NS_PER_S / NS_PER_US) },
		.maxrss = (int64_t)(u->maxrss * (PAGE_SIZE / KiB)),
		.minflt = (int64_t)u->minflt,
		.majflt = (int64_t)u->majflt,
		.nvcsw = (int64_t)u->nvcsw,
		.nivcsw = (int64_t)u->nivcsw,
	};
}

void proc_exit_group_locked(struct proc *p, int status)
{
	struct uthread *t;

	if (p->exiting)
		return;
	/*
	 * A stopped process ends too. The first status stays: that of the signal or of exit_group.
	 */
	p->exiting = true;
	p->stopped = false;
	p->exit_status = status;
	list_for_each(t, &p->threads, link)
		signal_recalc(t);
	waitq_wake_all(&p->event_waitq);
}

void proc_exit_group(struct proc *p, int status)
{
	uint64_t flags = spin_lock_irq(&proc_lock);

	proc_exit_group_locked(p, status);
	spin_unlock_irq(&proc_lock, flags);
}

int proc_single_thread(void)
{
	struct uthread *self = uthread_current(), *t;
	struct proc *p = self->proc;
	uint64_t flags = spin_lock_irq(&proc_lock);

	/* Two threads that call execve at once: one wins, the other one is ended by it. */
	if (p->exiting || p->exec_thread) {
		spin_unlock_irq(&proc_lock, flags);
		return -EAGAIN;
	}
	p->exec_thread = self;
	list_for_each(t, &p->threads, link)
		if (t != self)
			signal_recalc(t);
	waitq_wake_all(&p->event_waitq);
	spin_unlock_irq(&proc_lock, flags);
	/* The others leave in user_return(), their sleeping calls being interrupted. */
	wait_event(&p->event_waitq, READ_ONCE(p->thread_count) == 1);
	flags = spin_lock_irq(&proc_lock);
	p->exec_thread = NULL;
	/* POSIX: the pid stays over execve, and the thread that is left has tid == pid. */
	ids_set_thread(self->tid, NULL);
	self->tid = p->pid;
	ids_set_thread(self->tid, self);
	spin_unlock_irq(&proc_lock, flags);
	return 0;
}

void proc_vfork_done(struct proc *p)
{
	WRITE_ONCE(p->vfork_done, true);
	waitq_wake_all(&p->event_waitq);
}

void proc_notify_parent(struct proc *p, int code, int status)
{
	struct proc *parent = p->parent;
	struct siginfo info = {
		.signo = SIGCHLD, .code = code, .pid = p->pid, .uid = p->cred.uid, .status = status
	};
	int sig = code == CLD_STOPPED || code == CLD_CONTINUED ? SIGCHLD : p->exit_signal;

	/* p is a child of the kernel, or its parent has ended and so has the first process. */
	if (!parent)
		return;
	info.utime = (int64_t)(p->dead.user * TICKS_PER_S / NS_PER_S);
	info.stime = (int64_t)(p->dead.system * TICKS_PER_S / NS_PER_S);
	if (sig && !(code == CLD_STOPPED && parent->actions[SIGCHLD - 1].flags & SA_NOCLDSTOP)) {
		info.signo = sig;
		signal_send_locked(parent, NULL, sig, &info);
	}
	waitq_wake_all(&parent->child_waitq);
}

/* POSIX: no zombie stays where SIGCHLD is ignored or SA_NOCLDWAIT is set. proc_lock is held. */
static bool parent_ignores(const struct proc *p)
{
	const struct sigaction *a = p->parent ? &p->parent->actions[SIGCHLD - 1] : NULL;

	return !a ||
	       (p->exit_signal == SIGCHLD && (a->handler == SIG_IGN || a->flags & SA_NOCLDWAIT));
}

/*
 * The children go to the first process, or end with it; zombies that nobody will collect end here.
 * proc_lock is held: proc_put() does not sleep for a zombie, whose memory and parts are gone.
 */
static void give_away_children(struct proc *p)
{
	struct proc *init = ids_proc(1), *c, *n;

	list_for_each_safe(c, n, &p->children, sibling) {
		/* An exit signal other than SIGCHLD was agreed on with the old parent only. */
		list_remove(&c->sibling);
		c->parent = init == p ? NULL : init;
		c->exit_signal = SIGCHLD;
		if (c->parent)
			list_push_back(&init->children, &c->sibling);
		else
			proc_exit_group_locked(c, SIGKILL);
		if (c->zombie && parent_ignores(c)) {
			proc_unpublish(c);
			proc_put(c);
		} else if (c->zombie) {
			proc_notify_parent(c, CLD_EXITED, c->exit_status >> 8);
		}
	}
}

struct group_search {
	int pgid;
	bool stopped;
};

static bool find_stopped(struct proc *p, void *arg)
{
	struct group_search *s = arg;

	s->stopped |= p->pgid == s->pgid && p->stopped;
	return !s->stopped;
}

/* POSIX: a group that becomes orphaned with stopped members gets SIGHUP and SIGCONT. */
static void release_orphaned_group(struct proc *p)
{
	struct group_search s = { .pgid = p->pgid };

	proc_for_each(find_stopped, &s);
	if (s.stopped && pgrp_orphaned(p->pgid)) {
		pgrp_signal(s.pgid, SIGHUP, NULL);
		pgrp_signal(s.pgid, SIGCONT, NULL);
	}
}

/* Nobody runs in p any more but the current thread, which is already out of the lists. */
static void proc_release_resources(struct proc *p)
{
	struct aspace *as = p->as;
	uint64_t flags;

	itimers_stop(p); /* first: a timer looks at threads and memory of p */
	/*
	 * The pointer goes under the lock before the memory does: /proc/PID takes its reference
	 * under the same lock. The CPU leaves the page tables before they can be freed.
	 */
	flags = spin_lock_irq(&proc_lock);
	p->as = NULL;
	p->dead.minflt += as->faults - MIN(as->faults, as->major);
	p->dead.majflt += as->major;
	p->dead.maxrss = MAX(p->dead.maxrss, as->resident_max);
	aspace_switch(NULL);
	spin_unlock_irq(&proc_lock, flags);
	/* These may sleep: closing the last reference of a file may write it. */
	proc_release_parts(p);
	aspace_put(as);
	proc_vfork_done(p);
}

static void proc_end(struct proc *p)
{
	int status = p->exit_status, sig = status & 0x7f;
	bool leader = p->pid == p->sid;
	uint64_t flags;
	bool reap;

	if (p->pid == 1)
		log_err("the first process ended with status %#x", status);
	proc_release_resources(p);
	/* A session's terminal is given up before the parent can hear of the end and reuse it. */
	if (leader) {
		SECTION_FOR_EACH(struct proc_part, part, proc_parts) {
			if (part->session_end)
				part->session_end(p->sid);
		}
	}
	/*
	 * One step for whoever holds the lock: until now p has children and no exit state, from now
	 * on it is a zombie without children. wait4 of the parent sees the one or the other.
	 */
	flags = spin_lock_irq(&proc_lock);
	give_away_children(p);
	signal_flush(&p->pending, ~0ull);
	reap = parent_ignores(p);
	p->zombie = true;
	waitq_wake_all(&p->event_waitq);
	proc_notify_parent(p, sig ? (status & 0x80 ? CLD_DUMPED : CLD_KILLED) : CLD_EXITED,
	                   sig ? sig : status >> 8);
	if (reap)
		proc_unpublish(p);
	spin_unlock_irq(&proc_lock, flags);
	/* The current thread's reference keeps p, even if the parent has waited for it already. */
	release_orphaned_group(p);
	if (reap)
		proc_put(p);
}

void uthread_exit(int status)
{
	struct uthread *t = uthread_current();
	struct proc *p = t->proc;
	uint64_t flags;
	bool last;

	/* While the memory and the tid are still there. */
	futex_robust_exit(t);
	if (t->clear_child_tid && p->as->refs + p->thread_count > 2) {
		const uint32_t zero = 0;

		/* Another thread joins this one through it; if the address is bad nobody can. */
		if (!user_write(t->clear_child_tid, &zero))
			futex_wake_address(t->clear_child_tid);
	}
	flags = spin_lock_irq(&proc_lock);
	usage_thread(t, &p->dead);
	proc_unpublish_thread(t);
	last = p->thread_count == 0;
	if (last && !p->exiting) {
		p->exiting = true;
		p->exit_status = status;
	}
	waitq_wake_all(&p->event_waitq);
	spin_unlock_irq(&proc_lock, flags);
	if (last)
		proc_end(p);
	/* The reference of uthread_create(). The scheduler holds one until another world runs. */
	world_put(t->world);
	world_exit();
}
