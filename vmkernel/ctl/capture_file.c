// SPDX-License-Identifier: Apache-2.0
/*
 * A capture of frames as an open file: reads give the pcap stream, 0 at its end, which is when the
 * port or uplink is gone. Reads sleep, but for O_NONBLOCK.
 */
#include "ctl/capture_file.h"
#include "fs/linux.h"
#include "vmk/errno.h"
#include "vmk/vswitch.h"
#include "vmk/wait.h"

static bool readable(struct capture *c)
{
	const uint8_t *data;

	return capture_peek(c, &data) > 0;
}

/*
 * What is there and fits. A capture takes one reader at a time: pos_lock sees to it, which a file
 * without a position does not use otherwise.
 */
static ssize_t take(struct file *f, struct uio *u)
{
	struct capture *c = f->priv;
	const uint8_t *data;
	ssize_t done = 0;
	size_t n;

	mutex_lock(&f->pos_lock);
	while (u->left && (n = capture_peek(c, &data)) > 0) {
		n = MIN(n, u->left);
		if (uio_write(u, data, n)) {
			done = done ? done : -EFAULT;
			break;
		}
		capture_consume(c, n);
		done += (ssize_t)n;
	}
	mutex_unlock(&f->pos_lock);
	return done;
}

static ssize_t capture_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct capture *c = f->priv;

	for (;;) {
		/* Asked before the ring is: what came before the end is read before the 0. */
		bool live = capture_live(c);
		ssize_t done = take(f, u);
		int err;

		if (done || !u->left || !live)
			return done;
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		err = wait_event_interruptible(capture_waitq(c), readable(c) || !capture_live(c));
		if (err)
			return err;
	}
}

static unsigned capture_poll(struct file *f, struct waitq **q)
{
	struct capture *c = f->priv;

	*q = capture_waitq(c);
	return (readable(c) ? FPOLLIN : 0u) | (capture_live(c) ? 0u : FPOLLHUP);
}

static void capture_release(struct file *f)
{
	capture_stop(f->priv);
}

static const struct file_ops capture_ops = {
	.name = "capture",
	.read = capture_read,
	.poll = capture_poll,
	.release = capture_release,
};

int capture_file(const char *what, unsigned snap, struct file **out)
{
	struct capture *c;
	int err = capture_start(what, snap, &c);

	if (err)
		return err;
	err = file_alloc(&capture_ops, c, 0, out);
	if (err)
		capture_stop(c);
	return err;
}
