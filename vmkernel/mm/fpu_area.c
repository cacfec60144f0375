// SPDX-License-Identifier: Apache-2.0
/* Memory for floating-point states: XSAVE needs 64-byte alignment. */
#include "mm/fpu_area.h"
#include "vmk/mm.h"

/* kmalloc aligns powers of two up to a page to themselves; above that vmalloc gives whole pages. */
void *fpu_alloc(void)
{
	size_t size = 1ull << log2_ceil(fpu_size());
	void *p = size <= PAGE_SIZE ? kmalloc(size) : vmalloc(size);

	if (p)
		fpu_init_state(p);
	return p;
}

void fpu_free(void *area)
{
	if (fpu_size() <= PAGE_SIZE)
		kfree(area);
	else
		vfree(area);
}
