// SPDX-License-Identifier: Apache-2.0
/* virtio entropy device. Spec: VIRTIO 1.2, 5.4. */
#include "vdev/virtio/virtio.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/random.h"

enum { CLASS_OTHER = 0x00ff00, PIECE = 64, LIMIT = 4096 };

struct vrng {
	struct virtio d;
	struct vchain chain; /* under the device's lock */
};

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
	struct vrng *v = container_of(d, struct vrng, d);
	int got = 1;

	/* At most 256 KiB of random bytes: more would keep the vCPU too long. */
	for (unsigned n = 0; got > 0 && n < VIRTIO_BUDGET; n++) {
		uint64_t flags = spin_lock_irq(&d->lock);

		got = virtio_live(d) ? vqueue_take(&d->queue[queue], &v->chain) : 0;
		if (got > 0)
			virtio_give(d, &d->queue[queue], v->chain.head, fill(d, &v->chain));
		if (got < 0)
			virtio_broken(d);
		spin_unlock_irq(&d->lock, flags);
	}
	if (got > 0)
		virtio_again(d, queue);
}

static const struct virtio_kind kind = {
	.type = VIRTIO_ID_ENTROPY,
	.class_code = CLASS_OTHER,
	.kick = kick,
};

static int create(struct vm *vm, struct vpci_bus *bus, const struct vm_device *cfg,
                  struct vdev **out)
{
	struct vrng *v = kzalloc(sizeof(*v));
	int err = v ? virtio_init(&v->d, vm, bus, cfg->slot, &kind, 0, 1, 0) : -ENOMEM;

	if (err)
		kfree(v);
	else
		*out = &v->d.vdev;
	return err;
}

static void stop(struct vdev *d)
{
	virtio_stop(container_of(d, struct virtio, vdev));
}

static void destroy(struct vdev *d)
{
	kfree(container_of(d, struct vrng, d.vdev));
}

VDEV_CLASS(virtio_rng, .kind = VM_DEV_VIRTIO_RNG, .name = "virtio-rng", .create = create,
           .stop = stop, .destroy = destroy);
