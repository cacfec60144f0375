// SPDX-License-Identifier: Apache-2.0
/*
 * What the guest is to see at its next entry, in the order of priority: an event that is under way,
 * an NMI, an interrupt of the local APIC or, through LINT0, of the PIC.
 */
#include "hw/exception.h"
#include "vmk/stat.h"
#include "vmm/vm_priv.h"
#include "x86/insn.h"

STAT(interrupts, "vm.inject.interrupts", "interrupts delivered to guests");
STAT(windows, "vm.inject.windows", "entries with an interrupt that the guest could not take yet");

static bool extint(const struct vcpu *v)
{
	return v->id == 0 && READ_ONCE(v->vm->pic.output) && vlapic_takes_extint(&v->apic);
}

static bool nmi_deliverable(const struct vcpu *v)
{
	return READ_ONCE(v->nmi) && !v->nmi_masked;
}

bool inject_pending(struct vcpu *v)
{
	if (v->event.valid || nmi_deliverable(v))
		return true;
	if (!(v->rflags & RFLAGS_IF))
		return false;
	return (vlapic_any(&v->apic) && vlapic_pending(&v->apic) >= 0) || extint(v);
}

/* One interrupt into the guest, or the wish for a window when it is busy. */
static bool inject_interrupt(struct vcpu *v, bool busy)
{
	int vector = vlapic_any(&v->apic) ? vlapic_pending(&v->apic) : -1;

	if (vector < 0 && !extint(v))
		return false;
	if (busy || v->int_shadow || !(v->rflags & RFLAGS_IF)) {
		stat_inc(windows);
		return true;
	}
	if (vector >= 0)
		vlapic_accept(&v->apic, (uint8_t)vector);
	else
		vector = vpic_acknowledge(&v->vm->pic);
	v->ops->inject(v, HVM_INTERRUPT, (uint8_t)vector, false, 0);
	stat_inc(interrupts);
	/* More of them may wait. */
	return (vlapic_any(&v->apic) && vlapic_pending(&v->apic) >= 0) || extint(v);
}

void inject_events(struct vcpu *v)
{
	bool busy = v->event.valid, irq;

	if (unlikely(busy)) {
		const struct vcpu_event *e = &v->event;

		v->ops->inject(v, e->type, e->vector, e->has_error, e->error);
		v->event.valid = false;
	} else if (unlikely(nmi_deliverable(v)) && !v->int_shadow) {
		busy = true;
		__atomic_store_n(&v->nmi, 0, __ATOMIC_RELAXED);
		v->nmi_masked = true;
		v->ops->inject(v, HVM_NMI, VEC_NMI, false, 0);
	}
	irq = inject_interrupt(v, busy);
	v->ops->window(v, irq, v->nmi_masked);
}
