// SPDX-License-Identifier: Apache-2.0
/* The system-call table. */
#ifndef LINUX_SYSCALL_H
#define LINUX_SYSCALL_H

void syscall_init(void); /* fills the table, sets SYSCALL up on every CPU */
#endif
