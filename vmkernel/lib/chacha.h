// SPDX-License-Identifier: Apache-2.0
/* The ChaCha20 block function. Spec: RFC 8439 2.3. */
#ifndef LIB_CHACHA_H
#define LIB_CHACHA_H
#include "vmk/types.h"

enum { CHACHA_BLOCK = 64, CHACHA_KEY = 32 };
void chacha20_block(const uint32_t key[8], uint32_t counter, const uint32_t nonce[3],
                    uint8_t out[CHACHA_BLOCK]);
/* The bare permutation of 16 words: 20 rounds, without the addition of the input. */
void chacha20_permute(uint32_t x[16]);
#endif
