// SPDX-License-Identifier: Apache-2.0
/*
 * The system and the CPU as a program asks about them. Spec: uname(2), sysinfo(2), getrandom(2),
 * prctl(2), sched(7).
 */
#include "proc/proc.h"
#include "proc/timespec.h"
#include "mm/usercopy.h"
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/mm.h"
#include "vmk/random.h"
#include "vmk/string.h"
#include "vmk/syscall.h"
#include "x86/insn.h"

/*
 * What Debian's C library and tools take for a sufficient kernel; our own version stands in
 * `version`.
 */
#define LINUX_RELEASE "6.1.0-tepui"
enum { UTS_LEN = 65 };
static struct uts {
	char sysname[UTS_LEN], nodename[UTS_LEN], release[UTS_LEN], version[UTS_LEN],
		machine[UTS_LEN], domain[UTS_LEN];
} uts = { "Linux", "localhost", LINUX_RELEASE, "Tepui " VMK_VERSION, "x86_64", "(none)" };

SYSCALL1(uname, uva_t, name)
{
	return user_write(name, &uts);
}

static long set_name(char *field, uva_t from, int len)
{
	char name[UTS_LEN] = { 0 };

	if (!proc_is_root())
		return -EPERM;
	if (len < 0 || len >= UTS_LEN)
		return -EINVAL;
	if (copy_from_user(name, from, (size_t)len))
		return -EFAULT;
	memcpy(field, name, UTS_LEN);
	return 0;
}

SYSCALL2(sethostname, uva_t, name, int, len)
{
	return set_name(uts.nodename, name, len);
}

SYSCALL2(setdomainname, uva_t, name, int, len)
{
	return set_name(uts.domain, name, len);
}

static bool count_proc(struct proc *p __maybe_unused, void *arg)
{
	++*(uint16_t *)arg;
	return true;
}

SYSCALL1(sysinfo, uva_t, info)
{
	struct {
		int64_t uptime;
		uint64_t loads[3], total, free, shared, buffer, swap, swap_free;
		uint16_t procs, pad;
		uint64_t high, high_free;
		uint32_t unit;
		uint32_t tail;
	} s = { .uptime = (int64_t)(time_now() / NS_PER_S), .unit = 1 };
	struct mm_totals t;

	ASSERT_SIZE(__typeof__(s), 112);
	mm_totals(&t);
	s.total = t.total_pages << PAGE_SHIFT;
	s.free = (t.pages[FRAME_FREE] + t.pages[FRAME_CACHE]) << PAGE_SHIFT;
	s.shared = t.pages[FRAME_MEMOBJ] << PAGE_SHIFT;
	proc_for_each(count_proc, &s.procs);
	return user_write(info, &s);
}

