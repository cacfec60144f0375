// SPDX-License-Identifier: Apache-2.0
/*
 * Names of functions, from the table that the build links into section .ksyms (its layout stands
 * where it is written, iso/workshop/ksyms.py). Read-only: no lock, any context, also in a panic.
 */
#include "vmk/ksym.h"

#include <stddef.h>

extern const uint64_t ksym_base, ksym_count;
extern const uint32_t ksym_offsets[], ksym_names[];
extern const char ksym_strings[];

/* Addresses further than this above a function's start do not belong to it. */
enum { KSYM_LONGEST = 1 << 16 };

const char *ksym_lookup(uint64_t addr, uint64_t *offset)
{
	uint64_t low = 0, high = ksym_count, distance = addr - ksym_base;

	/* Invariant: offsets[low - 1] <= distance < offsets[high]. */
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (ksym_offsets[middle] <= distance)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || distance - ksym_offsets[low - 1] > KSYM_LONGEST)
		return NULL;
	if (offset)
		*offset = distance - ksym_offsets[low - 1];
	return ksym_strings + ksym_names[low - 1];
}
