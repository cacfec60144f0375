// SPDX-License-Identifier: Apache-2.0
/*
 * The two byte streams between a guest's serial port or console device and whoever is attached.
 * What nobody reads stays, the oldest being dropped; while a reader is attached, a full ring holds
 * the guest's device back instead. lock guards all; any context but for the waits of readers.
 */
#ifndef VDEV_VCONSOLE_H
#define VDEV_VCONSOLE_H
#include "vmk/wait.h"

enum { VCONSOLE_OUT = 65536, VCONSOLE_IN = 4096 };

struct vring {
	uint8_t *data;
	uint32_t size, head, count; /* head: the oldest byte */
};

struct vconsole {
	struct spinlock lock;
	struct vring out, in; /* out: from the guest */
	uint32_t readers;
	bool closed; /* the VM has ended */
	struct waitq waitq;
	/* The device's: room in out again, or bytes in in. Under no lock. */
	void (*notify)(struct vconsole *c);
};

int __must_check vconsole_init(struct vconsole *c, void (*notify)(struct vconsole *));
void vconsole_destroy(struct vconsole *c);
/*
 * The device's side. put: false when a reader is attached and the ring is full; get: -1 when there
 * is nothing.
 */
bool vconsole_put(struct vconsole *c, uint8_t byte);
int vconsole_get(struct vconsole *c);
uint32_t vconsole_room(struct vconsole *c); /* so many puts would succeed */
bool vconsole_input(struct vconsole *c);    /* get would succeed */
void vconsole_close(struct vconsole *c);
/* The reader's side; bytes moved. Read: 0 with *end when nothing will come any more. */
void vconsole_attach(struct vconsole *c, bool on);
size_t vconsole_read(struct vconsole *c, void *buf, size_t size, bool *end);
size_t vconsole_write(struct vconsole *c, const void *buf, size_t size);
/* Bytes of input that it would take now. */
uint32_t vconsole_space(const struct vconsole *c);
#endif
