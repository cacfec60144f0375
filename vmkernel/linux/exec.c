// SPDX-License-Identifier: Apache-2.0
/* execve: scripts, the point of no return, what a program inherits. Spec: execve(2). */
#include "mm/aspace.h"
#include "linux/exec.h"
#include "proc/proc.h"
#include "mm/usercopy.h"
#include "vmk/errno.h"
#include "vmk/fdtable.h"
#include "vmk/layout.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/syscall.h"
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

/* A "#!" line and the two words in it. */
struct script {
	char line[SCRIPT_LINE], *interp, *arg;
};

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts the line of n bytes into its words; -ENOEXEC when it names nothing or does not end. */
static int parse_script(struct script *s, size_t n)
{
	char *p = s->line + 2, *end;

	s->line[n] = 0;
	end = strchr(s->line, '\n');
	if (!end && n == SCRIPT_LINE - 1)
		return -ENOEXEC; /* cut off */
	end = end ? end : s->line + n;
	while (end > p && blank(end[-1]))
		end--;
	*end = 0;
	while (blank(*p))
		p++;
	s->interp = p;
	while (*p && !blank(*p))
		p++;
	if (*p)
		*p++ = 0;
	while (blank(*p))
		p++;
	s->arg = *p ? p : NULL;
	return *s->interp ? 0 : -ENOEXEC;
}

static int add_word(struct exec_args *args, const char *word)
{
	int err = exec_args_add(args, word);

	if (!err)
		args->argc++;
	return err;
}

/*
 * Interpreters with their arguments, the last one found first; then the script in place of argv[0].
 */
static int add_script_words(struct exec_args *args, const struct script *s, unsigned depth,
                            const char *path)
{
	int err = 0;

	for (unsigned i = depth; i-- && !err;) {
		err = add_word(args, s[i].interp);
		if (!err && s[i].arg)
			err = add_word(args, s[i].arg);
	}
	return err || !depth ? err : add_word(args, path);
}

static int add_strings(struct exec_args *args, const struct exec_request *q, bool script)
{
	int err = q->argv ? exec_args_add_kernel(args, q->argv, script, &args->argc)
	                  : exec_args_add_user(args, q->user_argv, script, &args->argc);

	if (!err && !args->argc)
		err = add_word(args, "");
	args->env_at = args->len;
	if (!err)
		err = q->envp ? exec_args_add_kernel(args, q->envp, 0, &args->envc)
		              : exec_args_add_user(args, q->user_envp, 0, &args->envc);
	return err ? err : exec_args_finish(args, q->path);
}

/* Follows "#!" lines from q->path to a program; *depth is how many there were. */
static int find_program(const struct exec_request *q, struct script *s, unsigned *depth,
                        struct file **out)
{
	int err = vfs_open_exec(q->dirfd, q->path, q->at_flags, out);

	/* Ends with a file that is not a script, or after EXEC_SCRIPT_DEPTH lines with -ELOOP. */
	for (*depth = 0; !err; ++*depth) {
		struct script *level = &s[*depth];
		char magic[2];
		ssize_t n;

		if (file_read_kernel(*out, magic, 2, 0) != 2 || magic[0] != '#' || magic[1] != '!')
			return 0;
		err = *depth < EXEC_SCRIPT_DEPTH ? 0 : -ELOOP;
		n = err ? 0 : file_read_kernel(*out, level->line, SCRIPT_LINE - 1, 0);
		file_put(*out);
		if (!err)
			err = n < 2 ? -EIO : parse_script(level, (size_t)n);
		if (!err)
			err = vfs_open_exec(AT_FDCWD, level->interp, 0, out);
	}
	return err;
}

/* Opens the program that path names, through scripts if need be, and collects its strings. */
static int open_program(const struct exec_request *q, struct exec_args *args, struct file **out)
{
	struct script *s = kcalloc(EXEC_SCRIPT_DEPTH, sizeof(*s));
	unsigned depth;
	int err = s ? find_program(q, s, &depth, out) : -ENOMEM;

	if (err)
		goto free;
	err = add_script_words(args, s, depth, q->path);
	if (!err)
		err = add_strings(args, q, depth > 0);
	if (err)
		file_put(*out);
free:
	kfree(s);
	return err;
}

