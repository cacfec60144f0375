// SPDX-License-Identifier: Apache-2.0
/* What assembly needs from C: compiled to text, from which the build makes gen/asm_offsets.h. */
#include "x86/insn.h"
#include "x86/percpu.h"
#include "x86/trap.h"

#define DEFINE(name, value)        __asm__ volatile("\n.ascii \"->" #name " %0\"" ::"i"(value))
#define OFFSET(name, type, member) DEFINE(name, offsetof(type, member))

void asm_offsets(void);
void asm_offsets(void)
{
	DEFINE(LARGE_PAGE, LARGE_SIZE);
	DEFINE(CPUID_LM, BIT(29));
	DEFINE(CPUID_NX, BIT(20));
	DEFINE(CR0_PG, CR0_PG);
	DEFINE(CR0_PE, CR0_PE);
	DEFINE(CR0_WP, CR0_WP);
	DEFINE(CR4_PAE, CR4_PAE);
	DEFINE(MSR_EFER, MSR_EFER);
	DEFINE(MSR_GS_BASE, MSR_GS_BASE);
	DEFINE(EFER_LME, EFER_LME);
	DEFINE(EFER_NXE, EFER_NXE);
	OFFSET(PERCPU_SELF, struct percpu, self);
	OFFSET(PERCPU_KERNEL_RSP, struct percpu, kernel_rsp);
	OFFSET(PERCPU_APIC_ID, struct percpu, apic_id);
	DEFINE(CPUS_MAX, CPUS_MAX);
	OFFSET(PERCPU_USER_RSP, struct percpu, user_rsp);
	OFFSET(PERCPU_CURRENT, struct percpu, current);
	OFFSET(PERCPU_USER_WORK, struct percpu, user_work);
	OFFSET(FRAME_RDI, struct trap_frame, rdi);
	OFFSET(FRAME_VECTOR, struct trap_frame, vector);
	OFFSET(FRAME_RIP, struct trap_frame, rip);
	OFFSET(FRAME_CS, struct trap_frame, cs);
	OFFSET(FRAME_RSP, struct trap_frame, rsp);
	DEFINE(TRAP_STUB_SIZE, TRAP_STUB_SIZE);
	DEFINE(FRAME_SIZE, sizeof(struct trap_frame));
}
