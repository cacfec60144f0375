// SPDX-License-Identifier: Apache-2.0
/*
 * Deferred execution. A bottom half runs on the CPU that raised it, at interrupt exit with
 * interrupts on and preemption off: no sleeping, at most 64 completions a pass (DESIGN.md,
 * Contexts). A work item runs in a work world and may sleep. Both: raising twice before it ran runs
 * it once. A work item never runs twice at once: queued while it runs, it runs again when it has
 * returned.
 */
#ifndef VMK_WORK_H
#define VMK_WORK_H
#include "vmk/list.h"

struct bottom {
	struct list link;
	void (*fn)(struct bottom *b); /* may raise itself again when its budget is spent */
	uint32_t pending;
	uint32_t running; /* CPUs that are in fn */
};
#define BOTTOM_BUDGET 64
void bottom_init(struct bottom *b, void (*fn)(struct bottom *));
void bottom_raise(struct bottom *b); /* any context */
/* Waits until b neither waits nor runs; nobody raises it any more. A world, no locks. */
void bottom_flush(struct bottom *b);

struct work {
	struct list link;
	void (*fn)(struct work *w);
	uint32_t pending;
};
void work_init(struct work *w, void (*fn)(struct work *));
void work_queue(struct work *w); /* any context */
void work_flush(struct work *w); /* waits until it has run; a world, no locks */
#endif
