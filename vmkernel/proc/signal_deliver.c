// SPDX-License-Identifier: Apache-2.0
/*
 * What a thread does before it returns to ring 3 when user_work is set: it ends, stops, takes the
 * default action of a signal, or gets a frame for the signal's handler on its stack; an interrupted
 * system call is repeated or ends with -EINTR. And rt_sigreturn, the way back from a handler.
 *
 * user_return() runs on the thread's kernel stack with the frame of the trap or call; nothing else
 * changes that frame. User memory is written and read without locks, since it may fault. All that
 * comes from a user frame is checked or masked: it can be forged. Locks: proc/proc.h.
 */
#include "proc/proc.h"
#include "proc/signal_frame.h"
#include "mm/fpu_area.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/syscall.h"
#include "x86/fpu.h"
#include "x86/gdt.h"
#include "x86/insn.h"

#define LOG_MODULE "user"

/* CF PF AF ZF SF TF DF OF RF AC ID: the flags that ring 3 may set for itself. */
#define RFLAGS_USER \
	(BITS(0, 0) | BIT(2) | BIT(4) | BITS(8, 6) | BITS(11, 10) | BIT(16) | BIT(18) | BIT(21))
#define CORE_SET                                                                 \
	(1ull << (SIGQUIT - 1) | 1ull << (SIGILL - 1) | 1ull << (SIGTRAP - 1) |  \
	 1ull << (SIGABRT - 1) | 1ull << (SIGBUS - 1) | 1ull << (SIGFPE - 1) |   \
	 1ull << (SIGSEGV - 1) | 1ull << (SIGXCPU - 1) | 1ull << (SIGXFSZ - 1) | \
	 1ull << (SIGSYS - 1))

static size_t fpstate_bytes(void)
{
	return fpu_size() > FPU_LEGACY_SIZE ? fpu_size() + FP_MAGIC2_SIZE : FPU_LEGACY_SIZE;
}

/* Copies the current FPU state out with the words that tell the C library how big it is. */
static int put_fpstate(struct uthread *t, uva_t to)
{
	struct fpx_sw_bytes sw = { 0 };
	const uint32_t magic2 = FP_XSTATE_MAGIC2;
	int err;

	/*
	 * The copy may sleep and switch, which saves the same state to t->fpu again. The kernel
	 * does not use the FPU, so the registers have not changed since the thread left ring 3.
	 */
	fpu_save(t->fpu);
	err = copy_to_user(to, t->fpu, fpu_size());
	if (err || fpu_size() == FPU_LEGACY_SIZE)
		return err;
	sw.magic1 = FP_XSTATE_MAGIC1;
	sw.extended_size = (uint32_t)fpstate_bytes();
	sw.xfeatures = fpu_features();
	sw.xstate_size = (uint32_t)fpu_size();
	err = user_write(to + FPU_SW_OFFSET, &sw);
	return err ? err : user_write(to + fpu_size(), &magic2);
}

static bool on_altstack(const struct uthread *t, uint64_t sp)
{
	return !(t->altstack_flags & SS_DISABLE) && sp > t->altstack &&
	       sp - t->altstack <= t->altstack_size;
}

static void fill_context(const struct uthread *t, const struct trap_frame *f, struct ucontext *uc)
{
	uc->flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS |
	            (fpu_size() > FPU_LEGACY_SIZE ? UC_FP_XSTATE : 0);
	uc->stack = (struct stack_info){ t->altstack, (int32_t)t->altstack_flags, 0,
		                         t->altstack_size };
	if (on_altstack(t, f->rsp))
		uc->stack.flags |= SS_ONSTACK;
	/*
	 * The mask of sigsuspend and the like ends with the call: the handler returns to the old.
	 */
	uc->sigmask = t->mask_saved ? t->saved_mask : t->blocked;
	uc->mc = (struct sigcontext){
		.r8 = f->r8,
		.r9 = f->r9,
		.r10 = f->r10,
		.r11 = f->r11,
		.r12 = f->r12,
		.r13 = f->r13,
		.r14 = f->r14,
		.r15 = f->r15,
		.rdi = f->rdi,
		.rsi = f->rsi,
		.rbp = f->rbp,
		.rbx = f->rbx,
		.rdx = f->rdx,
		.rax = f->rax,
		.rcx = f->rcx,
		.rsp = f->rsp,
		.rip = f->rip,
		.rflags = f->rflags,
		.cs = SEL_USER_CODE,
		.ss = SEL_USER_DATA,
		.err = f->vector < VEC_EXCEPTIONS ? f->error : 0,
		.trapno = f->vector < VEC_EXCEPTIONS ? f->vector : 0,
		.oldmask = t->blocked,
	};
}

