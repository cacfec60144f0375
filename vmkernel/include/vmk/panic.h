// SPDX-License-Identifier: Apache-2.0
/*
 * The ways into the panic besides panic() of vmk/log.h, and what it asks of others
 * (vmkernel/log/panic.c).
 */
#ifndef VMK_PANIC_H
#define VMK_PANIC_H
#include "vmk/types.h"

struct trap_frame;

/* An exception that nobody handles. */
void panic_trap(const struct trap_frame *f) __noreturn __cold;
/* The same with a reason in words: "cpu3 has not taken an interrupt for 10 s". */
void panic_frame(const struct trap_frame *f, const char *fmt, ...) __printf(2, 3) __noreturn __cold;
/* How to stop the other CPUs: an NMI that ends in panic_stopped(). Set once they are there. */
void panic_set_stop(void (*fn)(void));
/* True from the first moment of a panic on: an NMI now means "stop". */
bool panic_in_progress(void);
bool panic_here(void); /* this CPU is the one that panics */
/* This CPU stops for good, for the panic of another. */
void panic_stopped(void) __noreturn;
#endif
