// SPDX-License-Identifier: Apache-2.0
/*
 * Birth of processes and threads, references, and what other layers ask about them. Locks:
 * proc/proc.h.
 */
#include "proc/proc.h"
#include "mm/aspace.h"
#include "mm/fpu_area.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "x86/gdt.h"
#include "x86/insn.h"

enum {
	THREADS_MAX = 2048
}; /* of all processes: each has a stack and an FPU area in kernel memory */

struct spinlock proc_lock = SPINLOCK_INIT("proc", RANK_FILE + 4);
static struct list procs = LIST_INIT(procs);
static unsigned thread_total; /* proc_lock */

static void limits_default(struct proc *p)
{
	for (unsigned i = 0; i < RLIMITS; i++)
		p->limits[i] = (struct rlimit){ RLIM_INFINITY, RLIM_INFINITY };
	p->limits[RLIMIT_STACK].cur = 8 * MiB;
	p->limits[RLIMIT_CORE].cur = 0;
	p->limits[RLIMIT_NPROC] = (struct rlimit){ 1024, 1024 };
	p->limits[RLIMIT_NOFILE] = (struct rlimit){ 1024, 65536 };
	p->limits[RLIMIT_MEMLOCK] = (struct rlimit){ 8 * MiB, 8 * MiB };
	p->limits[RLIMIT_SIGPENDING] = (struct rlimit){ 1024, 1024 };
	p->limits[RLIMIT_MSGQUEUE] = (struct rlimit){ 819200, 819200 };
	p->limits[RLIMIT_NICE] = p->limits[RLIMIT_RTPRIO] = (struct rlimit){ 0, 0 };
}

/* What fork(2) copies. Timers, pending signals and usage are not inherited; memory is clone's. */
static void inherit(struct proc *p, struct proc *parent)
{
	p->pgid = parent->pgid;
	p->sid = parent->sid;
	p->cred = parent->cred;
	memcpy(p->groups, parent->groups, sizeof(p->groups));
	p->group_count = parent->group_count;
	memcpy(p->limits, parent->limits, sizeof(p->limits));
	memcpy(p->comm, parent->comm, sizeof(p->comm));
	memcpy(p->actions, parent->actions, sizeof(p->actions));
	p->arg_start = parent->arg_start;
	p->arg_end = parent->arg_end;
	p->env_start = parent->env_start;
	p->env_end = parent->env_end;
	p->start_stack = parent->start_stack;
	p->brk_start = parent->brk_start;
	p->brk = parent->brk;
	p->nice = parent->nice;
	p->dumpable = parent->dumpable;
	p->no_new_privs = parent->no_new_privs;
}

int proc_create(struct proc *parent, struct proc **out)
{
	struct proc *p = kzalloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	/* The caller's reference, which proc_publish() makes the table's. */
	p->refs = 1;
	list_init(&p->all);
	list_init(&p->children);
	list_init(&p->sibling);
	list_init(&p->threads);
	waitq_init(&p->child_waitq, "child");
	p->signal_waitq = signal_waitq_pick();
	waitq_init(&p->event_waitq, "proc");
	signal_init(&p->pending);
	itimers_init(p);
	p->started = time_now();
	p->dumpable = true;
	if (parent)
		inherit(p, parent);
	else
		limits_default(p);
	if (proc_account_open(p)) {
		proc_put(p);
		return -ENOMEM;
	}
	*out = p;
	return 0;
}

void proc_get(struct proc *p)
{
	__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
}

static void *detach(struct proc *p, const struct proc_part *part)
{
	void **member = (void **)((uint8_t *)p + part->member), *attached;

	if (!part->member)
		return NULL;
	attached = *member;
	*member = NULL;
	return attached;
}

void proc_release_parts(struct proc *p)
{
	SECTION_FOR_EACH(struct proc_part, part, proc_parts) {
		/* Readers (/proc/PID) take their reference under the lock: none after this. */
		uint64_t flags = spin_lock_irq(&proc_lock);
		void *attached = detach(p, part);

		spin_unlock_irq(&proc_lock, flags);
		if (attached)
			part->release(attached);
	}
}

void proc_put(struct proc *p)
{
	if (__atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL))
		return;
	/*
	 * exit.c has released the parts of a process that ran, so that this may be called under
	 * proc_lock for a zombie. Parts are left when clone failed half-way.
	 */
	SECTION_FOR_EACH(struct proc_part, part, proc_parts) {
		void *attached = detach(p, part);

		if (attached)
			part->release(attached);
	}
	if (p->as)
		aspace_put(p->as);
	proc_account_close(p);
	kfree(p);
}

struct proc *proc_find(int pid)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct proc *p = ids_proc(pid);

	if (p)
		proc_get(p);
	spin_unlock_irq(&proc_lock, flags);
	return p;
}

void proc_for_each(bool (*fn)(struct proc *p, void *arg), void *arg)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct proc *p;

	list_for_each(p, &procs, all)
		if (!fn(p, arg))
			break;
	spin_unlock_irq(&proc_lock, flags);
}

