// SPDX-License-Identifier: Apache-2.0
/*
 * Little-endian numbers at any place of a table; 0 for what lies behind its end, as in a table of
 * an older revision.
 */
#ifndef ACPI_BYTES_H
#define ACPI_BYTES_H
#include "vmk/string.h"

static inline uint64_t get_le(const uint8_t *t, size_t len, size_t at, size_t size)
{
	uint64_t v = 0;

	if (at <= len && size <= len - at)
		memcpy(&v, t + at, size);
	return v;
}
#define get8(t, len, at)  ((uint8_t)get_le(t, len, at, 1))
#define get16(t, len, at) ((uint16_t)get_le(t, len, at, 2))
#define get32(t, len, at) ((uint32_t)get_le(t, len, at, 4))
#define get64(t, len, at) get_le(t, len, at, 8)
#endif
