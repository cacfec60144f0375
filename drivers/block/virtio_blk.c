// SPDX-License-Identifier: Apache-2.0
/*
 * Virtio block devices: a queue per CPU where the device has them. Each queue's lock guards its
 * ring and slots. There is no abort: a request past its deadline that is not in the used ring
 * resets the device; it ends with -ETIMEDOUT, all others are tried again.
 * Spec: VIRTIO 1.2 5.2.
 */
#include "virtio/virtio.h"
#include "vmk/blk.h"
#include "vmk/cpu.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/wait.h"

#define LOG_MODULE "virtio_blk"

STAT(errors, "virtio_blk.errors", "requests that ended with an error status");
STAT(resets, "virtio_blk.resets", "device resets");
STAT(lost, "virtio_blk.lost_interrupts", "late requests that were finished in the ring");

enum { VBLK_DEPTH = 128, VBLK_QUEUES_MAX = 8, VBLK_BATCH = 16, VBLK_SG_MAX = VIRTQ_INDIRECT - 2 };
#define VBLK_BYTES_MAX (1u << 20)
#define VBLK_WANTED                                                                            \
	(VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_RO | VIRTIO_BLK_F_BLK_SIZE | VIRTIO_BLK_F_FLUSH | \
	 VIRTIO_BLK_F_MQ | VIRTIO_BLK_F_DISCARD | VIRTIO_BLK_F_WRITE_ZEROES |                  \
	 VIRTIO_F_ANY_LAYOUT | VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX)

/* A request in flight: what the device reads and writes beside the data. */
struct vblk_slot {
	struct virtio_blk_req header;
	struct virtio_blk_discard_write_zeroes range;
	uint8_t status;
	bool late;
	struct blk_req *req;
	uint8_t pad[16];
};
ASSERT_SIZE(struct vblk_slot, 64);

struct vblk;
struct vblk_queue {
	struct spinlock lock;
	struct virtq vq;
	struct vblk *dev;
	struct bottom bottom;
	bool live;
	struct vblk_slot *slot;
	iova_t slot_iova;
	uint16_t free_count;
	uint8_t free[VBLK_DEPTH];
} __aligned(CACHE_LINE);

struct vblk {
	struct virtio virtio;
	struct blk_dev *blk; /* its own allocation: it may outlive the driver */
	unsigned queues;
	struct vblk_queue *queue;
	struct work reset;
	bool dead, removing;
};

static unsigned queue_poll(struct vblk_queue *q);

static void queue_bottom(struct bottom *b)
{
	struct vblk_queue *q = container_of(b, struct vblk_queue, bottom);

	for (unsigned done = 0; done < BOTTOM_BUDGET; done += VBLK_BATCH)
		if (queue_poll(q) < VBLK_BATCH)
			return;
	/* The budget is used up: other bottom halves come first, then this one again. */
	bottom_raise(b);
}

/* header, data or range, status */
static unsigned describe(struct vblk_queue *q, struct vblk_slot *s, const struct blk_req *r,
                         struct virtq_buf *buf, unsigned *out)
{
	iova_t at = q->slot_iova + (iova_t)((uint8_t *)s - (uint8_t *)q->slot);
	unsigned n = 0;

	buf[n++] = (struct virtq_buf){ at + offsetof(struct vblk_slot, header), sizeof(s->header) };
	if (r->op == BLK_DISCARD || r->op == BLK_WRITE_ZEROES) {
		s->range = (struct virtio_blk_discard_write_zeroes){
			.sector = r->pos >> VIRTIO_BLK_SECTOR_SHIFT,
			.num_sectors = (uint32_t)(r->len >> VIRTIO_BLK_SECTOR_SHIFT)
		};
		buf[n++] = (struct virtq_buf){ at + offsetof(struct vblk_slot, range),
			                       sizeof(s->range) };
	}
	*out = n;
	for (unsigned i = 0; i < r->sg_count && r->op <= BLK_WRITE; i++) {
		enum dma_dir dir = r->op == BLK_READ ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
		iova_t iova = dma_map(&q->dev->virtio.pci->dev, r->sg[i].pa, r->sg[i].len, dir);

		if (iova == IOVA_BAD)
			return 0;
		buf[n++] = (struct virtq_buf){ iova, r->sg[i].len };
	}
	/*
	 * What the device reads comes first, what it writes last, 2.7.4.2: a write's data are the
	 * former's.
	 */
	if (r->op == BLK_WRITE)
		*out = n;
	buf[n++] = (struct virtq_buf){ at + offsetof(struct vblk_slot, status), 1 };
	return n;
}

