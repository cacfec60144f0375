// SPDX-License-Identifier: Apache-2.0
/*
 * Registers that no VMCB holds, switched with the vCPU's world: x87 to AVX by XSAVE (eagerly, so
 * that nothing of another world is ever left to guess at), XCR0, DR0-3, TSC_AUX. The kernel uses
 * none of them, so exits leave them alone. Where a CPU runs another VM than before, an IBPB is
 * issued: branch predictions of the one do not steer the other. Interrupts off.
 * Spec: AMD APM 2, 15.5.1, 3.2.9 (PRED_CMD); Intel SDM 1, 13.
 */
#include "vmk/cpu.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmm/vm_priv.h"
#include "x86/cpu.h"
#include "x86/insn.h"

enum {
	LEAF_XSTATE = 0xd,
	FCW_INIT = 0x37f,
	MXCSR_INIT = 0x1f80,
	FPU_FCW = 0,
	FPU_MXCSR = 24,
	FPU_XMM = 160,
	FPU_XSTATE_BV = 512
};
#define XCR0_X87    BIT(0)
#define XCR0_SSE    BIT(1)
#define XCR0_AVX    BIT(2)
#define XCR0_AVX512 BITS(7, 5)
#define XCR0_PKRU   BIT(9)

STAT(barriers, "vm.branch_barriers", "branch predictions dropped between two VMs on a CPU");

/*
 * What XSAVE and XRSTOR switch for a vCPU: what the host uses, and PKRU. Guests are not offered
 * protection keys, but nothing keeps one from setting CR4.PKE, and then from reading and changing
 * what the vCPU before it has left there. The same on all CPUs; set with the first vCPU.
 */
static uint64_t components;

/* The handle of the VM that each CPU ran last. */
static uint64_t ran_last[CPUS_MAX];

static void branch_barrier(const struct vcpu *v)
{
	uint64_t *last = &ran_last[cpu_id()], handle = v->vm->handle;

	if (likely(*last == handle) || !cpu_features.ibpb)
		return;
	/* Handles are never used again, so a VM at the address of one that is gone differs. */
	*last = handle;
	wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
	stat_inc(barriers);
}

/* Of an area for all components, which it finds out. */
static size_t area_size(void)
{
	struct cpuid pkru = { 0 };
	uint64_t all = cpu_features.xcr0;

	if (cpu_features.xsave && (cpuid(LEAF_XSTATE, 0).a & XCR0_PKRU)) {
		pkru = cpuid(LEAF_XSTATE, 9); /* a: size, b: offset */
		all |= XCR0_PKRU;
	}
	WRITE_ONCE(components, all);
	return MAX(cpu_features.xsave_size, pkru.a + pkru.b);
}

int vcpu_state_create(struct vcpu *v)
{
	uint16_t fcw = FCW_INIT;
	uint32_t mxcsr = MXCSR_INIT;

	/* Whole pages: XSAVE wants 64 bytes of alignment. */
	v->extra.fpu = vmalloc(area_size());
	if (!v->extra.fpu)
		return -ENOMEM;
	memcpy(v->extra.fpu + FPU_FCW, &fcw, sizeof(fcw));
	memcpy(v->extra.fpu + FPU_MXCSR, &mxcsr, sizeof(mxcsr));
	v->extra.xcr0 = XCR0_X87;
	return 0;
}

void vcpu_state_destroy(struct vcpu *v)
{
	vfree(v->extra.fpu);
}

static void fpu_load(const struct vcpu_extra *x)
{
	uint32_t lo = (uint32_t)components, hi = (uint32_t)(components >> 32);

	if (!cpu_features.xsave) {
		__asm__ volatile("fxrstor64 %0" ::"m"(*x->fpu) : "memory");
		return;
	}
	/* XRSTOR refuses bits that XCR0 lacks: the guest's comes after it. */
	if (components != cpu_features.xcr0)
		xsetbv(0, components);
	__asm__ volatile("xrstor64 %0" ::"m"(*x->fpu), "a"(lo), "d"(hi) : "memory");
	if (x->xcr0 != components)
		xsetbv(0, x->xcr0);
}

