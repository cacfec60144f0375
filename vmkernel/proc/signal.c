// SPDX-License-Identifier: Apache-2.0
/*
 * Sending signals: who may take them, what stops, continues or ends at once, and the pending sets.
 * proc_lock guards all of it. Spec: POSIX.1-2017 2.4, signal(7).
 */
#include "proc/signal.h"
#include "proc/proc.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "x86/percpu.h"

STAT(signals_lost, "user.signal_infos_lost",
     "queued signals that lost their information for want of memory");

#define STOP_SET                                                                 \
	(1ull << (SIGSTOP - 1) | 1ull << (SIGTSTP - 1) | 1ull << (SIGTTIN - 1) | \
	 1ull << (SIGTTOU - 1))
#define IGNORE_SET                                                              \
	(1ull << (SIGCHLD - 1) | 1ull << (SIGCONT - 1) | 1ull << (SIGURG - 1) | \
	 1ull << (SIGWINCH - 1))
enum { QUEUE_MAX = 1024, WAITQS = 64 };

/*
 * Queues of those who wait for signals, each shared by some processes. They are not part of a
 * process: an epoll set that watches a signalfd has its waiter in the queue of the process that
 * added it, and may outlive that process.
 */
static struct waitq waitqs[WAITQS];

void signals_init(void)
{
	for (unsigned i = 0; i < WAITQS; i++)
		waitq_init(&waitqs[i], "signal");
}

struct waitq *signal_waitq_pick(void)
{
	static uint32_t last;

	return &waitqs[__atomic_add_fetch(&last, 1, __ATOMIC_RELAXED) % WAITQS];
}

void signal_init(struct sigset_pending *s)
{
	s->bits = 0;
	list_init(&s->queue);
}

void signal_flush(struct sigset_pending *s, uint64_t set)
{
	struct sigqueued *q, *n;

	/* A bit may be set without an entry (no memory, no information), never the reverse. */
	list_for_each_safe(q, n, &s->queue, link)
		if (set & sig_bit(q->info.signo)) {
			list_remove(&q->link);
			kfree(q);
		}
	s->bits &= ~set;
}

static bool is_ignored(const struct proc *p, int sig)
{
	uint64_t h = p->actions[sig - 1].handler;

	return h == SIG_IGN || (h == SIG_DFL && IGNORE_SET & sig_bit(sig));
}

static uint64_t deliverable(const struct uthread *t)
{
	return (t->pending.bits | t->proc->pending.bits) & ~t->blocked;
}

/*
 * Sets what follows from the thread's masks and its process's state: t->work, looked at before
 * every return to ring 3, and the interruption of its sleeping calls. Called after every change of
 * one of them. A saved mask must be put back before ring 3 but ends no sleep.
 */
void signal_recalc(struct uthread *t)
{
	struct proc *p = t->proc;
	bool must = p->exiting || p->stopped || (p->exec_thread && p->exec_thread != t) ||
	            deliverable(t);

	t->work = must || t->mask_saved;
	world_interrupt(t->world, must);
	/*
	 * The CPU's copy: of a thread that runs elsewhere, the IPI of world_interrupt() sets it, of
	 * one that does not run, the switch to it.
	 */
	if (t->work && t == uthread_current())
		percpu_write(user_work, 1);
}

/* At the end of user_return(), interrupts off: sets whether it has to come again. */
void user_work_done(struct uthread *t)
{
	uint64_t flags = spin_lock_irq(&proc_lock);

	signal_recalc(t);
	percpu_write(user_work, t->work);
	spin_unlock_irq(&proc_lock, flags);
}

/* Adds to a set; a plain signal that is pending already is not repeated. */
static void enqueue(struct sigset_pending *s, int sig, const struct siginfo *info)
{
	struct sigqueued *q;
	unsigned n = 0;

	/* POSIX 2.4.1: only real-time signals are queued more than once. */
	if (sig < SIGRTMIN && s->bits & sig_bit(sig))
		return;
	s->bits |= sig_bit(sig);
	list_for_each(q, &s->queue, link)
		n++;
	/* The signal is pending in any case; what is bounded is its information. */
	if (n >= QUEUE_MAX || !info || !(q = kmalloc(sizeof(*q)))) {
		if (info)
			stat_inc(signals_lost);
		return;
	}
	q->info = *info;
	list_push_back(&s->queue, &q->link);
}

/* A thread that does not block the signal: the current one if possible, it need not be woken. */
static struct uthread *pick_thread(struct proc *p, int sig)
{
	struct uthread *t, *self = uthread_current();

