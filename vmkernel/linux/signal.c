// SPDX-License-Identifier: Apache-2.0
/*
 * Signal calls but for rt_sigreturn. Spec: sigaction(2), sigprocmask(2), kill(2), sigaltstack(2),
 * sigtimedwait(2).
 */
#include "linux/signal.h"
#include "proc/signal_frame.h"
#include "proc/timespec.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/syscall.h"

enum { SIGSET_SIZE = 8, SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2, MINSIGSTKSZ = 2048 };

static bool valid_signal(int sig)
{
	return sig >= 1 && sig <= NSIG;
}

SYSCALL4(rt_sigaction, int, sig, uva_t, action, uva_t, old_action, size_t, size)
{
	struct proc *p = proc_current();
	struct sigaction updated, old;
	struct uthread *t;
	uint64_t flags;

	if (size != SIGSET_SIZE || !valid_signal(sig) ||
	    (action && (sig == SIGKILL || sig == SIGSTOP)))
		return -EINVAL;
	if (action && user_read(&updated, action))
		return -EFAULT;
	/* User memory is read before and written after the lock: it may fault. */
	flags = spin_lock_irq(&proc_lock);
	old = p->actions[sig - 1];
	if (action) {
		updated.mask &= ~(sig_bit(SIGKILL) | sig_bit(SIGSTOP));
		p->actions[sig - 1] = updated;
		/* POSIX: setting an action to ignore discards what is pending, blocked or not. */
		if (updated.handler == SIG_IGN ||
		    (updated.handler == SIG_DFL &&
		     (sig == SIGCHLD || sig == SIGCONT || sig == SIGURG || sig == SIGWINCH))) {
			signal_flush(&p->pending, sig_bit(sig));
			list_for_each(t, &p->threads, link)
				signal_flush(&t->pending, sig_bit(sig));
		}
	}
	spin_unlock_irq(&proc_lock, flags);
	return old_action ? user_write(old_action, &old) : 0;
}

SYSCALL4(rt_sigprocmask, int, how, uva_t, set_va, uva_t, old_va, size_t, size)
{
	struct uthread *t = uthread_current();
	uint64_t set, old = t->blocked;

	if (size != SIGSET_SIZE)
		return -EINVAL;
	if (set_va) {
		if (user_read(&set, set_va))
			return -EFAULT;
		/*
		 * Linux's order: a bad address is seen before a bad operation, and how only with a
		 * set.
		 */
		if ((unsigned)how > SIG_SETMASK)
			return -EINVAL;
		signal_set_mask(how == SIG_BLOCK     ? old | set
		                : how == SIG_UNBLOCK ? old & ~set
		                                     : set);
	}
	return old_va ? user_write(old_va, &old) : 0;
}

SYSCALL2(rt_sigpending, uva_t, out, size_t, size)
{
	struct uthread *t = uthread_current();
	uint64_t set = (READ_ONCE(t->pending.bits) | READ_ONCE(t->proc->pending.bits)) & t->blocked;

	return size > SIGSET_SIZE ? -EINVAL : copy_to_user(out, &set, size);
}

int signal_mask_temporarily(uva_t mask, uint64_t size)
{
	uint64_t set;

	if (!mask)
		return 0;
	if (size != SIGSET_SIZE)
		return -EINVAL;
	if (user_read(&set, mask))
		return -EFAULT;
	signal_temp_mask(set);
	return 0;
}

SYSCALL2(rt_sigsuspend, uva_t, mask, size_t, size)
{
	struct waitq never;
	int err = mask ? signal_mask_temporarily(mask, size) : -EFAULT;

	if (err)
		return err;
	/* Only a signal that the temporary mask lets through ends it; its handler runs first. */
	waitq_init(&never, "sigsuspend");
	while (wait_event_interruptible(&never, false) != -EINTR)
		;
	return -ERESTARTNOHAND;
}

