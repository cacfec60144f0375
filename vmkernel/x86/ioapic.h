// SPDX-License-Identifier: Apache-2.0
/* I/O APICs: global system interrupts to vectors. The caller serialises calls for one GSI. */
#ifndef X86_IOAPIC_H
#define X86_IOAPIC_H
#include "vmk/types.h"

/* Maps them all and masks every line; the 8259s too. Boot CPU, after acpi_init(). */
void ioapic_init(void);
bool ioapic_has(uint32_t gsi);
/* Routes a line, masked. */
void ioapic_route(uint32_t gsi, unsigned vector, uint32_t apic_id, bool level, bool active_low);
/* The same as a non-maskable interrupt; edge. */
void ioapic_route_nmi(uint32_t gsi, uint32_t apic_id);
void ioapic_mask(uint32_t gsi, bool masked);
#endif