/* Builds the frame and enters the handler; -EFAULT when the stack does not take it. */
static int push_frame(struct uthread *t, struct trap_frame *f, const struct sigaction *act,
                      const struct siginfo *info)
{
	/* A leaf function may use the 128 bytes below RSP: psABI 3.2.2. */
	uint64_t sp = f->rsp - RED_ZONE;
	struct rt_sigframe frame = { .pretcode = act->restorer, .info = *info };
	struct frame_place at;

	if (act->flags & SA_ONSTACK && !(t->altstack_flags & SS_DISABLE) && !on_altstack(t, f->rsp))
		sp = t->altstack + t->altstack_size;
	at = signal_frame_place(sp, fpstate_bytes());
	/* On the alternate stack the frame must fit: what lies below belongs to something else. */
	if (on_altstack(t, sp) && at.frame < t->altstack)
		return -EFAULT;
	fill_context(t, f, &frame.uc);
	frame.uc.mc.fpstate = at.fpstate;
	if (info->signo == SIGSEGV || info->signo == SIGBUS)
		frame.uc.mc.cr2 = info->addr;
	if (put_fpstate(t, at.fpstate) || user_write(at.frame, &frame))
		return -EFAULT;
	/* Nothing fails from here on. rt_sigreturn restores the alternate stack from the frame. */
	if (t->altstack_flags & SS_AUTODISARM)
		t->altstack_flags = SS_DISABLE;
	f->rdi = (uint64_t)info->signo;
	f->rsi = at.frame + offsetof(struct rt_sigframe, info);
	f->rdx = at.frame + offsetof(struct rt_sigframe, uc);
	f->rax = 0;
	f->rsp = at.frame;
	f->rip = act->handler;
	f->rflags &= ~(RFLAGS_DF | RFLAGS_TF | BIT(16));
	/*
	 * psABI: a function finds the FPU in its initial state. Preemption is off because a switch
	 * between the two would save the old registers over the new state.
	 */
	preempt_disable();
	fpu_init_state(t->fpu);
	fpu_restore(t->fpu);
	preempt_enable();
	return 0;
}

/*
 * Turns the restart codes of an interrupted call (vmk/errno.h) into a repetition or -EINTR; handler
 * is the action that will run before ring 3 goes on, or NULL. Only the first handler decides: with
 * the vector changed, a second one finds a frame that is no call's.
 */
static void finish_call(struct trap_frame *f, const struct sigaction *handler)
{
	if (f->vector != TRAP_SYSCALL)
		return;
	f->vector = TRAP_SYSCALL + 1;
	switch (-(int64_t)f->rax) {
	case ERESTARTSYS:
		if (handler && !(handler->flags & SA_RESTART))
			f->rax = (uint64_t)-EINTR;
		else
			goto again;
		break;
	case ERESTARTNOHAND:
		if (!handler)
			goto again;
		f->rax = (uint64_t)-EINTR;
		break;
	case ERESTART_RESTARTBLOCK:
		/* The rest of the time counts, not the argument: goes on in t->restart. */
		if (!handler) {
			f->error = NR_restart_syscall;
			goto again;
		}
		f->rax = (uint64_t)-EINTR;
		break;
	default: break;
	}
	return;
again:
	f->rax = f->error; /* the call's number; the other registers still hold the arguments */
	f->rip -= 2;       /* SYSCALL has two bytes */
}

