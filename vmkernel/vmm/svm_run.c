// SPDX-License-Identifier: Apache-2.0
/*
 * One run of a guest under SVM: registers into the VMCB, entry, and what came back as a neutral
 * exit.
 * Spec: AMD APM 2, 15.5 to 15.21, appendix C (exit codes).
 */
#include "vmm/svm.h"
#include "hw/exception.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmm/vm_priv.h"
#include "x86/percpu.h"

STAT(asid_flushes, "vm.svm.asid_flushes", "full TLB flushes because a CPU's ASIDs were used up");
STAT(asid_new, "vm.svm.asids", "ASIDs handed out");

enum { KIND_SPECIAL = EXIT_KINDS, CODES = 0x90 };

/*
 * Exits that need no more than their kind and the length of their instruction without prefixes; 0
 * is EXIT_INVALID.
 */
static const struct {
	uint8_t kind, len;
} simple[CODES] = {
	[SVM_EXIT_CR8_WRITE] = { EXIT_CR8, 0 },
	[SVM_EXIT_EXCP... SVM_EXIT_EXCP + 31] = { KIND_SPECIAL, 0 },
	[SVM_EXIT_INTR] = { EXIT_NONE, 0 },
	[SVM_EXIT_NMI] = { EXIT_NONE, 0 },
	[SVM_EXIT_VINTR] = { EXIT_NONE, 0 },
	[SVM_EXIT_RDPMC] = { EXIT_UNDEFINED, 2 },
	[SVM_EXIT_CPUID] = { EXIT_CPUID, 2 },
	[SVM_EXIT_IRET] = { KIND_SPECIAL, 0 },
	[SVM_EXIT_INVD] = { EXIT_SKIP, 2 },
	[SVM_EXIT_PAUSE] = { EXIT_PAUSE, 2 },
	[SVM_EXIT_HLT] = { EXIT_HLT, 1 },
	[SVM_EXIT_INVLPGA] = { EXIT_UNDEFINED, 0 },
	[SVM_EXIT_IOIO] = { KIND_SPECIAL, 0 },
	[SVM_EXIT_MSR] = { KIND_SPECIAL, 2 },
	[SVM_EXIT_SHUTDOWN] = { EXIT_SHUTDOWN, 0 },
	[SVM_EXIT_VMRUN] = { EXIT_UNDEFINED, 0 },
	[SVM_EXIT_VMMCALL] = { EXIT_HYPERCALL, 3 },
	[SVM_EXIT_VMLOAD... SVM_EXIT_SKINIT] = { EXIT_UNDEFINED, 0 },
	[SVM_EXIT_WBINVD] = { EXIT_SKIP, 2 },
	[SVM_EXIT_MONITOR... SVM_EXIT_MWAIT_COND] = { EXIT_UNDEFINED, 0 },
	[SVM_EXIT_XSETBV] = { EXIT_XSETBV, 3 },
};

static void inject_event(struct vmcb *c, unsigned type, uint8_t vector, bool has_error,
                         uint32_t error)
{
	c->event_inject = PUT(SVM_EVENT_VECTOR, vector) | PUT(SVM_EVENT_TYPE, type) |
	                  (has_error ? SVM_EVENT_EV | (uint64_t)error << 32 : 0) | SVM_EVENT_V;
}

/*
 * An interrupt is a virtual one that is not intercepted (15.21.4): the guest takes it first of all.
 * As an injected event some emulators deliver it twice.
 */
void svm_inject(struct vcpu *v, enum hvm_event_type type, uint8_t vector, bool has_error,
                uint32_t error)
{
	struct svm *s = svm_of(v);
	struct vmcb *c = s->vmcb;

	if (type != HVM_INTERRUPT) {
		inject_event(c, type == HVM_NMI ? SVM_EVENT_NMI : SVM_EVENT_EXCEPTION, vector,
		             has_error, error);
		return;
	}
	s->irq = true;
	c->int_control = SET(SVM_V_INTR_VECTOR, c->int_control | SVM_V_IRQ, vector);
	svm_dirty(s, SVM_CLEAN_TPR);
}

/*
 * A virtual interrupt that is intercepted tells when the guest could take one. While it waits, MOV
 * to CR8 is intercepted as well: some emulators cannot change the priority under a pending
 * interrupt.
 */
