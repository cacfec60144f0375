// SPDX-License-Identifier: Apache-2.0
/*
 * Processes and their threads. A process owns the address space, descriptors, credentials, limits
 * and signal actions; each thread is a world.
 *
 * proc_lock (interrupt-safe) guards the table of ids, family (parent, children, threads, groups,
 * sessions), signal state and exit state. Fields marked "own" belong to the process's threads:
 * written only by the thread that it concerns or while it is the only one.
 */
#ifndef PROC_PROC_H
#define PROC_PROC_H
#include "proc/signal.h"
#include "vmk/user.h"
#include "vmk/wait.h"
#include "x86/trap.h"

struct aspace;  /* mm/aspace.h */
struct fdtable; /* fs/ attaches these: struct proc_part */
struct fsctx;
struct file;

enum { GROUPS_MAX = 32, RLIMITS = 16, COMM_LEN = 16 };
enum {
	RLIMIT_CPU,
	RLIMIT_FSIZE,
	RLIMIT_DATA,
	RLIMIT_STACK,
	RLIMIT_CORE,
	RLIMIT_RSS,
	RLIMIT_NPROC,
	RLIMIT_NOFILE,
	RLIMIT_MEMLOCK,
	RLIMIT_AS,
	RLIMIT_LOCKS,
	RLIMIT_SIGPENDING,
	RLIMIT_MSGQUEUE,
	RLIMIT_NICE,
	RLIMIT_RTPRIO,
	RLIMIT_RTTIME,
};
#define RLIM_INFINITY (~0ull)

struct rlimit {
	uint64_t cur, max;
};

/* CPU time and faults, of a process's dead threads or its waited-for children. */
struct usage {
	ns_t user, system;
	uint64_t minflt, majflt, nvcsw, nivcsw, maxrss; /* maxrss in pages */
};

struct proc {
	struct list all; /* every process, in order of birth */
	int pid, pgid, sid;
	struct proc *parent;
	struct list children, sibling;
	struct list threads; /* uthread.link */
	unsigned thread_count;
	uint32_t refs; /* atomic: the table, and whoever uses it outside of proc_lock */

	/* Own; NULL once exited. The last three are opaque here: parts, below. */
	struct aspace *as;
	struct fdtable *files;
	struct fsctx *fs;
	struct file *exe; /* what /proc/PID/exe leads to */
	struct cred cred; /* own */
	uint32_t groups[GROUPS_MAX];
	unsigned group_count;
	struct rlimit limits[RLIMITS]; /* written under proc_lock */
	struct mem_account *account;   /* own; proc/account.c */
	struct user *user;             /* own; whose account it is below */
	char comm[COMM_LEN];
	uint64_t arg_start, arg_end, env_start, env_end, start_stack, brk_start, brk; /* own */
	int nice;
	bool dumpable, no_new_privs, child_subreaper;
	ns_t started;
	struct usage dead, children_usage;

	struct sigaction actions[NSIG];
	struct sigset_pending pending;
	struct waitq child_waitq;   /* a child changed state */
	struct waitq *signal_waitq; /* sigwait, signalfd: a signal has come; signals_init() */
	/* Its threads wait here for a continuation, execve for the others' end, a parent for the
	 * end of vfork, a pidfd for the end of the process. */
	struct waitq event_waitq;
	bool exiting, stopped, execed, zombie;
	bool stop_report, cont_report; /* for wait4 of the parent */
	bool vfork_done;               /* it no longer uses its parent's memory */
	int exit_status;               /* as wait4 reports it; valid when exiting */
	int stop_sig;
	int exit_signal;             /* to the parent; 0 none */
	struct uthread *exec_thread; /* the thread that waits for the others to go */
	struct timer alarm;          /* ITIMER_REAL; proc/itimer.c */
	ns_t alarm_interval;
	struct timer cpu_poll;
	ns_t cpu_deadline[2], cpu_interval[2]; /* ITIMER_VIRTUAL, ITIMER_PROF; 0 deadline: off */
};

struct uthread {
	struct list link; /* proc->threads */
	struct proc *proc;
	struct world *world;
	int tid;
	bool work; /* something to do before ring 3; proc_lock */

	uint64_t blocked; /* own for writing; proc_lock too */
	uint64_t saved_mask;
	bool mask_saved; /* saved_mask returns after the next delivery */
	struct sigset_pending pending;
	uint64_t altstack, altstack_size; /* own from here on */
	uint32_t altstack_flags;
	uva_t set_child_tid, clear_child_tid, robust_list;
	void *fpu; /* x86/fpu.h: 64-byte aligned */
	uint64_t fs_base, gs_base;
	char comm[COMM_LEN];
	/* What restart_syscall(2) calls, after -ERESTART_RESTARTBLOCK. */
	long (*restart)(struct uthread *t);
	uint64_t restart_arg[4];
	struct trap_frame start; /* first entry to ring 3 */
	/* the complement of sched_setaffinity's set; proc_lock */
	uint64_t cpus_avoided[CPUS_MAX / 64];
};

