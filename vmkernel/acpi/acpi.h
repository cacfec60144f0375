// SPDX-License-Identifier: Apache-2.0
/*
 * What the ACPI tables say, parsed once at boot into plain values. The tables are read-only and may
 * hold any bytes: a table with a wrong length or checksum is left out with a warning. Spec: ACPI
 * 6.4, 5.2.
 */
#ifndef ACPI_ACPI_H
#define ACPI_ACPI_H
#include "vmk/types.h"

enum { ACPI_IOAPICS_MAX = 16, ACPI_SEGMENTS_MAX = 16, ACPI_AFFINITIES_MAX = 64 };

struct acpi_cpu {
	uint32_t apic_id;
	uint32_t node;
	bool enabled;
};
struct acpi_ioapic {
	pa_t base;
	uint32_t gsi_base;
	uint8_t id;
};
/* An ISA line that is not plain edge-triggered, active-high GSI = line. */
struct acpi_override {
	bool valid, level, active_low;
	uint32_t gsi;
};
struct acpi_segment { /* of PCI configuration space (MCFG) */
	pa_t base;
	uint16_t segment;
	uint8_t bus_first, bus_last;
};
struct acpi_affinity { /* memory of a NUMA node (SRAT) */
	pa_t base;
	uint64_t len;
	uint32_t node; /* index, 0 .. nodes - 1 */
};
struct acpi_register { /* generic address, 5.2.3.2 */
	uint8_t space; /* 0 memory, 1 port, 2 PCI configuration of bus 0 */
	uint8_t bits;
	uint64_t address; /* 0: there is none */
};

struct acpi_info {
	struct acpi_cpu cpu[CPUS_MAX];
	unsigned cpus;
	pa_t lapic;
	bool has_8259;
	struct acpi_ioapic ioapic[ACPI_IOAPICS_MAX];
	unsigned ioapics;
	struct acpi_override isa[16];
	struct acpi_segment segment[ACPI_SEGMENTS_MAX];
	unsigned segments;
	struct acpi_affinity affinity[ACPI_AFFINITIES_MAX];
	unsigned affinities;
	unsigned nodes;             /* at least 1 */
	uint32_t domain[NODES_MAX]; /* proximity domain of a node index */
	unsigned domains;
	pa_t hpet;
	uint16_t pm_timer; /* I/O port */
	bool pm_timer_32bit;
	uint16_t pm1a_control, pm1b_control; /* ports */
	uint16_t smi_command;
	uint8_t acpi_enable;
	bool has_s5;
	uint8_t s5_type_a, s5_type_b; /* SLP_TYP values */
	struct acpi_register reset;
	uint8_t reset_value;
	bool no_vga, has_8042; /* FADT, IA-PC boot flags */
};
extern struct acpi_info acpi_info;

/* Reads everything; gives the boot map its nodes. After paging_init(), before mm. */
void acpi_init(void);
#endif
