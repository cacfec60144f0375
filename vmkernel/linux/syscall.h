// SPDX-License-Identifier: Apache-2.0
/* The system-call table. */
#ifndef USER_SYSCALL_H
#define USER_SYSCALL_H
#include "vmk/user.h"

enum { TRAP_SYSCALL = 0x100, SYSCALLS_MAX = 512, NR_RESTART_SYSCALL = 219 };

void syscall_init(void);                     /* fills the table, sets SYSCALL up on every CPU */
const char *syscall_name(unsigned nr);       /* Linux's name, or "?" */
uint64_t syscall_unknown_count(unsigned nr); /* calls answered with ENOSYS */
#endif