static void run_handler(struct uthread *t, struct trap_frame *f, const struct siginfo *info,
                        const struct sigaction *act)
{
	uint64_t mask = t->blocked | act->mask;
	uint64_t flags;

	/* Before the frame is written: it must hold the result or the address of the repetition. */
	finish_call(f, act);
	if (act->handler >= USER_END || push_frame(t, f, act, info)) {
		/*
		 * The stack does not take the frame. SIGSEGV comes instead; its own handler would
		 * fail in the same way for ever, so the default action ends the process then.
		 */
		flags = spin_lock_irq(&proc_lock);
		if (info->signo == SIGSEGV)
			t->proc->actions[SIGSEGV - 1].handler = SIG_DFL;
		spin_unlock_irq(&proc_lock, flags);
		uthread_fault_signal(SIGSEGV, SI_KERNEL, 0);
		return;
	}
	t->mask_saved = false; /* the frame holds the mask now, rt_sigreturn restores it */
	if (!(act->flags & SA_NODEFER))
		mask |= sig_bit(info->signo);
	signal_set_mask(mask);
}

static void stop_process(struct proc *p, int sig)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct uthread *t;

	/* Every thread has work now and comes through user_return(), where it sleeps. */
	if (!p->exiting && !p->stopped) {
		p->stopped = p->stop_report = true;
		p->cont_report = false;
		p->stop_sig = sig;
		list_for_each(t, &p->threads, link)
			signal_recalc(t);
		proc_notify_parent(p, CLD_STOPPED, sig);
	}
	spin_unlock_irq(&proc_lock, flags);
}

static void default_action(struct proc *p, const struct siginfo *info, const struct trap_frame *f)
{
	int sig = info->signo;

	switch (sig) {
	case SIGCHLD:
	case SIGCONT:
	case SIGURG:
	case SIGWINCH: return;
	case SIGTSTP:
	case SIGTTIN:
	case SIGTTOU:
		/* POSIX: nobody could continue a member of an orphaned group. */
		if (pgrp_orphaned(p->pgid))
			return;
		stop_process(p, sig);
		return;
	case SIGSTOP: stop_process(p, sig); return;
	default:
		if (CORE_SET & sig_bit(sig))
			log_info("pid %d (%s): signal %d at %#llx, address %#llx", p->pid, p->comm,
			         sig, (unsigned long long)f->rip, (unsigned long long)info->addr);
		proc_exit_group(p, sig);
	}
}

/* One pending signal; false when there is none. */
static bool deliver_one(struct uthread *t, struct trap_frame *f)
{
	struct proc *p = t->proc;
	struct siginfo info;
	struct sigaction act;
	uint64_t flags;
	int sig = signal_dequeue(~t->blocked, &info);

	if (!sig)
		return false;
	flags = spin_lock_irq(&proc_lock);
	/* A copy: another thread may change the action while the frame is written. */
	act = p->actions[sig - 1];
	if (act.handler > SIG_IGN && act.flags & SA_RESETHAND)
		p->actions[sig - 1].handler = SIG_DFL;
	spin_unlock_irq(&proc_lock, flags);
	/*
	 * The first process gets signals only if it has a handler. signal_send_locked() drops the
	 * others, but not those that were blocked when they came and are unblocked now.
	 */
	if (act.handler > SIG_IGN)
		run_handler(t, f, &info, &act);
	else if (act.handler == SIG_DFL && p->pid != 1)
		default_action(p, &info, f);
	return true;
}

void user_return(struct trap_frame *f)
{
	struct uthread *t = uthread_current();
	struct proc *p = t->proc;

	cpu_sti();
	/*
	 * The end comes first; a stop lets nothing else through; then signals until none is left.
	 */
	for (;;) {
		if (READ_ONCE(p->exiting) || (READ_ONCE(p->exec_thread) && p->exec_thread != t))
			uthread_exit(0);
		if (READ_ONCE(p->stopped))
			wait_event(&p->event_waitq,
			           !READ_ONCE(p->stopped) || READ_ONCE(p->exiting));
		else if (!deliver_one(t, f))
			break;
	}
	/* Only if no handler has done it. The call's temporary mask ends likewise. */
	finish_call(f, NULL);
	if (t->mask_saved) {
		t->mask_saved = false;
		signal_set_mask(t->saved_mask);
	}
	/* With interrupts off until ring 3: work that comes later interrupts ring 3 and is seen. */
	cpu_cli();
	user_work_done(t);
}

