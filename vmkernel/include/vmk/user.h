// SPDX-License-Identifier: Apache-2.0
/*
 * Userworlds (vmkernel/proc/, vmkernel/linux/): processes with the Linux x86-64 system-call ABI. A
 * process owns an address space, descriptors, credentials and threads; each thread is a world.
 */
#ifndef VMK_USER_H
#define VMK_USER_H
#include "vmk/file.h"
#include "vmk/world.h"

struct proc;    /* proc/proc.h */
struct uthread; /* proc/proc.h: one thread, embeds the world's argument */

/* Begins the orderly end of the host; returns at once. -EALREADY. */
int __must_check host_shutdown(bool reboot);

struct proc *proc_current(void); /* NULL in a kernel world */
struct uthread *uthread_current(void);
int proc_pid(const struct proc *p);
int world_pid(const struct world *w); /* of a userworld's thread; 0 for other worlds */

/* What fs/ asks about processes: the current one unless said otherwise. */
struct fdtable *proc_fdtable(struct proc *p);
struct fsctx *proc_fsctx(struct proc *p);
struct cred {
	uint32_t uid, euid, suid, gid, egid, sgid;
};
const struct cred *cred_current(void); /* root's for a kernel world */
bool cred_in_group(uint32_t gid);      /* egid or a supplementary group */
uint64_t proc_rlimit(unsigned which);  /* soft limit; Linux's RLIMIT_* number */
int proc_pgid(const struct proc *p);
int proc_sid(const struct proc *p);
bool pgrp_in_session(int pgid, int sid); /* some process of the group is in the session */
bool pgrp_orphaned(int pgid);            /* no member has its parent elsewhere in the session */

/* Signals, Linux's numbers. Worlds only. 0 or -ESRCH. */
int signal_pgrp(int pgid, int sig);
int signal_pid(int pid, int sig);
void signal_current(int sig);            /* to this thread: SIGPIPE, SIGXFSZ */
bool signal_blocked_or_ignored(int sig); /* by this thread */
/* ppoll, pselect6, epoll_pwait: mask holds until the call returns to ring 3, then the old one. */
void signal_temp_mask(uint64_t mask);
/*
 * signalfd: bit n-1 is signal n. take fills a signalfd_siginfo of 128 bytes; false when none pends.
 */
bool signal_pending(uint64_t mask);
bool signal_take(uint64_t mask, void *info);
/* Woken when a signal arrives for the process, also for nothing; it stays for ever. */
struct waitq *signal_waitq(void);

/* Boot: mounts the root image, starts /sbin/init with its console. */
void user_init(void);
#endif