/*
 * Puts a request into the ring; the lock is held. -EBUSY: no slot or no descriptors, blk.c waits
 * for a completion.
 */
static int start(struct vblk_queue *q, struct blk_req *r)
{
	static const uint8_t type[BLK_OPS] = { [BLK_READ] = VIRTIO_BLK_T_IN,
		                               [BLK_WRITE] = VIRTIO_BLK_T_OUT,
		                               [BLK_FLUSH] = VIRTIO_BLK_T_FLUSH,
		                               [BLK_DISCARD] = VIRTIO_BLK_T_DISCARD,
		                               [BLK_WRITE_ZEROES] = VIRTIO_BLK_T_WRITE_ZEROES };
	struct virtq_buf buf[VIRTQ_INDIRECT];
	unsigned out;

	if (!q->free_count)
		return -EBUSY;
	struct vblk_slot *s = &q->slot[q->free[q->free_count - 1]];
	bool ranged = r->op == BLK_READ || r->op == BLK_WRITE;

	s->header = (struct virtio_blk_req){ .type = type[r->op],
		                             .sector = ranged ? r->pos >> VIRTIO_BLK_SECTOR_SHIFT
		                                              : 0 };
	/* No status of the specification: a device that does not write one fails the request. */
	s->status = 0xff;
	unsigned n = describe(q, s, r, buf, &out);

	if (!n)
		return -EFAULT;
	int err = virtq_add(&q->vq, buf, out, n - out, s);

	if (err)
		return err;
	/* Only after the ring took it: a request that was refused belongs to blk.c. */
	s->req = r;
	s->late = false;
	q->free_count--;
	/* Under the lock: two submitters would otherwise lose each other's index. */
	virtq_kick(&q->vq);
	return 0;
}

static int vblk_submit(struct blk_dev *d, unsigned qi, struct blk_req *r)
{
	struct vblk *b = d->drvdata;
	struct vblk_queue *q = &b->queue[qi];
	uint64_t flags = spin_lock_irq(&q->lock);
	int err = likely(q->live) ? start(q, r) : b->dead ? -ENODEV : -EBUSY;

	spin_unlock_irq(&q->lock, flags);
	return err;
}

static void end_request(struct vblk_queue *q, struct blk_req *r, int status)
{
	enum dma_dir dir = r->op == BLK_READ ? DMA_FROM_DEVICE : DMA_TO_DEVICE;

	for (unsigned i = 0; i < r->sg_count; i++)
		dma_unmap(&q->dev->virtio.pci->dev, r->sg[i].pa, r->sg[i].len, dir);
	blk_complete(r, status);
}

static struct blk_req *slot_free(struct vblk_queue *q, struct vblk_slot *s)
{
	struct blk_req *r = s->req;

	s->req = NULL;
	q->free[q->free_count++] = (uint8_t)(s - q->slot);
	return r;
}

/* At most a batch; how many. */
static unsigned queue_poll(struct vblk_queue *q)
{
	struct {
		struct blk_req *req;
		uint8_t status;
	} done[VBLK_BATCH];
	struct vblk_slot *s;
	unsigned n = 0;
	uint32_t len;
	uint64_t flags = spin_lock_irq(&q->lock);

	do {
		while (n < VBLK_BATCH && q->live && (s = virtq_get(&q->vq, &len))) {
			done[n].status = READ_ONCE(s->status);
			done[n++].req = slot_free(q, s);
		}
		/*
	 * Asking for the next interrupt and looking again closes the gap in which one could be
	 * missed.
	 */
	} while (n < VBLK_BATCH && q->live && virtq_irq_after(&q->vq, 1));
	/* Nothing more comes out of this ring. */
	bool broken = q->live && q->vq.broken;

	spin_unlock_irq(&q->lock, flags);
	for (unsigned i = 0; i < n; i++) {
		int err = done[i].status == VIRTIO_BLK_S_OK       ? 0
		          : done[i].status == VIRTIO_BLK_S_UNSUPP ? -EOPNOTSUPP
		                                                  : -EIO;

		if (unlikely(err)) {
			stat_inc(errors);
			log_warn("%s: operation %u at %llu failed with status %u", q->dev->blk->id,
			         done[i].req->op, (unsigned long long)done[i].req->pos,
			         done[i].status);
		}
		end_request(q, done[i].req, err);
	}
	if (unlikely(broken))
		work_queue(&q->dev->reset);
	return n;
}

