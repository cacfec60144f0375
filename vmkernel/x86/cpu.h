// SPDX-License-Identifier: Apache-2.0
/*
 * What the CPUs can do, from CPUID: read once on the boot CPU; every other CPU must have the same.
 */
#ifndef X86_CPU_H
#define X86_CPU_H
#include "vmk/types.h"

struct cpu_features {
	char vendor[13], brand[49];
	uint32_t signature; /* CPUID.1:EAX */
	uint32_t max_leaf, max_ext_leaf;
	uint8_t phys_bits;
	bool huge_pages, smep, smap, umip, fsgsbase, xsave, rdrand, rdtscp, invpcid, ibpb;
	bool x2apic, tsc_deadline, invariant_tsc, arat, hypervisor;
	uint64_t xcr0;       /* what XCR0 is set to; 3 (x87, SSE) without XSAVE */
	uint32_t xsave_size; /* of a state with all of xcr0; 512 without XSAVE */
};
extern struct cpu_features cpu_features;

void cpu_identify(void);     /* fills cpu_features; boot CPU, first of all */
void cpu_init_control(void); /* CR0, CR4, XCR0 of this CPU as cpu_features says */
void cpu_patch_smap(void);   /* STAC and CLAC into the image; before the text becomes read-only */
void cpu_log_features(void);
void cpu_set_count(unsigned count); /* smp.c: they are there, and have all they need */
void cpu_init_canary(void);         /* stack protector; from a function that never returns */

bool rdmsr_safe(uint32_t msr, uint64_t *value);
bool wrmsr_safe(uint32_t msr, uint64_t value);
#endif
