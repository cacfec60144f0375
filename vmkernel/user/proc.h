// SPDX-License-Identifier: Apache-2.0
/*
 * Processes and their threads. A process owns the address space, descriptors, credentials, limits and
 * signal actions; each thread is a world.
 *
 * proc_lock (interrupt-safe) guards the table of ids, family (parent, children, threads, groups, sessions),
 * signal state and exit state. Fields marked "own" belong to the process's threads: written
 * only by the thread that it concerns or while it is the only one.
 */
#ifndef USER_PROC_H
#define USER_PROC_H
#include "user/signal.h"
#include "vmk/user.h"
#include "vmk/wait.h"

struct aspace;	/* mm/aspace.h */
struct fdtable; /* fs/fdtable.h */
struct fsctx;	/* fs/: root and working directory, umask */
struct tty;	/* fs/tty.c */
struct trap_frame;

enum { GROUPS_MAX = 32, RLIMITS = 16, COMM_LEN = 16 };
enum {
	RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_NPROC,
	RLIMIT_NOFILE, RLIMIT_MEMLOCK, RLIMIT_AS, RLIMIT_LOCKS, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE,
	RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME,
};
#define RLIM_INFINITY (~0ull)

struct rlimit {
	uint64_t cur, max;
};

struct cred {
	uint32_t uid, euid, suid, fsuid, gid, egid, sgid, fsgid;
	uint32_t groups[GROUPS_MAX];
	unsigned group_count;
};

/* Processes of one session share it; the terminal is the fs layer's, under proc_lock. */
struct session {
	int sid;
	uint32_t refs;
	struct tty *tty; /* controlling terminal or NULL */
};

/* CPU time and faults, of a process's dead threads or its waited-for children. */
struct usage {
	ns_t user, system;
	uint64_t minflt, majflt, nvcsw, nivcsw, maxrss; /* maxrss in pages */
};

struct proc {
	struct list all; /* every process, in order of birth */
	int pid, pgid;
	struct session *session;
	struct proc *parent;
	struct list children, sibling;
	struct list threads; /* uthread.link */
	unsigned thread_count;
	uint32_t refs; /* atomic: the table, and whoever uses it outside of proc_lock */

	struct aspace *as;     /* own; NULL once exited */
	struct fdtable *files; /* own; NULL once exited */
	struct fsctx *fs;      /* own; NULL once exited */
	struct cred cred;      /* proc_lock for writing */
	struct rlimit limits[RLIMITS];
	char comm[COMM_LEN];
	struct file *exe; /* what /proc/PID/exe leads to */
	uint64_t arg_start, arg_end, env_start, env_end, start_stack, brk_start, brk; /* own */
	int nice;
	bool dumpable, no_new_privs, child_subreaper;
	ns_t started;
	struct usage dead, children_usage;

	struct sigaction actions[NSIG];
	struct sigset_pending pending;
	struct waitq child_waitq; /* a child changed state */
	struct waitq signal_waitq; /* sigwait, signalfd: a signal has come */
	bool exiting, stopped, execed;
	bool stop_report, cont_report; /* for wait4 of the parent */
	bool zombie;
	int exit_status; /* as wait4 reports it; valid when exiting */
	int stop_sig;
	int exit_signal; /* to the parent; 0 none */
	struct uthread *exec_thread; /* the thread that waits for the others to go */
	struct proc *vfork_parent; /* waits in vfork_waitq until exec or exit */
	struct waitq vfork_waitq;
	struct timer alarm; /* ITIMER_REAL; user/itimer.c */
	ns_t alarm_interval;
	ns_t cpu_deadline[2], cpu_interval[2]; /* ITIMER_VIRTUAL, ITIMER_PROF; 0 deadline: off */
};

enum thread_work { THREAD_SIGNAL = 1, THREAD_KILLED = 2 };

struct uthread {
	struct list link; /* proc->threads */
	struct proc *proc;
	struct world *world;
	int tid;
	uint32_t work; /* enum thread_work: something to do before ring 3; proc_lock */

	uint64_t blocked; /* own for writing; proc_lock too */
	uint64_t saved_mask;
	bool mask_saved; /* saved_mask returns after the next delivery */
	struct sigset_pending pending;
	uint64_t altstack, altstack_size; /* own from here on */
	uint32_t altstack_flags;
	uva_t clear_child_tid, robust_list;
	void *fpu; /* x86/fpu.h: 64-byte aligned */
	uint64_t fs_base, gs_base;
	char comm[COMM_LEN];
	/* What restart_syscall goes on with. */
	long (*restart)(struct uthread *t);
	uint64_t restart_arg[4];
	struct trap_frame *start; /* first entry to ring 3 */
	ns_t user_time, system_time, stamp; /* accounting; user/usage.c */
};

extern struct spinlock proc_lock;

struct trap_frame *uthread_frame(void); /* what the current thread will return to ring 3 with */
struct proc *proc_find(int pid); /* with a reference, or NULL; zombies too */
void proc_get(struct proc *p);
void proc_put(struct proc *p);
/* Every process in order of birth: fn under proc_lock must not sleep; false ends the walk. */
void proc_for_each(bool (*fn)(struct proc *p, void *arg), void *arg);
/* The next pid above `after` that is in use, or 0; for readdir of /proc. */
int proc_next_pid(int after);
bool proc_is_root(void); /* the current process has euid 0 */
/* In a group of its session whose members all have parents in the same group or another session. */
bool pgrp_is_orphaned(int pgid);
bool pgrp_exists(int pgid, int sid);
int proc_sid(const struct proc *p);

/*
 * Ends all threads of the process with a wait4 status; the caller leaves when it returns to ring 3.
 * Sessions: the leader's end hangs the terminal up through tty_session_ended().
 */
void proc_exit_group(struct proc *p, int status);

/*
 * What fs/ gives to fork, exec and exit. clone: a copy, NULL without memory. share: another
 * reference. put: the last one closes everything.
 */
struct fdtable *__must_check fdtable_clone(struct fdtable *t);
struct fdtable *__must_check fdtable_new(void);
struct fdtable *fdtable_share(struct fdtable *t);
void fdtable_close_on_exec(struct fdtable *t);
void fdtable_put(struct fdtable *t);
struct fsctx *__must_check fsctx_new(void); /* root and working directory "/" */
struct fsctx *__must_check fsctx_clone(struct fsctx *c);
void fsctx_put(struct fsctx *c);
/* The session's leader is gone: SIGHUP, SIGCONT to the foreground group, terminal detached. */
void tty_session_ended(struct session *s);
/*
 * Opens a file for execve or the ELF interpreter: path relative to dirfd (AT_FDCWD -100), execute permission
 * checked; a regular file or -EACCES.
 */
int __must_check vfs_open_exec(int dirfd, const char *path, unsigned at_flags, struct file **out);
#endif