/* Ends everything a stopped device had; what was late with -ETIMEDOUT. */
static void queue_cancel(struct vblk_queue *q, int status)
{
	for (unsigned i = 0; i < VBLK_DEPTH; i++) {
		uint64_t flags = spin_lock_irq(&q->lock);
		struct vblk_slot *s = &q->slot[i];
		bool late = s->late;
		struct blk_req *r = s->req ? slot_free(q, s) : NULL;

		spin_unlock_irq(&q->lock, flags);
		/* Without the lock: the end may submit, to a queue that is not live. */
		if (r)
			end_request(q, r, late && status == BLK_AGAIN ? -ETIMEDOUT : status);
	}
}

static bool mark_late(struct vblk *b, const struct blk_req *r)
{
	bool found = false;

	for (unsigned n = 0; n < b->queues; n++) {
		struct vblk_queue *q = &b->queue[n];
		uint64_t flags = spin_lock_irq(&q->lock);

		for (unsigned i = 0; i < VBLK_DEPTH; i++)
			if (q->slot[i].req == r)
				q->slot[i].late = found = true;
		spin_unlock_irq(&q->lock, flags);
	}
	return found;
}

static void vblk_timeout(struct blk_dev *d, struct blk_req *r)
{
	struct vblk *b = d->drvdata;

	/* r may have ended and be another's memory: it is only compared. */
	if (!mark_late(b, r))
		return;
	/* A completion whose interrupt was lost looks like a time-out. */
	for (unsigned n = 0; n < b->queues; n++)
		while (queue_poll(&b->queue[n]) == VBLK_BATCH)
			;
	if (mark_late(b, r)) {
		work_queue(&b->reset);
		return;
	}
	stat_inc(lost);
	log_warn("%s: an interrupt was lost", d->id);
}

static void vblk_release(struct blk_dev *d)
{
	kfree(d);
}
static const struct blk_ops vblk_ops = { .submit = vblk_submit,
	                                 .timeout = vblk_timeout,
	                                 .release = vblk_release };

static void queues_stop(struct vblk *b)
{
	for (unsigned i = 0; i < b->queues; i++) {
		uint64_t flags = spin_lock_irq(&b->queue[i].lock);

		b->queue[i].live = false;
		spin_unlock_irq(&b->queue[i].lock, flags);
	}
}

/*
 * Rings, vectors, DRIVER_OK: at the start and after a reset, with as many queues as at the start.
 */
static int device_start(struct vblk *b)
{
	struct virtio *v = &b->virtio;
	int err = virtio_irqs(v, b->queues);

	for (unsigned i = 0; !err && i < b->queues; i++) {
		struct vblk_queue *q = &b->queue[i];

		q->vq.bottom = &q->bottom;
		q->vq.cpu = (int)i;
		err = virtq_create(v, &q->vq, i, VIRTQ_SIZE_MAX, true);
	}
	if (!err)
		err = virtio_irqs_attach(v);
	if (err)
		return err;
	pci_set_master(v->pci, true);
	virtio_ready(v);
	for (unsigned i = 0; i < b->queues; i++) {
		uint64_t flags = spin_lock_irq(&b->queue[i].lock);

		(void)virtq_irq_after(&b->queue[i].vq, 1);
		b->queue[i].live = true;
		spin_unlock_irq(&b->queue[i].lock, flags);
	}
	return 0;
}

static void die(struct vblk *b)
{
	b->dead = true;
	/* Before the requests end: their owners reuse the pages. */
	pci_set_master(b->virtio.pci, false);
	queues_stop(b);
	for (unsigned i = 0; i < b->queues; i++)
		queue_cancel(&b->queue[i], -ENODEV);
	blk_kick(b->blk);
}

