// SPDX-License-Identifier: Apache-2.0
/*
 * Layout of the ACPI tables that the vmkernel reads. Fields lie unaligned, so these are offsets of
 * what is used, not structures. Spec: ACPI 6.4, 5.2; IA-PC HPET 1.0a, 3.2.4; PCI Firmware 3.2,
 * 4.1.2 (MCFG).
 */
#ifndef HW_ACPI_H
#define HW_ACPI_H

/* Root pointer, 5.2.5.3 */
enum {
	RSDP_REVISION = 15,
	RSDP_RSDT = 16,
	RSDP_V1_SIZE = 20,
	RSDP_LENGTH = 20,
	RSDP_XSDT = 24,
	RSDP_V2_SIZE = 36,
};
/* Header of every table, 5.2.6 */
enum {
	TABLE_LENGTH = 4,
	TABLE_REVISION = 8,
	TABLE_HEADER_SIZE = 36,
};
/* Generic address, 5.2.3.2 */
enum {
	GAS_SPACE = 0,
	GAS_BITS = 1,
	GAS_ADDRESS = 4,
	GAS_SIZE = 12,
	GAS_MEMORY = 0,
	GAS_PORT = 1,
	GAS_PCI = 2,
};
/* MADT, 5.2.12 */
enum {
	MADT_LAPIC_ADDRESS = 36,
	MADT_FLAGS = 40,
	MADT_PCAT_COMPAT = 1,
	MADT_ENTRIES = 44,
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
	MADT_OVERRIDE = 2,
	MADT_LAPIC_OVERRIDE = 5,
	MADT_X2APIC = 9,
	MADT_CPU_ENABLED = 1,
};
/* SRAT, 5.2.16 */
enum {
	SRAT_ENTRIES = 48,
	SRAT_LAPIC = 0,
	SRAT_MEMORY = 1,
	SRAT_X2APIC = 2,
	SRAT_ENABLED = 1,
};
/* FADT, 5.2.9 */
enum {
	FADT_DSDT = 40,
	FADT_SMI_COMMAND = 48,
	FADT_ACPI_ENABLE = 52,
	FADT_PM1A_CONTROL = 64,
	FADT_PM1B_CONTROL = 68,
	FADT_PM_TIMER = 76,
	FADT_PM_TIMER_LEN = 91,
	FADT_BOOT_ARCH = 109,
	FADT_FLAGS = 112,
	FADT_RESET = 116,
	FADT_RESET_VALUE = 128,
	FADT_X_DSDT = 140,
	FADT_X_PM1A_CONTROL = 172,
	FADT_X_PM1B_CONTROL = 184,
	FADT_X_PM_TIMER = 208,
	FADT_ARCH_8042 = 1 << 1,
	FADT_ARCH_NO_VGA = 1 << 2,
	FADT_TIMER_32BIT = 1 << 8,
	FADT_RESET_SUPPORTED = 1 << 10,
};
/* HPET and MCFG */
enum {
	HPET_TABLE_BASE = 40,
	MCFG_ENTRIES = 44,
	MCFG_ENTRY_SIZE = 16,
};
/* AML encodings, 20.2 */
enum {
	AML_ZERO = 0x00,
	AML_ONE = 0x01,
	AML_NAME = 0x08,
	AML_BYTE = 0x0a,
	AML_WORD = 0x0b,
	AML_DWORD = 0x0c,
	AML_PACKAGE = 0x12,
};
/* PM1 control, 4.8.3.2.1 */
enum {
	PM1_SCI_EN = 1 << 0,
	PM1_SLP_TYP_SHIFT = 10,
	PM1_SLP_EN = 1 << 13,
};
#endif
