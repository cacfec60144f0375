// SPDX-License-Identifier: Apache-2.0
/*
 * One run of a guest under SVM: registers into the VMCB, entry, and what came back as a neutral
 * exit. On the vCPU's world, interrupts off.
 *
 * V_IRQ has two uses, one at a time. With the VINTR intercept it is a window: the guest exits as
 * soon as it could take an interrupt (window_irq). Without the intercept it is an interrupt that
 * the processor itself delivers at the first instruction boundary where the guest may take one
 * (irq). EVENTINJ is used for exceptions and NMIs, and for the interrupt when both uses are needed.
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
	[SVM_EXIT_RDPRU] = { EXIT_UNDEFINED, 0 },
};

static void inject_event(struct vmcb *c, unsigned type, uint8_t vector, bool has_error,
                         uint32_t error)
{
	c->event_inject = PUT(SVM_EVENT_VECTOR, vector) | PUT(SVM_EVENT_TYPE, type) |
	                  (has_error ? SVM_EVENT_EV | (uint64_t)error << 32 : 0) | SVM_EVENT_V;
}

/*
 * An interrupt goes in as V_IRQ without the VINTR intercept (15.21.4). The caller has checked that
 * the guest can take it, so it is delivered before the guest's first instruction. EVENTINJ would
 * serve as well, but some emulators deliver an injected interrupt twice (README.md).
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
 * Asks for an exit as soon as the guest can take an interrupt (V_IRQ with the VINTR intercept) or
 * an NMI (at its IRET). While V_IRQ waits, MOV to CR8 is intercepted as well: some emulators cannot
 * change the priority under a pending interrupt.
 */
