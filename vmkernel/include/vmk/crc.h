// SPDX-License-Identifier: Apache-2.0
/* Checksums: start with 0, pass the result on for the next piece. */
#ifndef VMK_CRC_H
#define VMK_CRC_H
#include "vmk/types.h"

/* CRC-32 of IEEE 802.3 (GPT, gzip). */
uint32_t crc32(uint32_t crc, const void *data, size_t len);
/* CRC-32C (Castagnoli, RFC 3720 B.4). */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);
#endif
