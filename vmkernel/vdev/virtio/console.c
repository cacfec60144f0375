// SPDX-License-Identifier: Apache-2.0
/*
 * virtio console with one port. Its streams are those of a vconsole; what it says appears on the VM's console as
 * the first serial port's does. Spec: VIRTIO 1.2, 5.3.
 */
#include "vdev/vconsole.h"
#include "vdev/virtio/virtio.h"
#include "vmk/errno.h"
#include "vmk/mm.h"

enum { TYPE_CONSOLE = 3, CLASS_OTHER = 0x078000, RX = 0, TX = 1, PIECE = 64 };

struct vcon {
	struct virtio d;
	struct vconsole console;
	struct vchain chain; /* under the device's lock */
};

/* A transmit chain to the console, which has room for it. */
static int transmit(struct vcon *v, const struct vchain *c)
{
	uint8_t buf[PIECE];

	for (uint32_t off = 0; off < c->read_bytes; off += PIECE) {
		uint32_t n = MIN(c->read_bytes - off, (uint32_t)PIECE);

		if (vchain_read(v->d.gmem, c, off, buf, n) != (int)n)
			return -EPROTO;
		for (uint32_t i = 0; i < n; i++)
			vconsole_put(&v->console, buf[i]);
	}
	return 0;
}

static int receive(struct vcon *v, const struct vchain *c)
{
	uint32_t n = 0;
	int byte;

	while (n < c->write_bytes && (byte = vconsole_get(&v->console)) >= 0) {
		uint8_t b = (uint8_t)byte;

		if (vchain_write(v->d.gmem, c, n, &b, 1) != 1)
			return -EPROTO;
		n++;
	}
	return (int)n;
}

/* Whether the chain can be dealt with now; one that is longer than the whole ring is cut by it. */
static bool ready(struct vcon *v, unsigned queue)
{
	uint32_t room = vconsole_room(&v->console);

	if (queue == RX)
		return vconsole_input(&v->console);
	return room >= v->chain.read_bytes || room >= VCONSOLE_OUT;
}

static void kick(struct virtio *d, unsigned queue)
{
	struct vcon *v = container_of(d, struct vcon, d);
	struct vqueue *q = &d->queue[queue];
	uint64_t flags = spin_lock_irq(&d->lock);
	unsigned n;
	int err;

	for (n = 0; n < VIRTIO_BUDGET && virtio_live(d); n++) {
		err = vqueue_take(q, &v->chain);
		if (!err)
			break;
		if (err > 0 && !ready(v, queue)) {
			vqueue_unget(q);
			break;
		}
		if (err > 0)
			err = queue == TX ? transmit(v, &v->chain) : receive(v, &v->chain);
		if (err >= 0)
			err = vqueue_done(q, v->chain.head, (uint32_t)err);
		if (err < 0)
			virtio_broken(d);
	}
	if (n && virtio_live(d))
		virtio_signal(d, q);
	spin_unlock_irq(&d->lock, flags);
	if (n == VIRTIO_BUDGET)
		virtio_again(d, queue);
}

/* Room or input: both queues have something to do. */
static void notify(struct vconsole *c)
{
	struct vcon *v = container_of(c, struct vcon, console);

	kick(&v->d, RX);
	kick(&v->d, TX);
}

static const struct virtio_kind kind = {
	.type = TYPE_CONSOLE,
	.class_code = CLASS_OTHER,
	.kick = kick,
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
