// SPDX-License-Identifier: Apache-2.0
/*
 * Model-specific registers that are intercepted: one row a range, a reader and a writer each. What
 * is not in the table is #GP, and counted. Spec: AMD APM 2 appendix A; Intel SDM 4.
 */
#include "hw/msr.h"
#include "vmk/errno.h"
#include "vmk/stat.h"
#include "vmm/vm_priv.h"
#include "x86/cpu.h"
#include "x86/insn.h"

STAT(unknown, "vm.msr.unknown", "accesses to registers that are not modelled");

enum { MTRR_COUNT = 8, MTRR_FIXED_WC = BIT(8) | BIT(10) };
/* Places in msr_store. */
enum {
	STORE_MTRR_BASE = 0,
	STORE_MTRR_FIXED = 16,
	STORE_MTRR_DEF = 27,
	STORE_HWCR,
	STORE_MISC,
	STORE_SYSCFG
};

struct msr_row {
	uint32_t first, last;
	bool (*read)(struct vcpu *v, uint32_t msr, uint64_t *value); /* NULL: #GP */
	bool (*write)(struct vcpu *v, uint32_t msr, uint64_t value); /* NULL: #GP */
};

static bool zero(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = 0;
	return true;
}

static bool ignore(struct vcpu *v, uint32_t msr, uint64_t value)
{
	return true;
}

static bool backend_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	return v->ops->msr(v, msr, false, value) == 0;
}

static bool backend_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	return v->ops->msr(v, msr, true, &value) == 0;
}

static bool base_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = v->apic.base_msr;
	return true;
}

static bool base_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	/* What CPUID does not offer must not work either. */
	if ((value & APIC_BASE_X2APIC) && (v->vm->config.flags & VM_NO_X2APIC))
		return false;
	return vlapic_set_base(&v->apic, value);
}

static bool x2apic_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	return vlapic_msr_read(&v->apic, msr, value);
}

static bool x2apic_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	return vlapic_msr_write(&v->apic, msr, value);
}

static bool deadline_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = READ_ONCE(READ_ONCE(v->apic.deadline_tsc));
	return true;
}

static bool deadline_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	vlapic_set_deadline(&v->apic, value);
	return true;
}

static bool aux_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = v->extra.tsc_aux;
	return cpu_features.rdtscp;
}

static bool aux_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	if (!cpu_features.rdtscp || value >> 32)
		return false;
	vcpu_set_tsc_aux(v, value);
	return true;
}

static bool mtrr_cap_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = MTRR_COUNT | MTRR_FIXED_WC;
	return true;
}

/* Where the value of a register that only keeps it is; NULL: none. */
static uint64_t *stored(struct vcpu *v, uint32_t msr)
{
	static const uint32_t fixed[] = {
		MSR_MTRR_FIX_64K,    MSR_MTRR_FIX_16K,    MSR_MTRR_FIX_16K + 1, MSR_MTRR_FIX_4K,
		MSR_MTRR_FIX_4K + 1, MSR_MTRR_FIX_4K + 2, MSR_MTRR_FIX_4K + 3,  MSR_MTRR_FIX_4K + 4,
		MSR_MTRR_FIX_4K + 5, MSR_MTRR_FIX_4K + 6, MSR_MTRR_FIX_4K + 7,
	};

	if (msr >= MSR_MTRR_PHYS_BASE && msr < MSR_MTRR_PHYS_BASE + 2 * MTRR_COUNT)
		return &v->msr_store[STORE_MTRR_BASE + msr - MSR_MTRR_PHYS_BASE];
	for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++) {
		if (msr == fixed[i])
			return &v->msr_store[STORE_MTRR_FIXED + i];
	}
	switch (msr) {
	case MSR_MTRR_DEF_TYPE: return &v->msr_store[STORE_MTRR_DEF];
	case MSR_MISC_ENABLE: return &v->msr_store[STORE_MISC];
	case MSR_AMD_SYSCFG: return &v->msr_store[STORE_SYSCFG];
	case MSR_AMD_HWCR: return &v->msr_store[STORE_HWCR];
	default: return NULL;
	}
}

static bool store_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	const uint64_t *p = stored(v, msr);

	*value = p ? *p : 0;
	return p;
}

