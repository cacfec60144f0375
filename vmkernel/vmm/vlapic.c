// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's local APIC: priorities, registers, addressing. The timer is in vlapic_timer.c.
 * Spec: Intel SDM 3A 11.
 */
#include "vmm/vlapic.h"
#include "hw/msr.h"
#include "vmk/string.h"
#include "vmm/vlapic_timer.h"

enum { LVT_CMCI, LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVTS };
enum { VERSION = 0x14 };
#define VERSION_VALUE (VERSION | PUT(APIC_VERSION_MAX_LVT, LVTS - 1))

/* The bits that software may set. */
static const uint32_t lvt_writable[LVTS] = {
	[LVT_CMCI] = 0x107ff,  [LVT_TIMER] = 0x700ff, [LVT_THERMAL] = 0x107ff, [LVT_PERF] = 0x107ff,
	[LVT_LINT0] = 0x1a7ff, [LVT_LINT1] = 0x1a7ff, [LVT_ERROR] = 0x100ff,
};

/* Index into lvt[] or -1. */
static int lvt_index(unsigned reg)
{
	if (reg == APIC_LVT_CMCI)
		return LVT_CMCI;
	if (reg >= APIC_LVT_TIMER && reg <= APIC_LVT_ERROR)
		return LVT_TIMER + (int)((reg - APIC_LVT_TIMER) >> 4);
	return -1;
}

/* For the guest's next look at the ESR; any context. */
static void error(struct vlapic *a, uint32_t bit)
{
	__atomic_fetch_or(&a->esr_pending, bit, __ATOMIC_RELAXED);
}

static int highest(const uint64_t map[4])
{
	for (int i = 3; i >= 0; i--) {
		/* irr is posted to from other CPUs meanwhile; whoever posts wakes us afterwards. */
		uint64_t w = READ_ONCE(map[i]);

		if (w)
			return 64 * i + (int)log2_floor(w);
	}
	return -1;
}

static uint32_t ppr(const struct vlapic *a)
{
	int isr = highest(a->isr);

	/* 11.8.3.1: the higher priority class of the two; with equal ones the TPR's sub-class. */
	return (int)(a->tpr >> 4) >= isr >> 4 ? a->tpr : (uint32_t)isr & 0xf0;
}

void vlapic_init(struct vlapic *a, const struct vlapic_env *env, uint32_t id, bool bsp)
{
	a->env = env;
	a->id = id;
	a->base_msr = VM_LAPIC | APIC_BASE_ENABLE | (bsp ? APIC_BASE_BSP : 0);
	vlapic_timer_init(a);
	vlapic_reset(a);
}

static uint32_t x2apic_ldr(const struct vlapic *a)
{
	return (a->id >> 4) << 16 | 1u << (a->id & 15);
}

void vlapic_reset(struct vlapic *a)
{
	vlapic_timer_stop(a);
	memset(a->irr, 0, sizeof(a->irr));
	memset(a->isr, 0, sizeof(a->isr));
	memset(a->tmr, 0, sizeof(a->tmr));
	for (unsigned i = 0; i < LVTS; i++)
		a->lvt[i] = APIC_LVT_MASKED;
	a->icr = a->tpr = a->esr = a->esr_pending = a->timer_init = a->timer_divide = 0;
	a->ldr = vlapic_x2apic(a) ? x2apic_ldr(a) : 0;
	a->dfr = ~0u;
	a->svr = 0xff;
}

void vlapic_stop(struct vlapic *a)
{
	timer_cancel_sync(&a->timer);
}

void vlapic_post(struct vlapic *a, uint8_t vector, bool level)
{
	uint64_t bit = BIT(vector & 63);

	if (unlikely(vector < 16)) {
		error(a, APIC_ESR_RECEIVE_VECTOR);
		return;
	}
	if (level)
		/* TMR before IRR: when the vector is accepted, EOI finds how it was triggered. */
		__atomic_fetch_or(&a->tmr[vector / 64], bit, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&a->tmr[vector / 64], ~bit, __ATOMIC_SEQ_CST);
	__atomic_fetch_or(&a->irr[vector / 64], bit, __ATOMIC_SEQ_CST);
	a->env->wake(a);
}

int vlapic_pending(const struct vlapic *a)
{
	int v = highest(a->irr);

	if (v < 0 || !vlapic_enabled(a) || (uint32_t)v >> 4 <= ppr(a) >> 4)
		return -1;
	return v;
}

void vlapic_accept(struct vlapic *a, uint8_t vector)
{
	__atomic_fetch_and(&a->irr[vector / 64], ~BIT(vector & 63), __ATOMIC_SEQ_CST);
	a->isr[vector / 64] |= BIT(vector & 63);
}

