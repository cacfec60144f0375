// SPDX-License-Identifier: Apache-2.0
/*
 * fork, vfork, clone, clone3. Spec: clone(2).
 *
 * The order makes every failure harmless: memory, parts and thread are made while nobody can find
 * them; publish() enters them into lists and table in one step; the world starts last. A thread
 * that is in the lists but has not started yet may be signalled, which it sees when it starts.
 */
#include "mm/aspace.h"
#include "proc/proc.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/fdtable.h"
#include "vmk/layout.h"
#include "vmk/string.h"
#include "vmk/syscall.h"
#include "x86/cpu.h"
#include "x86/fpu.h"
#include "x86/insn.h"

enum {
	CSIGNAL = 0xff,
	CLONE_VM = 0x100,
	CLONE_FS = 0x200,
	CLONE_FILES = 0x400,
	CLONE_SIGHAND = 0x800,
	CLONE_VFORK = 0x4000,
	CLONE_PARENT = 0x8000,
	CLONE_THREAD = 0x10000,
	CLONE_SYSVSEM = 0x40000,
	CLONE_SETTLS = 0x80000,
	CLONE_PARENT_SETTID = 0x100000,
	CLONE_CHILD_CLEARTID = 0x200000,
	CLONE_DETACHED = 0x400000,
	CLONE_UNTRACED = 0x800000,
	CLONE_CHILD_SETTID = 0x1000000,
	CLONE_IO = (int)0x80000000,
	CLONE_KNOWN = CSIGNAL | CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_VFORK |
	              CLONE_PARENT | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
	              CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_DETACHED | CLONE_UNTRACED |
	              CLONE_CHILD_SETTID | CLONE_IO,
	CLONE_NEED_THREAD = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND,
};
#define CLONE_CLEAR_SIGHAND 0x100000000ull

struct clone_args {
	uint64_t flags, stack, tls;
	uva_t parent_tid, child_tid;
	int exit_signal;
};

static int check_flags(const struct clone_args *c)
{
	bool thread = c->flags & CLONE_THREAD;

	if (c->flags & ~(uint64_t)((uint32_t)CLONE_KNOWN | CLONE_CLEAR_SIGHAND))
		return -EINVAL; /* namespaces, pidfd */
	/*
	 * Shared actions, descriptors or memory go with a thread; only vfork shares memory without.
	 */
	if (thread && (c->flags & CLONE_NEED_THREAD) != CLONE_NEED_THREAD)
		return -EINVAL;
	if (!thread && c->flags & CLONE_SIGHAND)
		return -EINVAL;
	if (c->flags & CLONE_SETTLS && c->tls >= USER_END)
		return -EPERM;
	return c->exit_signal < 0 || c->exit_signal > NSIG ? -EINVAL : 0;
}

/* Memory, files and directory for a new process. */
static int copy_process(struct proc *p, struct proc *parent, const struct clone_args *c)
{
	int err = 0;

	/*
	 * The parent's members are its threads' own (proc.h): execve of another thread waits for
	 * this one to leave first. What is attached here when a step fails, proc_put() releases.
	 */
	p->exe = parent->exe ? file_get(parent->exe) : NULL;
	if (c->flags & CLONE_VM)
		p->as = aspace_get(parent->as);
	else
		err = aspace_fork(parent->as, &p->as);
	if (err)
		return err;
	if (c->flags & CLONE_FILES)
		p->files = fdtable_get(parent->files);
	else
		err = fdtable_clone(parent->files, &p->files);
	if (err)
		return err;
	if (c->flags & CLONE_FS)
		p->fs = fsctx_get(parent->fs);
	else
		err = fsctx_clone(parent->fs, &p->fs);
	if (c->flags & CLONE_CLEAR_SIGHAND)
		for (unsigned i = 0; i < NSIG; i++)
			if (p->actions[i].handler != SIG_IGN)
				p->actions[i].handler = SIG_DFL;
	p->exit_signal = c->exit_signal;
	return err;
}

/* The new thread goes on where the old one is, with 0. */
static void copy_thread(struct uthread *t, struct uthread *from, const struct clone_args *c)
{
	/* vector 0: the frame is no system call's, so that nothing repeats clone in the child. */
	t->start = *uthread_frame();
	t->start.rax = 0;
	t->start.vector = 0;
	if (c->stack)
		t->start.rsp = c->stack;
	/* The registers are the current thread's: a switch meanwhile saves the same state again. */
	fpu_save(from->fpu);
	memcpy(t->fpu, from->fpu, fpu_size());
	/* KERNEL_GS_BASE belongs to the world that runs: read it on one CPU, without a switch. */
	preempt_disable();
	if (cpu_features.fsgsbase) {
		__asm__ volatile("rdfsbase %0" : "=r"(t->fs_base));
		t->gs_base = rdmsr(MSR_KERNEL_GS_BASE);
	} else {
		t->fs_base = from->fs_base;
		t->gs_base = from->gs_base;
	}
	preempt_enable();
	if (c->flags & CLONE_SETTLS)
		t->fs_base = c->tls;
	t->blocked = from->blocked;
	memcpy(t->cpus_avoided, from->cpus_avoided, sizeof(t->cpus_avoided));
	memcpy(t->comm, from->comm, COMM_LEN);
	/* A copy of the stack goes with fork and vfork; a thread brings its own. */
	if (!(c->flags & CLONE_VM) || c->flags & CLONE_VFORK) {
		t->altstack = from->altstack;
		t->altstack_size = from->altstack_size;
		t->altstack_flags = from->altstack_flags;
	}
	t->set_child_tid = c->flags & CLONE_CHILD_SETTID ? c->child_tid : 0;
	t->clear_child_tid = c->flags & CLONE_CHILD_CLEARTID ? c->child_tid : 0;
}

