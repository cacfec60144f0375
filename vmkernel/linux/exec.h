// SPDX-License-Identifier: Apache-2.0
/* The steps of execve: strings, the new memory, the change-over. */
#ifndef LINUX_EXEC_H
#define LINUX_EXEC_H
#include "linux/elf.h"
#include "vmk/file.h"

enum { EXEC_STRINGS_MAX = 2 * 1024 * 1024, EXEC_PATH_MAX = 4096, EXEC_SCRIPT_DEPTH = 4 };

/*
 * argv, then envp, then what the auxiliary vector points to: strings with their 0, one behind the
 * other.
 */
struct exec_args {
	char *buf; /* vmalloc */
	size_t len, size;
	unsigned argc, envc;
	size_t env_at, execfn_at, platform_at, random_at; /* offsets in buf */
};
/* Each appends; -E2BIG, -ENOMEM, -EFAULT. */
int __must_check exec_args_add(struct exec_args *a, const char *s);
int __must_check exec_args_add_user(struct exec_args *a, uva_t array, unsigned skip,
                                    unsigned *count);
int __must_check exec_args_add_kernel(struct exec_args *a, const char *const *array, unsigned skip,
                                      unsigned *count);
int __must_check exec_args_finish(struct exec_args *a, const char *execfn);
void exec_args_free(struct exec_args *a);

struct trap_frame;
/*
 * Replaces the current process's program: path, argv and envp in kernel memory, arrays that end
 * with NULL. *f is what the thread enters ring 3 with. 0 or -errno, then the old program is there.
 */
int __must_check proc_exec_kernel(const char *path, const char *const *argv,
                                  const char *const *envp, struct trap_frame *f);

struct aspace;
/* Maps the vDSO: the address of its ELF header, or 0 where there is none. 0 or -errno. */
int __must_check vdso_map(struct aspace *as, uva_t *image);
/* Memory with a program (and its interpreter) in it, ready to run. */
struct exec_image {
	struct aspace *as;
	uva_t entry, sp;
	uint64_t brk, arg_start, arg_end, env_start, env_end;
};
/* f: the program; stack_limit: RLIMIT_STACK. 0 or -errno, when nothing is left to free. */
int __must_check exec_load(struct file *f, const struct exec_args *args, uint64_t stack_limit,
                           uint64_t as_limit, struct exec_image *out);
#endif
