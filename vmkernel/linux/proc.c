// SPDX-License-Identifier: Apache-2.0
/*
 * Identity: ids, groups and sessions, credentials, limits, priorities. Spec: credentials(7),
 * getrlimit(2).
 */
#include "mm/aspace.h"
#include "proc/proc.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/string.h"
#include "vmk/syscall.h"

#define ID_KEEP 0xffffffffu /* (uid_t)-1: leave it */

SYSCALL0(getpid)
{
	return proc_current()->pid;
}

SYSCALL0(gettid)
{
	return uthread_current()->tid;
}

SYSCALL0(getppid)
{
	struct proc *parent = READ_ONCE(proc_current()->parent);

	return parent ? parent->pid : 0;
}

SYSCALL1(set_tid_address, uva_t, tid)
{
	uthread_current()->clear_child_tid = tid;
	return uthread_current()->tid;
}

/* pid 0 is the caller; proc_lock is held. */
static struct proc *by_pid(int pid)
{
	return pid ? ids_proc(pid) : proc_current();
}

static int set_pgid_locked(struct proc *p, int pgid)
{
	struct proc *me = proc_current(), *leader;

	/* setpgid(2), in the order of its errors. */
	if (!p || (p != me && p->parent != me))
		return -ESRCH;
	if (p->sid != me->sid || p->sid == p->pid)
		return -EPERM;
	if (p != me && p->execed)
		return -EACCES;
	pgid = pgid ? pgid : p->pid;
	if (pgid != p->pid) {
		leader = ids_proc(pgid);
		/* Some member must be there; the leader itself may have gone. */
		if (leader ? leader->sid != me->sid || leader->pgid != pgid : pgid != p->pgid)
			return -EPERM;
	}
	/* The number of a group stays taken while it has members: ids.c. */
	ids_use_group(p->pgid, -1);
	p->pgid = pgid;
	ids_use_group(pgid, 1);
	return 0;
}

SYSCALL2(setpgid, int, pid, int, pgid)
{
	uint64_t flags;
	int err;

	if (pgid < 0)
		return -EINVAL;
	flags = spin_lock_irq(&proc_lock);
	err = set_pgid_locked(by_pid(pid), pgid);
	spin_unlock_irq(&proc_lock, flags);
	return err;
}

SYSCALL1(getpgid, int, pid)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct proc *p = by_pid(pid);
	int err = p ? p->pgid : -ESRCH;

	spin_unlock_irq(&proc_lock, flags);
	return err;
}

SYSCALL0(getpgrp)
{
	return proc_current()->pgid;
}

SYSCALL1(getsid, int, pid)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct proc *p = by_pid(pid);
	int err = p ? p->sid : -ESRCH;

	spin_unlock_irq(&proc_lock, flags);
	return err;
}

static bool in_group(struct proc *p, void *arg)
{
	int *pgid = arg;

	if (p->pgid == *pgid)
		*pgid = 0;
	return *pgid;
}

SYSCALL0(setsid)
{
	struct proc *p = proc_current();
	int search = p->pid;
	uint64_t flags;

	/* A group's number may outlive its leader: then its pid must not lead a second one. */
	proc_for_each(in_group, &search);
	if (!search)
		return -EPERM;
	flags = spin_lock_irq(&proc_lock);
	ids_use_group(p->pgid, -1);
	ids_use_group(p->sid, -1);
	p->pgid = p->sid = p->pid;
	ids_use_group(p->pid, 2);
	spin_unlock_irq(&proc_lock, flags);
	return p->pid;
}

#define GET_ID(name, field)                   \
	SYSCALL0(name)                        \
	{                                     \
		return cred_current()->field; \
	}
GET_ID(getuid, uid)
GET_ID(getgid, gid)
GET_ID(geteuid, euid)
GET_ID(getegid, egid)

static bool is_one_of(uint32_t id, uint32_t x, uint32_t y, uint32_t z)
{
	return id == ID_KEEP || id == x || id == y || id == z;
}

/*
 * The three ids at once, under the rules of setresuid(2); re and ru of the older calls map onto it.
 */
