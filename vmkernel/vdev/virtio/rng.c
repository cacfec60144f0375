// SPDX-License-Identifier: Apache-2.0
/* virtio entropy device. Spec: VIRTIO 1.2, 5.4. */
#include "vdev/virtio/virtio.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/random.h"

enum { CLASS_OTHER = 0x00ff00, PIECE = 64, LIMIT = 4096 };

/* Random bytes into a chain; written bytes or -EPROTO. */
static int fill(struct virtio *d, const struct vchain *c)
{
	uint8_t buf[PIECE];
	uint32_t len = MIN(c->write_bytes, (uint32_t)LIMIT);

	for (uint32_t off = 0; off < len; off += PIECE) {
		uint32_t n = MIN(len - off, (uint32_t)PIECE);

		random_bytes(buf, n);
		if (vchain_write(d->gmem, c, off, buf, n) != (int)n)
			return -EPROTO;
	}
	return (int)len;
}

static void kick(struct virtio *d, unsigned queue)
{
	struct vchain *c = kmalloc(sizeof(*c));
	int got = 1;

	for (unsigned n = 0; c && got > 0; n++) {
		uint64_t flags;

		/* Up to 256 KiB of random bytes: more would keep the vCPU too long. */
		if (n == VIRTIO_BUDGET) {
			kfree(c);
			virtio_again(d, queue);
			return;
		}
		flags = spin_lock_irq(&d->lock);
		got = virtio_live(d) ? vqueue_take(&d->queue[queue], c) : 0;
		if (got > 0)
			virtio_give(d, &d->queue[queue], c->head, fill(d, c));
		if (got < 0)
			virtio_broken(d);
		spin_unlock_irq(&d->lock, flags);
	}
	if (!c)
		virtio_again(d, queue);
	kfree(c);
}

static const struct virtio_kind kind = {
	.type = VIRTIO_ID_ENTROPY,
	.class_code = CLASS_OTHER,
	.kick = kick,
};

static int create(struct vm *vm, struct vpci_bus *bus, const struct vm_device *cfg,
                  struct vdev **out)
{
	struct virtio *d = kzalloc(sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	err = virtio_init(d, vm, bus, cfg->slot, &kind, 0, 1, 0);
	if (err)
		kfree(d);
	else
		*out = &d->vdev;
	return err;
}

static void stop(struct vdev *v)
{
	virtio_stop(container_of(v, struct virtio, vdev));
}

static void destroy(struct vdev *v)
{
	kfree(container_of(v, struct virtio, vdev));
}

VDEV_CLASS(virtio_rng, .kind = VM_DEV_VIRTIO_RNG, .name = "virtio-rng", .create = create,
           .stop = stop, .destroy = destroy);
