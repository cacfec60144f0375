// SPDX-License-Identifier: Apache-2.0
/* The CPU's random numbers and its fastest clock. Spec: Intel SDM 1 7.3.17. */
#include "x86/entropy.h"
#include "x86/insn.h"

enum { TRIES = 16 };

bool hardware_word(uint64_t *out)
{
	static int8_t have = -1; /* bit 0 RDRAND, bit 1 RDSEED */
	bool ok = false;

	if (have < 0)
		have = (int8_t)((cpuid(1, 0).c >> 30 & 1) |
		                (cpuid(0, 0).a >= 7 ? cpuid(7, 0).b >> 18 & 1 : 0) << 1);
	for (unsigned i = 0; i < TRIES && !ok && have; i++) {
		if (have & 2)
			__asm__ volatile("rdseed %0" : "=r"(*out), "=@ccc"(ok));
		if (!ok && have & 1)
			__asm__ volatile("rdrand %0" : "=r"(*out), "=@ccc"(ok));
	}
	/* Values that broken firmware is known to leave. */
	return ok && *out != 0 && *out != ~0ull;
}

uint64_t fine_time(void)
{
	return rdtsc();
}
