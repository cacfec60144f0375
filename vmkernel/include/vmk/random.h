// SPDX-License-Identifier: Apache-2.0
/*
 * Random bytes for keys (vmkernel/x86/random.c): a ChaCha20 generator with fast key erasure, keyed
 * from a pool of RDSEED, RDRAND and timing. Any context.
 */
#ifndef VMK_RANDOM_H
#define VMK_RANDOM_H
#include "vmk/types.h"

/* Boot, once; and cheap events whose time an outsider cannot know exactly (interrupts). */
void random_init(void);
void random_add_event(uint64_t datum);
/*
 * Whether the pool has been filled: at once with RDSEED or RDRAND, otherwise after enough events.
 * Before that getrandom() waits; random_bytes() never does.
 */
bool random_ready(void);
void random_bytes(void *buf, size_t n);
uint64_t random_u64(void);
/* Users write to /dev/urandom: mixed in, never credited. */
void random_mix(const void *buf, size_t n);
#endif