/*
 * Takes the device back to the start. Requests that were in flight are tried again, but for what
 * was late; a device that does not come back ends everything with -ENODEV.
 */
static void reset_work(struct work *w)
{
	struct vblk *b = container_of(w, struct vblk, reset);

	if (b->dead || !b->blk)
		return;
	if (b->removing) {
		die(b);
		return;
	}
	stat_inc(resets);
	log_warn("%s: resetting the device", b->virtio.pci->dev.vmk_name);
	queues_stop(b);
	uint64_t features = b->virtio.features;

	/* After this the device touches no memory: rings may be freed, requests ended. */
	virtio_reset(&b->virtio);
	virtio_close(&b->virtio);
	int err = virtio_negotiate(&b->virtio, VBLK_WANTED);

	/* blk.c knows the limits of the first negotiation. */
	if (!err && b->virtio.features != features)
		err = -EIO;
	/* Before device_start: the new rings must not find old slots taken. */
	for (unsigned i = 0; i < b->queues; i++)
		queue_cancel(&b->queue[i], BLK_AGAIN);
	if (!err)
		err = device_start(b);
	if (err) {
		log_err("%s: the device does not come back: error %d", b->virtio.pci->dev.vmk_name,
		        -err);
		die(b);
		return;
	}
	blk_kick(b->blk);
}

/*
 * Slots of each queue, which live as long as the device; rings are made anew at each reset
 * (device_start).
 */
static int queues_alloc(struct vblk *b)
{
	struct virtio *v = &b->virtio;
	unsigned most = v->features & VIRTIO_BLK_F_MQ
	                        ? (unsigned)virtio_config(v, VIRTIO_BLK_CONFIG(num_queues), 2)
	                        : 1;

	b->queues = MAX(1u, MIN(MIN(most, cpu_count()), (unsigned)VBLK_QUEUES_MAX));
	b->queue = kcalloc(b->queues, sizeof(*b->queue));
	if (!b->queue)
		return -ENOMEM;
	for (unsigned i = 0; i < b->queues; i++) {
		struct vblk_queue *q = &b->queue[i];

		q->dev = b;
		spin_init(&q->lock, "virtio_blk queue", RANK_DEVICE);
		bottom_init(&q->bottom, queue_bottom);
		q->slot = dma_alloc(&v->pci->dev, VBLK_DEPTH * sizeof(*q->slot), &q->slot_iova);
		if (!q->slot)
			return -ENOMEM;
		for (unsigned n = VBLK_DEPTH; n--;)
			q->free[q->free_count++] = (uint8_t)n;
	}
	return 0;
}

static void limits(struct vblk *b)
{
	struct virtio *v = &b->virtio;
	uint64_t has = v->features,
		 segments = has & VIRTIO_BLK_F_SEG_MAX
	                            ? virtio_config(v, VIRTIO_BLK_CONFIG(seg_max), 4)
	                            : 1;
	uint32_t block = has & VIRTIO_BLK_F_BLK_SIZE
	                         ? (uint32_t)virtio_config(v, VIRTIO_BLK_CONFIG(blk_size), 4)
	                         : 512;
	uint32_t most = UINT32_MAX >> VIRTIO_BLK_SECTOR_SHIFT;
	struct blk_limits *l = &b->blk->limits;
	bool tables = has & VIRTIO_F_INDIRECT_DESC;

	if (block != 4096)
		block = 512;
	*l = (struct blk_limits){
		.block_size = block,
		.phys_block = block,
		.blocks = virtio_config(v, VIRTIO_BLK_CONFIG(capacity), 8) /
		          (block >> VIRTIO_BLK_SECTOR_SHIFT),
		.max_bytes = VBLK_BYTES_MAX,
		.max_sg = (uint16_t)MAX(1u, MIN(segments, (uint64_t)VBLK_SG_MAX)),
		.sg_align = 1,
		/* Without tables a request may take as many descriptors as it has pieces. */
		.depth = tables ? VBLK_DEPTH : 32,
		.queues = (uint16_t)b->queues,
		.write_cache = has & VIRTIO_BLK_F_FLUSH,
		.read_only = has & VIRTIO_BLK_F_RO,
	};
	if (has & VIRTIO_BLK_F_DISCARD)
		l->discard_max = ALIGN_DOWN(
			MIN((uint32_t)virtio_config(v, VIRTIO_BLK_CONFIG(max_discard_sectors), 4),
		            most)
				<< VIRTIO_BLK_SECTOR_SHIFT,
			block);
	if (has & VIRTIO_BLK_F_WRITE_ZEROES)
		l->zeroes_max = ALIGN_DOWN(
			MIN((uint32_t)virtio_config(v, VIRTIO_BLK_CONFIG(max_write_zeroes_sectors),
		                                    4),
		            most)
				<< VIRTIO_BLK_SECTOR_SHIFT,
			block);
}

