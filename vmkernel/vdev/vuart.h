// SPDX-License-Identifier: Apache-2.0
/* A guest's 16550A serial port. lock guards all. Spec: National Semiconductor PC16550D. */
#ifndef VDEV_VUART_H
#define VDEV_VUART_H
#include "vdev/vconsole.h"
#include "vmk/iobus.h"
#include "vmk/vdev.h"

struct vuart {
	struct spinlock lock;
	struct vconsole console;
	uint8_t ier, lcr, mcr, scratch, fcr, thr;
	uint16_t divisor;
	bool thr_interrupt; /* THRE is pending as an interrupt */
	bool thr_full;      /* the byte in thr waits for room in the console */
	bool loopback_full;
	uint8_t loopback;
	struct virq *irq;
	struct io_range range;
};

int __must_check vuart_init(struct vuart *u, struct iobus *b, struct virq *irq, uint16_t port);
void vuart_destroy(struct vuart *u);
#endif