/*
 * Takes the registers back from a frame. RIP and RSP that are not canonical would fault in IRET, in
 * ring 0; selectors are always the user's own; IF stays on.
 */
static int get_context(struct trap_frame *f, const struct sigcontext *c)
{
	if (c->rip >= USER_END || (c->rsp >= USER_END && c->rsp < DIRECT_BASE))
		return -EFAULT;
	f->r8 = c->r8, f->r9 = c->r9, f->r10 = c->r10, f->r11 = c->r11;
	f->r12 = c->r12, f->r13 = c->r13, f->r14 = c->r14, f->r15 = c->r15;
	f->rdi = c->rdi, f->rsi = c->rsi, f->rbp = c->rbp, f->rbx = c->rbx;
	f->rdx = c->rdx, f->rax = c->rax, f->rcx = c->rcx, f->rsp = c->rsp, f->rip = c->rip;
	f->rflags = (f->rflags & ~RFLAGS_USER) | (c->rflags & RFLAGS_USER) | RFLAGS_IF | BIT(1);
	f->cs = SEL_USER_CODE;
	f->ss = SEL_USER_DATA;
	f->vector = TRAP_SYSCALL + 1; /* RAX is not a result that could mean a restart */
	return 0;
}

/*
 * Takes the FPU state back. It is copied into memory of our own and checked there: XRSTOR faults in
 * ring 0 on reserved bits, and user memory could change after a check in place. A frame without the
 * magic words holds the legacy 512 bytes only.
 */
static int get_fpstate(struct uthread *t, uva_t from)
{
	struct fpx_sw_bytes sw;
	uint32_t magic2 = 0;
	size_t valid = FPU_LEGACY_SIZE;
	void *area;
	int err = -EFAULT;

	area = fpu_alloc();
	if (!area)
		return -ENOMEM;
	if (!from)
		goto load; /* the initial state */
	if (copy_from_user(area, from, FPU_LEGACY_SIZE))
		goto out;
	memcpy(&sw, (char *)area + FPU_SW_OFFSET, sizeof(sw));
	if (fpu_size() > FPU_LEGACY_SIZE && sw.magic1 == FP_XSTATE_MAGIC1 &&
	    sw.xstate_size == fpu_size()) {
		if (user_read(&magic2, from + fpu_size()))
			goto out;
		if (magic2 == FP_XSTATE_MAGIC2) {
			valid = fpu_size();
			if (copy_from_user((char *)area + FPU_LEGACY_SIZE, from + FPU_LEGACY_SIZE,
			                   valid - FPU_LEGACY_SIZE))
				goto out;
		}
	}
	if (!fpu_sanitize(area, valid))
		goto out;
load:
	preempt_disable();
	memcpy(t->fpu, area, fpu_size());
	fpu_restore(t->fpu);
	preempt_enable();
	err = 0;
out:
	fpu_free(area);
	return err;
}

SYSCALL0(rt_sigreturn)
{
	struct uthread *t = uthread_current();
	struct trap_frame *f = uthread_frame();
	struct rt_sigframe frame;

	/*
	 * The handler's RET has taken pretcode off the stack. A frame that cannot be read or that
	 * holds what no handler was given ends the process: there is nothing to return to.
	 */
	if (user_read(&frame, f->rsp - 8) || get_context(f, &frame.uc.mc) ||
	    get_fpstate(t, frame.uc.mc.fpstate)) {
		uthread_fault_signal(SIGSEGV, SI_KERNEL, 0);
		return 0;
	}
	signal_set_mask(frame.uc.sigmask);
	t->altstack = frame.uc.stack.sp;
	t->altstack_size = frame.uc.stack.size;
	t->altstack_flags = (uint32_t)frame.uc.stack.flags & (SS_DISABLE | SS_AUTODISARM);
	/* The caller stores the result in RAX: this keeps the restored one. */
	return (long)f->rax;
}
