// SPDX-License-Identifier: Apache-2.0
/* Measuring the TSC. Boot CPU, interrupts off. Spec: Intel SDM 3B 18.17; CPUID leaf 15H. */
#include "vmk/types.h"
#include "x86/clock.h"
#include "x86/cpu.h"
#include "x86/insn.h"

enum { SAMPLE_TRIES = 8, ROUNDS = 5, ROUND_MS = 5 };

struct sample {
	uint64_t tsc, ref;
};

/* Both counters at one moment: of several attempts the one with the least time around it. */
static struct sample take_sample(const struct counter *ref)
{
	struct sample best = { 0 };
	uint64_t best_width = UINT64_MAX;

	for (int i = 0; i < SAMPLE_TRIES; i++) {
		uint64_t before = rdtsc_ordered(), r = ref->read(), after = rdtsc_ordered();

		if (after - before < best_width) {
			best_width = after - before;
			best = (struct sample){ before + (after - before) / 2, r };
		}
	}
	return best;
}

static uint64_t measure(const struct counter *ref)
{
	struct sample a = take_sample(ref), b;
	uint64_t ticks = ref->hz * ROUND_MS / 1000;

	while (((ref->read() - a.ref) & ref->mask) < ticks)
		;
	b = take_sample(ref);
	return mul_div(b.tsc - a.tsc, ref->hz, (b.ref - a.ref) & ref->mask);
}

uint64_t tsc_calibrate(const struct counter *ref)
{
	uint64_t hz[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t v = measure(ref);
		int k = i;

		for (; k > 0 && hz[k - 1] > v; k--)
			hz[k] = hz[k - 1];
		hz[k] = v;
	}
	return hz[ROUNDS / 2];
}
