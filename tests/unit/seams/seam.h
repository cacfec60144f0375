// SPDX-License-Identifier: Apache-2.0
/*
 * What tests steer and see of the host's implementations of the vmkernel's services. All of them
 * are weak: a unit that brings its own wins. One thread, no interrupts.
 */
#ifndef SEAM_H
#define SEAM_H
#include "vmk/types.h"

#define SEAM __attribute__((weak))

/* Time: stands still until a test moves it; due timers fire on the way, in order of deadline. */
extern ns_t seam_now;
void seam_advance(ns_t ns);

/* Memory. After `successes` more allocations (-1: never) each one fails. */
void seam_fail_after(int64_t successes);
extern uint64_t seam_heap_live;  /* kmalloc, slab and vmalloc objects not freed */
extern uint64_t seam_pages_live; /* frames not freed */

/* Log: the last line, and how many there were at each level. */
extern char seam_log_line[512];
extern uint64_t seam_log_count[4];
extern bool seam_log_print; /* to stderr as well */

/* The panic message goes to this descriptor before the process aborts. */
void seam_panic_to_fd(int fd);

/*
 * Registers, memory-mapped and ports: address (pointer or port), width in bytes. NULL: a panic,
 * since nothing answers there.
 */
extern uint64_t (*seam_mmio_read)(uint64_t address, unsigned width);
extern void (*seam_mmio_write)(uint64_t address, unsigned width, uint64_t value);
extern uint64_t (*seam_port_read)(uint16_t port, unsigned width);
extern void (*seam_port_write)(uint16_t port, unsigned width, uint64_t value);

/* Deferred execution: runs raised bottom halves and queued work until none is left; how many. */
unsigned seam_run_bottoms(void);
unsigned seam_run_work(void);

/*
 * wait_sleep: called with the deadline when a world would sleep; makes the condition true, or
 * returns false for "nothing more will happen", which ends a wait without deadline in a panic.
 */
extern bool (*seam_sleep)(ns_t deadline);
extern bool seam_interrupted; /* the world has been asked to stop */

/* CPUs */
extern unsigned seam_cpu, seam_cpus;
#endif
