// SPDX-License-Identifier: Apache-2.0
/*
 * Processes as files: pidfd_open, pidfd_send_signal. A file holds a reference of its process. Spec:
 * their man pages, section 2.
 */
#include "fs/procfs.h"
#include "linux/signal.h"
#include "mm/usercopy.h"
#include "vmk/syscall.h"

static unsigned pidfd_poll(struct file *f, struct waitq **q)
{
	struct proc *p = f->priv;

	*q = &p->event_waitq;
	return READ_ONCE(p->zombie) ? FPOLLIN : 0;
}

static void pidfd_release(struct file *f)
{
	proc_put(f->priv);
}

static const struct file_ops pidfd_ops = { .name = "pidfd",
	                                   .poll = pidfd_poll,
	                                   .release = pidfd_release };

struct proc *pidfd_proc(int fd, uint32_t *flags)
{
	struct file *f = fd_get(fd);
	struct proc *p = NULL;

	if (f && f->ops == &pidfd_ops) {
		p = f->priv;
		*flags = f->flags;
		proc_get(p);
	}
	file_put(f);
	return p;
}

static bool is_thread(int tid)
{
	uint64_t flags = spin_lock_irq(&proc_lock);
	bool is = ids_thread(tid) != NULL;

	spin_unlock_irq(&proc_lock, flags);
	return is;
}

SYSCALL2(pidfd_open, int, pid, unsigned, flags)
{
	struct file *f;
	struct proc *p;
	int err;

	if (pid <= 0 || flags & ~(unsigned)O_NONBLOCK)
		return -EINVAL;
	p = proc_find(pid);
	if (!p) /* only a leader stands for its process */
		return is_thread(pid) ? -EINVAL : -ESRCH;
	err = file_alloc(&pidfd_ops, p, O_RDWR | flags, &f);
	if (err) {
		proc_put(p);
		return err;
	}
	return fd_install(f, true);
}

/* What fd names: a pidfd's process, or that of a directory /proc/PID. */
static struct proc *target(int fd)
{
	uint32_t flags;
	struct proc *p = pidfd_proc(fd, &flags);
	struct file *f = p ? NULL : fd_get(fd);

	if (f && f->inode)
		p = proc_find(procpid_of(f->inode));
	file_put(f);
	return p;
}

SYSCALL4(pidfd_send_signal, int, fd, int, sig, uva_t, info, unsigned, flags)
{
	struct proc *p;
	int err;

	if (flags)
		return -EINVAL;
	p = target(fd);
	if (!p)
		return -EBADF;
	err = signal_from_user(p, sig, info);
	proc_put(p);
	return err;
}
