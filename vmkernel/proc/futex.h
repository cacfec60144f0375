// SPDX-License-Identifier: Apache-2.0
/* Futexes: what the end of a thread needs. */
#ifndef PROC_FUTEX_H
#define PROC_FUTEX_H
#include "vmk/types.h"

struct uthread;
void futex_init(void);
/* Wakes one waiter on the word, shared or private. */
void futex_wake_address(uva_t va);
/* Marks the robust mutexes that the current thread holds as ownerless. */
void futex_robust_exit(struct uthread *t);
#endif