/* The guest's XCR0 is live: some emulators let it write the register past the intercept. */
uint64_t vcpu_xcr0(void)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

static void fpu_save(struct vcpu_extra *x)
{
	uint32_t lo = (uint32_t)components, hi = (uint32_t)(components >> 32);

	if (!cpu_features.xsave) {
		__asm__ volatile("fxsave64 %0" : "=m"(*x->fpu)::"memory");
		return;
	}
	x->xcr0 = vcpu_xcr0();
	/* All components, also those that the guest has switched off meanwhile. */
	if (x->xcr0 != components)
		xsetbv(0, components);
	__asm__ volatile("xsave64 %0" : "+m"(*x->fpu) : "a"(lo), "d"(hi) : "memory");
	if (components != cpu_features.xcr0)
		xsetbv(0, cpu_features.xcr0);
}

void vcpu_state_in(struct vcpu *v)
{
	const struct vcpu_extra *x = &v->extra;

	branch_barrier(v);
	fpu_load(x);
	__asm__ volatile(
		"mov %0, %%db0; mov %1, %%db1; mov %2, %%db2; mov %3, %%db3" ::"r"(x->dr[0]),
		"r"(x->dr[1]), "r"(x->dr[2]), "r"(x->dr[3]));
	/* RDTSCP and RDPID of the guest read it without an exit. */
	if (cpu_features.rdtscp)
		wrmsr(MSR_TSC_AUX, x->tsc_aux);
	pvclock_refresh(v);
}

void vcpu_state_out(struct vcpu *v)
{
	struct vcpu_extra *x = &v->extra;

	fpu_save(x);
	__asm__ volatile("mov %%db0, %0; mov %%db1, %1; mov %%db2, %2; mov %%db3, %3"
	                 : "=r"(x->dr[0]), "=r"(x->dr[1]), "=r"(x->dr[2]), "=r"(x->dr[3]));
}

bool vcpu_set_xcr0(struct vcpu *v, uint64_t xcr0)
{
	uint64_t avx512 = xcr0 & XCR0_AVX512, flags;

	/* What XSETBV demands (SDM 1, 13.3): x87 always, AVX with SSE, AVX-512's three together. */
	if (!(xcr0 & XCR0_X87) || (xcr0 & ~cpu_features.xcr0) || !cpu_features.xsave)
		return false;
	if ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE))
		return false;
	if (avx512 && (avx512 != XCR0_AVX512 || !(xcr0 & XCR0_AVX)))
		return false;
	flags = irq_save(); /* no switch between the two */
	v->extra.xcr0 = xcr0;
	xsetbv(0, xcr0);
	irq_restore(flags);
	return true;
}

void vcpu_set_tsc_aux(struct vcpu *v, uint64_t value)
{
	/*
	 * A switch between the two lines loads the new value, and the second one writes
	 * it again.
	 */
	v->extra.tsc_aux = value;
	wrmsr(MSR_TSC_AUX, value);
}

/*
 * The registers are live in the processor: a save and a load go through the area. Rare: only moves
 * of 16 bytes to device memory need it.
 */
static uint64_t *xmm_slot(struct vcpu *v, unsigned reg, unsigned half)
{
	return (uint64_t *)(v->extra.fpu + FPU_XMM + 16 * reg + 8 * half);
}

uint64_t vcpu_xmm_get(struct vcpu *v, unsigned reg, unsigned half)
{
	uint64_t flags = irq_save(), value;

	vcpu_state_out(v);
	value = *xmm_slot(v, reg, half);
	vcpu_state_in(v);
	irq_restore(flags);
	return value;
}

void vcpu_xmm_set(struct vcpu *v, unsigned reg, unsigned half, uint64_t value)
{
	uint64_t flags = irq_save(), *header = (uint64_t *)(v->extra.fpu + FPU_XSTATE_BV);

	vcpu_state_out(v);
	if (cpu_features.xsave)
		*header |= XCR0_SSE; /* no longer in its initial state */
	*xmm_slot(v, reg, half) = value;
	vcpu_state_in(v);
	irq_restore(flags);
}
