// SPDX-License-Identifier: Apache-2.0
/* execve: scripts, the point of no return, what a program inherits. Spec: execve(2). */
#include "mm/aspace.h"
#include "user/exec.h"
#include "user/proc.h"
#include "user/usercopy.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "x86/fpu.h"
#include "x86/gdt.h"
#include "x86/insn.h"

enum { AT_FDCWD = -100, SCRIPT_LINE = 256 };

/* argv and envp, of user memory or (for the first program) of the kernel's. */
struct exec_request {
	int dirfd;
	unsigned at_flags;
	const char *path;
	uva_t user_argv, user_envp;
	const char *const *argv, *const *envp;
};

/* The words of a "#!" line, which file to open next; -ENOEXEC when it is none. */
static int parse_script(char line[SCRIPT_LINE], ssize_t n, char **interp, char **arg)
{
	char *p = line + 2, *end;

	if (n < 2 || line[0] != '#' || line[1] != '!')
		return -ENOEXEC;
	line[n] = 0;
	end = strchr(line, '\n');
	if (!end && n == SCRIPT_LINE - 1)
		return -ENOEXEC; /* cut off */
	end = end ? end : line + n;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = 0;
	while (*p == ' ' || *p == '\t')
		p++;
	if (!*p)
		return -ENOEXEC;
	*interp = p;
	while (*p && *p != ' ' && *p != '\t')
		p++;
	*arg = NULL;
	if (*p) {
		*p++ = 0;
		while (*p == ' ' || *p == '\t')
			p++;
		*arg = *p ? p : NULL;
	}
	return 0;
}

/* Prepends: interpreter, its argument, the script's path in place of argv[0]. */
static int add_script_words(struct exec_args *args, const char *interp, const char *arg, const char *script)
{
	int r = exec_args_add(args, interp);

	args->argc++;
	if (!r && arg) {
		r = exec_args_add(args, arg);
		args->argc++;
	}
	if (!r && script) {
		r = exec_args_add(args, script);
		args->argc++;
	}
	return r;
}

static int add_strings(struct exec_args *args, const struct exec_request *q, bool script)
{
	int r;

	r = q->argv ? exec_args_add_kernel(args, q->argv, script, &args->argc) :
		      exec_args_add_user(args, q->user_argv, script, &args->argc);
	if (!r && !args->argc) {
		r = exec_args_add(args, "");
		args->argc = 1;
	}
	args->env_at = args->len;
	if (!r)
		r = q->envp ? exec_args_add_kernel(args, q->envp, 0, &args->envc) :
			      exec_args_add_user(args, q->user_envp, 0, &args->envc);
	return r ? r : exec_args_finish(args, q->path);
}

/*
 * Opens the program that path names, through scripts if need be, and collects its strings. Words of nested
 * scripts come outermost last, so only one level may carry its own argument list: as on Linux each
 * level's words precede those of the level before.
 */
static int open_program(const struct exec_request *q, struct exec_args *args, struct file **out)
{
	char *line = kmalloc(2 * SCRIPT_LINE), *words = line ? line + SCRIPT_LINE : NULL;
	const char *script = q->path;
	char *interp, *arg;
	struct file *f;
	ssize_t n;
	int r = line ? vfs_open_exec(q->dirfd, q->path, q->at_flags, &f) : -ENOMEM;

	if (r)
		goto out;
	n = file_read_kernel(f, line, SCRIPT_LINE - 1, 0);
	if (n >= 2 && line[0] == '#') {
		r = parse_script(line, n, &interp, &arg);
		file_put(f);
		if (!r)
			r = vfs_open_exec(AT_FDCWD, interp, 0, &f);
		if (r)
			goto out;
		/* An interpreter that is a script itself: its words go before. */
		n = file_read_kernel(f, words, SCRIPT_LINE - 1, 0);
		if (n >= 2 && words[0] == '#') {
			char *outer, *outer_arg;

			r = parse_script(words, n, &outer, &outer_arg);
			file_put(f);
			if (!r)
				r = vfs_open_exec(AT_FDCWD, outer, 0, &f);
			if (r)
				goto out;
			r = add_script_words(args, outer, outer_arg, NULL);
		}
		if (!r)
			r = add_script_words(args, interp, arg, script);
	}
	if (!r)
		r = add_strings(args, q, script != NULL && args->argc > 0);
	if (r)
		file_put(f);
	else
		*out = f;
out:
	kfree(line);
	return r;
}