static int set_ids(uint32_t cur[3], const uint32_t to[3])
{
	for (unsigned i = 0; i < 3; i++)
		if (!proc_is_root() && !is_one_of(to[i], cur[0], cur[1], cur[2]))
			return -EPERM;
	for (unsigned i = 0; i < 3; i++)
		if (to[i] != ID_KEEP)
			cur[i] = to[i];
	proc_account_move(proc_current());
	return 0;
}

/* Real, effective and saved ids in a row. */
STATIC_ASSERT(offsetof(struct cred, uid) == 0 && offsetof(struct cred, suid) == 8);
STATIC_ASSERT(offsetof(struct cred, gid) == 12 && offsetof(struct cred, sgid) == 20);
static uint32_t *my_uids(void)
{
	return (uint32_t *)&proc_current()->cred;
}
static uint32_t *my_gids(void)
{
	return (uint32_t *)&proc_current()->cred + 3;
}

SYSCALL3(setresuid, uint32_t, real, uint32_t, effective, uint32_t, saved)
{
	return set_ids(my_uids(), (uint32_t[]){ real, effective, saved });
}

SYSCALL3(setresgid, uint32_t, real, uint32_t, effective, uint32_t, saved)
{
	return set_ids(my_gids(), (uint32_t[]){ real, effective, saved });
}

/* setuid of root changes all three, of others the effective one. */
static int set_one(uint32_t cur[3], uint32_t id)
{
	uint32_t other = proc_is_root() ? id : ID_KEEP;

	if (id == ID_KEEP)
		return -EINVAL;
	return set_ids(cur, (uint32_t[]){ other, id, other });
}

SYSCALL1(setuid, uint32_t, id)
{
	return set_one(my_uids(), id);
}

SYSCALL1(setgid, uint32_t, id)
{
	return set_one(my_gids(), id);
}

/*
 * The saved id follows the effective one when the real one is set or the effective one leaves it.
 */
static int set_re(uint32_t cur[3], uint32_t real, uint32_t effective)
{
	uint32_t old_real = cur[0];
	int err = set_ids(cur, (uint32_t[]){ real, effective, ID_KEEP });

	if (!err && (real != ID_KEEP || (effective != ID_KEEP && effective != old_real)))
		cur[2] = cur[1];
	return err;
}

SYSCALL2(setreuid, uint32_t, real, uint32_t, effective)
{
	return set_re(my_uids(), real, effective);
}

SYSCALL2(setregid, uint32_t, real, uint32_t, effective)
{
	return set_re(my_gids(), real, effective);
}

static int put_three(const uva_t to[3], const uint32_t ids[3])
{
	for (unsigned i = 0; i < 3; i++)
		if (user_write(to[i], &ids[i]))
			return -EFAULT;
	return 0;
}

SYSCALL3(getresuid, uva_t, real, uva_t, effective, uva_t, saved)
{
	return put_three((const uva_t[]){ real, effective, saved }, my_uids());
}

SYSCALL3(getresgid, uva_t, real, uva_t, effective, uva_t, saved)
{
	return put_three((const uva_t[]){ real, effective, saved }, my_gids());
}

/* File access uses the effective ids; the answer is the id that stays. */
SYSCALL0(setfsuid)
{
	return cred_current()->euid;
}

SYSCALL0(setfsgid)
{
	return cred_current()->egid;
}

SYSCALL2(getgroups, int, count, uva_t, out)
{
	struct proc *p = proc_current();

	if (!count)
		return p->group_count;
	if (count < (int)p->group_count)
		return -EINVAL;
	return copy_to_user(out, p->groups, p->group_count * 4) ? -EFAULT : (long)p->group_count;
}

SYSCALL2(setgroups, unsigned, count, uva_t, from)
{
	struct proc *p = proc_current();
	uint32_t groups[GROUPS_MAX];

	if (!proc_is_root())
		return -EPERM;
	if (count > GROUPS_MAX)
		return -EINVAL;
	/* By way of a copy: a fault half-way must leave the old groups. */
	if (copy_from_user(groups, from, count * 4))
		return -EFAULT;
	memcpy(p->groups, groups, count * 4);
	p->group_count = count;
	return 0;
}

