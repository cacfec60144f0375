// SPDX-License-Identifier: Apache-2.0
/*
 * virtio console with one port. Its streams are those of a vconsole; what it says appears on the
 * VM's console as the first serial port's does. Spec: VIRTIO 1.2, 5.3.
 */
#include "vdev/vconsole.h"
#include "vdev/virtio/virtio.h"
#include "vmk/errno.h"
#include "vmk/mm.h"

enum { CLASS_OTHER = 0x078000, RX = 0, TX = 1, PIECE = 64, STEP = 1024 };

struct vcon {
	struct virtio d;
	struct vconsole console;
	/*
	 * Under the device's lock. A chain may be as long as the guest's memory, so it is sent in
	 * steps.
	 */
	struct vchain rx, tx;
	uint32_t sent;
	bool sending; /* tx is taken, up to sent */
};

/* Some of the transmit queue: 1 when there may be more, 0, or -EPROTO. */
static int transmit(struct vcon *v, struct vqueue *q)
{
	uint8_t buf[PIECE];

	if (!v->sending) {
		int got = vqueue_take(q, &v->tx);

		if (got <= 0)
			return got;
		v->sending = true;
		v->sent = 0;
	}
	/* A chain may be as long as the guest's memory: so many bytes a turn of the lock. */
	for (uint32_t end = v->sent + MIN(v->tx.read_bytes - v->sent, (uint32_t)STEP);
	     v->sent < end;) {
		uint32_t n = MIN(MIN(end - v->sent, (uint32_t)PIECE), vconsole_room(&v->console));

		if (!n) /* the reader will tell */
			return 0;
		if (vchain_read(v->d.gmem, &v->tx, v->sent, buf, n) != (int)n)
			return -EPROTO;
		for (uint32_t i = 0; i < n; i++)
			vconsole_put(&v->console, buf[i]);
		v->sent += n;
	}
	if (v->sent < v->tx.read_bytes)
		return 1;
	v->sending = false;
	virtio_give(&v->d, q, v->tx.head, 0);
	return 1;
}

/* One receive chain, when there is input. */
static int receive(struct vcon *v, struct vqueue *q)
{
	int got = vconsole_input(&v->console) ? vqueue_take(q, &v->rx) : 0, byte;
	uint32_t n = 0;

	if (got <= 0)
		return got;
	while (n < v->rx.write_bytes && (byte = vconsole_get(&v->console)) >= 0) {
		uint8_t b = (uint8_t)byte;

		if (vchain_write(v->d.gmem, &v->rx, n, &b, 1) != 1)
			return -EPROTO;
		n++;
	}
	virtio_give(&v->d, q, v->rx.head, n);
	return 1;
}

static void kick(struct virtio *d, unsigned queue)
{
	struct vcon *v = container_of(d, struct vcon, d);
	int more = 1;

	for (unsigned n = 0; more > 0; n++) {
		uint64_t flags;

		if (n == VIRTIO_BUDGET) {
			virtio_again(d, queue);
			return;
		}
		flags = spin_lock_irq(&d->lock);
		more = !virtio_live(d) ? 0
		       : queue == TX   ? transmit(v, &d->queue[TX])
		                       : receive(v, &d->queue[RX]);
		if (more < 0)
			virtio_broken(d);
		spin_unlock_irq(&d->lock, flags);
	}
}

static void reset(struct virtio *d)
{
	container_of(d, struct vcon, d)->sending = false;
}

/* Room or input: both queues have something to do. */
static void notify(struct vconsole *c)
{
	struct vcon *v = container_of(c, struct vcon, console);

	kick(&v->d, RX);
	kick(&v->d, TX);
}

static const struct virtio_kind kind = {
	.type = VIRTIO_ID_CONSOLE,
	.class_code = CLASS_OTHER,
	.kick = kick,
	.reset = reset,
};

static int create(struct vm *vm, struct vpci_bus *bus, const struct vm_device *cfg,
                  struct vdev **out)
{
	struct vcon *v = kzalloc(sizeof(*v));
	int err = v ? vconsole_init(&v->console, notify) : -ENOMEM;

	if (!err)
		err = virtio_init(&v->d, vm, bus, cfg->slot, &kind, 0, 2, 0);
	if (err) {
		if (v)
			vconsole_destroy(&v->console);
		kfree(v);
		return err;
	}
	*out = &v->d.vdev;
	return 0;
}

static void stop(struct vdev *d)
{
	struct vcon *v = container_of(d, struct vcon, d.vdev);

	virtio_stop(&v->d);
	vconsole_close(&v->console);
}

static void destroy(struct vdev *d)
{
	struct vcon *v = container_of(d, struct vcon, d.vdev);

	vconsole_destroy(&v->console);
	kfree(v);
}

static struct vconsole *console(struct vdev *d)
{
	return &container_of(d, struct vcon, d.vdev)->console;
}

VDEV_CLASS(virtio_console, .kind = VM_DEV_VIRTIO_CONSOLE, .name = "virtio-console",
           .create = create, .stop = stop, .destroy = destroy, .console = console);
