// SPDX-License-Identifier: Apache-2.0
/* A loop of a thousand million instructions, and how many the TSC counted meanwhile. */
#include <stdint.h>
#include <stdio.h>
#include <x86intrin.h>

int main(void)
{
	uint64_t start = __rdtsc(), left = 500000000;

	__asm__ volatile("1: dec %0; jnz 1b" : "+r"(left));
	printf("bench: spin %llu instructions\n", (unsigned long long)(__rdtsc() - start));
	return 0;
}
