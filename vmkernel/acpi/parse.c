// SPDX-License-Identifier: Apache-2.0
/* Root pointer, table headers, FADT, DSDT, HPET, MCFG. Pure; no locks. Spec: ACPI 6.4, 5.2. */
#include "acpi/parse.h"
#include "acpi/bytes.h"
#include "hw/acpi.h"

static bool sum_is_zero(const uint8_t *t, size_t len)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + t[i]);
	return sum == 0;
}

size_t acpi_table_size(const uint8_t *t, size_t max)
{
	size_t len = get32(t, max, TABLE_LENGTH);

	if (max < TABLE_HEADER_SIZE || len < TABLE_HEADER_SIZE || len > max || !sum_is_zero(t, len))
		return 0;
	return len;
}

uint64_t acpi_parse_rsdp(const uint8_t *t, size_t len, bool *wide)
{
	size_t size = get32(t, len, RSDP_LENGTH);

	*wide = false;
	if (len < RSDP_V1_SIZE || memcmp(t, "RSD PTR ", 8) != 0 || !sum_is_zero(t, RSDP_V1_SIZE))
		return 0;
	if (t[RSDP_REVISION] >= 2 && size >= RSDP_V2_SIZE && size <= len && sum_is_zero(t, size) &&
	    get64(t, len, RSDP_XSDT) != 0) {
		*wide = true;
		return get64(t, len, RSDP_XSDT);
	}
	return get32(t, len, RSDP_RSDT);
}

void acpi_parse_mcfg(const uint8_t *t, size_t len, struct acpi_info *info)
{
	for (size_t at = MCFG_ENTRIES; at + MCFG_ENTRY_SIZE <= len; at += MCFG_ENTRY_SIZE) {
		struct acpi_segment s = {
			.base = get64(t, len, at),
			.segment = get16(t, len, at + 8),
			.bus_first = get8(t, len, at + 10),
			.bus_last = get8(t, len, at + 11),
		};

		if (s.base == 0 || !IS_ALIGNED(s.base, MiB) || s.bus_last < s.bus_first)
			continue;
		if (info->segments < ACPI_SEGMENTS_MAX)
			info->segment[info->segments++] = s;
	}
}

static struct acpi_register get_register(const uint8_t *t, size_t len, size_t at)
{
	return (struct acpi_register){ .space = get8(t, len, at + GAS_SPACE),
		                       .bits = get8(t, len, at + GAS_BITS),
		                       .address = get64(t, len, at + GAS_ADDRESS) };
}

void acpi_parse_hpet(const uint8_t *t, size_t len, struct acpi_info *info)
{
	struct acpi_register r = get_register(t, len, HPET_TABLE_BASE);

	if (r.space == GAS_MEMORY && IS_ALIGNED(r.address, 1024))
		info->hpet = r.address;
}

/* A port from its extended field, if that is one, else from the old 32-bit field. */
static uint16_t get_port(const uint8_t *t, size_t len, size_t extended, size_t old)
{
	struct acpi_register r = get_register(t, len, extended);
	uint64_t port = r.address != 0 && r.space == GAS_PORT ? r.address : get32(t, len, old);

	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

uint64_t acpi_parse_fadt(const uint8_t *t, size_t len, struct acpi_info *info)
{
	uint32_t flags = get32(t, len, FADT_FLAGS);
	uint16_t arch = get16(t, len, FADT_BOOT_ARCH);
	uint64_t dsdt = get64(t, len, FADT_X_DSDT);
	/* Revision 1 has neither boot flags nor a reset register. */
	bool old = t[TABLE_REVISION] < 2;

	info->has_8042 = old || (arch & FADT_ARCH_8042);
	info->no_vga = !old && (arch & FADT_ARCH_NO_VGA);
	info->smi_command = get16(t, len, FADT_SMI_COMMAND);
	info->acpi_enable = get8(t, len, FADT_ACPI_ENABLE);
	/* PM1b is optional: 0 where there is none. */
	info->pm1a_control = get_port(t, len, FADT_X_PM1A_CONTROL, FADT_PM1A_CONTROL);
	info->pm1b_control = get_port(t, len, FADT_X_PM1B_CONTROL, FADT_PM1B_CONTROL);
	if (get8(t, len, FADT_PM_TIMER_LEN) == 4)
		info->pm_timer = get_port(t, len, FADT_X_PM_TIMER, FADT_PM_TIMER);
	info->pm_timer_32bit = flags & FADT_TIMER_32BIT;
	if (!old && (flags & FADT_RESET_SUPPORTED)) {
		info->reset = get_register(t, len, FADT_RESET);
		info->reset_value = get8(t, len, FADT_RESET_VALUE);
	}
	return dsdt != 0 ? dsdt : get32(t, len, FADT_DSDT);
}

/* An AML integer at *at, which moves behind it; false for anything else. */
static bool get_integer(const uint8_t *t, size_t len, size_t *at, uint8_t *out)
{
	uint8_t op = get8(t, len, *at);
	size_t size = op == AML_BYTE ? 1 : op == AML_WORD ? 2 : op == AML_DWORD ? 4 : 0;

	if (*at >= len || (size == 0 && op != AML_ZERO && op != AML_ONE))
		return false;
	*out = size == 0 ? op : get8(t, len, *at + 1);
	*at += 1 + size;
	return *at <= len;
}

/* The package behind the name at `at`: SLP_TYPa, SLP_TYPb (7.4.2.6). */
static bool parse_s5(const uint8_t *t, size_t len, size_t at, struct acpi_info *info)
{
	uint8_t a, b;

	if (get8(t, len, at++) != AML_PACKAGE)
		return false;
	at += 1 + (get8(t, len, at) >> 6); /* PkgLength: the top bits count the bytes that follow */
	if (get8(t, len, at++) < 2)
		return false;
	if (!get_integer(t, len, &at, &a) || !get_integer(t, len, &at, &b) || a > 7 || b > 7)
		return false;
	info->s5_type_a = a;
	info->s5_type_b = b;
	return true;
}

void acpi_parse_dsdt(const uint8_t *t, size_t len, struct acpi_info *info)
{
	for (size_t at = TABLE_HEADER_SIZE + 2; at + 4 <= len && !info->has_s5; at++)
		if (memcmp(t + at, "_S5_", 4) == 0 &&
		    (t[at - 1] == AML_NAME || (t[at - 1] == '\\' && t[at - 2] == AML_NAME)))
			info->has_s5 = parse_s5(t, len, at + 4, info);
}
