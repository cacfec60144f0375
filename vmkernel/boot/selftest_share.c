// SPDX-License-Identifier: Apache-2.0
/* Proportional share in the running kernel, judged by the worlds' own counters. */
#include "boot/selftest.h"
const struct selftest selftests_share[] = {
	{ NULL, NULL },
};