/* proc_lock is held: it keeps the memory of a process of which another thread may be the last. */
static int set_limit_locked(struct proc *p, unsigned which, const struct rlimit *l)
{
	if (l->cur > l->max)
		return -EINVAL;
	if (l->max > p->limits[which].max && !proc_is_root())
		return -EPERM;
	if (which == RLIMIT_NOFILE && l->max > 1024 * 1024)
		return -EPERM;
	p->limits[which] = *l;
	if (which == RLIMIT_AS && p->as)
		p->as->limit_pages = l->cur >> PAGE_SHIFT;
	return 0;
}

static long do_limit(struct proc *p, unsigned which, uva_t updated, uva_t old)
{
	struct rlimit l, was;
	uint64_t flags;
	int err = 0;

	if (which >= RLIMITS)
		return -EINVAL;
	if (updated && user_read(&l, updated))
		return -EFAULT;
	/* Read and set in one step: what a caller gets back, no other one has seen. */
	flags = spin_lock_irq(&proc_lock);
	was = p->limits[which];
	if (updated)
		err = set_limit_locked(p, which, &l);
	spin_unlock_irq(&proc_lock, flags);
	return err ? err : old ? user_write(old, &was) : 0;
}

SYSCALL2(getrlimit, unsigned, which, uva_t, out)
{
	return do_limit(proc_current(), which, 0, out);
}

SYSCALL2(setrlimit, unsigned, which, uva_t, updated)
{
	return do_limit(proc_current(), which, updated, 0);
}

SYSCALL4(prlimit64, int, pid, unsigned, which, uva_t, updated, uva_t, old)
{
	struct proc *p = pid ? proc_find(pid) : proc_current();
	long err;

	if (!p)
		return -ESRCH;
	err = !pid || p == proc_current() || proc_is_root() ? do_limit(p, which, updated, old)
	                                                    : -EPERM;
	if (pid)
		proc_put(p);
	return err;
}

enum { PRIO_PROCESS, PRIO_PGRP, PRIO_USER, NICE_MIN = -20, NICE_MAX = 19 };

struct priority {
	int which, who;
	bool set;
	int nice, best;
	unsigned found;
	int error;
};

static bool priority_each(struct proc *p, void *arg)
{
	struct priority *q = arg;
	int id = q->which == PRIO_PROCESS ? p->pid
	         : q->which == PRIO_PGRP  ? p->pgid
	                                  : (int)p->cred.uid;

	/*
	 * proc_lock is held by proc_for_each(). nice is remembered; shares are the host's matter.
	 */
	if (id != q->who || p->zombie)
		return true;
	q->found++;
	q->best = MIN(q->best, p->nice);
	if (!q->set)
		return true;
	if (q->nice < p->nice && !proc_is_root())
		q->error = -EACCES;
	else
		p->nice = q->nice;
	return true;
}

static void find_priority(struct priority *q, int which, int who)
{
	const struct proc *me = proc_current();

	q->which = which;
	q->best = NICE_MAX;
	q->who = who;
	if (!q->who)
		q->who = q->which == PRIO_PROCESS ? me->pid
		         : q->which == PRIO_PGRP  ? me->pgid
		                                  : (int)me->cred.uid;
	proc_for_each(priority_each, q);
}

SYSCALL2(getpriority, int, which, int, who)
{
	struct priority q = { 0 };

	if ((unsigned)which > PRIO_USER)
		return -EINVAL;
	find_priority(&q, which, who);
	return q.found ? 20 - q.best : -ESRCH;
}

SYSCALL3(setpriority, int, which, int, who, int, nice)
{
	struct priority q = { .set = true, .nice = MAX(MIN(nice, (int)NICE_MAX), (int)NICE_MIN) };

	if ((unsigned)which > PRIO_USER)
		return -EINVAL;
	find_priority(&q, which, who);
	return q.error ? q.error : q.found ? 0 : -ESRCH;
}
