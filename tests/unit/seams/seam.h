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
extern uint32_t seam_world_id; /* of the one world that there is */
void seam_advance(ns_t ns);

/* Memory. After `successes` more allocations (-1: never) each one fails. */
void seam_fail_after(int64_t successes);
extern bool seam_charge_refused; /* kmalloc_charged() and relatives fail: a limit is reached */
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
extern bool seam_reserve;     /* it may take the last pages: world_use_reserve() */

/* Drivers under test (seams/bus.c): one PCI function with its configuration space and vectors. */
struct pci_dev;
struct pci_dev *seam_pci_new(void);
extern uint8_t seam_config[4096];
extern unsigned seam_vectors; /* interrupt messages that it offers */
extern bool seam_master;      /* bus mastering is on */
extern int seam_reset_result; /* of pci_reset_function, which is counted in seam_resets */
extern unsigned seam_resets;
int seam_irq_fire(unsigned vector); /* enum irq_return, or -1 without a handler */
extern char seam_options[256];      /* boot options, separated by spaces */

/* CPUs */
extern unsigned seam_cpu, seam_cpus;
#endif
