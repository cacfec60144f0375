// SPDX-License-Identifier: Apache-2.0
/* Waiting on several files at once: what poll and select share (poll.c). */
#ifndef FS_POLL_H
#define FS_POLL_H
#include "vmk/file.h"

struct poll_item {
	struct file *f; /* with a reference; NULL is never ready */
	unsigned want;  /* bits; ERR and HUP always count */
	unsigned ready; /* out */
};
/*
 * Waits until an item is ready: how many are, 0 at the deadline (0: does not wait), -EINTR,
 * -ENOMEM.
 */
long poll_wait(struct poll_item *items, unsigned count, ns_t deadline);
/*
 * The bits that are ready now; *q as struct file_ops.poll says, NULL for files that are always
 * ready.
 */
unsigned file_poll(struct file *f, struct waitq **q);
#endif
