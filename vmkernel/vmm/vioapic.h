// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's I/O APIC with 24 pins, pin n being GSI n. lock guards all. Spec: Intel 82093AA; ICH9
 * 13.5 (EOI register).
 */
#ifndef VMM_VIOAPIC_H
#define VMM_VIOAPIC_H
#include "abi/vm.h"
#include "vmk/iobus.h"

enum { VIOAPIC_PINS = 24 };

/* A message as it travels to local APICs: MSI, I/O APIC and IPIs have it in common. */
struct apic_message {
	uint32_t dest;
	uint8_t vector, mode; /* enum apic_mode */
	bool logical, level;
};

struct vioapic {
	struct spinlock lock;
	uint64_t entry[VIOAPIC_PINS];
	uint32_t lines; /* levels of the inputs */
	uint8_t select, id;
	void (*deliver)(struct vioapic *io,
	                const struct apic_message *m); /* under lock; any context */
	struct io_range range;
};

int __must_check vioapic_init(struct vioapic *io, struct iobus *b,
                              void (*deliver)(struct vioapic *, const struct apic_message *));
void vioapic_set(struct vioapic *io, unsigned pin, bool level); /* any context */
void vioapic_eoi(struct vioapic *io, uint8_t vector);
#endif