SYSCALL0(pause)
{
	struct waitq never;

	waitq_init(&never, "pause");
	while (wait_event_interruptible(&never, false) != -EINTR)
		;
	return -ERESTARTNOHAND;
}

SYSCALL4(rt_sigtimedwait, uva_t, set_va, uva_t, info_va, uva_t, timeout, size_t, size)
{
	struct proc *p = proc_current();
	ns_t deadline = NS_NEVER, t;
	struct siginfo info;
	uint64_t set;
	int sig = 0, err;

	if (size != SIGSET_SIZE)
		return -EINVAL;
	if (user_read(&set, set_va))
		return -EFAULT;
	if (timeout) {
		err = timespec_get(timeout, &t);
		if (err)
			return err;
		deadline = ns_add(time_now(), t);
	}
	set &= ~(sig_bit(SIGKILL) | sig_bit(SIGSTOP));
	/*
	 * The signals of the set are blocked, so they pend; every signal of the process wakes the
	 * queue, and of the threads that wait one takes it.
	 */
	err = wait_event_intr_until(p->signal_waitq, (sig = signal_dequeue(set, &info)) != 0,
	                            deadline);
	if (!sig) /* one of the set that was not blocked may have ended the wait */
		sig = signal_dequeue(set, &info);
	if (!sig)
		return err == -ETIMEDOUT ? -EAGAIN : -EINTR;
	return info_va && user_write(info_va, &info) ? -EFAULT : sig;
}

SYSCALL2(sigaltstack, uva_t, stack, uva_t, old_stack)
{
	struct uthread *t = uthread_current();
	uint64_t sp = uthread_frame()->rsp;
	bool on = !(t->altstack_flags & SS_DISABLE) && sp > t->altstack &&
	          sp - t->altstack <= t->altstack_size;
	struct stack_info updated,
		old = { t->altstack, (int32_t)(t->altstack_flags | (on ? SS_ONSTACK : 0)), 0,
		        t->altstack_size };
	uint32_t mode;

	/*
	 * Both are written by the thread itself only. stack and old_stack may be the same memory.
	 */
	if (stack) {
		if (user_read(&updated, stack))
			return -EFAULT;
		if (on) /* the stack that we return to would vanish */
			return -EPERM;
		mode = (uint32_t)updated.flags & ~SS_AUTODISARM;
		if (mode != 0 && mode != SS_DISABLE && mode != SS_ONSTACK)
			return -EINVAL;
		if (mode != SS_DISABLE && updated.size < MINSIGSTKSZ)
			return -ENOMEM;
		t->altstack = mode == SS_DISABLE ? 0 : updated.sp;
		t->altstack_size = mode == SS_DISABLE ? 0 : updated.size;
		t->altstack_flags = mode == SS_DISABLE ? SS_DISABLE
		                                       : (uint32_t)updated.flags & SS_AUTODISARM;
	}
	return old_stack ? user_write(old_stack, &old) : 0;
}

static bool may_signal(const struct proc *p, int sig)
{
	const struct cred *me = cred_current();

	return me->euid == 0 || me->euid == p->cred.uid || me->euid == p->cred.suid ||
	       me->uid == p->cred.uid || me->uid == p->cred.suid ||
	       (sig == SIGCONT && p->sid == proc_current()->sid);
}

static struct siginfo info_from_me(int sig, int code)
{
	const struct proc *p = proc_current();

	return (struct siginfo){ .signo = sig, .code = code, .pid = p->pid, .uid = p->cred.uid };
}

struct kill_many {
	int pgid, sig; /* pgid 0: everyone but the first process and the caller */
	unsigned seen, sent;
	struct siginfo info;
};

static bool kill_each(struct proc *p, void *arg)
{
	struct kill_many *k = arg;

	if (p->zombie || (k->pgid ? p->pgid != k->pgid : p->pid == 1 || p == proc_current()))
		return true;
	k->seen++;
	if (may_signal(p, k->sig)) {
		k->sent++;
		signal_send_locked(p, NULL, k->sig, &k->info);
	}
	return true;
}

