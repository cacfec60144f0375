// SPDX-License-Identifier: Apache-2.0
// Names of the vmkernel's own functions, for backtraces. The table is part of the image (section
// .ksyms, made by the build from the linked image's symbols). No locks; any context.
#pragma once

#include <stdint.h>

// The function that contains `addr`, with *offset (if not NULL) set to the distance from its start;
// NULL for an address outside the vmkernel's text.
const char *ksym_lookup(uint64_t addr, uint64_t *offset);
