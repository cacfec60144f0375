// SPDX-License-Identifier: Apache-2.0
/*
 * Virtual disks. A request that the datastore can pass on as it stands goes straight to the device;
 * the others wait in `waiting` (under `lock`) for a work item, which carries them out one after the
 * other and may sleep.
 */
#include "vmk/vdisk.h"

#include "storage/ds/ds.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/work.h"

enum { SECTOR = 512, DISCARD_MAX = 1 << 30, DEPTH = 256 };

STAT(direct, "vdisk.direct", "requests of virtual disks passed on as they were");
STAT(slow, "vdisk.slow", "requests of virtual disks that needed metadata");
STAT(errors, "vdisk.errors", "requests of virtual disks that failed");

struct vdisk {
	struct ds_file *f;
	void *handle; /* of the source: keeps the file open */
	unsigned flags;
	struct blk_limits limits;
	struct spinlock lock;
	struct list waiting;
	struct work work;
};

static const struct vdisk_source *source;

void vdisk_set_source(const struct vdisk_source *s)
{
	source = s;
}

static void finish(struct vdisk_req *r, int status)
{
	r->blk.status = status;
	if (status)
		stat_inc(errors);
	r->done(r);
}

static void direct_done(struct blk_req *b)
{
	struct vdisk_req *r = container_of(b, struct vdisk_req, blk);

	ds_file_leave(r->disk->f);
	finish(r, b->status);
}

static struct vdisk_req *take(struct vdisk *d)
{
	uint64_t flags = spin_lock_irq(&d->lock);
	struct vdisk_req *r = list_first(&d->waiting, struct vdisk_req, link);

	if (r)
		list_remove(&r->link);
	spin_unlock_irq(&d->lock, flags);
	return r;
}

/* What the request asks for, asleep as long as it takes. */
static int carry_out(struct vdisk *d, const struct vdisk_req *r)
{
	const struct blk_req *b = &r->blk;

	switch (b->op) {
	case BLK_READ:
	case BLK_WRITE: return ds_rw_sg(d->f, b->op, r->offset, b->sg, b->sg_count, b->len);
	case BLK_FLUSH: return ds_sync(d->f->ds);
	case BLK_DISCARD: return ds_unmap(d->f, r->offset, b->len);
	default: return ds_zero(d->f, r->offset, b->len);
	}
}

static void work(struct work *w)
{
	struct vdisk *d = container_of(w, struct vdisk, work);
	struct vdisk_req *r;

	/*
	 * In order, one at a time: a discard and a write that a guest queued one behind the other
	 * keep their order.
	 */
	while ((r = take(d)))
		finish(r, carry_out(d, r));
}

/* 0, or why the request is wrong in itself. */
static int check(const struct vdisk *d, const struct blk_req *b)
{
	const struct blk_limits *l = &d->limits;
	uint64_t end, size = l->blocks * l->block_size;

	if (b->op >= BLK_OPS)
		return -EINVAL;
	if (b->op != BLK_READ && l->read_only)
		return -EROFS;
	if (b->op == BLK_FLUSH)
		return 0;
	if ((b->offset | b->len) & (l->block_size - 1) || !b->len ||
	    add_overflow(b->offset, b->len, &end) || end > size)
		return -EINVAL;
	return b->op == BLK_DISCARD && !l->discard_max ? -EOPNOTSUPP : 0;
}

void vdisk_submit(struct vdisk *d, struct vdisk_req *r)
{
	int status = check(d, &r->blk);
	uint64_t flags;
	bool gone;

	r->disk = d;
	r->offset = r->blk.offset;
	/*
	 * ds_direct overwrites r->blk.offset with the place on the device: r->offset keeps the
	 * guest's.
	 */
	r->blk.done = direct_done;
	if (unlikely(status)) {
		/* A flush of a disk that nobody can write has nothing to do. */
		finish(r, r->blk.op == BLK_FLUSH && status == -EROFS ? 0 : status);
		return;
	}
	/*
	 * A discard changes the map, so it never goes directly; write zeroes over written blocks
	 * in one run is a command to the device.
	 */
	if (r->blk.op == BLK_FLUSH)
		gone = ds_direct_flush(d->f, &r->blk);
	else
		gone = r->blk.op != BLK_DISCARD && ds_direct(d->f, &r->blk, r->offset);
	if (likely(gone)) {
		stat_inc(direct);
		return;
	}
	stat_inc(slow);
	flags = spin_lock_irq(&d->lock);
	list_push_back(&d->waiting, &r->link);
	spin_unlock_irq(&d->lock, flags);
	work_queue(&d->work);
}

const struct blk_limits *vdisk_limits(const struct vdisk *d)
{
	return &d->limits;
}

/* The file is this disk's alone from here on; see ds_file.vdisk. */
static int claim(struct ds_file *f)
{
	int err;

	mutex_lock(&f->ds->lock);
	err = f->refs == 1 && !f->vdisk ? 0 : -EBUSY;
	if (err == 0)
		f->vdisk = 1;
	mutex_unlock(&f->ds->lock);
	return err;
}

/*
 * Opens the file, checks that it can be a disk, and claims it: its size cannot change while it is
 * open, because whoever would change it cannot open it.
 */
int vdisk_open(const char *path, unsigned flags, struct vdisk **out)
{
	struct vdisk *d = kzalloc(sizeof(*d));
	const struct blk_limits *below;
	int err = d ? 0 : -ENOMEM;

	if (err == 0)
		err = source ? source->open(path, flags & VDISK_READ_ONLY, &d->f, &d->handle)
		             : -ENOENT;
	if (err)
		goto free;
	below = &d->f->ds->dev->limits;
	/* A disk has whole sectors of the device below: requests go down as they are. */
	if (!d->f->size || d->f->size % MAX(below->block_size, (uint32_t)SECTOR))
		err = -EINVAL;
	else if (d->f->ds->read_only && !(flags & VDISK_READ_ONLY))
		err = -EROFS;
	else
		err = claim(d->f);
	if (err)
		goto close;
	d->flags = flags;
	d->limits = (struct blk_limits){
		.block_size = MAX(below->block_size, (uint32_t)SECTOR),
		.phys_block = DS_PAGE,
		.blocks = d->f->size / MAX(below->block_size, (uint32_t)SECTOR),
		.discard_max = flags & VDISK_THIN ? DISCARD_MAX : 0,
		.zeroes_max = DISCARD_MAX,
		.depth = DEPTH,
		.write_cache = true,
		.read_only = flags & VDISK_READ_ONLY,
		.rotational = below->rotational,
	};
	spin_init(&d->lock, "vdisk", RANK_BLK);
	list_init(&d->waiting);
	work_init(&d->work, work);
	*out = d;
	return 0;
close:
	source->close(d->handle);
free:
	kfree(d);
	return err;
}

void vdisk_close(struct vdisk *d)
{
	struct ds *ds = d->f->ds;

	/* Nothing is in flight, but the work may still be leaving its loop. */
	work_flush(&d->work);
	mutex_lock(&ds->lock);
	d->f->vdisk = 0;
	mutex_unlock(&ds->lock);
	source->close(d->handle);
	kfree(d);
}