static int signal_proc(struct proc *p, int sig, const struct siginfo *info)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	int err = 0;

	/* p was found before we had the lock: its pid may belong to another process by now. */
	if (ids_proc(p->pid) != p)
		err = -ESRCH;
	else if (!may_signal(p, sig))
		err = -EPERM;
	else if (sig)
		signal_send_locked(p, NULL, sig, info);
	spin_unlock_irq(&proc_lock, flags);
	return err;
}

static int signal_one(int pid, int sig, const struct siginfo *info)
{
	struct proc *p = proc_find(pid);
	int err = p ? signal_proc(p, sig, info) : -ESRCH;

	if (p)
		proc_put(p);
	return err;
}

SYSCALL2(kill, int, pid, int, sig)
{
	struct kill_many k = { .sig = sig, .info = info_from_me(sig, SI_USER) };

	if (sig < 0 || sig > NSIG)
		return -EINVAL;
	if (pid > 0)
		return signal_one(pid, sig, &k.info);
	if (pid == (int)0x80000000)
		return -ESRCH;
	/* kill(2): of many, one that may be signalled is success. */
	k.pgid = pid == -1 ? 0 : pid == 0 ? proc_current()->pgid : -pid;
	proc_for_each(kill_each, &k);
	return k.sent ? 0 : k.seen ? -EPERM : -ESRCH;
}

static long signal_thread(int tgid, int tid, int sig, const struct siginfo *info)
{
	struct uthread *t;
	uint64_t flags;
	long err = 0;

	if (tid <= 0 || sig < 0 || sig > NSIG)
		return -EINVAL;
	flags = spin_lock_irq(&proc_lock);
	t = ids_thread(tid);
	/* tgkill: the number may belong to a thread of another process by now. */
	if (!t || (tgid > 0 && t->proc->pid != tgid))
		err = -ESRCH;
	else if (!may_signal(t->proc, sig))
		err = -EPERM;
	else
		signal_send_locked(t->proc, t, sig, info);
	spin_unlock_irq(&proc_lock, flags);
	return err;
}

SYSCALL3(tgkill, int, tgid, int, tid, int, sig)
{
	struct siginfo info = info_from_me(sig, SI_TKILL);

	return tgid <= 0 ? -EINVAL : signal_thread(tgid, tid, sig, &info);
}

SYSCALL2(tkill, int, tid, int, sig)
{
	struct siginfo info = info_from_me(sig, SI_TKILL);

	return signal_thread(0, tid, sig, &info);
}

/* Only the kernel may send what looks like the kernel's. */
static int user_info(uva_t from, int sig, int target, struct siginfo *info)
{
	if (user_read(info, from))
		return -EFAULT;
	info->signo = sig;
	return (info->code >= 0 || info->code == SI_TKILL) && target != proc_current()->pid ? -EPERM
	                                                                                    : 0;
}

int signal_from_user(struct proc *p, int sig, uva_t from)
{
	struct siginfo info = info_from_me(sig, SI_USER);
	int err = sig < 0 || sig > NSIG ? -EINVAL : 0;

	if (!err && from)
		err = user_info(from, sig, p->pid, &info);
	return err ? err : signal_proc(p, sig, &info);
}

SYSCALL3(rt_sigqueueinfo, int, pid, int, sig, uva_t, from)
{
	struct siginfo info;
	int err = valid_signal(sig) ? user_info(from, sig, pid, &info) : -EINVAL;

	return err ? err : signal_one(pid, sig, &info);
}

SYSCALL4(rt_tgsigqueueinfo, int, tgid, int, tid, int, sig, uva_t, from)
{
	struct siginfo info;
	int err = valid_signal(sig) ? user_info(from, sig, tgid, &info) : -EINVAL;

	return err ? err : signal_thread(tgid, tid, sig, &info);
}
