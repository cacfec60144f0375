// SPDX-License-Identifier: Apache-2.0
/*
 * A split virtqueue, the device's side. What the guest wrote is read once, checked, and handed on
 * as a chain; anything wrong is -EPROTO, after which the device needs a reset. The device's lock
 * guards a queue.
 * Spec: VIRTIO 1.2, 2.7 (split), 2.7.5.3 (indirect), 2.7.10 (notification suppression).
 */
#ifndef VIRTIO_VQUEUE_H
#define VIRTIO_VQUEUE_H
#include "vmk/gmem.h"

enum { VQUEUE_SIZE_MAX = 256, VCHAIN_PIECES = 66 };

struct vqueue {
	struct gmem *gmem;
	gpa_t desc, avail, used;
	uint16_t size, size_max, vector;
	bool enabled, event_index, indirect;
	uint16_t next_avail, next_used, signalled; /* signalled: next_used at the last interrupt */
	bool signalled_valid;
};

struct vpiece {
	gpa_t gpa;
	uint32_t len;
};

/* The readable pieces come first, then the writable ones. */
struct vchain {
	uint16_t head, readable, count; /* readable: how many pieces are */
	uint32_t read_bytes, write_bytes;
	struct vpiece piece[VCHAIN_PIECES];
};

void vqueue_reset(struct vqueue *q);
/* The driver enables it: addresses and size are checked. -EINVAL. */
int __must_check vqueue_enable(struct vqueue *q);
/* The next chain: 1, 0 when there is none, -EPROTO. */
int __must_check vqueue_next(struct vqueue *q, struct vchain *c);
/* The same, and when there is none, the driver's next one comes with a kick. */
int __must_check vqueue_take(struct vqueue *q, struct vchain *c);
/* Gives a chain back with the bytes written. -EPROTO. */
int __must_check vqueue_done(struct vqueue *q, uint16_t head, uint32_t written);
/*
 * Like vqueue_done for `count` chains that appear together: entries are filled in first, and then
 * published.
 */
int __must_check vqueue_fill(struct vqueue *q, uint16_t offset, uint16_t head, uint32_t written);
int __must_check vqueue_publish(struct vqueue *q, uint16_t count);
/* Whether the driver wants an interrupt for what was given back since the last one. */
bool vqueue_wants_signal(struct vqueue *q);
/*
 * Asks for (on) or does without kicks. After on, chains that are there already have to be looked
 * for again: returns true when there are any.
 */
bool vqueue_kicks(struct vqueue *q, bool on);

/*
 * Copies from the readable or to the writable part, from a byte offset on; bytes done or -EPROTO.
 */
int __must_check vchain_read(struct gmem *g, const struct vchain *c, uint32_t off, void *dst,
                             uint32_t len);
int __must_check vchain_write(struct gmem *g, const struct vchain *c, uint32_t off, const void *src,
                              uint32_t len);
/*
 * Machine addresses of a range of bytes of one part. Pieces of sg, or -errno of gmem_pin; one pin.
 */
int __must_check vchain_pin(struct gmem *g, const struct vchain *c, bool writable, uint32_t off,
                            uint32_t len, struct sg *sg, unsigned max);
#endif