static int publish(struct proc *p, struct uthread *t, struct proc *parent,
                   const struct clone_args *c)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	int err;

	if (!(c->flags & CLONE_THREAD))
		p->parent = c->flags & CLONE_PARENT && parent->parent ? parent->parent : parent;
	/*
	 * Under the lock that proc_exit_group() takes: either the new thread is in the list that it
	 * walks, or we see that the process is ending. Otherwise a thread could outlive it.
	 */
	err = parent->exiting ? -EAGAIN : proc_publish(p, t);
	if (err && !(c->flags & CLONE_THREAD))
		p->parent = NULL;
	spin_unlock_irq(&proc_lock, flags);
	return err;
}

static long do_clone(const struct clone_args *c)
{
	struct uthread *self = uthread_current(), *t;
	struct proc *parent = self->proc, *p = parent;
	bool thread = c->flags & CLONE_THREAD;
	int err = check_flags(c), tid;

	if (err)
		return err;
	/* A fork has to fail here, where it can, rather than end some process at a page fault. */
	if (mm_low(MM_USER))
		return -ENOMEM;
	if (!thread) {
		err = proc_create(parent, &p);
		/* The copies are the child's own: its account is charged, not the parent's. */
		if (!err) {
			world_set_account(self->world, p->account);
			err = copy_process(p, parent, c);
			world_set_account(self->world, parent->account);
		}
		if (err)
			goto drop_proc;
	}
	err = uthread_create(p, proc_main, &t);
	if (err)
		goto drop_proc;
	copy_thread(t, self, c);
	err = publish(p, t, parent, c);
	if (err) {
		world_put(t->world);
		uthread_discard(t);
		goto drop_proc;
	}
	/*
	 * Before the start: afterwards t may end and be freed at any time, p too without a
	 * reference.
	 */
	tid = t->tid;
	if (c->flags & CLONE_PARENT_SETTID && user_write(c->parent_tid, &tid))
		err = 0; /* as Linux: the child is there all the same */
	if (c->flags & CLONE_VFORK)
		proc_get(p);
	world_start(t->world);
	if (c->flags & CLONE_VFORK) {
		/* Not interruptible: the child runs on our stack until execve or its end. */
		wait_event(&p->event_waitq, READ_ONCE(p->vfork_done));
		proc_put(p);
	}
	return tid;
drop_proc:
	if (!thread && p)
		proc_put(p);
	return err;
}

SYSCALL5(clone, unsigned long, flags, uva_t, stack, uva_t, parent_tid, uva_t, child_tid, uint64_t,
         tls)
{
	const struct clone_args c = {
		.flags = (uint32_t)flags & ~(uint32_t)CSIGNAL,
		.exit_signal = (int)(flags & CSIGNAL),
		.stack = stack,
		.parent_tid = parent_tid,
		.child_tid = child_tid,
		.tls = tls,
	};

	return do_clone(&c);
}

SYSCALL0(fork)
{
	return do_clone(&(struct clone_args){ .exit_signal = SIGCHLD });
}

SYSCALL0(vfork)
{
	return do_clone(
		&(struct clone_args){ .flags = CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD });
}

/* struct clone_args of Linux, version 0 being its first 64 bytes. */
SYSCALL2(clone3, uva_t, args, size_t, size)
{
	struct {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
		uint64_t set_tid, set_tid_size, cgroup;
	} u = { 0 };
	struct clone_args c;
	int err;

	if (size < 64)
		return -EINVAL;
	if (size > sizeof(u))
		return -E2BIG;
	err = copy_from_user(&u, args, size);
	if (err)
		return err;
	if (u.set_tid || u.set_tid_size || u.exit_signal > NSIG || u.flags & CSIGNAL ||
	    !u.stack != !u.stack_size)
		return -EINVAL;
	c = (struct clone_args){ .flags = u.flags,
		                 .exit_signal = (int)u.exit_signal,
		                 .stack = u.stack ? u.stack + u.stack_size : 0,
		                 .tls = u.tls,
		                 .parent_tid = u.parent_tid,
		                 .child_tid = u.child_tid };
	return do_clone(&c);
}
