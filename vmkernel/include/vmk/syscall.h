// SPDX-License-Identifier: Apache-2.0
/*
 * How a system call is declared: SYSCALL3(read, int, fd, uva_t, buf, size_t, count) { ... } is a
 * function with these parameters that returns the value for RAX, and an entry of the section
 * .syscalls, which linux/syscall.c makes its table of. The registers are cast to the parameters'
 * types, as Linux does: the upper half of an int's register does not count. Numbers are Linux's,
 * NR_read and so on (build/gen/syscall_nr.h). Calls stand in linux/, one theme a file, and in
 * proc/ where the theme is a process's own. They run with interrupts on and may sleep.
 */
#ifndef VMK_SYSCALL_H
#define VMK_SYSCALL_H
#include "syscall_nr.h"
#include "vmk/types.h"

enum {
	SYSCALLS_MAX = 512,
	TRAP_SYSCALL = 0x100, /* trap_frame.vector of a system call; then error is its number */
};

struct syscall_entry {
	uint32_t nr;
	long (*fn)(const uint64_t r[6]); /* RDI, RSI, RDX, R10, R8, R9 */
};

#define SYSCALL_(id, params, args)                                          \
	static inline long sys_##id params;                                 \
	static long entry_##id(const uint64_t r[6] __maybe_unused)          \
	{                                                                   \
		return sys_##id args;                                       \
	}                                                                   \
	static const struct syscall_entry syscall_entry_##id SECTION_ENTRY( \
		syscalls) = { NR_##id, entry_##id };                        \
	static inline long sys_##id params
#define SYSCALL0(id)                 SYSCALL_(id, (void), ())
#define SYSCALL1(id, t0, a0)         SYSCALL_(id, (t0 a0), ((t0)r[0]))
#define SYSCALL2(id, t0, a0, t1, a1) SYSCALL_(id, (t0 a0, t1 a1), ((t0)r[0], (t1)r[1]))
#define SYSCALL3(id, t0, a0, t1, a1, t2, a2) \
	SYSCALL_(id, (t0 a0, t1 a1, t2 a2), ((t0)r[0], (t1)r[1], (t2)r[2]))
#define SYSCALL4(id, t0, a0, t1, a1, t2, a2, t3, a3) \
	SYSCALL_(id, (t0 a0, t1 a1, t2 a2, t3 a3), ((t0)r[0], (t1)r[1], (t2)r[2], (t3)r[3]))
#define SYSCALL5(id, t0, a0, t1, a1, t2, a2, t3, a3, t4, a4) \
	SYSCALL_(id, (t0 a0, t1 a1, t2 a2, t3 a3, t4 a4),    \
	         ((t0)r[0], (t1)r[1], (t2)r[2], (t3)r[3], (t4)r[4]))
#define SYSCALL6(id, t0, a0, t1, a1, t2, a2, t3, a3, t4, a4, t5, a5) \
	SYSCALL_(id, (t0 a0, t1 a1, t2 a2, t3 a3, t4 a4, t5 a5),     \
	         ((t0)r[0], (t1)r[1], (t2)r[2], (t3)r[3], (t4)r[4], (t5)r[5]))
#endif
