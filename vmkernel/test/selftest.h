// SPDX-License-Identifier: Apache-2.0
/*
 * Tests and measurements of the running kernel, for the boot options selftest=NAME[,NAME...] (or
 * all) and bench=ground. Results are lines on serial: "selftest: NAME: ok" or ": failed: WHY", at
 * the end "selftest: done".
 */
#ifndef BOOT_SELFTEST_H
#define BOOT_SELFTEST_H
#include "vmk/log.h"

struct selftest {
	const char *name;
	const char *(*run)(void); /* in a world; NULL or why it failed */
	bool measures;            /* needs an exact clock: runs by its name alone, never by "all" */
};

extern const struct selftest selftests_mm[], selftests_sched[], selftests_share[];

/* Does what the boot options ask for. In a world, when all CPUs are up. */
void selftest_run(void);
void bench_run(void);

/* In a selftest: reports the line that failed. */
#define CHECK(c)                                      \
	do {                                          \
		if (!(c))                             \
			return __FILE_NAME__ ": " #c; \
	} while (0)
#endif
