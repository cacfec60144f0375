// SPDX-License-Identifier: Apache-2.0
/* This CPU's local APIC, xAPIC or x2APIC. Spec: Intel SDM 3A 10. */
#ifndef X86_LAPIC_H
#define X86_LAPIC_H
#include "vmk/types.h"

/* Boot CPU, once: chooses the mode and registers the error and spurious vectors. */
void lapic_init(void);
void lapic_init_cpu(void); /* enables this CPU's; fills percpu.apic_id */
uint32_t lapic_id(void);
/* The highest APIC ID that an interrupt message can name without interrupt remapping. */
enum { LAPIC_MESSAGE_ID_MAX = 254 };

void lapic_eoi(void);
/* Interprocessor interrupts, by APIC ID; any context. */
void lapic_send(uint32_t apic_id, unsigned vector);
void lapic_send_nmi(uint32_t apic_id);
void lapic_send_nmi_others(void); /* to every CPU but this */
void lapic_send_init(uint32_t apic_id);
void lapic_send_startup(uint32_t apic_id, pa_t page); /* page below 1 MiB */

/* The one-shot timer: x86/lapic_timer.c. */
void lapic_timer_init(void); /* boot CPU, after clock_init(): measures it */
void lapic_timer_init_cpu(void);

/* For lapic_timer.c. */
enum lapic_register {
	LAPIC_ID = 0x020,
	LAPIC_VERSION = 0x030,
	LAPIC_TPR = 0x080,
	LAPIC_EOI = 0x0b0,
	LAPIC_LDR = 0x0d0,
	LAPIC_SVR = 0x0f0,
	LAPIC_ESR = 0x280,
	LAPIC_LVT_CMCI = 0x2f0,
	LAPIC_ICR = 0x300,
	LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320,
	LAPIC_LVT_THERMAL = 0x330,
	LAPIC_LVT_PERF = 0x340,
	LAPIC_LVT_LINT0 = 0x350,
	LAPIC_LVT_LINT1 = 0x360,
	LAPIC_LVT_ERROR = 0x370,
	LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390,
	LAPIC_TIMER_DIVIDE = 0x3e0,
};
#define LVT_MASKED         BIT(16)
#define LVT_NMI            PUT(BITS(10, 8), 4)
#define LVT_TIMER_DEADLINE PUT(BITS(18, 17), 2)
uint32_t lapic_read(enum lapic_register reg);
void lapic_write(enum lapic_register reg, uint32_t v);
#endif
