// SPDX-License-Identifier: Apache-2.0
/* This CPU's local APIC, xAPIC or x2APIC. Spec: Intel SDM 3A 10. */
#ifndef X86_LAPIC_H
#define X86_LAPIC_H
#include "hw/apic.h"
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

/* One of this CPU's registers (hw/apic.h), in either mode. */
uint32_t lapic_read(enum apic_register reg);
void lapic_write(enum apic_register reg, uint32_t v);
#endif
