// SPDX-License-Identifier: Apache-2.0
/* Finding the ACPI tables and having them read. Boot CPU, once. Spec: ACPI 6.4, 5.2.5. */
#include "acpi/acpi.h"
#include "acpi/bytes.h"
#include "acpi/parse.h"
#include "vmk/bootmap.h"
#include "hw/acpi.h"
#include "vmk/boot.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "x86/paging.h"

#define LOG_MODULE "acpi"

enum {
	BIOS_EBDA_SEGMENT = 0x40e,
	BIOS_ROM = 0xe0000,
	BIOS_END = 0x100000,
	TABLES_MAX = 256,
	TABLE_SIZE_MAX = 16 * 1024 * 1024,
};

struct acpi_info acpi_info = { .nodes = 1, .has_8042 = true };

static struct {
	uint64_t pa;
	char signature[5];
} table[TABLES_MAX];
static unsigned tables;

static bool is_direct(pa_t pa, size_t len)
{
	struct paging_leaf leaf;

	for (pa_t at = ALIGN_DOWN(pa, PAGE_SIZE); at < pa + len; at += PAGE_SIZE)
		if (!paging_lookup(paging_kernel_root, DIRECT_BASE + at, &leaf))
			return false;
	return true;
}

/*
 * Bytes of machine memory: tables lie in RAM, or in what the map calls reserved. NULL for an absurd
 * address.
 */
static const uint8_t *map(pa_t pa, size_t len)
{
	if (pa == 0 || pa >= DIRECT_SIZE || len > TABLE_SIZE_MAX)
		return NULL;
	return is_direct(pa, len) ? direct_va(pa) : paging_map_device(pa, len);
}

/* A whole valid table, and its length; NULL with a warning for a bad one. */
static const uint8_t *map_table(pa_t pa, size_t *len)
{
	const uint8_t *t = map(pa, TABLE_HEADER_SIZE);
	size_t size;

	if (t == NULL)
		return NULL;
	size = get32(t, TABLE_HEADER_SIZE, TABLE_LENGTH);
	t = size >= TABLE_HEADER_SIZE ? map(pa, size) : NULL;
	*len = t != NULL ? acpi_table_size(t, size) : 0;
	if (*len == 0)
		log_warn("the table at %#llx is damaged; left out", (unsigned long long)pa);
	return *len != 0 ? t : NULL;
}

static uint64_t scan(pa_t from, pa_t to, bool *wide)
{
	for (pa_t at = ALIGN_UP(from, 16); at + RSDP_V2_SIZE <= to; at += 16) {
		uint64_t root = acpi_parse_rsdp(direct_va(at), to - at, wide);

		if (root != 0)
			return root;
	}
	return 0;
}

static uint64_t find_root(bool *wide)
{
	pa_t ebda = (pa_t)get16((const uint8_t *)direct_va(BIOS_EBDA_SEGMENT), 2, 0) << 4;
	uint64_t root = 0;

	if (boot_info.rsdp != 0)
		root = acpi_parse_rsdp(boot_info.rsdp_copy, sizeof(boot_info.rsdp_copy), wide);
	if (root == 0 && ebda >= 0x400 && ebda < BIOS_ROM)
		root = scan(ebda, ebda + 1024, wide);
	return root != 0 ? root : scan(BIOS_ROM, BIOS_END, wide);
}

static void list_tables(void)
{
	bool wide;
	uint64_t root = find_root(&wide);
	size_t len, step;
	const uint8_t *t = root != 0 ? map_table(root, &len) : NULL;

	if (t == NULL) {
		log_warn("no ACPI tables");
		return;
	}
	step = wide ? 8 : 4;
	for (size_t at = TABLE_HEADER_SIZE; at + step <= len && tables < TABLES_MAX; at += step) {
		pa_t pa = get_le(t, len, at, step);
		const uint8_t *signature = map(pa, TABLE_HEADER_SIZE);

		if (signature == NULL)
			continue;
		table[tables].pa = pa;
		memcpy(table[tables++].signature, signature, 4);
	}
}

/* A valid table by its signature, mapped for good, or NULL. */
static const uint8_t *find_table(const char *signature, size_t *len)
{
	for (unsigned i = 0; i < tables; i++)
		if (memcmp(table[i].signature, signature, 4) == 0)
			return map_table(table[i].pa, len);
	return NULL;
}

static void parse(const char *signature,
                  void (*fn)(const uint8_t *t, size_t len, struct acpi_info *info))
{
	size_t len;
	const uint8_t *t = find_table(signature, &len);

	if (t != NULL)
		fn(t, len, &acpi_info);
}

static void parse_fadt_and_dsdt(void)
{
	size_t len;
	const uint8_t *t = find_table("FACP", &len);

	if (t == NULL)
		return;
	t = map_table(acpi_parse_fadt(t, len, &acpi_info), &len);
	if (t != NULL)
		acpi_parse_dsdt(t, len, &acpi_info);
}

void acpi_init(void)
{
	list_tables();
	parse("APIC", acpi_parse_madt);
	parse("SRAT", acpi_parse_srat);
	parse("MCFG", acpi_parse_mcfg);
	parse("HPET", acpi_parse_hpet);
	parse_fadt_and_dsdt();
	for (unsigned i = 0; i < acpi_info.affinities; i++) {
		const struct acpi_affinity *a = &acpi_info.affinity[i];

		boot_info.ranges = bootmap_set_node(boot_info.range, boot_info.ranges,
		                                    BOOT_RANGES_MAX, a->base, a->len, a->node);
	}
	log_info("%u tables, %u CPUs, %u I/O APICs, %u nodes, %u PCI segments", tables,
	         acpi_info.cpus, acpi_info.ioapics, acpi_info.nodes, acpi_info.segments);
}