static void eoi(struct vlapic *a)
{
	int v = highest(a->isr);

	if (v < 0)
		return;
	/* TMR tells whether the I/O APIC waits for this EOI, to look at its line again. */
	a->isr[v / 64] &= ~BIT(v & 63);
	if (a->tmr[v / 64] & BIT(v & 63))
		a->env->eoi(a, (uint8_t)v);
}

static uint32_t map_read(const uint64_t map[4], unsigned index)
{
	return (uint32_t)(READ_ONCE(map[index / 2]) >> (32 * (index & 1)));
}

uint32_t vlapic_read(struct vlapic *a, unsigned reg)
{
	int lvt = lvt_index(reg);

	if (lvt >= 0)
		return a->lvt[lvt];
	switch (reg) {
	case APIC_ID: return vlapic_x2apic(a) ? a->id : a->id << 24;
	case APIC_VERSION: return (uint32_t)VERSION_VALUE;
	case APIC_TPR: return a->tpr;
	case APIC_PPR: return ppr(a);
	case APIC_LDR: return a->ldr;
	case APIC_DFR: return a->dfr;
	case APIC_SVR: return a->svr;
	case APIC_ISR ... APIC_ISR + 0x70: return map_read(a->isr, (reg - APIC_ISR) >> 4);
	case APIC_TMR ... APIC_TMR + 0x70: return map_read(a->tmr, (reg - APIC_TMR) >> 4);
	case APIC_IRR ... APIC_IRR + 0x70: return map_read(a->irr, (reg - APIC_IRR) >> 4);
	case APIC_ESR: return a->esr;
	case APIC_ICR: return (uint32_t)a->icr;
	case APIC_ICR2: return (uint32_t)(a->icr >> 32);
	case APIC_TIMER_INIT: return a->timer_init;
	case APIC_TIMER_COUNT: return vlapic_timer_count(a);
	case APIC_TIMER_DIVIDE: return a->timer_divide;
	default: error(a, APIC_ESR_REGISTER); return 0;
	}
}

static void lvt_write(struct vlapic *a, int index, uint32_t v)
{
	uint32_t old = a->lvt[index];

	v &= lvt_writable[index];
	/* 11.4.7.2: while software has the APIC disabled, LVT masks cannot be cleared. */
	if (!(a->svr & APIC_SVR_ENABLE))
		v |= APIC_LVT_MASKED;
	a->lvt[index] = v;
	if (index == LVT_TIMER)
		vlapic_timer_mode(a, old);
}

static void svr_write(struct vlapic *a, uint32_t v)
{
	a->svr = v & 0x1ff;
	for (int i = 0; i < LVTS && !(v & APIC_SVR_ENABLE); i++)
		a->lvt[i] |= APIC_LVT_MASKED;
}

static void send(struct vlapic *a, uint64_t icr)
{
	unsigned mode = GET(APIC_ICR_MODE, icr);

	/* Vectors 0 to 15 are illegal for fixed and lowest-priority interrupts (11.5.2). */
	if (mode <= APIC_LOWEST && GET(APIC_ICR_VECTOR, icr) < 16) {
		error(a, APIC_ESR_SEND_VECTOR);
		return;
	}
	a->env->ipi(a, icr);
}

void vlapic_write(struct vlapic *a, unsigned reg, uint32_t v)
{
	int lvt = lvt_index(reg);

	if (lvt >= 0) {
		lvt_write(a, lvt, v);
		return;
	}
	switch (reg) {
	case APIC_TPR: a->tpr = v & 0xff; break;
	case APIC_EOI: eoi(a); break;
	case APIC_LDR: a->ldr = v & 0xff000000; break;
	case APIC_DFR: a->dfr = v | 0x0fffffff; break;
	case APIC_SVR: svr_write(a, v); break;
	/* 11.5.3: a write makes the errors since the last one visible. */
	case APIC_ESR: a->esr = __atomic_exchange_n(&a->esr_pending, 0, __ATOMIC_RELAXED); break;
	case APIC_ICR:
		/* Delivery is instantaneous: the status bit always reads as idle. */
		a->icr = (a->icr & BITS(63, 32)) | (v & ~APIC_ICR_PENDING);
		/* xAPIC: the destination is in the top byte. */
		send(a, (a->icr & BITS(31, 0)) | a->icr >> 56 << 32);
		break;
	case APIC_ICR2: a->icr = (a->icr & BITS(31, 0)) | (uint64_t)v << 32; break;
	case APIC_TIMER_INIT: vlapic_timer_start(a, v); break;
	case APIC_TIMER_DIVIDE: a->timer_divide = v & 0xb; break;
	case APIC_ID: /* read-only here, as on newer processors */ break;
	default: error(a, APIC_ESR_REGISTER);
	}
}

