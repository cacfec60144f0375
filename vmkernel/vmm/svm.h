// SPDX-License-Identifier: Apache-2.0
/*
 * The SVM back end's own state. Belongs to the vCPU's world; struct svm_cpu to its CPU with
 * interrupts off.
 */
#ifndef VMM_SVM_H
#define VMM_SVM_H
#include "hw/svm.h"
#include "vmm/asid.h"
#include "vmm/vcpu.h"

struct svm {
	struct vmcb *vmcb;
	pa_t vmcb_pa;
	uint32_t cpu; /* that the VMCB's cached parts are valid on */
	uint32_t clean;
	struct asid asid;
	bool window_irq, window_nmi;
	bool irq; /* V_IRQ is an interrupt for the guest, not a window */
};

struct svm_cpu {
	pa_t host; /* VMCB that holds the host's FS, GS, TR, ... */
	pa_t hsave;
	struct asid_pool asids;
	const struct vm *last; /* whose vCPU ran here last */
};

extern uint32_t svm_features; /* CPUID 8000000A EDX */

static inline struct svm *svm_of(const struct vcpu *v)
{
	return v->hvm;
}
/* A part of the VMCB has changed. */
static inline void svm_dirty(struct svm *s, uint32_t bits)
{
	s->clean &= ~bits;
}

void svm_run(struct vcpu *v, struct vm_exit *e); /* svm_run.c */
void svm_inject(struct vcpu *v, enum hvm_event_type type, uint8_t vector, bool has_error,
                uint32_t error);
void svm_window(struct vcpu *v, bool irq, bool nmi);
void svm_enter(uint64_t gpr[16], pa_t vmcb, pa_t host_vmcb); /* svm_entry.S */
#endif
