// SPDX-License-Identifier: Apache-2.0
/*
 * CPUs, I/O APICs and interrupt overrides (MADT), NUMA nodes (SRAT). Pure; no locks. Spec: ACPI
 * 6.4, 5.2.12, 5.2.16.
 */
#include "acpi/bytes.h"
#include "acpi/parse.h"
#include "hw/acpi.h"

/* Interrupt flags, 5.2.12.5: polarity in bits 1:0, trigger in 3:2; 0 means as the bus has it. */
#define INTI_POLARITY BITS(1, 0)
#define INTI_TRIGGER  BITS(3, 2)
enum { INTI_LOW_OR_LEVEL = 3 };

static void add_cpu(struct acpi_info *info, uint32_t apic_id, uint32_t flags)
{
	if (!(flags & MADT_CPU_ENABLED) || apic_id == UINT32_MAX)
		return;
	/* A CPU with an old APIC ID may be listed in both forms. */
	for (unsigned i = 0; i < info->cpus; i++)
		if (info->cpu[i].apic_id == apic_id)
			return;
	if (info->cpus < CPUS_MAX)
		info->cpu[info->cpus++] = (struct acpi_cpu){ .apic_id = apic_id, .enabled = true };
}

static void madt_entry(const uint8_t *e, size_t len, struct acpi_info *info)
{
	unsigned line;

	/* Length before contents: a short entry is skipped. Bus 0 of an override is ISA. */
	switch (e[0]) {
	case MADT_LAPIC:
		if (len >= 8)
			add_cpu(info, e[3], get32(e, len, 4));
		break;
	case MADT_X2APIC:
		if (len >= 16)
			add_cpu(info, get32(e, len, 4), get32(e, len, 8));
		break;
	case MADT_IOAPIC:
		if (len >= 12 && info->ioapics < ACPI_IOAPICS_MAX && get32(e, len, 4) != 0)
			info->ioapic[info->ioapics++] = (struct acpi_ioapic){
				.id = e[2], .base = get32(e, len, 4), .gsi_base = get32(e, len, 8)
			};
		break;
	case MADT_OVERRIDE:
		line = get8(e, len, 3);
		if (len >= 10 && e[2] == 0 && line < ARRAY_SIZE(info->isa))
			info->isa[line] = (struct acpi_override){
				.valid = true,
				.gsi = get32(e, len, 4),
				.active_low = GET(INTI_POLARITY, get16(e, len, 8)) ==
				              INTI_LOW_OR_LEVEL,
				.level = GET(INTI_TRIGGER, get16(e, len, 8)) == INTI_LOW_OR_LEVEL,
			};
		break;
	case MADT_LAPIC_OVERRIDE:
		if (len >= 12)
			info->lapic = get64(e, len, 4);
		break;
	}
}

/* fn for each entry {type, length, ...} from `at` on. */
static void for_entries(const uint8_t *t, size_t len, size_t at, struct acpi_info *info,
                        void (*fn)(const uint8_t *e, size_t len, struct acpi_info *info))
{
	/* A length below that of the head, or beyond the table, ends the walk. */
	while (at + 2 <= len && t[at + 1] >= 2 && t[at + 1] <= len - at) {
		fn(t + at, t[at + 1], info);
		at += t[at + 1];
	}
}

void acpi_parse_madt(const uint8_t *t, size_t len, struct acpi_info *info)
{
	info->lapic = get32(t, len, MADT_LAPIC_ADDRESS);
	info->has_8259 = get32(t, len, MADT_FLAGS) & MADT_PCAT_COMPAT;
	for_entries(t, len, MADT_ENTRIES, info, madt_entry);
}

/*
 * The node index of a proximity domain: in order of appearance; those beyond NODES_MAX join node 0.
 */
static uint32_t node_of(struct acpi_info *info, uint32_t domain)
{
	for (unsigned i = 0; i < info->domains; i++)
		if (info->domain[i] == domain)
			return i;
	if (info->domains == NODES_MAX)
		return 0;
	info->domain[info->domains] = domain;
	return info->domains++;
}

static void place_cpu(struct acpi_info *info, uint32_t apic_id, uint32_t domain)
{
	for (unsigned i = 0; i < info->cpus; i++)
		if (info->cpu[i].apic_id == apic_id)
			info->cpu[i].node = node_of(info, domain);
}

static void srat_entry(const uint8_t *e, size_t len, struct acpi_info *info)
{
	uint64_t size;

	/* The domain's low byte and its upper three stand apart in the old form (5.2.16.1). */
	switch (e[0]) {
	case SRAT_LAPIC:
		if (len >= 16 && (get32(e, len, 4) & SRAT_ENABLED))
			place_cpu(info, e[3], e[2] | (get32(e, len, 8) & ~0xffu));
		break;
	case SRAT_X2APIC:
		if (len >= 24 && (get32(e, len, 12) & SRAT_ENABLED))
			place_cpu(info, get32(e, len, 8), get32(e, len, 4));
		break;
	case SRAT_MEMORY:
		size = get64(e, len, 16);
		if (len >= 40 && (get32(e, len, 28) & SRAT_ENABLED) && size != 0 &&
		    info->affinities < ACPI_AFFINITIES_MAX)
			info->affinity[info->affinities++] =
				(struct acpi_affinity){ .base = get64(e, len, 8),
				                        .len = size,
				                        .node = node_of(info, get32(e, len, 2)) };
		break;
	}
}

void acpi_parse_srat(const uint8_t *t, size_t len, struct acpi_info *info)
{
	for_entries(t, len, SRAT_ENTRIES, info, srat_entry);
	info->nodes = MAX(info->domains, 1u);
}
