// SPDX-License-Identifier: Apache-2.0
/* DMA without an IOMMU: what a device puts on its bus is the machine address. */
#include "vmk/dma.h"
#include "vmk/driver.h"
#include "vmk/mm.h"

static unsigned order_of(size_t size)
{
	return log2_ceil(DIV_UP(size, PAGE_SIZE));
}

void *dma_alloc(struct device *dev, size_t size, iova_t *iova)
{
	unsigned flags = ALLOC_ZERO | (dev->dma_mask < 4 * GiB ? ALLOC_LOW32 : 0);
	pa_t pa = page_alloc(order_of(size), FRAME_DMA, flags);

	if (pa == PA_NONE)
		return NULL;
	*iova = pa;
	return pa_to_va(pa);
}

void dma_free(struct device *dev, void *va, size_t size)
{
	if (va)
		page_free(va_to_pa(va), order_of(size));
}

iova_t dma_map(struct device *dev, pa_t pa, size_t len, enum dma_dir dir)
{
	return unlikely(pa + len - 1 > dev->dma_mask) ? IOVA_BAD : pa;
}

void dma_unmap(struct device *dev, iova_t iova, size_t len, enum dma_dir dir) {}
