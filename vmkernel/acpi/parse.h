// SPDX-License-Identifier: Apache-2.0
/*
 * One table's bytes into acpi_info. Pure; a parser reads nothing outside [t, t + len) whatever the
 * bytes are, and leaves out what does not make sense. len is at least TABLE_HEADER_SIZE.
 */
#ifndef ACPI_PARSE_H
#define ACPI_PARSE_H
#include "acpi/acpi.h"

/* Length in the header if it fits in max and the checksum is right, else 0. */
size_t acpi_table_size(const uint8_t *t, size_t max);
/* Addresses of the root table; 0: not a root pointer. *wide: it is an XSDT (8-byte entries). */
uint64_t acpi_parse_rsdp(const uint8_t *t, size_t len, bool *wide);
void acpi_parse_madt(const uint8_t *t, size_t len, struct acpi_info *info);
/* After the MADT: gives CPUs their nodes. */
void acpi_parse_srat(const uint8_t *t, size_t len, struct acpi_info *info);
void acpi_parse_mcfg(const uint8_t *t, size_t len, struct acpi_info *info);
void acpi_parse_hpet(const uint8_t *t, size_t len, struct acpi_info *info);
/* Returns the DSDT's address. */
uint64_t acpi_parse_fadt(const uint8_t *t, size_t len, struct acpi_info *info);
/* Looks for the package \_S5 in the bytes of the DSDT; there is no AML interpreter. */
void acpi_parse_dsdt(const uint8_t *t, size_t len, struct acpi_info *info);
#endif
