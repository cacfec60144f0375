// SPDX-License-Identifier: Apache-2.0
/* What the calls that send, mask or wait share. */
#ifndef LINUX_SIGNAL_H
#define LINUX_SIGNAL_H
#include "proc/proc.h"

/* From the current process to p, after checks; info: a siginfo in user memory, 0 as kill(2). */
int __must_check signal_from_user(struct proc *p, int sig, uva_t info);
/*
 * Sets a mask for the length of one call (ppoll, pselect6, epoll_pwait, rt_sigsuspend). The old one
 * is restored before ring 3 goes on, after the handlers of the signals that it let in. size must be
 * 8. 0 or -EFAULT, -EINVAL; nothing happens when mask is 0.
 */
int __must_check signal_mask_temporarily(uva_t mask, uint64_t size);
/* The process of a pidfd with a reference, and the file's flags; NULL when fd is none. */
struct proc *pidfd_proc(int fd, uint32_t *flags);
#endif