static bool store_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	uint64_t *p = stored(v, msr);

	if (p)
		*p = value;
	return p;
}

static bool wall_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	if (!(v->vm->config.flags & VM_KVM_LEAVES))
		return false;
	pvclock_wall_clock(v, value);
	return true;
}

static bool clock_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	*value = v->pvclock.system_time;
	return v->vm->config.flags & VM_KVM_LEAVES;
}

static bool clock_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	if (!(v->vm->config.flags & VM_KVM_LEAVES))
		return false;
	pvclock_system_time(v, value);
	return true;
}

/* The first that fits is taken, so what guests use often comes first. */
static const struct msr_row rows[] = {
	{ MSR_TSC_DEADLINE, MSR_TSC_DEADLINE, deadline_read, deadline_write },
	{ MSR_X2APIC, MSR_X2APIC_LAST, x2apic_read, x2apic_write },
	{ MSR_APIC_BASE, MSR_APIC_BASE, base_read, base_write },
	{ MSR_EFER, MSR_EFER, backend_read, backend_write },
	{ MSR_TSC, MSR_TSC, backend_read, backend_write },
	{ MSR_KVM_WALL_CLOCK, MSR_KVM_WALL_CLOCK, zero, wall_write },
	{ MSR_KVM_SYSTEM_TIME, MSR_KVM_SYSTEM_TIME, clock_read, clock_write },
	{ MSR_KVM_WALL_CLOCK_OLD, MSR_KVM_WALL_CLOCK_OLD, zero, wall_write },
	{ MSR_KVM_SYSTEM_TIME_OLD, MSR_KVM_SYSTEM_TIME_OLD, clock_read, clock_write },
	{ MSR_TSC_AUX, MSR_TSC_AUX, aux_read, aux_write },
	{ MSR_PAT, MSR_PAT, backend_read, backend_write },
	{ MSR_MTRR_CAP, MSR_MTRR_CAP, mtrr_cap_read, NULL },
	{ MSR_MTRR_PHYS_BASE, MSR_MTRR_PHYS_BASE + 2 * MTRR_COUNT - 1, store_read, store_write },
	{ MSR_MTRR_FIX_64K, MSR_MTRR_FIX_4K + 7, store_read, store_write },
	{ MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, store_read, store_write },
	{ MSR_MISC_ENABLE, MSR_MISC_ENABLE, store_read, store_write },
	{ MSR_AMD_SYSCFG, MSR_AMD_SYSCFG, store_read, store_write },
	{ MSR_AMD_HWCR, MSR_AMD_HWCR, store_read, store_write },
	{ MSR_PLATFORM_ID, MSR_PLATFORM_ID, zero, NULL },
	{ MSR_UCODE_REV, MSR_UCODE_REV, zero, ignore },
	{ MSR_MCG_CAP, MSR_MCG_STATUS, zero, ignore }, /* there are no banks */
	{ MSR_AMD_UCODE_LOADER, MSR_AMD_UCODE_LOADER, NULL, ignore },
	{ MSR_AMD_NB_CFG, MSR_AMD_NB_CFG, zero, ignore },
	{ MSR_AMD_INT_PENDING, MSR_AMD_INT_PENDING, zero, ignore }, /* no C1E */
	{ MSR_AMD_TSEG_BASE, MSR_AMD_TSEG_MASK, zero, ignore },
	/* Bits that work around errata: firmware has set the host's, a guest's do nothing. */
	{ MSR_AMD_LS_CFG, MSR_AMD_DE_CFG, zero, ignore },
};

static const struct msr_row *row_of(uint32_t msr)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		if (msr >= rows[i].first && msr <= rows[i].last)
			return &rows[i];
	}
	stat_inc(unknown);
	return NULL;
}

bool msr_read(struct vcpu *v, uint32_t msr, uint64_t *value)
{
	const struct msr_row *r = row_of(msr);

	return r && r->read && r->read(v, msr, value);
}

bool msr_write(struct vcpu *v, uint32_t msr, uint64_t value)
{
	const struct msr_row *r = row_of(msr);

	return r && r->write && r->write(v, msr, value);
}
