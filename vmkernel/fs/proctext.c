// SPDX-License-Identifier: Apache-2.0
/* What the files of /proc/PID say. Formats: Linux proc(5). */
#include "fs/procfs.h"
#include "mm/aspace.h"
#include "sched/world.h"
#include "proc/proc.h"
#include "vmk/fdtable.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/tty.h"

enum { TICK_NS = 10000000 };
typedef unsigned long long ull;

struct fdtable *procpid_files(struct proc *p)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct fdtable *t = p->files ? fdtable_get(p->files) : NULL;

	spin_unlock_irq(&proc_lock, flags);
	return t;
}

struct fsctx *procpid_fsctx(struct proc *p)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct fsctx *c = p->fs ? fsctx_get(p->fs) : NULL;

	spin_unlock_irq(&proc_lock, flags);
	return c;
}

struct file *procpid_exe(struct proc *p)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct file *f = p->exe ? file_get(p->exe) : NULL;

	spin_unlock_irq(&proc_lock, flags);
	return f;
}

static struct aspace *aspace_of(struct proc *p)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	struct aspace *as = p->as ? aspace_get(p->as) : NULL;

	spin_unlock_irq(&proc_lock, flags);
	return as;
}

/* A copy of what the lock guards. */
struct snapshot {
	char comm[COMM_LEN], state;
	int ppid, pgid, sid, threads, nice, exit_signal;
	uint64_t pages, resident, peak, pending, blocked, ignored, caught;
	struct usage usage;
	struct cred cred;
};

static void take(struct proc *p, int tid, struct snapshot *s)
{
	uint64_t flags;
	struct uthread *t;

	memset(s, 0, sizeof(*s));
	/* Copied as a whole: the text is written without the lock, for it allocates. */
	flags = spin_lock_irq(&proc_lock);
	str_copy(s->comm, p->comm, COMM_LEN);
	s->ppid = p->parent ? p->parent->pid : 0;
	s->pgid = p->pgid;
	s->sid = p->sid;
	s->threads = (int)p->thread_count;
	s->nice = p->nice;
	s->exit_signal = p->exit_signal;
	s->state = p->zombie ? 'Z' : p->stopped ? 'T' : 'S';
	list_for_each(t, &p->threads, link) {
		if (tid && t->tid != tid)
			continue;
		if (tid)
			str_copy(s->comm, t->comm, COMM_LEN);
		/* A process runs when any of its threads does. */
		if (s->state == 'S' &&
		    (t->world->state == WORLD_RUNNING || t->world->state == WORLD_READY))
			s->state = 'R';
		s->blocked |= t->blocked;
		s->pending |= t->pending.bits;
	}
	s->pending |= p->pending.bits;
	for (int sig = 1; sig <= NSIG; sig++) {
		s->ignored |= p->actions[sig - 1].handler == SIG_IGN ? sig_bit(sig) : 0;
		s->caught |= p->actions[sig - 1].handler > SIG_IGN ? sig_bit(sig) : 0;
	}
	s->cred = p->cred;
	if (p->as) {
		s->pages = p->as->areas.pages;
		s->resident = p->as->resident;
		s->peak = p->as->resident_max;
	}
	spin_unlock_irq(&proc_lock, flags);
	usage_of(p, &s->usage);
}

void proctext_stat(struct text_buf *t, struct proc *p, int tid)
{
	struct snapshot *s = kmalloc(sizeof(*s));
	uint64_t tty;
	int tpgid;

	if (!s)
		return;
	take(p, tid, s);
	/* Spec: proc(5), /proc/PID/stat, fields 1 to 52 in order; what is not kept here is 0. */
	tty_session_info(s->sid, &tty, &tpgid);
	text_printf(
		t,
		"%d (%s) %c %d %d %d %llu %d 0 %llu 0 %llu 0 %llu %llu 0 0 %d %d %d 0 %llu %llu %llu ",
		tid ? tid : p->pid, s->comm, s->state, s->ppid, s->pgid, s->sid, (ull)tty, tpgid,
		(ull)s->usage.minflt, (ull)s->usage.majflt, (ull)(s->usage.user / TICK_NS),
		(ull)(s->usage.system / TICK_NS), 20 + s->nice, s->nice, s->threads,
		(ull)(p->started / TICK_NS), (ull)(s->pages * PAGE_SIZE), (ull)s->resident);
	text_printf(
		t,
		"18446744073709551615 0 0 %llu 0 0 %llu %llu %llu %llu 0 0 0 %d 0 0 0 0 0 0 0 0 0 %llu %llu %llu "
		"%llu 0\n",
		(ull)p->start_stack, (ull)(s->pending & 0x7fffffff), (ull)(s->blocked & 0x7fffffff),
		(ull)(s->ignored & 0x7fffffff), (ull)(s->caught & 0x7fffffff), s->exit_signal,
		(ull)p->arg_start, (ull)p->arg_end, (ull)p->env_start, (ull)p->env_end);
	kfree(s);
}