/* Handlers are gone with the code; ignored signals stay ignored. */
static void reset_signals(struct proc *p, struct uthread *t)
{
	uint64_t flags = spin_lock_irq(&proc_lock);

	for (unsigned i = 0; i < NSIG; i++)
		p->actions[i] = (struct sigaction){ .handler = p->actions[i].handler == SIG_IGN
			                                               ? SIG_IGN
			                                               : SIG_DFL };
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
static void commit(struct proc *p, struct uthread *t, const struct exec_image *image,
                   struct file *f, struct trap_frame *frame)
{
	struct aspace *old = p->as;
	struct file *old_exe = p->exe;
	/*
	 * The lock orders this against /proc/PID, which takes references of memory and program
	 * under it. Interrupts stay off, so that no switch saves half of the new registers.
	 */
	uint64_t flags = spin_lock_irq(&proc_lock);

	p->as = image->as;
	/* prlimit of another process may have changed it since exec_load(). */
	p->as->limit_pages = p->limits[RLIMIT_AS].cur >> PAGE_SHIFT;
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
	*frame = (struct trap_frame){ .rip = image->entry,
		                      .cs = SEL_USER_CODE,
		                      .rflags = RFLAGS_IF | BIT(1),
		                      .rsp = image->sp,
		                      .ss = SEL_USER_DATA };
	/* From here on the parent of a vfork may run: its memory is no longer used. */
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
	struct fdtable *own, *old;
	struct file *f;
	uint64_t flags;
	int err = open_program(q, &args, &f);

	if (err)
		goto free_args;
	err = exec_load(f, &args, p->limits[RLIMIT_STACK].cur, p->limits[RLIMIT_AS].cur, &image);
	if (err)
		goto put_file;
	/* Descriptors that vfork's CLONE_FILES shares are the program's own from now on. */
	err = fdtable_clone(p->files, &own);
	if (err)
		goto put_image;
	/* The last step that can fail. After it the other threads are gone. */
	err = proc_single_thread();
	if (err) {
		fdtable_put(own);
		goto put_image;
	}
	commit(p, t, &image, f, frame);
	/* /proc/PID/fd takes its reference of the table under the lock. */
	flags = spin_lock_irq(&proc_lock);
	old = p->files;
	p->files = own;
	spin_unlock_irq(&proc_lock, flags);
	fdtable_put(old);
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
	return err;
}

int proc_exec_kernel(const char *path, const char *const *argv, const char *const *envp,
                     struct trap_frame *f)
{
	const struct exec_request q = {
		.dirfd = AT_FDCWD, .path = path, .argv = argv, .envp = envp
	};

	return do_exec(&q, f);
}

static long user_exec(int dirfd, uva_t path_va, uva_t argv, uva_t envp, unsigned at_flags)
{
	struct exec_request q = {
		.dirfd = dirfd, .at_flags = at_flags, .user_argv = argv, .user_envp = envp
	};
	char *path = kmalloc(EXEC_PATH_MAX);
	ssize_t n;
	int err;

	/* On success do_exec() has changed the frame, and 0 in RAX is of no interest any more. */
	if (!path)
		return -ENOMEM;
	n = copy_string_from_user(path, path_va, EXEC_PATH_MAX);
	q.path = path;
	err = n < 0 ? (int)n : do_exec(&q, uthread_frame());
	kfree(path);
	return err;
}

SYSCALL3(execve, uva_t, path, uva_t, argv, uva_t, envp)
{
	return user_exec(AT_FDCWD, path, argv, envp, 0);
}

SYSCALL5(execveat, int, dirfd, uva_t, path, uva_t, argv, uva_t, envp, unsigned, flags)
{
	return user_exec(dirfd, path, argv, envp, flags);
}
