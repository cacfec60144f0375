// SPDX-License-Identifier: Apache-2.0
/*
 * A virtio device on PCI: what its kinds have in common. lock guards status, queues and features; a
 * kind's callbacks run without it unless they say otherwise. A reset waits for what is in flight:
 * until then the status that the driver reads is not 0. Spec: VIRTIO 1.2, 2.1, 4.1.
 */
#ifndef VIRTIO_VIRTIO_H
#define VIRTIO_VIRTIO_H
#include "hw/virtio.h"
#include "vdev/virtio/vqueue.h"
#include "vdev/vpci.h"
#include "vmk/work.h"

enum { VIRTIO_QUEUES = 17, VIRTIO_CONFIG_MAX = 64, VIRTIO_BUDGET = 64 };

struct virtio;
/* What every request of a kind that has some in flight begins with. */
struct virtio_request {
	struct virtio_request *next; /* of the free ones */
};

struct virtio_kind {
	uint16_t type; /* enum virtio_id */
	/*
	 * Requests that the device can have in flight, and the bytes of each. They are made with
	 * the device: what a driver makes grow has this bound, and no kick waits for memory. 0: a
	 * chain is finished in the kick that takes it.
	 */
	uint16_t requests;
	uint32_t request_size;
	uint32_t class_code;
	/* The driver's kick, on its vCPU's world, or a work world that goes on. */
	void (*kick)(struct virtio *d, unsigned queue);
	/* The driver is ready (features are agreed). May be NULL. */
	void (*started)(struct virtio *d);
	/*
	 * A reset, under lock: what is queued is dropped; what is in flight comes back by
	 * virtio_complete. May be NULL.
	 */
	void (*reset)(struct virtio *d);
	/* The driver wrote to the configuration; config[] has been updated. May be NULL. */
	void (*config_written)(struct virtio *d, unsigned off, unsigned size);
};

struct virtio {
	struct vdev vdev;
	struct vpci_dev pci;
	struct vm *vm;
	struct gmem *gmem;
	const struct virtio_kind *kind;
	struct spinlock lock;
	uint64_t offered, features;
	uint32_t feature_select, driver_select;
	uint16_t queue_select, config_vector;
	uint8_t status, isr, generation;
	bool resetting;
	uint32_t inflight, queues;
	uint32_t starved;  /* queues whose kicks found no free request */
	struct waitq idle; /* the last request of a device under reset is over */
	struct virtio_request *free;
	void *requests; /* memory of all of them */
	struct vqueue queue[VIRTIO_QUEUES];
	struct work work; /* kicks beyond the budget */
	uint32_t again;   /* queues that the work is to look at, atomic */
	uint8_t config[VIRTIO_CONFIG_MAX], config_writable[VIRTIO_CONFIG_MAX];
	uint8_t config_len;
};

/* Fills everything but the kind's own part. config_len bytes of config[] are the kind's to fill. */
int __must_check virtio_init(struct virtio *d, struct vm *vm, struct vpci_bus *bus, uint32_t slot,
                             const struct virtio_kind *kind, uint64_t features, unsigned queues,
                             unsigned config_len);
/*
 * Queues (or pairs of them) as the configuration asks for, at most max: 0 stands for as many as the
 * VM has CPUs.
 */
unsigned virtio_queue_count(struct vm *vm, const struct vm_device *cfg, unsigned max);
void virtio_stop(struct virtio *d);    /* no driver any more: waits until nothing is in flight */
void virtio_destroy(struct virtio *d); /* after stop, or when the device was never used */

/*
 * A free request, in flight until virtio_complete, or until virtio_unget when there is no chain for
 * it. NULL: all are in flight; when one is over, a work world kicks the queue again. Under lock.
 */
struct virtio_request *__must_check virtio_get(struct virtio *d, unsigned queue);
void virtio_unget(struct virtio *d, struct virtio_request *r);
static inline bool virtio_live(const struct virtio *d) /* under lock */
{
	return (d->status & VIRTIO_DRIVER_OK) && !(d->status & VIRTIO_DEVICE_NEEDS_RESET) &&
	       !d->resetting;
}
/* The driver broke the rules: it is told to reset the device. Under lock. */
void virtio_broken(struct virtio *d);
/* Interrupts as the driver wants them. Under lock. */
void virtio_signal(struct virtio *d, struct vqueue *q);
/*
 * Gives a chain back and tells the driver. written: bytes, or -EPROTO when its memory was not
 * there, which breaks the device. Under lock.
 */
void virtio_give(struct virtio *d, struct vqueue *q, uint16_t head, int64_t written);
/*
 * The end of a request of virtio_get: virtio_give, unless the driver has reset the device
 * meanwhile. The device may be gone afterwards. Any context, without lock.
 */
void virtio_complete(struct virtio *d, struct virtio_request *r, unsigned queue, uint16_t head,
                     int64_t written);
void virtio_config_changed(struct virtio *d); /* under lock */
/* More than the budget waits in the queue: a work world goes on. */
void virtio_again(struct virtio *d, unsigned queue);
#endif
