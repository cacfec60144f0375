// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's local APIC, xAPIC and x2APIC. Registers belong to the vCPU's world; irr, tmr and
 * esr_pending are atomic, so that any context may post an interrupt; timer_lock guards the timer.
 * Spec: Intel SDM 3A 11 (AMD APM 2, 16).
 */
#ifndef VMM_VLAPIC_H
#define VMM_VLAPIC_H
#include "abi/vm.h"
#include "hw/apic.h"
#include "vmk/lock.h"
#include "vmk/time.h"

struct vlapic;
/* What an APIC needs of the VM around it. */
struct vlapic_env {
	void (*wake)(struct vlapic *a);                /* an interrupt is posted; any context */
	void (*ipi)(struct vlapic *a, uint64_t icr);   /* x2APIC form: destination in bits 63-32 */
	void (*eoi)(struct vlapic *a, uint8_t vector); /* of a level-triggered interrupt */
	uint64_t (*guest_tsc)(struct vlapic *a);
	ns_t (*tsc_to_ns)(struct vlapic *a, uint64_t ticks);
};

struct vlapic {
	const struct vlapic_env *env;
	uint64_t irr[4], tmr[4], isr[4];
	uint64_t base_msr, icr;
	uint32_t id, tpr, ldr, dfr, svr, esr, timer_init, timer_divide;
	uint32_t esr_pending;       /* atomic */
	uint32_t lvt[7];            /* CMCI, timer, thermal, perf, lint0, lint1, error */
	struct spinlock timer_lock; /* guards the rest: the expiry runs on any CPU */
	uint64_t deadline_tsc;      /* 0: none; read without the lock */
	ns_t timer_start, timer_period;
	ns_t timer_due; /* what timer is set to; NS_NEVER: it is not */
	struct timer timer;
};

void vlapic_init(struct vlapic *a, const struct vlapic_env *env, uint32_t id, bool bsp);
void vlapic_reset(struct vlapic *a); /* INIT: the id and the base stay */
void vlapic_stop(struct vlapic *a);  /* no timer runs any more */

/* Posts a vector; any context. */
void vlapic_post(struct vlapic *a, uint8_t vector, bool level);
/* The vector to deliver now, or -1; accept moves it into service. */
int vlapic_pending(const struct vlapic *a);
void vlapic_accept(struct vlapic *a, uint8_t vector);
static inline bool vlapic_any(const struct vlapic *a)
{
	return READ_ONCE(a->irr[0]) | READ_ONCE(a->irr[1]) | READ_ONCE(a->irr[2]) |
	       READ_ONCE(a->irr[3]);
}

uint32_t vlapic_read(struct vlapic *a, unsigned reg);
void vlapic_write(struct vlapic *a, unsigned reg, uint32_t v);
/* MSRs 800h-8ffh; false: #GP. */
bool vlapic_msr_read(struct vlapic *a, uint32_t msr, uint64_t *v);
bool vlapic_msr_write(struct vlapic *a, uint32_t msr, uint64_t v);
bool vlapic_set_base(struct vlapic *a, uint64_t v);
void vlapic_set_deadline(struct vlapic *a, uint64_t tsc);

static inline bool vlapic_x2apic(const struct vlapic *a)
{
	return a->base_msr & APIC_BASE_X2APIC;
}
static inline bool vlapic_enabled(const struct vlapic *a)
{
	return (a->base_msr & APIC_BASE_ENABLE) && (a->svr & APIC_SVR_ENABLE);
}
/* Whether a message to dest reaches it. */
bool vlapic_matches(const struct vlapic *a, uint32_t dest, bool logical);
/* An interrupt of the PIC's gets through LINT0. */
bool vlapic_takes_extint(const struct vlapic *a);
/* The line LINT1 (NMI) is wired to nothing; NMI watchdogs find its LVT working all the same. */
#endif
