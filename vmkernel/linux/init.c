// SPDX-License-Identifier: Apache-2.0
/* Boot of the userworlds: tables, traps, the first process with its console. */
#include "mm/aspace.h"
#include "proc/futex.h"
#include "linux/exec.h"
#include "linux/init.h"
#include "vmk/tty.h"
#include "proc/proc.h"
#include "linux/syscall.h"
#include "vmk/boot.h"
#include "vmk/errno.h"
#include "vmk/fdtable.h"
#include "vmk/log.h"
#include "vmk/string.h"

#define LOG_MODULE "user"

static char init_path[128] = "/sbin/init";

/* Descriptors 0 to 2; without a console the first process still runs. */
static void open_console(struct proc *p)
{
	enum { O_RDWR = 2, STDIO = 3 };
	struct file *f;
	int err = vfs_open("/dev/console", O_RDWR, 0, &f);

	if (err) {
		log_warn("no /dev/console for the first process: error %d", -err);
		return;
	}
	for (int fd = 0; fd < STDIO; fd++)
		if (fdtable_install(p->files, file_get(f), fd, false, STDIO) != fd)
			log_warn("descriptor %d of the first process is missing", fd);
	file_put(f);
}

/* What the first thread runs in place of proc_main(). */
static void first_main(void *arg)
{
	static const char *const envp[] = { "HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		                            "TERM=linux", NULL };
	const char *const argv[] = { init_path, NULL };
	struct uthread *t = arg;
	int err;

	open_console(t->proc);
	err = proc_exec_kernel(init_path, argv, envp, &t->start);
	if (err) {
		log_err("cannot run %s: error %d", init_path, -err);
		proc_exit_group(t->proc, 127 << 8);
		uthread_exit(0);
	}
	proc_main(t);
}

static int start_first(void)
{
	struct proc *p;
	struct uthread *t;
	uint64_t flags;
	int err = proc_create(NULL, &p);

	if (err)
		return err;
	str_copy(p->comm, "init", COMM_LEN);
	/*
	 * Nothing of ring 3 runs yet. execve happens in the new thread itself (first_main()), since
	 * it replaces the program of the current process.
	 */
	if ((err = fdtable_create(&p->files)) || (err = fsctx_create(&p->fs)) ||
	    (err = aspace_create(&p->as)))
		goto put;
	err = uthread_create(p, first_main, &t);
	if (err)
		goto put;
	flags = spin_lock_irq(&proc_lock);
	err = proc_publish(p, t);
	spin_unlock_irq(&proc_lock, flags);
	if (!err) {
		world_start(t->world);
		return 0;
	}
	/* The world never started, so its hook does not discard the thread. */
	world_put(t->world);
	uthread_discard(t);
put:
	proc_put(p);
	return err;
}

void user_init(void)
{
	int err;

	ids_init();
	signals_init();
	futex_init();
	syscall_init();
	user_traps_init();
	vdso_init();
	console_port_init();
	boot_option("init", init_path, sizeof(init_path));
	/* No first process: what the test image counts must be alone on the machine. */
	if (strcmp(init_path, "none") == 0)
		return;
	err = start_first();
	if (err)
		log_err("no first process: error %d", -err);
}