void proctext_statm(struct text_buf *t, struct proc *p, int tid)
{
	struct aspace *as = aspace_of(p);

	text_printf(t, "%llu %llu 0 0 0 %llu 0\n", as ? (ull)as->areas.pages : 0,
	            as ? (ull)as->resident : 0, as ? (ull)as->areas.committed : 0);
	if (as)
		aspace_put(as);
}

void proctext_status(struct text_buf *t, struct proc *p, int tid)
{
	static const struct {
		char c;
		const char *name;
	} states[] = {
		{ 'R', "running" }, { 'S', "sleeping" }, { 'T', "stopped" }, { 'Z', "zombie" }
	};
	struct snapshot *s = kmalloc(sizeof(*s));
	const char *state = "";

	if (!s)
		return;
	take(p, tid, s);
	/* Spec: proc(5), /proc/PID/status: the lines that ps, top and psutil look for. */
	for (unsigned i = 0; i < ARRAY_SIZE(states); i++)
		if (states[i].c == s->state)
			state = states[i].name;
	text_printf(
		t,
		"Name:\t%s\nUmask:\t0022\nState:\t%c (%s)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n",
		s->comm, s->state, state, p->pid, tid ? tid : p->pid, s->ppid);
	text_printf(t, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t64\nGroups:\t\n",
	            s->cred.uid, s->cred.euid, s->cred.suid, s->cred.euid, s->cred.gid,
	            s->cred.egid, s->cred.sgid, s->cred.egid);
	text_printf(
		t,
		"VmPeak:\t%8llu kB\nVmSize:\t%8llu kB\nVmHWM:\t%8llu kB\nVmRSS:\t%8llu kB\nThreads:\t%d\n",
		(ull)s->pages * 4, (ull)s->pages * 4, (ull)s->peak * 4, (ull)s->resident * 4,
		s->threads);
	text_printf(
		t,
		"SigQ:\t0/1024\nSigPnd:\t%016llx\nShdPnd:\t%016llx\nSigBlk:\t%016llx\nSigIgn:\t%016llx\nSigCgt:\t%016llx\n",
		0ull, (ull)s->pending, (ull)s->blocked, (ull)s->ignored, (ull)s->caught);
	text_printf(
		t,
		"Cpus_allowed_list:\t0-%u\nvoluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n",
		cpu_count() - 1, (ull)s->usage.nvcsw, (ull)s->usage.nivcsw);
	kfree(s);
}

/* Another process's memory [from, to). */
static void append_memory(struct text_buf *t, struct proc *p, uint64_t from, uint64_t to)
{
	struct aspace *as = aspace_of(p);
	char *buf = kmalloc(PAGE_SIZE);

	while (as && buf && from < to) {
		ssize_t n = aspace_access(as, from, buf, MIN(to - from, (uint64_t)PAGE_SIZE),
		                          false);

		if (n <= 0)
			break;
		text_append(t, buf, (size_t)n);
		from += (uint64_t)n;
	}
	kfree(buf);
	if (as)
		aspace_put(as);
}

void proctext_cmdline(struct text_buf *t, struct proc *p, int tid)
{
	append_memory(t, p, p->arg_start, p->arg_end);
}

void proctext_environ(struct text_buf *t, struct proc *p, int tid)
{
	append_memory(t, p, p->env_start, p->env_end);
}

void proctext_comm(struct text_buf *t, struct proc *p, int tid)
{
	struct snapshot *s = kmalloc(sizeof(*s));

	if (!s)
		return;
	take(p, tid, s);
	text_printf(t, "%s\n", s->comm);
	kfree(s);
}

