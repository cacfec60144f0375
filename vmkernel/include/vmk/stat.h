// SPDX-License-Identifier: Apache-2.0
/*
 * Counters: every exit, drop, retry and error has one, in one list (.stats) that the shell shows.
 * STAT(nvme_timeouts, "nvme.timeouts", "commands that passed their deadline") at file scope, then
 * stat_inc(nvme_timeouts). Relaxed atomic; any context.
 */
#ifndef VMK_STAT_H
#define VMK_STAT_H
#include "vmk/types.h"

struct stat_entry {
	const char *name; /* dotted path: a tree in the shell */
	const char *help;
	uint64_t *value;
};

#define STAT(var, path, text)                                                                \
	static uint64_t stat_##var;                                                          \
	static const struct stat_entry stat_entry_##var SECTION_ENTRY(stats) = { path, text, \
		                                                                 &stat_##var }
#define stat_add(var, n) ((void)__atomic_fetch_add(&stat_##var, (n), __ATOMIC_RELAXED))
#define stat_inc(var)    stat_add(var, 1)
#endif
