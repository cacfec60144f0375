// SPDX-License-Identifier: Apache-2.0
/*
 * Iteration over what a page table maps. The caller holds the address space's lock. Spec: Intel SDM
 * 3A 4.5.
 */
#include "vmk/layout.h"
#include "x86/paging.h"

enum { ENTRIES_SHIFT = 9, LEVELS = 4 };
#define PTE_P    BIT(0)
#define PTE_PS   BIT(7)
#define PTE_ADDR BITS(51, 12)

bool paging_next(pa_t root, va_t va, va_t end, va_t *at, struct paging_leaf *out)
{
	while (va < end) {
		const uint64_t *table = direct_va(root);
		unsigned level = LEVELS, shift;

		for (;;) {
			shift = PAGE_SHIFT + ENTRIES_SHIFT * --level;
			uint64_t entry = table[(va >> shift) & ((1u << ENTRIES_SHIFT) - 1)];

			if (!(entry & PTE_P))
				break;
			if (level == 0 || entry & PTE_PS) {
				*at = va;
				return paging_lookup(root, va, out);
			}
			table = direct_va(entry & PTE_ADDR);
		}
		va = ((va >> shift) + 1) << shift;
	}
	return false;
}
