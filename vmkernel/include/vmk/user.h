// SPDX-License-Identifier: Apache-2.0
/*
 * Userworlds (vmkernel/user/): processes with the Linux x86-64 system-call ABI. A process owns an
 * address space, descriptors, credentials and threads; each thread is a world.
 */
#ifndef VMK_USER_H
#define VMK_USER_H
#include "vmk/file.h"
#include "vmk/world.h"

struct proc;	/* user/proc.h */
struct uthread; /* user/proc.h: one thread, embeds the world's argument */

struct proc *proc_current(void); /* NULL in a kernel world */
struct uthread *uthread_current(void);
int proc_pid(const struct proc *p);

/*
 * A system call: SYSCALL(0, read) { int fd = (int)a[0]; ... } returns the value for RAX. One file of
 * user/ or fs/ per theme; entries gather in .syscalls, missing numbers give ENOSYS and are counted.
 */
struct syscall_entry {
	uint32_t nr;
	const char *name;
	long (*fn)(const uint64_t a[6]);
};
#define SYSCALL(number, id)                                                                        \
	static long sys_##id(const uint64_t a[6]);                                                 \
	static const struct syscall_entry syscall_entry_##id SECTION_ENTRY(syscalls) = {           \
		number, #id, sys_##id                                                              \
	};                                                                                         \
	static long sys_##id(const uint64_t a[6] __maybe_unused)

/* Boot: mounts the root image, starts /sbin/init with its console. */
void user_init(void);
#endif