void proc_main(void *thread)
{
	struct uthread *t = thread;
	struct trap_frame f = t->start;

	if (t->set_child_tid && user_write(t->set_child_tid, &t->tid))
		t->set_child_tid = 0; /* a bad address is the caller's affair, as on Linux */
	/* As every way to ring 3: interrupts off from the look at user_work to the IRET. */
	cpu_cli();
	trap_exit(&f);
	trap_return(&f);
}

int uthread_create(struct proc *p, void (*fn)(void *thread), struct uthread **out)
{
	struct uthread *t = kzalloc(sizeof(*t));
	struct world_attr attr = { .name = p->comm,
		                   .kind = WORLD_USER,
		                   .cpu = -1,
		                   .hooks = &uthread_hooks,
		                   .account = p->account,
		                   .fn = fn,
		                   .arg = t };

	if (!t)
		return -ENOMEM;
	list_init(&t->link);
	signal_init(&t->pending);
	t->proc = p;
	t->altstack_flags = SS_DISABLE;
	memcpy(t->comm, p->comm, COMM_LEN);
	t->fpu = fpu_alloc();
	/* The world does not run before world_start(): the caller fills in registers first. */
	if (!t->fpu || world_create(&attr, &t->world)) {
		fpu_free(t->fpu);
		kfree(t);
		return -ENOMEM;
	}
	proc_get(p);
	*out = t;
	return 0;
}

/* From the reaper's world: no one can find the thread any more. */
void uthread_discard(struct uthread *t)
{
	signal_flush(&t->pending, ~0ull);
	proc_put(t->proc);
	fpu_free(t->fpu);
	kfree(t);
}

int proc_publish(struct proc *p, struct uthread *t)
{
	bool first = p->pid == 0;
	unsigned mine = 0;
	struct proc *q;
	int id;

	/* RLIMIT_NPROC counts threads of the real user; the first process is not limited. */
	list_for_each(q, &procs, all)
		if (q->cred.uid == p->cred.uid)
			mine += q->thread_count;
	if (thread_total >= THREADS_MAX || (p->parent && mine >= p->limits[RLIMIT_NPROC].cur))
		return -EAGAIN;
	id = ids_alloc();
	if (id < 0)
		return id;
	t->tid = id;
	ids_set_thread(id, t);
	list_push_back(&p->threads, &t->link);
	p->thread_count++;
	thread_total++;
	if (!first)
		return 0;
	p->pid = id;
	/* Group and session are inherited; their numbers stay taken while they have a member. */
	if (!p->pgid)
		p->pgid = p->sid = id;
	ids_set_proc(id, p);
	ids_use_group(p->pgid, 1);
	ids_use_group(p->sid, 1);
	list_push_back(&procs, &p->all);
	if (p->parent)
		list_push_back(&p->parent->children, &p->sibling);
	return 0;
}

void proc_unpublish_thread(struct uthread *t)
{
	ids_set_thread(t->tid, NULL);
	list_remove(&t->link);
	t->proc->thread_count--;
	thread_total--;
}

void proc_unpublish(struct proc *p)
{
	ids_set_proc(p->pid, NULL);
	ids_use_group(p->pgid, -1);
	ids_use_group(p->sid, -1);
	list_remove(&p->all);
	list_remove(&p->sibling);
}

/* What fs/ asks: vmk/user.h. */
int proc_pid(const struct proc *p)
{
	return p->pid;
}

int proc_pgid(const struct proc *p)
{
	return p->pgid;
}

int proc_sid(const struct proc *p)
{
	return p->sid;
}

struct fdtable *proc_fdtable(struct proc *p)
{
	return p->files;
}

struct fsctx *proc_fsctx(struct proc *p)
{
	return p->fs;
}

const struct cred *cred_current(void)
{
	static const struct cred root;
	struct proc *p = proc_current();

	return p ? &p->cred : &root;
}

bool cred_in_group(uint32_t gid)
{
	struct proc *p = proc_current();

	if (!p || p->cred.egid == gid)
		return gid == 0 || p;
	for (unsigned i = 0; i < p->group_count; i++)
		if (p->groups[i] == gid)
			return true;
	return false;
}

bool proc_is_root(void)
{
	return cred_current()->euid == 0;
}

uint64_t proc_rlimit(unsigned which)
{
	struct proc *p = proc_current();

	return p ? p->limits[which].cur : RLIM_INFINITY;
}

bool pgrp_in_session(int pgid, int sid)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	bool found = false;
	struct proc *p;

	list_for_each(p, &procs, all)
		found |= p->pgid == pgid && p->sid == sid;
	spin_unlock_irq(&proc_lock, flags);
	return found;
}

/* POSIX 3.106: no member has a parent in another group of the same session. */
bool pgrp_orphaned(int pgid)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	bool orphaned = true;
	struct proc *p;

	list_for_each(p, &procs, all)
		if (p->pgid == pgid && !p->zombie && p->parent && p->parent->pgid != pgid &&
		    p->parent->sid == p->sid)
			orphaned = false;
	spin_unlock_irq(&proc_lock, flags);
	return orphaned;
}
