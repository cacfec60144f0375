// SPDX-License-Identifier: Apache-2.0
/*
 * virtio block device on a virtual disk, or on a block device of the host's. A request is one
 * blk_req whose scatter list is the guest's own pages; the completion writes the status byte and
 * the used ring in the bottom half. The device's lock guards the queues and the free requests.
 * Spec: VIRTIO 1.2, 5.2.
 */
#include "vdev/virtio/virtio.h"
#include "vmk/blk.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/vdisk.h"

STAT(requests, "vm.virtio_blk.requests", "requests of guests");
STAT(errors, "vm.virtio_blk.errors", "requests that failed");

enum {
	CLASS_STORAGE = 0x010000,
	SECTOR = 1 << VIRTIO_BLK_SECTOR_SHIFT,
	SG_MAX = VCHAIN_PIECES + 8,  /* pieces of a chain that cross 2 MiB become two */
	SEG_MAX = VCHAIN_PIECES - 2, /* header and status take a piece each */
	RANGES_MAX = 1,
	ZEROES_MAX = 16 << 20, /* bytes */
	MULTI_QUEUES = 16
};

struct vblk {
	struct virtio d;
	struct vdisk *disk; /* one of the two, the other is NULL */
	struct blk_dev *dev;
	const struct blk_limits *limits;
	bool read_only;
	char serial[VIRTIO_BLK_ID_BYTES];
};

struct vblk_request {
	struct virtio_request v;
	struct vdisk_req r;
	struct vblk *b;
	uint16_t queue;
	bool pinned;
	struct vchain chain;
	struct sg sg[SG_MAX];
};

/* Gives the chain back: status is its last byte. Any context. */
static void complete(struct vblk_request *q, uint8_t status)
{
	struct virtio *d = &q->b->d;
	const struct vchain *c = &q->chain;
	bool reads = q->r.blk.op == BLK_READ && status == VIRTIO_BLK_S_OK;
	int64_t written = reads ? c->write_bytes : 1;

	if (vchain_write(d->gmem, c, c->write_bytes - 1, &status, 1) != 1)
		written = -EPROTO;
	if (q->pinned)
		gmem_unpin(d->gmem);
	if (status != VIRTIO_BLK_S_OK)
		stat_inc(errors);
	virtio_complete(d, &q->v, q->queue, c->head, written);
}

static void done(struct vdisk_req *r)
{
	int status = r->blk.status;

	complete(container_of(r, struct vblk_request, r), !status ? VIRTIO_BLK_S_OK
	                                                  : status == -EOPNOTSUPP
	                                                          ? VIRTIO_BLK_S_UNSUPP
	                                                          : VIRTIO_BLK_S_IOERR);
}

static void device_done(struct blk_req *r)
{
	done(container_of(r, struct vdisk_req, blk));
}

static uint64_t sectors_of(const struct vblk *b)
{
	return b->limits->blocks * b->limits->block_size / SECTOR;
}

/* A range that the guest named, in bytes; false: outside, or not whole blocks. */
static bool range(const struct vblk *b, uint64_t sector, uint64_t bytes, struct blk_req *r)
{
	uint64_t size = sectors_of(b);

	/* No overflow: sector is at most size, and bytes are compared with what is left. */
	if (sector > size || bytes > (size - sector) * SECTOR)
		return false;
	r->offset = sector * SECTOR;
	r->len = bytes;
	return IS_ALIGNED(r->offset | bytes, (uint64_t)b->limits->block_size);
}

static uint8_t data_request(struct vblk_request *q, const struct virtio_blk_req *h)
{
	struct vblk *b = q->b;
	bool read = h->type == VIRTIO_BLK_T_IN;
	uint32_t bytes = read ? q->chain.write_bytes - 1
	                      : q->chain.read_bytes - (uint32_t)sizeof(*h);
	int n;

	if (!bytes || !range(b, h->sector, bytes, &q->r.blk))
		return VIRTIO_BLK_S_IOERR;
	n = vchain_pin(b->d.gmem, &q->chain, read, read ? 0 : sizeof(*h), bytes, q->sg, SG_MAX);
	if (n < 0)
		return VIRTIO_BLK_S_IOERR;
	/* From here on complete() unpins, whatever comes. */
	q->pinned = true;
	q->r.blk.op = read ? BLK_READ : BLK_WRITE;
	q->r.blk.sg = q->sg;
	q->r.blk.sg_count = (uint16_t)n;
	return VIRTIO_BLK_S_OK;
}

