// SPDX-License-Identifier: Apache-2.0
/* exit, exit_group, wait4, waitid. Spec: wait(2), wait4(2), _exit(2). */
#include "fs/linux.h"
#include "linux/signal.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/string.h"
#include "vmk/syscall.h"

enum {
	WNOHANG = 1,
	WUNTRACED = 2,
	WSTOPPED = 2,
	WEXITED = 4,
	WCONTINUED = 8,
	WNOWAIT = 0x1000000,
	WNOTHREAD = 0x20000000,
	WALL = 0x40000000,
	WCLONE = (int)0x80000000,
	P_ALL = 0,
	P_PID = 1,
	P_PGID = 2,
	P_PIDFD = 3,
};

/* Which children, which changes of theirs, and what was found. */
struct wait_request {
	int id;            /* > 0 a pid, < -1 a group, -1 any */
	struct proc *only; /* with a reference: this one and no other */
	unsigned options;
	int pid, status; /* found: status as wait4 gives it */
	int code, value; /* as waitid gives it */
	uint32_t uid;
	struct usage usage;
	struct proc *ended; /* to be freed by the caller */
};

static bool matches(const struct proc *c, const struct wait_request *w)
{
	int id = w->id;

	if (w->only)
		return c == w->only;
	return id == -1 || (id > 0 ? c->pid == id : c->pgid == -id);
}

static void report(struct wait_request *w, const struct proc *c, int code, int value, int status)
{
	w->pid = c->pid;
	w->uid = c->cred.uid;
	w->code = code;
	w->value = value;
	w->status = status;
}

static bool check_child(struct wait_request *w, struct proc *parent, struct proc *c)
{
	int sig = c->exit_status & 0x7f;

	/* proc_lock is held: of two threads that wait, one takes the child out of the lists. */
	if (c->zombie && w->options & WEXITED) {
		report(w, c, sig ? (c->exit_status & 0x80 ? CLD_DUMPED : CLD_KILLED) : CLD_EXITED,
		       sig ? sig : c->exit_status >> 8, c->exit_status);
		w->usage = c->dead;
		usage_add(&w->usage, &c->children_usage);
		if (!(w->options & WNOWAIT)) {
			usage_add(&parent->children_usage, &w->usage);
			/* The table's reference is ours now; put without the lock. */
			proc_unpublish(c);
			w->ended = c;
		}
		return true;
	}
	/* A stop and a continuation are each reported once, unless the caller only looks. */
	if (c->stop_report && c->stopped && w->options & WSTOPPED) {
		report(w, c, CLD_STOPPED, c->stop_sig, c->stop_sig << 8 | 0x7f);
		c->stop_report = w->options & WNOWAIT;
		return true;
	}
	if (c->cont_report && w->options & WCONTINUED) {
		report(w, c, CLD_CONTINUED, SIGCONT, 0xffff);
		c->cont_report = w->options & WNOWAIT;
		return true;
	}
	return false;
}

/* One look at the children: true when the call can end, with the result in *r. */
static bool wait_step(struct wait_request *w, int *r)
{
	struct proc *parent = proc_current(), *c;
	uint64_t flags = spin_lock_irq(&proc_lock);
	bool any = false, found = false;

	list_for_each(c, &parent->children, sibling) {
		if (!matches(c, w))
			continue;
		any = true;
		found = check_child(w, parent, c);
		if (found)
			break;
	}
	spin_unlock_irq(&proc_lock, flags);
	*r = found ? w->pid : any ? 0 : -ECHILD;
	return found || !any || w->options & WNOHANG;
}

static int do_wait(struct wait_request *w)
{
	struct proc *p = proc_current();
	int err = 0, wait_err;

	/*
	 * The condition has the effect: wait_step() runs again after each wake until it finds a
	 * child. proc_notify_parent() wakes under proc_lock, so a change between look and sleep is
	 * seen. A child that was found before a signal came counts: the wait then gives 0.
	 */
	wait_err = wait_event_interruptible(&p->child_waitq, wait_step(w, &err));
	if (w->ended)
		proc_put(w->ended);
	return wait_err == -EINTR ? -ERESTARTSYS : err;
}

static int put_usage(uva_t to, const struct usage *u)
{
	struct linux_rusage ru;

	usage_to_linux(u, &ru);
	return to ? user_write(to, &ru) : 0;
}

SYSCALL4(wait4, int, pid, uva_t, status, unsigned, options, uva_t, rusage)
{
	struct wait_request w = { .id = pid, .options = options };
	int err;

	if (w.options &
	    ~(unsigned)(WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | (unsigned)WCLONE))
		return -EINVAL;
	if (w.id == (int)0x80000000)
		return -ESRCH;
	if (w.id == 0)
		w.id = -proc_current()->pgid;
	w.options |= WEXITED; /* wait4 has no flag for it */
	err = do_wait(&w);
	if (err <= 0)
		return err;
	if ((status && user_write(status, &w.status)) || put_usage(rusage, &w.usage))
		return -EFAULT;
	return err;
}

SYSCALL5(waitid, int, type, int, id, uva_t, info_va, unsigned, options, uva_t, rusage)
{
	struct wait_request w = { .options = options };
	struct siginfo info = { 0 };
	uint32_t flags = 0;
	int err;

	if (w.options & ~(unsigned)(WNOHANG | WEXITED | WSTOPPED | WCONTINUED | WNOWAIT |
	                            WNOTHREAD | WALL | (unsigned)WCLONE) ||
	    !(w.options & (WEXITED | WSTOPPED | WCONTINUED)))
		return -EINVAL;
	switch (type) {
	case P_ALL: w.id = -1; break;
	case P_PID:
		if (id <= 0)
			return -EINVAL;
		w.id = id;
		break;
	case P_PGID: w.id = id ? -id : -proc_current()->pgid; break;
	case P_PIDFD:
		w.only = pidfd_proc(id, &flags);
		if (!w.only)
			return -EBADF;
		w.options |= flags & O_NONBLOCK ? WNOHANG : 0;
		break;
	default: return -EINVAL;
	}
	err = do_wait(&w);
	if (w.only)
		proc_put(w.only);
	if (!err && w.options & ~options)
		err = -EAGAIN; /* only the pidfd asked not to wait */
	if (err < 0)
		return err;
	if (err > 0)
		info = (struct siginfo){ .signo = SIGCHLD,
			                 .code = w.code,
			                 .pid = w.pid,
			                 .uid = w.uid,
			                 .status = w.value };
	if ((info_va && user_write(info_va, &info)) || put_usage(err > 0 ? rusage : 0, &w.usage))
		return -EFAULT;
	return 0;
}

SYSCALL1(exit, int, status)
{
	uthread_exit((status & 0xff) << 8);
}

SYSCALL1(exit_group, int, status)
{
	proc_exit_group(proc_current(), (status & 0xff) << 8);
	uthread_exit((status & 0xff) << 8);
}