SYSCALL3(getrandom, uva_t, buf, size_t, count, unsigned, flags)
{
	enum { GRND_NONBLOCK = 1, GRND_RANDOM = 2, GRND_INSECURE = 4 };
	uint8_t piece[256];
	size_t len = MIN(count, (uint64_t)INT32_MAX), done = 0;

	if (flags & ~(unsigned)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
	    (flags & (GRND_RANDOM | GRND_INSECURE)) == (GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	/* Early at boot there is not enough entropy: wait for it, or give what there is. */
	while (!random_ready() && !(flags & GRND_INSECURE)) {
		if (flags & GRND_NONBLOCK)
			return -EAGAIN;
		if (world_interrupted(world_current()))
			return -ERESTARTSYS;
		world_sleep_until(time_now() + 10 * NS_PER_MS);
	}
	while (done < len) {
		size_t n = MIN(sizeof(piece), len - done);

		random_bytes(piece, n);
		if (copy_to_user(buf + done, piece, n))
			return done ? (long)done : -EFAULT;
		done += n;
		/*
		 * 2 GiB take a while; up to 256 bytes are never cut short, as random(4) promises.
		 */
		if (world_interrupted(world_current()))
			break;
	}
	return (long)done;
}

SYSCALL2(arch_prctl, int, code, uint64_t, arg)
{
	enum { ARCH_SET_GS = 0x1001, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS };
	struct uthread *t = uthread_current();
	uint64_t v;

	/* WRMSR and the switch would fault in ring 0 on a non-canonical base. */
	if ((code == ARCH_SET_FS || code == ARCH_SET_GS) && arg >= USER_END)
		return -EPERM;
	/* Register and copy change together: a switch between them would write the old one back. */
	preempt_disable();
	switch (code) {
	case ARCH_SET_FS:
		t->fs_base = arg;
		wrmsr(MSR_FS_BASE, arg);
		break;
	case ARCH_SET_GS:
		t->gs_base = arg;
		wrmsr(MSR_KERNEL_GS_BASE, arg);
		break;
	default: break;
	}
	v = rdmsr(code == ARCH_GET_GS ? MSR_KERNEL_GS_BASE : MSR_FS_BASE);
	preempt_enable();
	if (code == ARCH_GET_FS || code == ARCH_GET_GS)
		return user_write(arg, &v);
	return code == ARCH_SET_FS || code == ARCH_SET_GS ? 0 : -EINVAL;
}

SYSCALL2(prctl, int, op, uint64_t, arg)
{
	enum {
		PR_SET_PDEATHSIG = 1,
		PR_GET_PDEATHSIG,
		PR_GET_DUMPABLE,
		PR_SET_DUMPABLE,
		PR_GET_KEEPCAPS = 7,
		PR_SET_KEEPCAPS = 8,
		PR_SET_NAME = 15,
		PR_GET_NAME = 16,
		PR_CAPBSET_READ = 23,
		PR_SET_TIMERSLACK = 29,
		PR_GET_TIMERSLACK = 30,
		PR_SET_NO_NEW_PRIVS = 38,
		PR_GET_NO_NEW_PRIVS = 39,
	};
	struct uthread *t = uthread_current();
	struct proc *p = t->proc;
	char name[COMM_LEN] = { 0 };
	ssize_t n;

	/* What Debian's programs use; the rest is -EINVAL, which means "not in this kernel". */
	switch (op) {
	case PR_SET_NAME:
		n = copy_string_from_user(name, arg, COMM_LEN);
		if (n < 0 && n != -ENAMETOOLONG)
			return n;
		name[COMM_LEN - 1] = 0;
		memcpy(t->comm, name, COMM_LEN);
		/* The process is called as its first thread is. */
		if (t->tid == p->pid)
			memcpy(p->comm, name, COMM_LEN);
		world_set_name(t->world, name);
		return 0;
	case PR_GET_NAME: return copy_to_user(arg, t->comm, COMM_LEN);
	case PR_GET_DUMPABLE: return p->dumpable;
	case PR_SET_DUMPABLE:
		if (arg > 1)
			return -EINVAL;
		p->dumpable = arg;
		return 0;
	case PR_SET_NO_NEW_PRIVS:
		if (arg != 1)
			return -EINVAL;
		p->no_new_privs = true;
		return 0;
	case PR_GET_NO_NEW_PRIVS: return p->no_new_privs;
	/* 40: CAP_CHECKPOINT_RESTORE, the last one of Linux 6.1 */
	case PR_CAPBSET_READ: return arg <= 40 ? 1 : -EINVAL;
	case PR_GET_TIMERSLACK: return 50000;
	case PR_SET_TIMERSLACK: return 0;
	default: return -EINVAL;
	}
}

SYSCALL0(sched_yield)
{
	world_yield();
	return 0;
}

SYSCALL2(getcpu, uva_t, cpu_va, uva_t, node_va)
{
	uint32_t cpu = cpu_id(), node = cpu_node(cpu);

	if ((cpu_va && user_write(cpu_va, &cpu)) || (node_va && user_write(node_va, &node)))
		return -EFAULT;
	return 0;
}

static bool task_exists(int pid)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	bool found = !pid || ids_thread(pid) || ids_proc(pid);

	spin_unlock_irq(&proc_lock, flags);
	return found;
}

/* A thread by id (0: the caller); proc_lock is held. */
static struct uthread *thread_by_id(int tid)
{
	return tid ? ids_thread(tid) : uthread_current();
}

/* Bytes of a CPU set: whole words that hold all CPUs. */
SYSCALL3(sched_getaffinity, int, tid, unsigned, size, uva_t, mask)
{
	uint64_t set[CPUS_MAX / 64] = { 0 }, flags;
	size_t bytes = DIV_UP(cpu_count(), 64) * 8;
	struct uthread *t;

	if (size < bytes || size % 8)
		return -EINVAL;
	flags = spin_lock_irq(&proc_lock);
	t = thread_by_id(tid);
	for (unsigned i = 0; t && i < cpu_count(); i++)
		if (!(t->cpus_avoided[i / 64] >> (i % 64) & 1))
			set[i / 64] |= BIT(i % 64);
	spin_unlock_irq(&proc_lock, flags);
	if (!t)
		return -ESRCH;
	return copy_to_user(mask, set, bytes) ? -EFAULT : (long)bytes;
}

/* Remembered and told again; the scheduler balances by itself. */
SYSCALL3(sched_setaffinity, int, tid, unsigned, size, uva_t, mask)
{
	uint64_t set[CPUS_MAX / 64] = { 0 }, flags;
	struct uthread *t;
	bool any = false;

	if (copy_from_user(set, mask, MIN(size, sizeof(set))))
		return -EFAULT;
	for (unsigned i = 0; i < cpu_count(); i++)
		any |= set[i / 64] >> (i % 64) & 1;
	flags = spin_lock_irq(&proc_lock);
	t = thread_by_id(tid);
	for (unsigned i = 0; t && any && i < ARRAY_SIZE(set); i++)
		t->cpus_avoided[i] = ~set[i];
	spin_unlock_irq(&proc_lock, flags);
	return !t ? -ESRCH : any ? 0 : -EINVAL;
}

SYSCALL1(sched_getscheduler, int, tid)
{
	return task_exists(tid) ? 0 : -ESRCH; /* SCHED_OTHER */
}

SYSCALL3(sched_setscheduler, int, tid, int, policy, uva_t, param)
{
	int32_t priority;

	if (!task_exists(tid))
		return -ESRCH;
	if (user_read(&priority, param))
		return -EFAULT;
	if (policy == 1 || policy == 2)
		return -EPERM; /* real-time */
	return (policy == 0 || policy == 3 || policy == 5) && priority == 0 ? 0 : -EINVAL;
}

SYSCALL2(sched_getparam, int, tid, uva_t, param)
{
	const int32_t zero = 0;

	return task_exists(tid) ? user_write(param, &zero) : -ESRCH;
}

SYSCALL2(sched_setparam, int, tid, uva_t, param)
{
	int32_t priority;

	if (!task_exists(tid))
		return -ESRCH;
	return user_read(&priority, param) ? -EFAULT : priority ? -EINVAL : 0;
}

SYSCALL1(sched_get_priority_max, unsigned, policy)
{
	return policy == 1 || policy == 2 ? 99 : policy <= 5 ? 0 : -EINVAL;
}

SYSCALL1(sched_get_priority_min, unsigned, policy)
{
	return policy == 1 || policy == 2 ? 1 : policy <= 5 ? 0 : -EINVAL;
}

SYSCALL2(sched_rr_get_interval, int, tid, uva_t, interval)
{
	return task_exists(tid) ? timespec_put(interval, 4 * NS_PER_MS) : -ESRCH;
}

static void nothing(void *arg __maybe_unused) {}

SYSCALL2(membarrier, int, cmd, unsigned, flags)
{
	enum {
		QUERY = 0,
		GLOBAL = 1,
		GLOBAL_EXPEDITED = 2,
		REGISTER_GLOBAL = 4,
		PRIVATE = 8,
		REGISTER_PRIVATE = 16
	};

	if (flags)
		return -EINVAL;
	switch (cmd) {
	case QUERY: return GLOBAL | GLOBAL_EXPEDITED | REGISTER_GLOBAL | PRIVATE | REGISTER_PRIVATE;
	case GLOBAL:
	case GLOBAL_EXPEDITED:
	case PRIVATE:
		cpu_call_all(nothing, NULL); /* an interrupt is a full barrier */
		return 0;
	case REGISTER_GLOBAL:
	case REGISTER_PRIVATE: return 0;
	default: return -EINVAL;
	}
}

SYSCALL3(reboot, int, magic1, int, magic2, uint32_t, cmd)
{
	enum {
		MAGIC1 = (int)0xfee1dead,
		MAGIC2 = 672274793,
		CAD_OFF = 0,
		CAD_ON = (int)0x89abcdef
	};

	if (!proc_is_root())
		return -EPERM;
	if (magic1 != MAGIC1 || magic2 != MAGIC2)
		return -EINVAL;
	/* LINUX_REBOOT_CMD_RESTART, POWER_OFF and HALT: a host that halts may as well be off. */
	switch (cmd) {
	case 0x01234567:
	case 0x4321fedc:
	case 0xcdef0123: return host_shutdown(cmd == 0x01234567);
	case (uint32_t)CAD_OFF:
	case (uint32_t)CAD_ON: return 0;
	default: return -EINVAL;
	}
}

/* capget: root has all, others none. */
SYSCALL2(capget, uva_t, header, uva_t, sets)
{
	struct {
		uint32_t version;
		int32_t pid;
	} h;
	uint32_t all = proc_is_root() ? ~0u : 0, data[6] = { all, all, 0, all, all, 0 };
	enum { VERSION_3 = 0x20080522 };

	if (user_read(&h, header))
		return -EFAULT;
	if (h.version != VERSION_3) {
		/* capget(2): how a program asks which version the kernel has. */
		h.version = VERSION_3;
		return user_write(header, &h) ? -EFAULT : sets ? -EINVAL : 0;
	}
	return sets ? user_write(sets, &data) : 0;
}
