// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's local APIC, xAPIC and x2APIC. Registers belong to the vCPU's world; irr and tmr are
 * atomic, so that any context may post an interrupt. Spec: Intel SDM 3A 11 (AMD APM 2, 16).
 */
#ifndef VMM_VLAPIC_H
#define VMM_VLAPIC_H
#include "abi/vm.h"
#include "vmk/time.h"

enum {
	APIC_ID = 0x020,
	APIC_VERSION = 0x030,
	APIC_TPR = 0x080,
	APIC_PPR = 0x0a0,
	APIC_EOI = 0x0b0,
	APIC_LDR = 0x0d0,
	APIC_DFR = 0x0e0,
	APIC_SVR = 0x0f0,
	APIC_ISR = 0x100,
	APIC_TMR = 0x180,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_LVT_CMCI = 0x2f0,
	APIC_ICR = 0x300,
	APIC_ICR2 = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LVT_THERMAL = 0x330,
	APIC_LVT_PERF = 0x340,
	APIC_LVT_LINT0 = 0x350,
	APIC_LVT_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INIT = 0x380,
	APIC_TIMER_COUNT = 0x390,
	APIC_TIMER_DIVIDE = 0x3e0,
	APIC_SELF_IPI = 0x3f0,
};
enum apic_mode {
	APIC_FIXED = 0,
	APIC_LOWEST = 1,
	APIC_SMI = 2,
	APIC_NMI = 4,
	APIC_INIT = 5,
	APIC_STARTUP = 6,
	APIC_EXTINT = 7
};

#define APIC_BASE_BSP    BIT(8)
#define APIC_BASE_X2APIC BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define APIC_SVR_ENABLE  BIT(8)
#define APIC_LVT_MASKED  BIT(16)
#define APIC_LVT_MODE    BITS(10, 8)
#define APIC_LVT_VECTOR  BITS(7, 0)
#define APIC_ICR_VECTOR  BITS(7, 0)
#define APIC_ICR_MODE    BITS(10, 8)
#define APIC_ICR_LOGICAL BIT(11)
#define APIC_ICR_ASSERT  BIT(14)
#define APIC_ICR_LEVEL   BIT(15)
#define APIC_ICR_SHORT   BITS(19, 18)

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
	uint64_t base_msr, icr, deadline_tsc;
	uint32_t id, tpr, ldr, dfr, svr, esr, esr_pending, timer_init, timer_divide;
	uint32_t lvt[7]; /* CMCI, timer, thermal, perf, lint0, lint1, error */
	ns_t timer_start, timer_period;
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
