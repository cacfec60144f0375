// SPDX-License-Identifier: Apache-2.0
/*
 * The panic, for those who start one besides panic() of vmk/log.h and for those who have a part in
 * it (vmkernel/log/panic.c). It is a sequence of steps that layers register by PANIC_STEP(): log
 * knows the order, each step knows its subject.
 */
#ifndef VMK_PANIC_H
#define VMK_PANIC_H
#include "vmk/types.h"

struct trap_frame;

/* What is known of the panic. Static: steps may run on another stack than the one it began on. */
struct panic_info {
	const char *reason;
	const struct trap_frame *frame; /* of the exception; NULL: panic() was called */
	uint64_t rbp;                   /* without a frame: where the backtrace begins */
};

/* Steps run in this order; those of the same place in no particular one. */
enum panic_place {
	PANIC_STOP,      /* the other CPUs; nothing is shown yet */
	PANIC_SCREEN,    /* clears it, version and reason */
	PANIC_WORLD,     /* who ran */
	PANIC_REGISTERS, /* and CPU state */
	PANIC_BACKTRACE,
	PANIC_CPUS, /* where the others were */
	PANIC_BUILD,
	PANIC_RECORD, /* what the next boot is to know */
	PANIC_RESET,
	PANIC_PLACES
};

struct panic_step {
	enum panic_place place;
	const char *name;
	/*
	 * Interrupts off, the other CPUs stopped wherever they were: takes no lock, waits for
	 * nobody. A panic inside it ends it, and the next step runs.
	 */
	void (*fn)(const struct panic_info *info);
};

#define PANIC_STEP(place_, fn_)                                                                \
	static const struct panic_step panic_step_##fn_ SECTION_ENTRY(panic_steps) = { place_, \
		                                                                       #fn_, fn_ }

/* A line of the purple screen, on every console; for steps. */
void panic_print(const char *fmt, ...) __printf(1, 2);

/* All that was printed so far. */
const char *panic_screen_text(size_t *len);

/*
 * The record that the panic of an earlier run left in memory (log/record.c): found by
 * panic_record_init(), after multiboot_read() and before memory is given out. Text, or NULL; once
 * it is kept elsewhere, panic_record_done() says so.
 */
void panic_record_init(void);
const char *panic_record(size_t *len);
void panic_record_done(void);

/* An exception or an NMI that ends everything, with a reason in words. */
void panic_frame(const struct trap_frame *f, const char *fmt, ...) __printf(2, 3) __noreturn __cold;
/* True from the first moment of a panic on: an NMI now means "stop". */
bool panic_in_progress(void);
bool panic_here(void); /* this CPU is the one that panics */
#endif
