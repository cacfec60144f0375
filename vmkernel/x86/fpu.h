// SPDX-License-Identifier: Apache-2.0
/*
 * Floating-point and vector state of those who run on the CPU (userworld threads, guests). The
 * kernel itself never uses these registers, so that a state is saved only when its owner leaves the
 * CPU. Areas are 64-byte aligned, fpu_size() long, in the standard (not compacted) XSAVE format;
 * plain FXSAVE on a CPU without XSAVE.
 * Spec: Intel SDM 1 13, 2 XSAVE, XRSTOR.
 */
#ifndef X86_FPU_H
#define X86_FPU_H
#include "vmk/types.h"

enum {
	FPU_LEGACY_SIZE = 512,
	FPU_HEADER_SIZE = 64,
	FPU_SW_OFFSET = 464, /* of the legacy area: bytes that the CPU leaves to software */
	FPU_MXCSR_OFFSET = 24,
};

size_t fpu_size(void);
uint64_t fpu_features(void); /* XCR0 */
void fpu_init_state(void *area);
/* Interrupts off, or the owner is current and preemption does not matter. */
void fpu_save(void *area);
void fpu_restore(const void *area);
/*
 * Makes an area of unknown origin (a signal frame, a guest's) safe for fpu_restore: false when no
 * state can be made of it. valid: its first bytes that are really there.
 */
bool fpu_sanitize(void *area, size_t valid);
#endif
