// SPDX-License-Identifier: Apache-2.0
/*
 * Tests of the running kernel, for the boot option selftest=NAME[,NAME...] (or all). Results are
 * lines on serial: "selftest: NAME: ok" or ": failed: WHY", at the end "selftest: done".
 */
#ifndef TEST_SELFTEST_H
#define TEST_SELFTEST_H
#include "vmk/log.h"

struct selftest {
	const char *name;
	const char *(*run)(void); /* in a world; NULL or why it failed */
	bool measures;            /* needs an exact clock: runs by its name alone, never by "all" */
};

extern const struct selftest selftests_mm[], selftests_sched[], selftests_share[];

/* In a selftest: reports the line that failed. */
#define CHECK(c)                                      \
	do {                                          \
		if (!(c))                             \
			return __FILE_NAME__ ": " #c; \
	} while (0)
#endif
