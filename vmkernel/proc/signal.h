// SPDX-License-Identifier: Apache-2.0
/*
 * Signals as userworlds see them (numbers, masks, siginfo) and the functions that send them.
 * Pending sets, actions and job-control state are guarded by proc_lock; senders may be in any
 * context of rank below it.
 * Spec: Linux uapi asm/signal.h, asm-generic/siginfo.h, signal(7).
 */
#ifndef PROC_SIGNAL_H
#define PROC_SIGNAL_H
#include "vmk/list.h"
#include "vmk/types.h"

enum {
	SIGHUP = 1,
	SIGINT,
	SIGQUIT,
	SIGILL,
	SIGTRAP,
	SIGABRT,
	SIGBUS,
	SIGFPE,
	SIGKILL,
	SIGUSR1,
	SIGSEGV,
	SIGUSR2,
	SIGPIPE,
	SIGALRM,
	SIGTERM,
	SIGSTKFLT,
	SIGCHLD,
	SIGCONT,
	SIGSTOP,
	SIGTSTP,
	SIGTTIN,
	SIGTTOU,
	SIGURG,
	SIGXCPU,
	SIGXFSZ,
	SIGVTALRM,
	SIGPROF,
	SIGWINCH,
	SIGIO,
	SIGPWR,
	SIGSYS,
	SIGRTMIN = 32, /* the first two are glibc's own */
	NSIG = 64,
};
static inline uint64_t sig_bit(int sig)
{
	return 1ull << (sig - 1);
}

enum { /* si_code */
       SI_USER = 0,
       SI_KERNEL = 0x80,
       SI_QUEUE = -1,
       SI_TIMER = -2,
       SI_TKILL = -6,
       CLD_EXITED = 1,
       CLD_KILLED,
       CLD_DUMPED,
       CLD_TRAPPED,
       CLD_STOPPED,
       CLD_CONTINUED,
       SEGV_MAPERR = 1,
       SEGV_ACCERR = 2,
       BUS_ADRALN = 1,
       BUS_ADRERR = 2,
       ILL_ILLOPN = 2,
       ILL_PRVOPC = 5,
       FPE_INTDIV = 1,
       FPE_INTOVF = 2,
       FPE_FLTINV = 7,
       TRAP_BRKPT = 1,
       TRAP_TRACE = 2,
};

/* siginfo_t: 128 bytes in user memory. Which members count depends on signo and code. */
struct siginfo {
	int32_t signo, err, code, pad0;
	union {
		struct {
			int32_t pid;  /* timer id for SI_TIMER */
			uint32_t uid; /* overrun for SI_TIMER */
			union {
				int32_t status; /* SIGCHLD */
				uint64_t value; /* SI_QUEUE, SI_TIMER */
			};
			int64_t utime, stime; /* SIGCHLD, clock ticks */
		};
		uint64_t addr; /* faults */
		struct {
			int64_t band;
			int32_t fd;
		};
		uint8_t raw[112];
	};
};
ASSERT_SIZE(struct siginfo, 128);

/* struct kernel_sigaction */
struct sigaction {
	uint64_t handler, flags, restorer, mask;
};
enum { SIG_DFL = 0, SIG_IGN = 1 };
enum {
	SA_NOCLDSTOP = 1,
	SA_NOCLDWAIT = 2,
	SA_SIGINFO = 4,
	SA_RESTORER = 0x04000000,
	SA_ONSTACK = 0x08000000,
	SA_RESTART = 0x10000000,
	SA_NODEFER = 0x40000000,
};
#define SA_RESETHAND 0x80000000u
enum { SS_ONSTACK = 1, SS_DISABLE = 2 };
#define SS_AUTODISARM 0x80000000u

/* The information of a pending signal. One that was sent without information has none. */
struct sigqueued {
	struct list link;
	struct siginfo info;
};
struct sigset_pending {
	uint64_t bits;
	struct list queue; /* sigqueued, in order of arrival */
};

struct proc;
struct uthread;

/* To all processes of a group; info NULL: from the kernel. -ESRCH when there is none. */
int pgrp_signal(int pgid, int sig, const struct siginfo *info);
/* A fault of the current thread. Where the signal is blocked or ignored, it ends the process. */
void uthread_fault_signal(int sig, int code, uint64_t addr);
/*
 * Takes one pending signal out of set for the current thread: its number or 0. signalfd, sigwait.
 */
int signal_dequeue(uint64_t set, struct siginfo *info);
#endif
