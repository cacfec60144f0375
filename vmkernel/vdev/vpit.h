// SPDX-License-Identifier: Apache-2.0
/* A guest's 8254 timer and port 61h. lock guards all. Spec: Intel 8254 data sheet. */
#ifndef VDEV_VPIT_H
#define VDEV_VPIT_H
#include "vmk/iobus.h"
#include "vmk/time.h"
#include "vmk/vdev.h"

enum { PIT_HZ = 1193182 };

struct vpit_channel {
	uint16_t reload, latch;
	uint8_t mode, access; /* access 1: low, 2: high, 3: low then high byte */
	uint8_t status;       /* latched */
	uint8_t low;          /* first byte of a 16-bit write */
	bool latched, status_latched, high_next_read, high_next_write, armed, gate;
	ns_t start;     /* counts since then, while the gate is high */
	uint64_t ticks; /* counted before start */
};

struct vpit {
	struct spinlock lock;
	struct vpit_channel channel[3];
	bool speaker;
	struct timer timer; /* channel 0 */
	struct virq *irq;
	struct io_range range[2];
};

int __must_check vpit_init(struct vpit *p, struct iobus *b, struct virq *irq);
void vpit_stop(struct vpit *p);
#endif
