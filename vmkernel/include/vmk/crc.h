// SPDX-License-Identifier: Apache-2.0
/* CRC-32 of IEEE 802.3 (GPT, gzip): start with 0, pass the result on for the next piece. */
#ifndef VMK_CRC_H
#define VMK_CRC_H
#include "vmk/types.h"

uint32_t crc32(uint32_t crc, const void *data, size_t len);
#endif
