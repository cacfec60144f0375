// SPDX-License-Identifier: Apache-2.0
/*
 * Back ends for hardware virtualization (svm; vmx follows) behind one ops table, and the neutral
 * form of an exit. A back end keeps a vCPU's registers in the CPU's own structure; common code
 * reads and writes them through struct vcpu and these ops. Everything but create and destroy runs
 * on the vCPU's world.
 */
#ifndef VMK_HVM_H
#define VMK_HVM_H
#include "abi/hcl.h"
#include "abi/vm.h"
#include "vmk/gmem.h"

struct vcpu;
struct vcpu_context;

enum vm_exit_kind {
	EXIT_INVALID, /* the guest's state cannot be entered, or an exit that nobody knows */
	EXIT_NONE,    /* an interrupt of the host's, a window: nothing to do */
	EXIT_CPUID,
	EXIT_HLT,
	EXIT_IO,
	EXIT_MSR,
	EXIT_MMIO, /* nested page fault */
	EXIT_HYPERCALL,
	EXIT_XSETBV,
	EXIT_SKIP, /* an instruction without effect here: WBINVD, INVD */
	EXIT_PAUSE,
	EXIT_UNDEFINED, /* an instruction that the guest does not have */
	EXIT_SHUTDOWN,  /* triple fault */
	EXIT_CR8,
	EXIT_REFLECT, /* an intercepted exception that goes back to the guest */
	EXIT_KINDS,
};

struct vm_exit {
	uint32_t kind; /* enum vm_exit_kind */
	uint8_t len;   /* bytes of the instruction; 0: unknown, decode it */
	uint8_t cpl;   /* of the guest at the exit */
	union {
		struct {
			uint16_t port;
			uint8_t size, addr_size; /* bytes */
			bool in, string, rep;
		} io;
		struct {
			bool write;
		} msr;
		struct {
			gpa_t gpa;
			bool write, fetch;
			uint8_t count; /* bytes in insn; 0: fetch them */
			const uint8_t *insn;
		} mmio;
		struct {
			uint8_t vector;
			bool has_error;
			uint32_t error;
		} exception;
		uint64_t code; /* invalid: the back end's own */
	};
};

/* Rows of .hvm_ops; the HCL reads the rows of .hvm_backends. */
enum hvm_event_type { HVM_INTERRUPT, HVM_NMI, HVM_EXCEPTION };

struct hvm_ops {
	const struct hcl_hvm *hcl; /* its row of .hvm_backends */
	/* This CPU can: enables it here. 0 or -ENODEV. Interrupts off. */
	int (*enable_cpu)(void);
	const struct npt_format *(*format)(void);
	int (*vcpu_create)(struct vcpu *v); /* -ENOMEM */
	void (*vcpu_destroy)(struct vcpu *v);
	void (*set_state)(struct vcpu *v, const struct vm_vcpu_state *s);
	void (*context)(const struct vcpu *v, struct vcpu_context *c);
	void (*set_cr2)(struct vcpu *v, uint64_t value);
	/*
	 * Registers that the back end keeps for the guest (EFER, PAT, SYSENTER ...); -ENOENT,
	 * -EINVAL: #GP.
	 */
	int (*msr)(struct vcpu *v, uint32_t index, bool write, uint64_t *value);
	/* Runs the guest until something happens. Interrupts off before and after. */
	void (*run)(struct vcpu *v, struct vm_exit *e);
	/* Delivers at the next run; the caller has checked that the guest can take it. */
	void (*inject)(struct vcpu *v, enum hvm_event_type type, uint8_t vector, bool has_error,
	               uint32_t error);
	/* The guest is to exit as soon as it can take an interrupt (on) or an NMI. */
	void (*window)(struct vcpu *v, bool irq, bool nmi);
};
#endif
