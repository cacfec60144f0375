// SPDX-License-Identifier: Apache-2.0
/* Finding the ACPI tables. */
#include "acpi/acpi.h"

struct acpi_info acpi_info = { .nodes = 1 };
