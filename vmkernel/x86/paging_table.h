// SPDX-License-Identifier: Apache-2.0
/* What paging.c (pure, host-tested) and paging_init.c (the CPU) share. */
#ifndef X86_PAGING_TABLE_H
#define X86_PAGING_TABLE_H
#include "vmk/types.h"

extern bool paging_has_huge; /* the CPU has 1 GiB pages */
/* Fills the top-level entry for va with an empty table, for all roots made later: 0 or -ENOMEM. */
int __must_check paging_reserve_top(pa_t root, va_t va);
#endif
