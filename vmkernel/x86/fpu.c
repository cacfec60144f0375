// SPDX-License-Identifier: Apache-2.0
/*
 * Saving and restoring of floating-point and vector state. Spec: Intel SDM 1 13.4-13.8, 10.5.1
 * (FXSAVE).
 */
#include "x86/fpu.h"
#include "vmk/string.h"
#include "x86/cpu.h"

enum {
	FCW_INITIAL = 0x37f,
	MXCSR_INITIAL = 0x1f80,
	MXCSR_MASK_DEFAULT = 0xffbf,
	MXCSR_MASK_OFFSET = 28
};

struct xsave_header {
	uint64_t xstate_bv, xcomp_bv, reserved[6];
};
ASSERT_SIZE(struct xsave_header, FPU_HEADER_SIZE);

size_t fpu_size(void)
{
	return cpu_features.xsave ? cpu_features.xsave_size : FPU_LEGACY_SIZE;
}

uint64_t fpu_features(void)
{
	return cpu_features.xcr0;
}

void fpu_init_state(void *area)
{
	uint8_t *p = area;

	memset(p, 0, fpu_size());
	memcpy(p, &(uint16_t){ FCW_INITIAL }, 2);
	memcpy(p + FPU_MXCSR_OFFSET, &(uint32_t){ MXCSR_INITIAL }, 4);
}

void fpu_save(void *area)
{
	if (cpu_features.xsave)
		__asm__ volatile("xsave64 (%0)" ::"r"(area), "a"((uint32_t)cpu_features.xcr0),
		                 "d"((uint32_t)(cpu_features.xcr0 >> 32))
		                 : "memory");
	else
		__asm__ volatile("fxsave64 (%0)" ::"r"(area) : "memory");
}

void fpu_restore(const void *area)
{
	if (cpu_features.xsave)
		__asm__ volatile("xrstor64 (%0)" ::"r"(area), "a"((uint32_t)cpu_features.xcr0),
		                 "d"((uint32_t)(cpu_features.xcr0 >> 32))
		                 : "memory");
	else
		__asm__ volatile("fxrstor64 (%0)" ::"r"(area) : "memory");
}

/* The bits of MXCSR that the CPU has; any other would fault. */
static uint32_t mxcsr_mask(void)
{
	static uint32_t mask;
	uint8_t image[FPU_LEGACY_SIZE] __aligned(16);

	if (!mask) {
		memset(image, 0, sizeof(image));
		__asm__ volatile("fxsave64 %0" : "=m"(image));
		memcpy(&mask, image + MXCSR_MASK_OFFSET, 4);
		if (!mask)
			mask = MXCSR_MASK_DEFAULT;
	}
	return mask;
}

bool fpu_sanitize(void *area, size_t valid)
{
	uint8_t *p = area;
	struct xsave_header *h = (struct xsave_header *)(p + FPU_LEGACY_SIZE);
	uint32_t mxcsr;

	if (valid < FPU_LEGACY_SIZE)
		return false;
	memcpy(&mxcsr, p + FPU_MXCSR_OFFSET, 4);
	mxcsr &= mxcsr_mask();
	memcpy(p + FPU_MXCSR_OFFSET, &mxcsr, 4);
	if (!cpu_features.xsave)
		return true;
	if (valid < fpu_size()) { /* only the x87 and SSE parts are there */
		memset(p + FPU_LEGACY_SIZE, 0, fpu_size() - FPU_LEGACY_SIZE);
		h->xstate_bv = 3;
		return true;
	}
	if (h->xcomp_bv)
		return false;
	for (unsigned i = 0; i < ARRAY_SIZE(h->reserved); i++)
		if (h->reserved[i])
			return false;
	h->xstate_bv &= cpu_features.xcr0;
	return true;
}