static void map_line(const struct area *a, void *arg)
{
	const char *name = a->flags & AREA_STACK ? "[stack]" : a->flags & AREA_HEAP ? "[heap]" : "";

	text_printf(arg, "%08llx-%08llx %c%c%c%c %08llx 00:00 0 %s%s\n", (ull)a->start, (ull)a->end,
	            a->flags & AREA_READ ? 'r' : '-', a->flags & AREA_WRITE ? 'w' : '-',
	            a->flags & AREA_EXEC ? 'x' : '-', a->flags & AREA_SHARED ? 's' : 'p',
	            a->obj ? (ull)a->obj_page << PAGE_SHIFT : 0,
	            *name ? "                          " : "", name);
}

void proctext_maps(struct text_buf *t, struct proc *p, int tid)
{
	struct aspace *as = aspace_of(p);

	if (!as)
		return;
	aspace_for_each(as, map_line, t);
	aspace_put(as);
}

void proctext_cgroup(struct text_buf *t, struct proc *p, int tid)
{
	text_printf(t, "0::/\n");
}

/* Mounted roots, with references, taken under the tree's lock. */
struct mounts {
	struct dentry *root[32];
	unsigned count;
};

static void mount_note(struct dentry *root, void *arg)
{
	struct mounts *m = arg;

	if (m->count < ARRAY_SIZE(m->root)) {
		/*
		 * tree_lock is held, so the count is changed directly: dentry_get would take it
		 * again.
		 */
		root->refs++;
		m->root[m->count++] = root;
	}
}

static void each_mount(struct text_buf *t,
                       void (*line)(struct text_buf *, unsigned, struct fs *, const char *))
{
	struct mounts m = { .count = 0 };
	char *path = kmalloc(PATH_MAX);

	dentry_each_mount(mount_note, &m);
	for (unsigned i = 0; i < m.count; i++) {
		if (path && dentry_path(m.root[i], vfs_root, path, PATH_MAX) >= 0)
			line(t, i, m.root[i]->inode->fs, path);
		dentry_put(m.root[i]);
	}
	kfree(path);
}

static void mountinfo_line(struct text_buf *t, unsigned i, struct fs *fs, const char *path)
{
	text_printf(t, "%u %u 0:%llu / %s %s,relatime - %s %s %s\n", 20 + i, i ? 20 : 1,
	            (ull)fs->dev, path, fs->read_only ? "ro" : "rw", fs->name, fs->name,
	            fs->read_only ? "ro" : "rw");
}

static void mounts_line(struct text_buf *t, unsigned i, struct fs *fs, const char *path)
{
	text_printf(t, "%s %s %s %s,relatime 0 0\n", fs->name, path, fs->name,
	            fs->read_only ? "ro" : "rw");
}

void proctext_mountinfo(struct text_buf *t, struct proc *p, int tid)
{
	each_mount(t, mountinfo_line);
}

void proctext_mounts(struct text_buf *t, struct proc *p, int tid)
{
	each_mount(t, mounts_line);
}

static void limit_text(struct text_buf *t, uint64_t v)
{
	if (v == RLIM_INFINITY)
		text_printf(t, "%-20s ", "unlimited");
	else
		text_printf(t, "%-20llu ", (ull)v);
}

void proctext_limits(struct text_buf *t, struct proc *p, int tid)
{
	static const char *const names[RLIMITS][2] = {
		{ "Max cpu time", "seconds" },     { "Max file size", "bytes" },
		{ "Max data size", "bytes" },      { "Max stack size", "bytes" },
		{ "Max core file size", "bytes" }, { "Max resident set", "bytes" },
		{ "Max processes", "processes" },  { "Max open files", "files" },
		{ "Max locked memory", "bytes" },  { "Max address space", "bytes" },
		{ "Max file locks", "locks" },     { "Max pending signals", "signals" },
		{ "Max msgqueue size", "bytes" },  { "Max nice priority", "" },
		{ "Max realtime priority", "" },   { "Max realtime timeout", "us" },
	};

	text_printf(t, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
	for (unsigned i = 0; i < RLIMITS; i++) {
		text_printf(t, "%-25s ", names[i][0]);
		limit_text(t, p->limits[i].cur);
		limit_text(t, p->limits[i].max);
		text_printf(t, "%-10s\n", names[i][1]);
	}
}

void proctext_zero(struct text_buf *t, struct proc *p, int tid)
{
	text_printf(t, "0\n");
}