bool vlapic_msr_read(struct vlapic *a, uint32_t msr, uint64_t *v)
{
	unsigned reg = (msr - MSR_X2APIC) << 4;

	/* 11.12.1.2: registers that x2APIC mode lacks, or that are write-only. */
	if (!vlapic_x2apic(a) || reg == APIC_DFR || reg == APIC_ICR2 || reg == APIC_EOI ||
	    reg > APIC_SELF_IPI)
		return false;
	*v = reg == APIC_ICR ? a->icr : vlapic_read(a, reg);
	return true;
}

bool vlapic_msr_write(struct vlapic *a, uint32_t msr, uint64_t v)
{
	unsigned reg = (msr - MSR_X2APIC) << 4;

	if (!vlapic_x2apic(a) || reg > APIC_SELF_IPI)
		return false;
	switch (reg) {
	case APIC_ICR:
		a->icr = v & ~APIC_ICR_PENDING;
		send(a, a->icr);
		return true;
	case APIC_SELF_IPI:
		send(a, PUT(APIC_ICR_SHORT, APIC_SHORT_SELF) | APIC_ICR_ASSERT | (v & 0xff));
		return true;
	case APIC_TPR:
	case APIC_SVR:
	case APIC_LVT_CMCI:
	case APIC_LVT_TIMER ... APIC_LVT_ERROR:
	case APIC_TIMER_INIT:
	case APIC_TIMER_DIVIDE: break;
	case APIC_EOI:
	case APIC_ESR:
		/* 11.12.1.3: only 0 may be written. */
		if (v)
			return false;
		break;
	default: /* read-only or not there */ return false;
	}
	if (v >> 32)
		return false;
	vlapic_write(a, reg, (uint32_t)v);
	return true;
}

bool vlapic_set_base(struct vlapic *a, uint64_t v)
{
	uint64_t mode = v & (APIC_BASE_ENABLE | APIC_BASE_X2APIC);
	uint64_t old = a->base_msr & (APIC_BASE_ENABLE | APIC_BASE_X2APIC);

	/*
	 * The page stays where it is. x2APIC needs the enable bit too, and leads back to xAPIC only
	 * through disabled (11.12.5).
	 */
	if ((v & ~0xfffull) != VM_LAPIC || (v & 0x2ff) || mode == APIC_BASE_X2APIC)
		return false;
	if (old == (APIC_BASE_ENABLE | APIC_BASE_X2APIC) && mode == APIC_BASE_ENABLE)
		return false;
	a->base_msr = VM_LAPIC | mode | (a->base_msr & APIC_BASE_BSP);
	if (mode != old) {
		/*
		 * Disabled, the APIC loses its state (11.4.7.1); x2APIC derives its LDR from
		 * the id.
		 */
		if (!mode)
			vlapic_reset(a);
		a->ldr = vlapic_x2apic(a) ? x2apic_ldr(a) : 0;
	}
	return true;
}

bool vlapic_matches(const struct vlapic *a, uint32_t dest, bool logical)
{
	bool x2 = vlapic_x2apic(a);

	/* Broadcast; MSIs and the I/O APIC have 8 bits of destination, so 0xff is one there too. */
	if (dest == (x2 ? ~0u : 0xffu) || (x2 && dest == 0xff && !logical))
		return true;
	if (!logical)
		return dest == a->id;
	if (x2)
		return dest >> 16 == a->ldr >> 16 && (dest & a->ldr & 0xffff);
	/* 11.6.2.2: flat, a bit a processor; otherwise clusters of four. */
	if (a->dfr >> 28 == 0xf) /* flat */
		return dest & a->ldr >> 24;
	return (dest & 0xf0) == (a->ldr >> 24 & 0xf0) && (dest & a->ldr >> 24 & 0xf);
}

bool vlapic_takes_extint(const struct vlapic *a)
{
	uint32_t lint0 = a->lvt[LVT_LINT0];

	/* With the APIC disabled LINT0 is the processor's INTR pin (11.4.3). */
	if (!(a->base_msr & APIC_BASE_ENABLE))
		return a->base_msr & APIC_BASE_BSP;
	return !(lint0 & APIC_LVT_MASKED) && GET(APIC_LVT_MODE, lint0) == APIC_EXTINT;
}
