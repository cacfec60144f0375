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

#define ID_KEEP 0xffffffffu /* (uid_t)-1: leave it */

SYSCALL(39, getpid)
{
	return proc_current()->pid;
}

SYSCALL(186, gettid)
{
	return uthread_current()->tid;
}

SYSCALL(110, getppid)
{
	struct proc *parent = READ_ONCE(proc_current()->parent);

	return parent ? parent->pid : 0;
}

SYSCALL(218, set_tid_address)
{
	uthread_current()->clear_child_tid = a[0];
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
	ids_use_group(p->pgid, -1);
	p->pgid = pgid;
	ids_use_group(pgid, 1);
	return 0;
}

SYSCALL(109, setpgid)
{
	uint64_t flags;
	int err;

	if ((int)a[1] < 0)
		return -EINVAL;
	flags = spin_lock_irq(&proc_lock);
	err = set_pgid_locked(by_pid((int)a[0]), (int)a[1]);
	spin_unlock_irq(&proc_lock, flags);
	return err;
}

SYSCALL(121, getpgid)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct proc *p = by_pid((int)a[0]);
	int err = p ? p->pgid : -ESRCH;

	spin_unlock_irq(&proc_lock, flags);
	return err;
}

SYSCALL(111, getpgrp)
{
	return proc_current()->pgid;
}

SYSCALL(124, getsid)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct proc *p = by_pid((int)a[0]);
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

SYSCALL(112, setsid)
{
	struct proc *p = proc_current();
	int search = p->pid;
	uint64_t flags;

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

#define GET_ID(nr, name, field)               \
	SYSCALL(nr, name)                     \
	{                                     \
		return cred_current()->field; \
	}
GET_ID(102, getuid, uid)
GET_ID(104, getgid, gid)
GET_ID(107, geteuid, euid)
GET_ID(108, getegid, egid)

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

SYSCALL(117, setresuid)
{
	return set_ids(my_uids(), (uint32_t[]){ (uint32_t)a[0], (uint32_t)a[1], (uint32_t)a[2] });
}

SYSCALL(119, setresgid)
{
	return set_ids(my_gids(), (uint32_t[]){ (uint32_t)a[0], (uint32_t)a[1], (uint32_t)a[2] });
}

/* setuid of root changes all three, of others the effective one. */
static int set_one(uint32_t cur[3], uint32_t id)
{
	uint32_t other = proc_is_root() ? id : ID_KEEP;

	if (id == ID_KEEP)
		return -EINVAL;
	return set_ids(cur, (uint32_t[]){ other, id, other });
}

SYSCALL(105, setuid)
{
	return set_one(my_uids(), (uint32_t)a[0]);
}

SYSCALL(106, setgid)
{
	return set_one(my_gids(), (uint32_t)a[0]);
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

SYSCALL(113, setreuid)
{
	return set_re(my_uids(), (uint32_t)a[0], (uint32_t)a[1]);
}

SYSCALL(114, setregid)
{
	return set_re(my_gids(), (uint32_t)a[0], (uint32_t)a[1]);
}

static int put_three(const uint64_t a[6], const uint32_t ids[3])
{
	for (unsigned i = 0; i < 3; i++)
		if (user_write(a[i], &ids[i]))
			return -EFAULT;
	return 0;
}

SYSCALL(118, getresuid)
{
	return put_three(a, my_uids());
}

SYSCALL(120, getresgid)
{
	return put_three(a, my_gids());
}

/* File access uses the effective ids; the answer is the id that stays. */
SYSCALL(122, setfsuid)
{
	return cred_current()->euid;
}

SYSCALL(123, setfsgid)
{
	return cred_current()->egid;
}

SYSCALL(115, getgroups)
{
	struct proc *p = proc_current();

	if (!(int)a[0])
		return p->group_count;
	if ((int)a[0] < (int)p->group_count)
		return -EINVAL;
	return copy_to_user(a[1], p->groups, p->group_count * 4) ? -EFAULT : (long)p->group_count;
}

SYSCALL(116, setgroups)
{
	struct proc *p = proc_current();
	uint32_t groups[GROUPS_MAX];

	if (!proc_is_root())
		return -EPERM;
	if ((unsigned)a[0] > GROUPS_MAX)
		return -EINVAL;
	if (copy_from_user(groups, a[1], (unsigned)a[0] * 4))
		return -EFAULT;
	memcpy(p->groups, groups, (unsigned)a[0] * 4);
	p->group_count = (unsigned)a[0];
	return 0;
}

static int set_limit(struct proc *p, unsigned which, const struct rlimit *l)
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
	int err = 0;

	if (which >= RLIMITS)
		return -EINVAL;
	if (updated && user_read(&l, updated))
		return -EFAULT;
	was = p->limits[which];
	if (updated)
		err = set_limit(p, which, &l);
	return err ? err : old ? user_write(old, &was) : 0;
}

SYSCALL(97, getrlimit)
{
	return do_limit(proc_current(), (unsigned)a[0], 0, a[1]);
}

SYSCALL(160, setrlimit)
{
	return do_limit(proc_current(), (unsigned)a[0], a[1], 0);
}

SYSCALL(302, prlimit64)
{
	struct proc *p = (int)a[0] ? proc_find((int)a[0]) : proc_current();
	long r;

	if (!p)
		return -ESRCH;
	r = !(int)a[0] || p == proc_current() || proc_is_root()
	            ? do_limit(p, (unsigned)a[1], a[2], a[3])
	            : -EPERM;
	if ((int)a[0])
		proc_put(p);
	return r;
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

static void find_priority(struct priority *q, const uint64_t a[6])
{
	const struct proc *me = proc_current();

	q->which = (int)a[0];
	q->best = NICE_MAX;
	q->who = (int)a[1];
	if (!q->who)
		q->who = q->which == PRIO_PROCESS ? me->pid
		         : q->which == PRIO_PGRP  ? me->pgid
		                                  : (int)me->cred.uid;
	proc_for_each(priority_each, q);
}

SYSCALL(140, getpriority)
{
	struct priority q = { 0 };

	if ((unsigned)a[0] > PRIO_USER)
		return -EINVAL;
	find_priority(&q, a);
	return q.found ? 20 - q.best : -ESRCH;
}

SYSCALL(141, setpriority)
{
	struct priority q = { .set = true,
		              .nice = MAX(MIN((int)a[2], (int)NICE_MAX), (int)NICE_MIN) };

	if ((unsigned)a[0] > PRIO_USER)
		return -EINVAL;
	find_priority(&q, a);
	return q.error ? q.error : q.found ? 0 : -ESRCH;
}