	if (self && self->proc == p && !(self->blocked & sig_bit(sig)))
		return self;
	list_for_each(t, &p->threads, link)
		if (!(t->blocked & sig_bit(sig)))
			return t;
	return NULL;
}

/* SIGCONT continues when it is sent, whatever its action is; it cancels pending stops. */
static void continue_process(struct proc *p)
{
	struct uthread *t;

	signal_flush(&p->pending, STOP_SET);
	list_for_each(t, &p->threads, link)
		signal_flush(&t->pending, STOP_SET);
	if (!p->stopped)
		return;
	p->stopped = p->stop_report = false;
	p->cont_report = true;
	proc_notify_parent(p, CLD_CONTINUED, SIGCONT);
	list_for_each(t, &p->threads, link)
		signal_recalc(t);
	waitq_wake_all(&p->event_waitq);
}

void signal_send_locked(struct proc *p, struct uthread *t, int sig, const struct siginfo *info)
{
	struct uthread *to = t;

	if (p->zombie || p->exiting || sig == 0)
		return;
	if (sig == SIGCONT) {
		continue_process(p);
	} else if (STOP_SET & sig_bit(sig)) {
		signal_flush(&p->pending, sig_bit(SIGCONT));
		list_for_each(to, &p->threads, link)
			signal_flush(&to->pending, sig_bit(SIGCONT));
	}
	to = t ? t : pick_thread(p, sig);
	/*
	 * The first process is not ended by a default action, not even SIGKILL's. A blocked signal
	 * stays pending, because sigwait or signalfd may take it.
	 */
	if (p->pid == 1 && p->actions[sig - 1].handler == SIG_DFL && to &&
	    !(to->blocked & sig_bit(sig)))
		return;
	if (sig == SIGKILL) {
		proc_exit_group_locked(p, SIGKILL);
		return;
	}
	/* Blocked and ignored: kept, the action may be another one when it is unblocked. */
	if (is_ignored(p, sig) && to && !(to->blocked & sig_bit(sig)))
		return;
	enqueue(t ? &t->pending : &p->pending, sig, info);
	/* to is NULL when all threads block it: signal_set_mask() finds it later. */
	if (to)
		signal_recalc(to);
	waitq_wake_all(p->signal_waitq);
}

struct group_signal {
	int pgid, sig, sent;
	const struct siginfo *info;
};

static bool signal_member(struct proc *p, void *arg)
{
	struct group_signal *g = arg;

	if (p->pgid == g->pgid && !p->zombie) {
		signal_send_locked(p, NULL, g->sig, g->info);
		g->sent++;
	}
	return true;
}

int pgrp_signal(int pgid, int sig, const struct siginfo *info)
{
	struct group_signal g = { pgid, sig, 0, info };

	proc_for_each(signal_member, &g);
	return g.sent ? 0 : -ESRCH;
}

/* A fault leaves no choice: a blocked or ignored signal becomes its default action. */
void uthread_fault_signal(int sig, int code, uint64_t addr)
{
	struct uthread *t = uthread_current();
	struct sigaction *act = &t->proc->actions[sig - 1];
	struct siginfo info = { .signo = sig, .code = code, .addr = addr };
	uint64_t flags = spin_lock_irq(&proc_lock);

	if (act->handler == SIG_IGN || t->blocked & sig_bit(sig)) {
		act->handler = SIG_DFL;
		t->blocked &= ~sig_bit(sig);
	}
	/* The first process cannot go on past a fault: its end is logged and the host goes on. */
	if (t->proc->pid == 1 && act->handler == SIG_DFL)
		proc_exit_group_locked(t->proc, sig);
	else
		signal_send_locked(t->proc, t, sig, &info);
	spin_unlock_irq(&proc_lock, flags);
}

static bool take_from(struct sigset_pending *s, uint64_t set, struct siginfo *info)
{
	struct sigqueued *q, *n;
	bool found = false;
	uint64_t set_now = s->bits & set;
	int sig;

	if (!set_now)
		return false;
	/* Faults come before what others sent, then the lowest number. */
	if (set_now & (sig_bit(SIGSEGV) | sig_bit(SIGBUS) | sig_bit(SIGILL) | sig_bit(SIGFPE) |
	               sig_bit(SIGTRAP)))
		set_now &= sig_bit(SIGSEGV) | sig_bit(SIGBUS) | sig_bit(SIGILL) | sig_bit(SIGFPE) |
		           sig_bit(SIGTRAP);
	sig = __builtin_ctzll(set_now) + 1;
	*info = (struct siginfo){ .signo = sig, .code = SI_KERNEL }; /* if none was queued */
	s->bits &= ~sig_bit(sig);
	list_for_each_safe(q, n, &s->queue, link) {
		if (q->info.signo != sig)
			continue;
		if (found) { /* a further one of the same number */
			s->bits |= sig_bit(sig);
			break;
		}
		found = true;
		*info = q->info;
		list_remove(&q->link);
		kfree(q);
	}
	return true;
}

