// SPDX-License-Identifier: Apache-2.0
/*
 * DMA: what a driver puts into descriptors. Without an IOMMU an iova is the machine address; an
 * IOMMU slides in behind these calls. Scatter lists hold machine addresses (of guests' pages too).
 */
#ifndef VMK_DMA_H
#define VMK_DMA_H
#include "vmk/types.h"

struct device;

enum dma_dir { DMA_TO_DEVICE, DMA_FROM_DEVICE, DMA_BOTH };

/* One piece of a scatter list. Pages are pinned, or owned, by whoever built the list. */
struct sg {
	pa_t pa;
	uint32_t len;
	uint32_t flags; /* the owner's */
};

/*
 * Zeroed memory shared with the device; va and iova; aligned to its size rounded up to 2^n pages.
 * Freeing NULL is nothing.
 */
void *__must_check dma_alloc(struct device *dev, size_t size, iova_t *iova);
void dma_free(struct device *dev, void *va, size_t size);

/* A piece of a scatter list for one transfer. IOVA_BAD when the device cannot reach it. */
#define IOVA_BAD ((iova_t)~0ull)
iova_t __must_check dma_map(struct device *dev, pa_t pa, size_t len, enum dma_dir dir);
void dma_unmap(struct device *dev, iova_t iova, size_t len, enum dma_dir dir);
#endif
