// SPDX-License-Identifier: Apache-2.0
/* struct timespec in user memory. */
#ifndef USER_TIMESPEC_H
#define USER_TIMESPEC_H
#include "vmk/types.h"

/* 0, -EFAULT, -EINVAL; what does not fit becomes NS_NEVER. */
int __must_check timespec_get(uva_t from, ns_t *out);
int __must_check timespec_put(uva_t to, ns_t t);
ns_t ns_add(ns_t a, ns_t b);        /* NS_NEVER at the top */
ns_t realtime_to_monotonic(ns_t t); /* a deadline */
#endif