void svm_window(struct vcpu *v, bool irq, bool nmi)
{
	struct svm *s = svm_of(v);
	struct vmcb *c = s->vmcb;

	/* One of the local APIC's and one of the PIC's: V_IRQ cannot be both. */
	if (unlikely(irq && s->irq)) {
		s->irq = false;
		inject_event(c, SVM_EVENT_INTR, (uint8_t)GET(SVM_V_INTR_VECTOR, c->int_control),
		             false, 0);
	}
	if (likely(irq == s->window_irq && nmi == s->window_nmi))
		return;
	s->window_irq = irq;
	s->window_nmi = nmi;
	c->intercept3 &= ~(SVM_I3_VINTR | SVM_I3_IRET);
	c->intercept_cr &= ~BIT(16 + 8);
	if (irq) {
		c->int_control |= SVM_V_IRQ;
		c->intercept3 |= SVM_I3_VINTR;
		c->intercept_cr |= BIT(16 + 8);
	} else if (!s->irq) {
		c->int_control &= ~SVM_V_IRQ;
	}
	if (nmi)
		c->intercept3 |= SVM_I3_IRET;
	svm_dirty(s, SVM_CLEAN_I | SVM_CLEAN_TPR);
}

static void load_asid(struct vcpu *v, struct svm *s, struct svm_cpu *cpu)
{
	uint32_t id = percpu_read(id), old = s->asid.value;
	struct vmcb *c = s->vmcb;
	bool flush = asid_assign(&cpu->asids, &s->asid, id, v->tlb_stale);

	v->tlb_stale = false;
	c->tlb_control = flush ? SVM_TLB_FLUSH_ALL : SVM_TLB_KEEP;
	if (s->cpu != id) {
		s->cpu = id;
		s->clean = 0;
	}
	if (flush)
		stat_inc(asid_flushes);
	if (s->asid.value != old || flush) {
		c->asid = s->asid.value;
		svm_dirty(s, SVM_CLEAN_ASID);
		stat_inc(asid_new);
	}
}

/*
 * An event whose delivery the exit interrupted comes again, but for instructions that raise it
 * again.
 */
static void keep_event(struct vcpu *v, uint64_t info)
{
	unsigned type = GET(SVM_EVENT_TYPE, info), vector = GET(SVM_EVENT_VECTOR, info);

	if (type == SVM_EVENT_SOFT ||
	    (type == SVM_EVENT_EXCEPTION && (vector == VEC_BP || vector == VEC_OF)))
		return;
	v->event = (struct vcpu_event){
		.valid = true,
		.has_error = info & SVM_EVENT_EV,
		.type = type == SVM_EVENT_NMI         ? HVM_NMI
		        : type == SVM_EVENT_EXCEPTION ? HVM_EXCEPTION
		                                      : HVM_INTERRUPT,
		.vector = (uint8_t)vector,
		.error = (uint32_t)(info >> 32),
	};
}

/*
 * The interrupt of svm_inject comes again when the exit was before its delivery, or in it on some
 * emulators.
 */
static void keep_irq(struct vcpu *v, struct svm *s)
{
	struct vmcb *c = s->vmcb;

	s->irq = false;
	if (!(c->int_control & SVM_V_IRQ))
		return;
	c->int_control &= ~SVM_V_IRQ;
	svm_dirty(s, SVM_CLEAN_TPR);
	v->event = (struct vcpu_event){
		.valid = true,
		.type = HVM_INTERRUPT,
		.vector = (uint8_t)GET(SVM_V_INTR_VECTOR, c->int_control),
	};
}

static void exception_exit(const struct vmcb *c, unsigned vector, struct vm_exit *e)
{
	e->kind = EXIT_REFLECT;
	e->exception.vector = (uint8_t)vector;
	e->exception.has_error = vector == VEC_AC;
	e->exception.error = (uint32_t)c->exit_info1;
	if (vector == VEC_MC) { /* it is the host's: raised again there */
		__asm__ volatile("int %0" ::"i"(VEC_MC));
		e->kind = EXIT_NONE;
	}
}