/* Handlers are gone with the code; ignored signals stay ignored. */
static void reset_signals(struct proc *p, struct uthread *t)
{
	uint64_t flags = spin_lock_irq(&proc_lock);

	for (unsigned i = 0; i < NSIG; i++)
		p->actions[i] = (struct sigaction){ .handler = p->actions[i].handler == SIG_IGN ? SIG_IGN : SIG_DFL };
	t->altstack = t->altstack_size = 0;
	t->altstack_flags = SS_DISABLE;
	t->mask_saved = false;
	p->execed = true;
	spin_unlock_irq(&proc_lock, flags);
}

static void set_comm(struct proc *p, struct uthread *t, const char *path)
{
	const char *base = strrchr(path, '/');

	str_copy(p->comm, base ? base + 1 : path, COMM_LEN);
	memcpy(t->comm, p->comm, COMM_LEN);
	world_set_name(t->world, p->comm);
}

/* From here on nothing can fail: the old program is gone. */
static void commit(struct proc *p, struct uthread *t, const struct exec_image *image, struct file *f,
		   struct trap_frame *frame)
{
	struct aspace *old = p->as;
	struct file *old_exe = p->exe;
	uint64_t flags = spin_lock_irq(&proc_lock);

	p->as = image->as;
	p->exe = f;
	aspace_switch(p->as);
	fpu_init_state(t->fpu);
	fpu_restore(t->fpu);
	t->fs_base = t->gs_base = 0;
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	spin_unlock_irq(&proc_lock, flags);
	t->clear_child_tid = t->set_child_tid = t->robust_list = 0;
	p->brk = p->brk_start = image->brk;
	p->arg_start = image->arg_start;
	p->arg_end = image->arg_end;
	p->env_start = image->env_start;
	p->env_end = image->env_end;
	p->start_stack = image->sp;
	*frame = (struct trap_frame){ .rip = image->entry, .cs = SEL_USER_CODE, .rflags = RFLAGS_IF | BIT(1),
				      .rsp = image->sp, .ss = SEL_USER_DATA };
	proc_vfork_done(p);
	if (old)
		aspace_put(old);
	if (old_exe)
		file_put(old_exe);
}

static int do_exec(const struct exec_request *q, struct trap_frame *frame)
{
	struct uthread *t = uthread_current();
	struct proc *p = t->proc;
	struct exec_args args = { 0 };
	struct exec_image image;
	struct fdtable *own;
	struct file *f;
	int r = open_program(q, &args, &f);

	if (r)
		goto free_args;
	r = exec_load(f, &args, p->limits[RLIMIT_STACK].cur, p->limits[RLIMIT_AS].cur, &image);
	if (r)
		goto put_file;
	/* Descriptors that vfork's CLONE_FILES shares are the program's own from now on. */
	r = fdtable_clone(p->files, &own);
	if (r)
		goto put_image;
	r = proc_single_thread();
	if (r) {
		fdtable_put(own);
		goto put_image;
	}
	commit(p, t, &image, f, frame);
	fdtable_put(p->files);
	p->files = own;
	fdtable_close_on_exec(own);
	reset_signals(p, t);
	set_comm(p, t, q->path);
	exec_args_free(&args);
	return 0;
put_image:
	aspace_put(image.as);
put_file:
	file_put(f);
free_args:
	exec_args_free(&args);
	return r;
}

int proc_exec_kernel(const char *path, const char *const *argv, const char *const *envp, struct trap_frame *f)
{
	const struct exec_request q = { .dirfd = AT_FDCWD, .path = path, .argv = argv, .envp = envp };

	return do_exec(&q, f);
}

static long user_exec(int dirfd, uva_t path_va, uva_t argv, uva_t envp, unsigned at_flags)
{
	struct exec_request q = { .dirfd = dirfd, .at_flags = at_flags, .user_argv = argv, .user_envp = envp };
	char *path = kmalloc(EXEC_PATH_MAX);
	ssize_t n;
	int r;

	if (!path)
		return -ENOMEM;
	n = copy_string_from_user(path, path_va, EXEC_PATH_MAX);
	q.path = path;
	r = n < 0 ? (int)n : do_exec(&q, uthread_frame());
	kfree(path);
	return r;
}

SYSCALL(59, execve)
{
	return user_exec(AT_FDCWD, a[0], a[1], a[2], 0);
}

SYSCALL(322, execveat)
{
	return user_exec((int)a[0], a[1], a[2], a[3], (unsigned)a[4]);
}
