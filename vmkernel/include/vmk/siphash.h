// SPDX-License-Identifier: Apache-2.0
/*
 * SipHash-2-4 (Aumasson, Bernstein 2012): a keyed 64-bit hash that an outsider cannot predict. Any
 * context.
 */
#ifndef VMK_SIPHASH_H
#define VMK_SIPHASH_H
#include "vmk/types.h"
uint64_t siphash(const uint64_t key[2], const void *data, size_t len);
#endif