static void special_exit(struct vcpu *v, const struct vmcb *c, struct vm_exit *e)
{
	uint64_t info = c->exit_info1;

	switch (c->exit_code) {
	case SVM_EXIT_IOIO:
		e->kind = EXIT_IO;
		e->len = (uint8_t)(c->exit_info2 - v->rip);
		e->io.port = (uint16_t)GET(SVM_IO_PORT, info);
		e->io.size = (uint8_t)GET(SVM_IO_SIZE, info);
		e->io.addr_size = (uint8_t)(GET(SVM_IO_ADDR, info) * 2);
		e->io.in = info & SVM_IO_IN;
		e->io.string = info & SVM_IO_STR;
		e->io.rep = info & SVM_IO_REP;
		break;
	case SVM_EXIT_MSR:
		e->kind = EXIT_MSR;
		e->msr.write = info & 1;
		break;
	case SVM_EXIT_IRET: /* the NMI handler ends; its IRET runs before the next NMI */
		e->kind = EXIT_NONE;
		v->nmi_masked = false;
		break;
	default: exception_exit(c, c->exit_code - SVM_EXIT_EXCP, e);
	}
}

static void neutral_exit(struct vcpu *v, struct svm *s, struct vm_exit *e)
{
	const struct vmcb *c = s->vmcb;
	uint64_t code = c->exit_code;

	if (code == SVM_EXIT_NPF) {
		e->kind = EXIT_MMIO;
		e->len = 0;
		e->mmio.gpa = c->exit_info2;
		e->mmio.write = c->exit_info1 & BIT(1);
		e->mmio.fetch = c->exit_info1 & BIT(4);
		e->mmio.count = svm_features & SVM_FEATURE_DECODE ? c->fetched & 15 : 0;
		e->mmio.insn = c->instruction;
		return;
	}
	if (unlikely(code >= CODES)) {
		e->kind = EXIT_INVALID;
		e->code = code;
		return;
	}
	e->kind = simple[code].kind;
	e->len = simple[code].len;
	if ((svm_features & SVM_FEATURE_NRIPS) && c->next_rip > v->rip)
		e->len = (uint8_t)(c->next_rip - v->rip);
	if (e->kind == KIND_SPECIAL)
		special_exit(v, c, e);
	else if (e->kind == EXIT_INVALID)
		e->code = code;
}

void svm_run(struct vcpu *v, struct vm_exit *e)
{
	struct svm *s = svm_of(v);
	struct vmcb *c = s->vmcb;
	struct svm_cpu *cpu = percpu_read(vmm);
	uint8_t tpr = (uint8_t)(v->apic.tpr >> 4);

	c->rax = v->gpr[GPR_RAX];
	c->rsp = v->gpr[GPR_RSP];
	c->rip = v->rip;
	c->rflags = v->rflags;
	c->int_shadow = v->int_shadow;
	if (unlikely((c->int_control & SVM_V_TPR) != tpr)) {
		c->int_control = SET(SVM_V_TPR, c->int_control, tpr);
		svm_dirty(s, SVM_CLEAN_TPR);
	}
	load_asid(v, s, cpu);
	c->clean = svm_features & SVM_FEATURE_CLEAN ? s->clean : 0;

	svm_enter(v->gpr, s->vmcb_pa, cpu->host);

	/*
	 * It came in guest mode, where an interrupt would have come as well: to the watchdog a sign
	 * of life.
	 */
	if (unlikely(c->exit_code == SVM_EXIT_NMI))
		this_cpu()->irqs++;
	s->clean = ~0u;
	v->gpr[GPR_RAX] = c->rax;
	v->gpr[GPR_RSP] = c->rsp;
	v->rip = c->rip;
	v->rflags = c->rflags;
	v->int_shadow = c->int_shadow & SVM_INT_SHADOW;
	if (unlikely((c->int_control & SVM_V_TPR) != tpr))
		v->apic.tpr = (uint32_t)(c->int_control & SVM_V_TPR) << 4;
	c->event_inject = 0;
	if (s->irq)
		keep_irq(v, s);
	if (unlikely(c->exit_int_info & SVM_EVENT_V))
		keep_event(v, c->exit_int_info);
	neutral_exit(v, s, e);
}
