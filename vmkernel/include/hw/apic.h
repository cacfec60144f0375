// SPDX-License-Identifier: Apache-2.0
/*
 * The local APIC's and the I/O APIC's registers, for the host's own (x86/) and for those that a
 * guest sees (vmm/). Spec: Intel SDM 3A 11; Intel 82093AA data sheet, 3.
 */
#ifndef HW_APIC_H
#define HW_APIC_H
#include "vmk/types.h"

/* Offsets in the local APIC's page; in x2APIC mode MSR_X2APIC + offset / 16. */
enum apic_register {
	APIC_ID = 0x020,
	APIC_VERSION = 0x030,
	APIC_TPR = 0x080,
	APIC_PPR = 0x0a0,
	APIC_EOI = 0x0b0,
	APIC_LDR = 0x0d0,
	APIC_DFR = 0x0e0,
	APIC_SVR = 0x0f0,
	APIC_ISR = 0x100, /* 8 registers of 32 bits, 0x10 apart; TMR and IRR too */
	APIC_TMR = 0x180,
	APIC_IRR = 0x200,
	APIC_ESR = 0x280,
	APIC_LVT_CMCI = 0x2f0,
	APIC_ICR = 0x300,
	APIC_ICR2 = 0x310, /* the destination, in xAPIC mode only */
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

/* Delivery modes: of the ICR, of LVT entries and of redirection entries. */
enum apic_mode {
	APIC_FIXED = 0,
	APIC_LOWEST = 1,
	APIC_SMI = 2,
	APIC_NMI = 4,
	APIC_INIT = 5,
	APIC_STARTUP = 6,
	APIC_EXTINT = 7
};

/* MSR_APIC_BASE. */
#define APIC_BASE_BSP    BIT(8)
#define APIC_BASE_X2APIC BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_ADDR   BITS(51, 12)

#define APIC_VERSION_MAX_LVT BITS(23, 16)
#define APIC_SVR_ENABLE      BIT(8)

#define APIC_ESR_SEND_VECTOR    BIT(5)
#define APIC_ESR_RECEIVE_VECTOR BIT(6)
#define APIC_ESR_REGISTER       BIT(7)

#define APIC_LVT_VECTOR         BITS(7, 0)
#define APIC_LVT_MODE           BITS(10, 8)
#define APIC_LVT_MASKED         BIT(16)
#define APIC_LVT_TIMER_MODE     BITS(18, 17)
#define APIC_LVT_TIMER_ONE_SHOT PUT(APIC_LVT_TIMER_MODE, 0)
#define APIC_LVT_TIMER_PERIODIC PUT(APIC_LVT_TIMER_MODE, 1)
#define APIC_LVT_TIMER_DEADLINE PUT(APIC_LVT_TIMER_MODE, 2)

#define APIC_ICR_VECTOR  BITS(7, 0)
#define APIC_ICR_MODE    BITS(10, 8)
#define APIC_ICR_LOGICAL BIT(11)
#define APIC_ICR_PENDING BIT(12) /* xAPIC mode only */
#define APIC_ICR_ASSERT  BIT(14)
#define APIC_ICR_LEVEL   BIT(15)
#define APIC_ICR_SHORT   BITS(19, 18)
enum { APIC_SHORT_NONE, APIC_SHORT_SELF, APIC_SHORT_ALL, APIC_SHORT_OTHERS };

/* The I/O APIC's window registers and the numbers that go through them. */
enum { IOAPIC_SELECT = 0x00, IOAPIC_WINDOW = 0x10, IOAPIC_EOI = 0x40, IOAPIC_SIZE = 0x1000 };
enum {
	IOAPIC_REG_ID = 0,
	IOAPIC_REG_VERSION = 1,
	IOAPIC_REG_ARBITRATION = 2,
	IOAPIC_REG_ENTRY = 0x10 /* + 2 * input, its upper half follows */
};
#define IOAPIC_VERSION_LAST BITS(23, 16) /* the highest input */

/* A redirection entry. */
#define RTE_VECTOR  BITS(7, 0)
#define RTE_MODE    BITS(10, 8)
#define RTE_LOGICAL BIT(11)
#define RTE_PENDING BIT(12)
#define RTE_LOW     BIT(13) /* active low */
#define RTE_IRR     BIT(14)
#define RTE_LEVEL   BIT(15)
#define RTE_MASKED  BIT(16)
#define RTE_DEST    BITS(63, 56)
#endif
