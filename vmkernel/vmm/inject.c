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
	/* The PIC's output is wired to the first processor only, through LINT0. */
	return v->id == 0 && READ_ONCE(v->vm->pic.output) && vlapic_takes_extint(&v->apic);
}

static bool nmi_deliverable(const struct vcpu *v)
{
	return READ_ONCE(v->nmi) && !v->nmi_masked;
}

bool inject_pending(struct vcpu *v)
{
	/* An NMI that is masked does not count: the IRET window ends the mask, not a wake-up. */
	if (v->event.valid || nmi_deliverable(v))
		return true;
	if (!(v->rflags & RFLAGS_IF))
		return false;
	return (vlapic_any(&v->apic) && vlapic_pending(&v->apic) >= 0) || extint(v);
}

/* At most one interrupt into the guest. True: one still waits, the back end is to open a window. */
static bool inject_interrupt(struct vcpu *v, bool busy)
{
	int vector = vlapic_any(&v->apic) ? vlapic_pending(&v->apic) : -1;

	if (vector < 0 && !extint(v))
		return false;
	/* It stays in the IRR; the window's exit brings us here again. */
	if (busy || v->int_shadow || !(v->rflags & RFLAGS_IF)) {
		stat_inc(windows);
		return true;
	}
	/* From here on the vector is in service: svm_run queues it again if it is not delivered. */
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
		/*
		 * An NMI waits behind a shadow too. Nothing asks for an exit then: it goes in
		 * after the next one, which the host's timer brings at the latest.
		 */
	} else if (unlikely(nmi_deliverable(v)) && !v->int_shadow) {
		busy = true;
		__atomic_store_n(&v->nmi, 0, __ATOMIC_RELAXED);
		v->nmi_masked = true;
		v->ops->inject(v, HVM_NMI, VEC_NMI, false, 0);
	}
	irq = inject_interrupt(v, busy);
	/* While NMIs are masked, IRET exits to end that. */
	v->ops->window(v, irq, v->nmi_masked);
}