static uint8_t range_request(struct vblk_request *q, const struct virtio_blk_req *h)
{
	struct virtio_blk_discard_write_zeroes x;
	bool discard = h->type == VIRTIO_BLK_T_DISCARD;
	/*
	 * What the configuration says. A longer range would keep a stop of the VM, or everybody
	 * else on the datastore, waiting for as long as the guest likes.
	 */
	uint64_t bytes, most = discard ? q->b->limits->discard_max : ZEROES_MAX;

	if (q->chain.read_bytes != sizeof(*h) + sizeof(x) ||
	    vchain_read(q->b->d.gmem, &q->chain, sizeof(*h), &x, sizeof(x)) != sizeof(x))
		return VIRTIO_BLK_S_UNSUPP;
	if (!most)
		return VIRTIO_BLK_S_UNSUPP;
	bytes = (uint64_t)x.num_sectors * SECTOR;
	if (!bytes || bytes > most || !range(q->b, x.sector, bytes, &q->r.blk))
		return VIRTIO_BLK_S_IOERR;
	q->r.blk.op = discard ? BLK_DISCARD : BLK_WRITE_ZEROES;
	return VIRTIO_BLK_S_OK;
}

/* Starts a request, or completes it at once. */
static void start(struct vblk_request *q)
{
	struct vblk *b = q->b;
	struct virtio_blk_req h;
	uint8_t status = VIRTIO_BLK_S_UNSUPP;

	stat_inc(requests);
	if (vchain_read(b->d.gmem, &q->chain, 0, &h, sizeof(h)) != sizeof(h)) {
		complete(q, VIRTIO_BLK_S_IOERR);
		return;
	}
	if (b->read_only && (h.type == VIRTIO_BLK_T_OUT || h.type == VIRTIO_BLK_T_DISCARD ||
	                     h.type == VIRTIO_BLK_T_WRITE_ZEROES)) {
		status = VIRTIO_BLK_S_IOERR;
	} else if (h.type == VIRTIO_BLK_T_IN || h.type == VIRTIO_BLK_T_OUT) {
		status = data_request(q, &h);
	} else if (h.type == VIRTIO_BLK_T_FLUSH) {
		q->r.blk.op = BLK_FLUSH;
		status = VIRTIO_BLK_S_OK;
	} else if (h.type == VIRTIO_BLK_T_DISCARD || h.type == VIRTIO_BLK_T_WRITE_ZEROES) {
		status = range_request(q, &h);
	} else if (h.type == VIRTIO_BLK_T_GET_ID) {
		complete(q,
		         vchain_write(b->d.gmem, &q->chain, 0, b->serial, VIRTIO_BLK_ID_BYTES) >= 0
		                 ? VIRTIO_BLK_S_OK
		                 : VIRTIO_BLK_S_IOERR);
		return;
	}
	if (status != VIRTIO_BLK_S_OK) {
		complete(q, status);
		return;
	}
	/* q may be complete, and gone, before these calls return. */
	if (b->disk) {
		q->r.done = done;
		vdisk_submit(b->disk, &q->r);
	} else {
		q->r.blk.done = device_done;
		blk_submit(&q->r.blk, b->dev);
	}
}

/* One chain off the queue: NULL when there is none, or no request for it (virtio_get). */
static struct vblk_request *next(struct vblk *b, unsigned queue)
{
	struct virtio *d = &b->d;
	uint64_t flags = spin_lock_irq(&d->lock);
	struct virtio_request *r = virtio_live(d) ? virtio_get(d, queue) : NULL;
	struct vblk_request *q = r ? container_of(r, struct vblk_request, v) : NULL;
	int got = q ? vqueue_take(&d->queue[queue], &q->chain) : 0;

	/* Header and status are the least that a request has. */
	if (got > 0 &&
	    (q->chain.read_bytes < sizeof(struct virtio_blk_req) || !q->chain.write_bytes))
		got = -EPROTO;
	if (got < 0)
		virtio_broken(d);
	if (q && got <= 0)
		virtio_unget(d, r);
	spin_unlock_irq(&d->lock, flags);
	if (got <= 0)
		return NULL;
	memset(&q->r, 0, sizeof(q->r));
	q->r.blk.owner = d->vm;
	q->b = b;
	q->queue = (uint16_t)queue;
	q->pinned = false;
	return q;
}

static void kick(struct virtio *d, unsigned queue)
{
	struct vblk *b = container_of(d, struct vblk, d);
	uint64_t flags = spin_lock_irq(&d->lock);

	/* Not for each chain while we are at it; vqueue_take asks for them when there is none. */
	if (virtio_live(d))
		vqueue_kicks(&d->queue[queue], false);
	spin_unlock_irq(&d->lock, flags);
	for (unsigned n = 0; n < VIRTIO_BUDGET; n++) {
		struct vblk_request *q = next(b, queue);

		if (!q)
			return;
		start(q);
	}
	virtio_again(d, queue);
}

