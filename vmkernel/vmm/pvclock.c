// SPDX-License-Identifier: Apache-2.0
/* KVM's paravirtual clock. The layout of the guest's structures is KVM's ABI. */
#include "vmm/pvclock.h"
#include "vmm/vm_priv.h"
#include "x86/insn.h"

enum { FLAG_TSC_STABLE = 1 };
#define REFRESH_NS NS_PER_S

struct pvclock_time {
	uint32_t version, pad;
	uint64_t tsc_timestamp, system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags, pad2[2];
};
ASSERT_SIZE(struct pvclock_time, 32);

struct pvclock_wall {
	uint32_t version, sec, nsec;
};

/* ns = ((ticks << shift) * mul) >> 32, with mul as large as it can be. */
static void scale(uint64_t hz, uint32_t *mul, int8_t *shift)
{
	int s = 0;

	for (; hz > 2 * NS_PER_S; hz >>= 1)
		s--;
	for (; hz <= NS_PER_S; hz <<= 1)
		s++;
	*mul = (uint32_t)((NS_PER_S << 32) / hz);
	*shift = (int8_t)s;
}

static void publish(struct vcpu *v)
{
	struct pvclock *p = &v->pvclock;
	struct pvclock_time *t = gmem_ptr(v->gmem, p->system_time & ~1ull, sizeof(*t));
	struct pvclock_time n = { 0 };
	uint64_t flags;

	if (!t)
		return;
	/*
	 * The vCPU's world writes the MSR and is switched in: without interrupts the second cannot
	 * come in the middle of the first, and the two clocks are read at one moment.
	 */
	flags = irq_save();
	p->updated = time_now();
	n.tsc_timestamp = vm_guest_tsc(v->vm);
	n.system_time = p->updated - v->vm->started;
	n.flags = time_tsc_reliable() ? FLAG_TSC_STABLE : 0;
	scale(time_tsc_hz(), &n.tsc_to_system_mul, &n.tsc_shift);
	/* Odd while it changes: the guest reads again. */
	WRITE_ONCE(t->version, p->version + 1);
	barrier();
	n.version = p->version + 1;
	*(volatile struct pvclock_time *)t = n;
	barrier();
	p->version += 2;
	WRITE_ONCE(t->version, p->version);
	irq_restore(flags);
}

void pvclock_system_time(struct vcpu *v, uint64_t value)
{
	v->pvclock.system_time = value;
	if (value & 1)
		publish(v);
}

void pvclock_refresh(struct vcpu *v)
{
	/*
	 * The host's frequency is fixed, but rounding of the multiplier drifts: a fresh pair
	 * once a second keeps the guest's clock within microseconds.
	 */
	if ((v->pvclock.system_time & 1) && time_now() - v->pvclock.updated >= REFRESH_NS)
		publish(v);
}

void pvclock_wall_clock(struct vcpu *v, uint64_t gpa)
{
	struct pvclock_wall *w = gmem_ptr(v->gmem, gpa, sizeof(*w));
	ns_t at_start;

	if (!w)
		return;
	/* The guest adds its system time, which counts from the VM's start. */
	at_start = time_realtime() - (time_now() - v->vm->started);
	WRITE_ONCE(w->version, 1);
	barrier();
	w->sec = (uint32_t)(at_start / NS_PER_S);
	w->nsec = (uint32_t)(at_start % NS_PER_S);
	barrier();
	WRITE_ONCE(w->version, 2);
}