void svm_window(struct vcpu *v, bool irq, bool nmi)
{
	struct svm *s = svm_of(v);
	struct vmcb *c = s->vmcb;

	/*
	 * An interrupt is on its way and another one waits behind it, for instance one of the local
	 * APIC's and one of the PIC's. V_IRQ becomes the window, so the first one moves to
	 * EVENTINJ.
	 */
	if (unlikely(irq && s->irq)) {
		s->irq = false;
		inject_event(c, SVM_EVENT_INTR, (uint8_t)GET(SVM_V_INTR_VECTOR, c->int_control),
		             false, 0);
	}
	/* Most entries change nothing: the VMCB and its clean bits stay as they are. */
	if (likely(irq == s->window_irq && nmi == s->window_nmi))
		return;
	s->window_irq = irq;
	s->window_nmi = nmi;
	c->intercept3 &= ~(SVM_I3_VINTR | SVM_I3_IRET);
	c->intercept_cr &= ~SVM_CR8_WRITE;
	if (irq) {
		c->int_control |= SVM_V_IRQ;
		c->intercept3 |= SVM_I3_VINTR;
		c->intercept_cr |= SVM_CR8_WRITE;
		/*
		 * Without a window V_IRQ goes, unless it is an interrupt that is to be delivered.
		 */
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
	/* Another CPU has none of this VMCB cached: it must load all of it (15.15.2). */
	if (s->cpu != id) {
		s->cpu = id;
		s->clean = 0;
	}
	if (flush)
		stat_inc(asid_flushes);
	/* TLB_CONTROL is read at every VMRUN; only the ASID itself is covered by a clean bit. */
	if (s->asid.value != old || flush) {
		c->asid = s->asid.value;
		svm_dirty(s, SVM_CLEAN_ASID);
		stat_inc(asid_new);
	}
}

/*
 * The exit came in the middle of delivering an event (EXITINTINFO is valid, 15.7.2): it is queued
 * for the next entry. Not so INT n, INT3 and INTO: RIP still points at the instruction, which will
 * raise its event again.
 */
static void keep_event(struct vcpu *v, uint64_t info)
{
	unsigned type = GET(SVM_EVENT_TYPE, info), vector = GET(SVM_EVENT_VECTOR, info);

	/* The types and fields of EXITINTINFO are those of EVENTINJ. */
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
 * What became of the interrupt of svm_inject. Delivery clears V_IRQ; if it is still set, the exit
 * came first and the interrupt is queued again. Some emulators leave it set when the exit comes in
 * the middle of the delivery, which has changed no state of the guest's by then.
 */
static void keep_irq(struct vcpu *v, struct svm *s)
{
	struct vmcb *c = s->vmcb;

	/* V_IRQ is ours to use for a window again. */
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
	if (vector == VEC_MC) {
		/* The machine's own error: the host's handler takes it as if it had come there. */
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
		/*
		 * EXITINFO2 is the address of the next instruction, on every processor (15.10.2).
		 */
		e->len = (uint8_t)(c->exit_info2 - v->rip);
		e->io.port = (uint16_t)GET(SVM_IO_PORT, info);
		e->io.size = (uint8_t)GET(SVM_IO_SIZE, info);
		/* The field has 1, 2, 4 for 16, 32, 64 bits. */
		e->io.addr_size = (uint8_t)(GET(SVM_IO_ADDR, info) * 2);
		e->io.in = info & SVM_IO_IN;
		e->io.string = info & SVM_IO_STR;
		e->io.rep = info & SVM_IO_REP;
		break;
	case SVM_EXIT_MSR:
		e->kind = EXIT_MSR;
		e->msr.write = info & 1;
		break;
	case SVM_EXIT_IRET:
		/*
		 * The guest's NMI handler ends. The exit is before the IRET; an NMI that waits
		 * is injected in front of it and returns to it, which nests one level deep.
		 */
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

	e->cpl = c->cpl;
	if (code == SVM_EXIT_NPF) {
		e->kind = EXIT_MMIO;
		e->len = 0;
		/* EXITINFO1 is a page fault's error code, EXITINFO2 the address (15.25.6). */
		e->mmio.gpa = c->exit_info2;
		e->mmio.write = c->exit_info1 & BIT(1);
		e->mmio.fetch = c->exit_info1 & BIT(4);
		/* With decode assists the processor leaves the bytes that it fetched (15.8.4). */
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
	/* nRIP counts prefixes, which the table does not; 0 where there is no next instruction. */
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

	/* VMRUN switches RAX and RSP through the VMCB; svm_enter loads the rest from gpr[]. */
	c->rax = v->gpr[GPR_RAX];
	c->rsp = v->gpr[GPR_RSP];
	c->rip = v->rip;
	c->rflags = v->rflags;
	c->int_shadow = v->int_shadow;
	/* MOV to CR8 changes V_TPR without an exit, so it goes in and comes back with every run. */
	if (unlikely((c->int_control & SVM_V_TPR) != tpr)) {
		c->int_control = SET(SVM_V_TPR, c->int_control, tpr);
		svm_dirty(s, SVM_CLEAN_TPR);
	}
	/* After gmem_enter: v->tlb_stale tells whether a mapping went away since the last run. */
	load_asid(v, s, cpu);
	c->clean = svm_features & SVM_FEATURE_CLEAN ? s->clean : 0;

	svm_enter(v->gpr, s->vmcb_pa, cpu->host);

	/*
	 * The watchdog's NMI came in guest mode, where any interrupt of the host's would have ended
	 * the run too. So this CPU does not hang with interrupts off: count it as a sign of life.
	 */
	if (unlikely(c->exit_code == SVM_EXIT_NMI))
		this_cpu()->irqs++;
	/* The VMCB is now as the processor left it: unchanged parts need no loading. */
	s->clean = ~0u;
	v->gpr[GPR_RAX] = c->rax;
	v->gpr[GPR_RSP] = c->rsp;
	v->rip = c->rip;
	v->rflags = c->rflags;
	v->int_shadow = c->int_shadow & SVM_INT_SHADOW;
	if (unlikely((c->int_control & SVM_V_TPR) != tpr))
		v->apic.tpr = (uint32_t)(c->int_control & SVM_V_TPR) << 4;
	/*
	 * Before events are queued again below: this run's injection is over, whatever came of it.
	 */
	c->event_inject = 0;
	if (s->irq)
		keep_irq(v, s);
	if (unlikely(c->exit_int_info & SVM_EVENT_V))
		keep_event(v, c->exit_int_info);
	neutral_exit(v, s, e);
}