static const struct virtio_kind kind = { .type = VIRTIO_ID_BLOCK,
	                                 .class_code = CLASS_STORAGE,
	                                 .requests = VQUEUE_SIZE_MAX,
	                                 .request_size = sizeof(struct vblk_request),
	                                 .kick = kick };

static void fill_config(struct vblk *b, unsigned queues)
{
	const struct blk_limits *l = b->limits;
	uint32_t per_physical = MAX(l->phys_block / l->block_size, 1u);
	struct virtio_blk_config c = {
		.capacity = sectors_of(b),
		.seg_max = SEG_MAX,
		.blk_size = l->block_size,
		.topology = { .physical_block_exp = (uint8_t)log2_floor(per_physical),
		              .min_io_size = (uint16_t)per_physical },
		.writeback = l->write_cache,
		.num_queues = (uint16_t)queues,
		.max_discard_sectors = l->discard_max / SECTOR,
		.max_discard_seg = RANGES_MAX,
		.discard_sector_alignment = (b->disk ? (uint32_t)MiB : l->block_size) / SECTOR,
		.max_write_zeroes_sectors = ZEROES_MAX / SECTOR,
		.max_write_zeroes_seg = RANGES_MAX,
	};

	memcpy(b->d.config, &c, sizeof(c));
}

/* A path is a virtual disk's, everything else names a block device. */
static int open_backend(struct vblk *b, const struct vm_device *cfg)
{
	unsigned flags = (cfg->flags & VM_DEV_READ_ONLY ? VDISK_READ_ONLY : 0u) |
	                 (cfg->flags & VM_DEV_THIN ? VDISK_THIN : 0u);
	int err;

	if (cfg->backend[0] == '/') {
		err = vdisk_open(cfg->backend, flags, &b->disk);
		if (err)
			return err;
		b->limits = vdisk_limits(b->disk);
		b->read_only = b->limits->read_only;
		return 0;
	}
	b->dev = blk_find(cfg->backend);
	if (!b->dev)
		return -ENOENT;
	b->limits = &b->dev->limits;
	b->read_only = (cfg->flags & VM_DEV_READ_ONLY) || b->limits->read_only;
	/*
	 * Exclusive for a reader too: a disk that is in use holds the host's own data, or
	 * another's.
	 */
	err = blk_open(b->dev, true);
	if (err)
		blk_close(b->dev, false);
	return err;
}

static void close_backend(struct vblk *b)
{
	if (b->disk) {
		vdisk_close(b->disk);
		return;
	}
	blk_close(b->dev, true);
	blk_close(b->dev, false); /* blk_find's */
}

static int create(struct vm *vm, struct vpci_bus *bus, const struct vm_device *cfg,
                  struct vdev **out)
{
	unsigned queues = virtio_queue_count(vm, cfg, MULTI_QUEUES);
	uint64_t features = VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH |
	                    VIRTIO_BLK_F_TOPOLOGY | VIRTIO_BLK_F_WRITE_ZEROES;
	struct vblk *b = kzalloc(sizeof(*b));
	int err = b ? open_backend(b, cfg) : -ENOMEM;

	if (err)
		goto free;
	str_copy(b->serial, cfg->serial[0] || !b->dev ? cfg->serial : b->dev->serial,
	         sizeof(b->serial));
	features |= b->read_only ? VIRTIO_BLK_F_RO : 0;
	features |= queues > 1 ? VIRTIO_BLK_F_MQ : 0;
	features |= b->limits->discard_max ? VIRTIO_BLK_F_DISCARD : 0;
	err = virtio_init(&b->d, vm, bus, cfg->slot, &kind, features, queues,
	                  sizeof(struct virtio_blk_config));
	if (err)
		goto close;
	fill_config(b, queues);
	*out = &b->d.vdev;
	return 0;
close:
	close_backend(b);
free:
	kfree(b);
	return err;
}

static void stop(struct vdev *v)
{
	virtio_stop(container_of(v, struct virtio, vdev));
}

static void destroy(struct vdev *v)
{
	struct vblk *b = container_of(v, struct vblk, d.vdev);

	virtio_destroy(&b->d);
	close_backend(b);
	kfree(b);
}

VDEV_CLASS(virtio_blk, .kind = VM_DEV_VIRTIO_BLK, .name = "virtio-blk", .create = create,
           .stop = stop, .destroy = destroy);