/*
 * What a layer above attaches to every process. An entry of the section .proc_parts: the owner of
 * the part declares it (fs/proc_parts.c), proc.c and exit.c call it, from worlds and without locks.
 * A part is attached by setting its member: by clone and execve, or before the first thread runs.
 */
struct proc_part {
	const char *name;
	size_t member;               /* offset in struct proc of the pointer to the part; 0 none */
	void (*release)(void *part); /* the process gives up its reference; with a member only */
	void (*session_end)(
		int sid); /* a session's leader has ended, its parts are gone; or NULL */
};
#define PROC_PART(id, ...)                                                              \
	static const struct proc_part proc_part_##id SECTION_ENTRY(proc_parts) = { #id, \
		                                                                   __VA_ARGS__ }

extern struct spinlock proc_lock;

/* ids.c: the table of process, thread, group and session numbers. */
/* a free number or -EAGAIN; proc_lock is held, as for the others */
int __must_check ids_alloc(void);
void ids_set_thread(int tid, struct uthread *t); /* NULL: gone */
void ids_set_proc(int pid, struct proc *p);
void ids_use_group(int pgid, int change); /* members of groups and sessions keep the number taken */
struct uthread *ids_thread(int tid);
struct proc *ids_proc(int pid);
void ids_init(void);

struct trap_frame *uthread_frame(void); /* what the current thread will return to ring 3 with */
struct proc *proc_find(int pid);        /* with a reference, or NULL; zombies too */
void proc_get(struct proc *p);
void proc_put(struct proc *p);
/*
 * Every process in order of birth: fn under proc_lock must not sleep or walk; false ends the walk.
 */
void proc_for_each(bool (*fn)(struct proc *p, void *arg), void *arg);
/* The next pid above `after` that is in use, or 0; for readdir of /proc. */
int proc_next_pid(int after);
bool proc_is_root(void); /* the current process has euid 0 */

/* proc.c: a process without threads, in no list yet; a thread in proc with a world in state NEW. */
int __must_check proc_create(struct proc *parent, struct proc **out);
/* The account of its kernel memory: proc/account.c. 0 or -ENOMEM. */
int __must_check proc_account_open(struct proc *p);
void proc_account_close(struct proc *p);
void proc_account_move(struct proc *p); /* by the process itself, which has changed its user */
int __must_check uthread_create(struct proc *p, void (*fn)(void *thread), struct uthread **out);
void uthread_discard(struct uthread *t); /* after its world's last reference is gone */
/* Enters ids and lists; counts against the limits. proc_lock is held. 0 or -EAGAIN. */
int __must_check proc_publish(struct proc *p, struct uthread *t);
void proc_release_parts(struct proc *p); /* takes proc_lock */
void proc_main(void *thread) __noreturn; /* what a new thread's world runs */
void proc_unpublish_thread(struct uthread *t);
void proc_unpublish(struct proc *p);

/* exit.c */
/*
 * Ends the current thread; the last one ends the process, with this status unless one was set
 * before.
 */
void uthread_exit(int status) __noreturn;
/* Ends all threads of the process with a wait4 status; each leaves when it returns to ring 3. */
void proc_exit_group(struct proc *p, int status);
void proc_exit_group_locked(struct proc *p, int status);
/*
 * Ends the other threads of the current process and waits for them; -EAGAIN when it is ending
 * itself.
 */
int __must_check proc_single_thread(void);
void proc_vfork_done(struct proc *p);
/* The parent hears of a change (stopped, continued, ended); proc_lock is held. */
void proc_notify_parent(struct proc *p, int code, int status);
void usage_of(struct proc *p, struct usage *u); /* of all its threads, dead ones too */
void usage_add(struct usage *to, const struct usage *u);
struct linux_rusage {               /* struct rusage */
	int64_t utime[2], stime[2]; /* seconds, microseconds */
	int64_t maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd,
		msgrcv;
	int64_t nsignals, nvcsw, nivcsw;
};
ASSERT_SIZE(struct linux_rusage, 144);
void usage_to_linux(const struct usage *u, struct linux_rusage *out);

/*
 * signal.c. signals_init() at boot. A process shares its queue with others: a waiter may be woken
 * for nothing. The queues outlive processes, because epoll leaves waiters in them.
 */
void signals_init(void);
struct waitq *signal_waitq_pick(void); /* for a new process */
/* proc_lock is held. */
void signal_init(struct sigset_pending *s);
void signal_flush(struct sigset_pending *s, uint64_t set);
void signal_recalc(struct uthread *t); /* after a change of masks or state */
void signal_set_mask(uint64_t mask);   /* of the current thread; takes proc_lock */
void signal_send_locked(struct proc *p, struct uthread *t, int sig, const struct siginfo *info);
void user_work_done(struct uthread *t); /* takes proc_lock */
/* signal_deliver.c: trap_hooks.user_return */
void user_return(struct trap_frame *f);

/* itimer.c */
void itimers_init(struct proc *p);
void itimers_stop(struct proc *p); /* at exit; waits for a running one */
void itimer_taken(struct proc *p); /* SIGALRM was taken; proc_lock is held */

/* thread.c */
extern const struct world_hooks uthread_hooks;
void user_traps_init(void);
#endif
