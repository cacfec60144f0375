// SPDX-License-Identifier: Apache-2.0
/*
 * KVM's paravirtual clock: a page of the guest's tells how to make nanoseconds of its TSC. On the
 * vCPU's world. Spec: Linux Documentation/virt/kvm/x86/msr.rst.
 */
#ifndef VMM_PVCLOCK_H
#define VMM_PVCLOCK_H
#include "vmk/time.h"

enum {
	MSR_KVM_WALL_CLOCK_OLD = 0x11,
	MSR_KVM_SYSTEM_TIME_OLD = 0x12,
	MSR_KVM_WALL_CLOCK = 0x4b564d00,
	MSR_KVM_SYSTEM_TIME = 0x4b564d01
};

struct pvclock {
	uint64_t system_time; /* the MSR: address, bit 0 enables */
	uint32_t version;
	ns_t updated;
};

struct vcpu;
void pvclock_wall_clock(struct vcpu *v, uint64_t gpa);
void pvclock_system_time(struct vcpu *v, uint64_t value);
void pvclock_refresh(struct vcpu *v); /* at switch-in: again when a second has passed */
#endif