int signal_dequeue(uint64_t set, struct siginfo *info)
{
	struct uthread *t = uthread_current();
	uint64_t flags = spin_lock_irq(&proc_lock);
	/* The thread's own first: a fault of its must not wait behind the process's signals. */
	bool got = take_from(&t->pending, set, info) || take_from(&t->proc->pending, set, info);

	if (got && info->signo == SIGALRM)
		itimer_taken(t->proc);
	if (got)
		signal_recalc(t);
	spin_unlock_irq(&proc_lock, flags);
	return got ? info->signo : 0;
}

void signal_set_mask(uint64_t mask)
{
	struct uthread *t = uthread_current(), *other;
	uint64_t flags = spin_lock_irq(&proc_lock);
	uint64_t was = t->blocked;

	t->blocked = mask & ~(sig_bit(SIGKILL) | sig_bit(SIGSTOP));
	signal_recalc(t);
	/* What this thread no longer takes, another one may. */
	if (t->proc->pending.bits & t->blocked & ~was)
		list_for_each(other, &t->proc->threads, link)
			signal_recalc(other);
	spin_unlock_irq(&proc_lock, flags);
}

/* What fs/ asks: vmk/user.h. */
int signal_pgrp(int pgid, int sig)
{
	return pgrp_signal(pgid, sig, NULL);
}

int signal_pid(int pid, int sig)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct proc *p = ids_proc(pid);

	if (p)
		signal_send_locked(p, NULL, sig, NULL);
	spin_unlock_irq(&proc_lock, flags);
	return p ? 0 : -ESRCH;
}

void signal_current(int sig)
{
	struct uthread *t = uthread_current();
	struct siginfo info = {
		.signo = sig, .code = SI_USER, .pid = t->proc->pid, .uid = t->proc->cred.uid
	};
	uint64_t flags = spin_lock_irq(&proc_lock);

	signal_send_locked(t->proc, t, sig, &info);
	spin_unlock_irq(&proc_lock, flags);
}

bool signal_blocked_or_ignored(int sig)
{
	struct uthread *t = uthread_current();

	return t->blocked & sig_bit(sig) || is_ignored(t->proc, sig);
}

/* Holds until the current call returns to ring 3; user_return() then puts the old mask back. */
void signal_temp_mask(uint64_t mask)
{
	struct uthread *t = uthread_current();

	if (!t->mask_saved) {
		t->saved_mask = t->blocked;
		t->mask_saved = true;
	}
	signal_set_mask(mask);
}

bool signal_pending(uint64_t mask)
{
	struct uthread *t = uthread_current();

	return (READ_ONCE(t->pending.bits) | READ_ONCE(t->proc->pending.bits)) & mask;
}

/* struct signalfd_siginfo, 128 bytes: signalfd(2). */
struct signalfd_info {
	uint32_t signo;
	int32_t err, code;
	uint32_t pid, uid;
	int32_t fd;
	uint32_t tid, band, overrun, trapno;
	int32_t status, value_int;
	uint64_t value_ptr, utime, stime, addr;
	uint16_t addr_lsb, pad2;
	int32_t syscall;
	uint64_t call_addr;
	uint32_t arch;
	uint8_t pad[28];
};
ASSERT_SIZE(struct signalfd_info, 128);

bool signal_take(uint64_t mask, void *out)
{
	struct siginfo i;
	int sig = signal_dequeue(mask, &i);

	if (!sig)
		return false;
	/* Members that do not belong to the signal are 0, as signalfd(2) says; addr is not told. */
	*(struct signalfd_info *)out = (struct signalfd_info){
		.signo = (uint32_t)sig,
		.err = i.err,
		.code = i.code,
		.pid = (uint32_t)i.pid,
		.uid = i.uid,
		.status = sig == SIGCHLD ? i.status : 0,
		.value_int = (int32_t)i.value,
		.value_ptr = i.value,
		.utime = (uint64_t)i.utime,
		.stime = (uint64_t)i.stime,
	};
	return true;
}

struct waitq *signal_waitq(void)
{
	return proc_current()->signal_waitq;
}
