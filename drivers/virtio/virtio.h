// SPDX-License-Identifier: Apache-2.0
/*
 * Virtio for the drivers of its device types: virtio_pci.c is the transport (modern, and the legacy
 * half of transitional devices), virtqueue.c a split ring. Nothing here locks: a queue belongs to
 * whoever holds its user's lock; set-up and tear-down run in one world. What the device writes is
 * read once and checked.
 */
#ifndef VIRTIO_H
#define VIRTIO_H
#include "hw/virtio.h"
#include "vmk/errno.h"
#include "vmk/pci.h"
#include "vmk/work.h"

enum { VIRTIO_QUEUES_MAX = 20, VIRTQ_SIZE_MAX = 256, VIRTQ_INDIRECT = 64 /* entries of a table */ };

struct virtio;

struct virtq {
	struct virtio *dev;
	uint16_t index, size, vector;
	uint16_t free_head, free_count, avail_idx, used_idx, kicked;
	bool broken; /* the device wrote nonsense: nothing more is taken from it */
	struct virtq_desc *desc;
	struct virtq_avail *avail;
	volatile struct virtq_used *used;
	volatile uint16_t *used_event, *avail_event;
	void *memory;
	size_t memory_size;
	iova_t iova, indirect_iova;
	/* a table for each head; NULL: not offered */
	struct virtq_desc (*indirect)[VIRTQ_INDIRECT];
	volatile uint16_t *notify;
	void *token[VIRTQ_SIZE_MAX]; /* by head; NULL: not with the device */
	/* The user's, before virtq_create. */
	struct bottom *bottom; /* raised by the queue's interrupt; NULL: none */
	int cpu;               /* where that should run, or -1 */
};

struct virtio {
	struct pci_dev *pci;
	bool legacy;
	uint8_t *common, *isr, *device, *notify; /* modern */
	uint32_t notify_multiplier, device_len;
	uint16_t port, config_offset; /* legacy */
	uint64_t features;            /* negotiated */
	unsigned vectors, queues;
	struct virtq *queue[VIRTIO_QUEUES_MAX];
	struct bottom *config_bottom; /* raised when the configuration changes */
};

/* Finds the registers. -ENODEV when they are not there. */
int __must_check virtio_open(struct virtio *v, struct pci_dev *p);
/*
 * 3.1.1, steps 1 to 6: reset, then the features that are wanted and offered. -ENODEV, -EIO when the
 * device refuses them.
 */
int __must_check virtio_negotiate(struct virtio *v, uint64_t wanted);
/* Vectors for so many queues, and one for the configuration. Before virtq_create; 0 or -errno. */
int __must_check virtio_irqs(struct virtio *v, unsigned queues);
/* Attaches the handlers; the queues and their bottoms are set up. */
int __must_check virtio_irqs_attach(struct virtio *v);
void virtio_ready(struct virtio *v); /* DRIVER_OK */
uint8_t virtio_status(struct virtio *v);
/* Stops the device: no DMA afterwards. The queues remain, to be freed. */
void virtio_reset(struct virtio *v);
void virtio_close(struct virtio *v); /* after reset: interrupts off, queues freed */
uint64_t virtio_config(struct virtio *v, unsigned off, unsigned width); /* width 1, 2, 4, 8 */

struct virtq_buf {
	iova_t addr;
	uint32_t len;
};

/* Sets up queue index for at most size entries; vector 0 is the configuration's. */
int __must_check virtq_create(struct virtio *v, struct virtq *q, unsigned index, unsigned size,
                              bool indirect);
/*
 * Makes readable (first out of them) and writable buffers one chain. token, not NULL, comes back
 * from virtq_get. -EBUSY: the ring is full.
 */
int __must_check virtq_add(struct virtq *q, const struct virtq_buf *buf, unsigned out, unsigned in,
                           void *token);
void virtq_kick(struct virtq *q); /* tells the device, if it wants to be told */
/* The next finished chain and the bytes that the device wrote; NULL: none. */
void *virtq_get(struct virtq *q, uint32_t *len);
/* A chain that the device still has, taken back after virtio_reset; NULL: none. */
void *virtq_reclaim(struct virtq *q);
void virtq_irq_off(struct virtq *q);
/* Interrupts when so many more chains are finished; true when one is finished already. */
bool virtq_irq_after(struct virtq *q, unsigned count);
#endif
