// SPDX-License-Identifier: Apache-2.0
/*
 * A virtual CPU. It is a world; everything but requests, sipi_vector and what the APIC makes atomic
 * belongs to that world. General registers, RIP and RFLAGS are here between runs; the rest stays in
 * the back end.
 */
#ifndef VMM_VCPU_H
#define VMM_VCPU_H
#include "vmk/hvm.h"
#include "vmk/wait.h"
#include "vmk/world.h"
#include "vmm/emul.h"
#include "vmm/pvclock.h"
#include "vmm/vlapic.h"

enum gpr { GPR_RAX, GPR_RCX, GPR_RDX, GPR_RBX, GPR_RSP, GPR_RBP, GPR_RSI, GPR_RDI };
enum vcpu_request { REQ_STOP = 1, REQ_INIT = 2, REQ_SIPI = 4 };

/* What the emulator and the page-table walk need beyond the general registers. */
struct vcpu_context {
	uint64_t cr0, cr3, cr4, efer;
	uint8_t cpl;
	struct vm_segment seg[VM_SEGMENTS];
};

/*
 * What a walk of the guest's page tables read (gva.h); by level, from the last. at: the page, NULL:
 * nothing is known.
 */
struct gva_known {
	uint64_t page, cr0, cr3, cr4, efer;
	unsigned access;
	const uint64_t *entry[4];
	uint64_t value[4];
	const char *at;
};

/* An instruction that was emulated: from the same bytes at the same place it is the same again. */
struct emul_known {
	struct gva_known where;
	uint64_t bytes[2];
	struct emul_insn insn;
};

struct vcpu_event { /* waits for the next entry */
	bool valid, has_error;
	uint8_t type, vector; /* enum hvm_event_type */
	uint32_t error;
};

/* Registers that neither the VMCB nor VMLOAD holds; switched when the world is (vcpu_state.c). */
struct vcpu_extra {
	uint8_t *fpu; /* XSAVE or FXSAVE area */
	uint64_t xcr0, dr[4], tsc_aux;
};

struct vcpu {
	uint64_t gpr[16]; /* first: svm_entry.S; by number of the instruction encoding */
	uint64_t rip, rflags;
	bool int_shadow, nmi_masked, halted, wait_sipi, tlb_stale;
	uint8_t sipi_vector;
	uint32_t requests; /* enum vcpu_request, atomic */
	uint32_t nmi;      /* one waits, atomic */
	uint32_t id;
	struct vm *vm;
	const struct hvm_ops *ops;
	void *hvm; /* the back end's */
	struct gmem *gmem;
	struct gmem_cpu tlb;
	struct vcpu_event event;
	struct vlapic apic;
	struct vcpu_extra extra;
	struct pvclock pvclock;
	struct waitq wait;
	struct world *world;
	uint64_t msr_store[32]; /* vmm/msr.c: registers that only keep their value */
	uint64_t exits[EXIT_KINDS];
	struct emul_known known[8];
};

int __must_check vcpu_create(struct vm *vm, unsigned id, struct vcpu **out);
void vcpu_destroy(struct vcpu *v); /* its world is gone or never was */
int __must_check vcpu_start(struct vcpu *v, struct group *group);
void vcpu_set_state(struct vcpu *v,
                    const struct vm_vcpu_state *s);   /* its world, or before it starts */
void vcpu_request(struct vcpu *v, uint32_t requests); /* any context */
void vcpu_nmi(struct vcpu *v);                        /* any context */
void vcpu_wake(struct vcpu *v); /* look for work: leaves the guest or HLT; any context */

/* vcpu_state.c: hooks of the world, at switches. */
int __must_check vcpu_state_create(struct vcpu *v);
void vcpu_state_destroy(struct vcpu *v);
void vcpu_state_in(struct vcpu *v);
void vcpu_state_out(struct vcpu *v);
uint64_t vcpu_xcr0(void);                          /* of the vCPU that runs this */
bool vcpu_set_xcr0(struct vcpu *v, uint64_t xcr0); /* false: #GP */
void vcpu_set_tsc_aux(struct vcpu *v, uint64_t value);
/* XMM registers, in halves of 8 bytes. */
uint64_t vcpu_xmm_get(struct vcpu *v, unsigned reg, unsigned half);
void vcpu_xmm_set(struct vcpu *v, unsigned reg, unsigned half, uint64_t value);

/* inject.c */
static inline void vcpu_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
	v->event = (struct vcpu_event){ true, has_error, HVM_EXCEPTION, vector, error };
}
bool inject_pending(struct vcpu *v); /* something would end HLT */
void inject_events(struct vcpu *v);  /* interrupts off, right before the entry */

/* exit.c */
void exit_handle(struct vcpu *v, const struct vm_exit *e);
extern const char *const exit_names[EXIT_KINDS];
static inline void vcpu_skip(struct vcpu *v, unsigned len)
{
	v->rip += len;
	v->int_shadow = false;
}

/* cpuid.c, msr.c */
bool vcpu_osxsave(struct vcpu *v); /* CR4.OSXSAVE of the guest */
void cpuid_exit(struct vcpu *v);
bool msr_read(struct vcpu *v, uint32_t msr, uint64_t *value); /* false: #GP */
bool msr_write(struct vcpu *v, uint32_t msr, uint64_t value);
#endif
