// SPDX-License-Identifier: Apache-2.0
/*
 * Model-specific registers that are intercepted: one row a range, a reader and a writer each. What
 * is not in the table is #GP, and counted. Spec: AMD APM 2 appendix A; Intel SDM 4.
 */
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
	*value = READ_ONCE(v->apic.deadline_tsc);
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
	static const uint32_t fixed[] = { 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a,
		                          0x26b, 0x26c, 0x26d, 0x26e, 0x26f };

	if (msr >= 0x200 && msr < 0x200 + 2 * MTRR_COUNT)
		return &v->msr_store[STORE_MTRR_BASE + msr - 0x200];
	for (unsigned i = 0; i < ARRAY_SIZE(fixed); i++) {
		if (msr == fixed[i])
			return &v->msr_store[STORE_MTRR_FIXED + i];
	}
	switch (msr) {
	case 0x2ff: return &v->msr_store[STORE_MTRR_DEF];
	case 0x1a0: return &v->msr_store[STORE_MISC];
	case 0xc0010010: return &v->msr_store[STORE_SYSCFG];
	case 0xc0010015: return &v->msr_store[STORE_HWCR];
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

static const struct msr_row rows[] = {
	{ 0x6e0, 0x6e0, deadline_read, deadline_write },
	{ 0x800, 0x8ff, x2apic_read, x2apic_write },
	{ 0x1b, 0x1b, base_read, base_write },
	{ MSR_EFER, MSR_EFER, backend_read, backend_write },
	{ 0x10, 0x10, backend_read, backend_write },
	{ MSR_KVM_WALL_CLOCK, MSR_KVM_WALL_CLOCK, zero, wall_write },
	{ MSR_KVM_SYSTEM_TIME, MSR_KVM_SYSTEM_TIME, clock_read, clock_write },
	{ MSR_KVM_WALL_CLOCK_OLD, MSR_KVM_WALL_CLOCK_OLD, zero, wall_write },
	{ MSR_KVM_SYSTEM_TIME_OLD, MSR_KVM_SYSTEM_TIME_OLD, clock_read, clock_write },
	{ MSR_TSC_AUX, MSR_TSC_AUX, aux_read, aux_write },
	{ MSR_PAT, MSR_PAT, backend_read, backend_write },
	{ 0xfe, 0xfe, mtrr_cap_read, NULL },
	{ 0x200, 0x200 + 2 * MTRR_COUNT - 1, store_read, store_write },
	{ 0x250, 0x26f, store_read, store_write },
	{ 0x2ff, 0x2ff, store_read, store_write },
	{ 0x1a0, 0x1a0, store_read, store_write },           /* MISC_ENABLE */
	{ 0xc0010010, 0xc0010010, store_read, store_write }, /* SYSCFG */
	{ 0xc0010015, 0xc0010015, store_read, store_write }, /* HWCR */
	{ 0x17, 0x17, zero, NULL },                          /* platform id */
	{ 0x8b, 0x8b, zero, ignore },                        /* microcode revision */
	{ 0x179, 0x17a, zero, ignore },                      /* MCG_CAP: no banks; MCG_STATUS */
	{ 0xc0010020, 0xc0010020, NULL, ignore },            /* AMD's microcode loader */
	{ 0xc001001f, 0xc001001f, zero, ignore },            /* NB_CFG */
	{ 0xc0010055, 0xc0010055, zero, ignore },            /* interrupt pending: no C1E */
	{ 0xc0010112, 0xc0010113, zero, ignore },            /* TSEG */
	{ 0xc0011020, 0xc0011029, zero, ignore },            /* LS_CFG to DE_CFG: chicken bits */
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
