// SPDX-License-Identifier: Apache-2.0
/* Clocks, and struct timespec in user memory. */
#ifndef PROC_TIMESPEC_H
#define PROC_TIMESPEC_H
#include "vmk/types.h"

enum {
	CLOCK_REALTIME = 0,
	CLOCK_MONOTONIC = 1,
	CLOCK_PROCESS_CPUTIME_ID = 2,
	CLOCK_THREAD_CPUTIME_ID = 3,
	CLOCK_MONOTONIC_RAW = 4,
	CLOCK_REALTIME_COARSE = 5,
	CLOCK_MONOTONIC_COARSE = 6,
	CLOCK_BOOTTIME = 7,
	CLOCK_TAI = 11,
};

/* 0, -EFAULT, -EINVAL; what does not fit becomes NS_NEVER. */
int __must_check timespec_get(uva_t from, ns_t *out);
int __must_check timespec_put(uva_t to, ns_t t);
ns_t ns_add(ns_t a, ns_t b);        /* NS_NEVER at the top */
ns_t realtime_to_monotonic(ns_t t); /* a deadline */
#endif
