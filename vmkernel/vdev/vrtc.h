// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's MC146818 clock with 128 bytes of CMOS memory. lock guards all.
 * Spec: Motorola MC146818A.
 */
#ifndef VDEV_VRTC_H
#define VDEV_VRTC_H
#include "vmk/iobus.h"
#include "vmk/time.h"
#include "vmk/vdev.h"

struct vrtc {
	struct spinlock lock;
	uint8_t index, cmos[128];
	int64_t offset; /* seconds that the guest's clock is ahead of ours */
	ns_t seen;      /* real time up to which alarm and update were signalled */
	struct timer timer;
	struct virq *irq;
	struct io_range range;
};

int __must_check vrtc_init(struct vrtc *r, struct iobus *b, struct virq *irq, uint64_t memory);
void vrtc_stop(struct vrtc *r);
#endif
