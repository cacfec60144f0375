// SPDX-License-Identifier: Apache-2.0
/*
 * The way of an interrupt through a VM: lines to the PIC and the I/O APIC, messages and IPIs to
 * local APICs. APIC id n is vCPU n. Any context.
 */
#include "vmk/stat.h"
#include "vmm/vm_priv.h"
#include "x86/insn.h"

STAT(ipis, "vm.intr.ipis", "interrupts that vCPUs sent to each other");
STAT(messages, "vm.intr.messages", "MSI and MSI-X messages of device models");
STAT(refused, "vm.intr.refused", "messages with a mode that is not modelled");

#define MSI_DEST        BITS(19, 12)
#define MSI_DEST_HIGH   BITS(11, 5) /* KVM's and Hyper-V's extended destination */
#define MSI_LOGICAL     BIT(2)
#define MSI_DATA_VECTOR BITS(7, 0)
#define MSI_DATA_MODE   BITS(10, 8)
#define MSI_DATA_LEVEL  BIT(15)

static void deliver_to(struct vcpu *v, const struct apic_message *m)
{
	switch (m->mode) {
	case APIC_FIXED:
	case APIC_LOWEST: vlapic_post(&v->apic, m->vector, m->level); break;
	case APIC_NMI: vcpu_nmi(v); break;
	case APIC_INIT: vcpu_request(v, REQ_INIT); break;
	case APIC_STARTUP:
		/* The vector before the request: the vCPU reads it when it has seen the request. */
		v->sipi_vector = m->vector;
		vcpu_request(v, REQ_SIPI);
		break;
	default: stat_inc(refused);
	}
}

/* To every local APIC that the destination names; of lowest-priority messages to one. */
static void deliver(struct vm *vm, const struct apic_message *m)
{
	uint32_t start = 0;

	if (m->mode == APIC_LOWEST)
		/* Arbitration by turns: priorities are not compared, as on newer processors. */
		start = __atomic_fetch_add(&vm->lowest_next, 1, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < vm->cpus; i++) {
		struct vcpu *v = vm->vcpu[(start + i) % vm->cpus];

		if (!vlapic_matches(&v->apic, m->dest, m->logical))
			continue;
		deliver_to(v, m);
		if (m->mode == APIC_LOWEST)
			return;
	}
}

void vm_msi(struct vm *vm, uint64_t address, uint32_t data)
{
	struct apic_message m = {
		.dest = (uint32_t)(GET(MSI_DEST, address) | GET(MSI_DEST_HIGH, address) << 8),
		.logical = address & MSI_LOGICAL,
		.vector = (uint8_t)GET(MSI_DATA_VECTOR, data),
		.mode = (uint8_t)GET(MSI_DATA_MODE, data),
		.level = data & MSI_DATA_LEVEL,
	};

	/* A guest may program any address; only those of the APIC range are messages. */
	if ((address & ~0xfffffull) != VM_LAPIC) {
		stat_inc(refused);
		return;
	}
	stat_inc(messages);
	deliver(vm, &m);
}

static void send_ipi(struct vlapic *a, uint64_t icr)
{
	struct vcpu *self = container_of(a, struct vcpu, apic);
	struct vm *vm = self->vm;
	unsigned shorthand = GET(APIC_ICR_SHORT, icr);
	struct apic_message m = {
		.dest = (uint32_t)(icr >> 32),
		.logical = icr & APIC_ICR_LOGICAL,
		.vector = (uint8_t)GET(APIC_ICR_VECTOR, icr),
		.mode = (uint8_t)GET(APIC_ICR_MODE, icr),
	};

	/* INIT with level de-assert only set arbitration ids, long ago. */
	if (m.mode == APIC_INIT && (icr & APIC_ICR_LEVEL) && !(icr & APIC_ICR_ASSERT))
		return;
	stat_inc(ipis);
	if (shorthand == APIC_SHORT_NONE) {
		deliver(vm, &m);
		return;
	}
	for (uint32_t i = 0; i < vm->cpus; i++) {
		bool me = vm->vcpu[i] == self;

		if (shorthand == APIC_SHORT_ALL || me == (shorthand == APIC_SHORT_SELF))
			deliver_to(vm->vcpu[i], &m);
	}
}

static void apic_wake(struct vlapic *a)
{
	vcpu_wake(container_of(a, struct vcpu, apic));
}

static void apic_eoi(struct vlapic *a, uint8_t vector)
{
	vioapic_eoi(&container_of(a, struct vcpu, apic)->vm->ioapic, vector);
}

static uint64_t apic_tsc(struct vlapic *a)
{
	return vm_guest_tsc(container_of(a, struct vcpu, apic)->vm);
}

static ns_t apic_tsc_to_ns(struct vlapic *a, uint64_t ticks)
{
	return mul_div(ticks, NS_PER_S, time_tsc_hz());
}

const struct vlapic_env vm_vlapic_env = {
	.wake = apic_wake,
	.ipi = send_ipi,
	.eoi = apic_eoi,
	.guest_tsc = apic_tsc,
	.tsc_to_ns = apic_tsc_to_ns,
};

static void ioapic_deliver(struct vioapic *io, const struct apic_message *m)
{
	deliver(container_of(io, struct vm, ioapic), m);
}

static void pic_changed(struct vpic *p, bool output)
{
	struct vm *vm = container_of(p, struct vm, pic);

	/* The PIC is made before the vCPUs are. */
	if (output && vm->vcpu[0])
		vcpu_wake(vm->vcpu[0]);
}

static void line_set(struct virq *q, bool level)
{
	struct vm_line *l = container_of(q, struct vm_line, q);

	/*
	 * ISA interrupts go to both controllers; software uses one and masks the other. Input 2
	 * is the cascade, and the timer (GSI 0) is wired to I/O APIC pin 2, as the MADT says.
	 */
	if (l->gsi < 16 && l->gsi != 2)
		vpic_set(&l->vm->pic, l->gsi, level);
	vioapic_set(&l->vm->ioapic, l->gsi == GSI_TIMER ? PIN_TIMER : l->gsi, level);
}

struct virq *vm_irq(struct vm *vm, unsigned gsi)
{
	return &vm->line[gsi].q;
}

int vm_intr_init(struct vm *vm)
{
	int err;

	for (uint32_t i = 0; i < GSIS; i++)
		vm->line[i] = (struct vm_line){ .q.set = line_set, .vm = vm, .gsi = i };
	err = vpic_init(&vm->pic, &vm->io, pic_changed);
	return err ? err : vioapic_init(&vm->ioapic, &vm->io, ioapic_deliver);
}
