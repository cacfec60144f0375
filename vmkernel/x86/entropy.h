// SPDX-License-Identifier: Apache-2.0
/* Where the random generator's entropy comes from: x86/entropy.c, or a test. Any context. */
#ifndef X86_ENTROPY_H
#define X86_ENTROPY_H
#include "vmk/types.h"

/* A word of the CPU's own generator; false when it has none or it fails. */
bool hardware_word(uint64_t *out);
/* The finest clock there is. */
uint64_t fine_time(void);
#endif