static int vblk_register(struct vblk *b)
{
	struct blk_dev *d = b->blk;
	struct device *dev = &b->virtio.pci->dev;

	limits(b);
	device_set_vmk_name(dev, "vmhba");
	d->ops = &vblk_ops;
	d->device = dev;
	d->drvdata = b;
	vmk_snprintf(d->node, sizeof(d->node), "%s:C0:T0:L0", dev->vmk_name);
	vmk_snprintf(d->id, sizeof(d->id), "mpx.%s", d->node);
	str_copy(d->vendor, "VirtIO", sizeof(d->vendor));
	str_copy(d->model, "Block Device", sizeof(d->model));
	return blk_register(d);
}

static void release(struct vblk *b)
{
	struct device *dev = &b->virtio.pci->dev;

	virtio_close(&b->virtio);
	for (unsigned i = 0; b->queue && i < b->queues; i++)
		dma_free(dev, b->queue[i].slot, VBLK_DEPTH * sizeof(struct vblk_slot));
	kfree(b->queue);
	dev->drvdata = NULL;
	kfree(b);
}

/* A device that fails half way is reset and cut off from memory before its memory is freed. */
static int vblk_probe(struct device *dev)
{
	struct vblk *b = kzalloc(sizeof(*b));

	if (!b)
		return -ENOMEM;
	dev->drvdata = b;
	work_init(&b->reset, reset_work);
	int err = virtio_open(&b->virtio, to_pci(dev));

	if (!err)
		err = virtio_negotiate(&b->virtio, VBLK_WANTED);
	if (!err)
		err = queues_alloc(b);
	if (!err)
		err = device_start(b);
	if (!err && !(b->blk = kzalloc(sizeof(*b->blk))))
		err = -ENOMEM;
	if (!err && (err = vblk_register(b))) {
		kfree(b->blk);
		b->blk = NULL;
	}
	if (!err)
		return 0;
	if (b->virtio.common || b->virtio.port)
		virtio_reset(&b->virtio);
	pci_set_master(b->virtio.pci, false);
	release(b);
	return err;
}

static void vblk_remove(struct device *dev)
{
	struct vblk *b = dev->drvdata;

	WRITE_ONCE(b->removing, true);
	work_flush(&b->reset);
	/* What is in flight will not come back by itself, and blk_unregister waits for it. */
	if (dev->gone || virtio_status(&b->virtio) == 0xff)
		die(b);
	blk_unregister(b->blk);
	work_flush(&b->reset);
	if (!b->dead)
		virtio_reset(&b->virtio);
	pci_set_master(b->virtio.pci, false);
	release(b);
}

static const struct hcl_match vblk_match[] = {
	PCI_DEV(VIRTIO_PCI_VENDOR, VIRTIO_PCI_DEVICE_BASE + VIRTIO_ID_BLOCK, EMULATED,
	        "Virtio 1.0 block device"),
	PCI_DEV(VIRTIO_PCI_VENDOR, VIRTIO_PCI_TRANSITIONAL_BLOCK, EMULATED,
	        "Virtio block device (transitional)"),
};
DRIVER(virtio_blk, .desc = "Virtio block devices", .spec = "VIRTIO 1.1", .bus = HCL_BUS_PCI,
       .class = HCL_CLASS_BLOCK, MATCH(vblk_match), .probe = vblk_probe, .remove = vblk_remove);
