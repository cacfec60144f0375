// SPDX-License-Identifier: Apache-2.0
/* Control operations on block devices and datastores. */
#include "abi/storage.h"

#include "ctl/page.h"
#include "fs/dsfs.h"
#include "storage/ds/ds.h"
#include "vmk/blk.h"
#include "vmk/driver.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/world.h"

static uint32_t flags_of(struct blk_dev *d)
{
	static const uint32_t kinds[] = {
		[BLK_PART_OS_DATA] = CTL_BLK_OS_DATA, [BLK_PART_DATASTORE] = CTL_BLK_DATASTORE
	};

	return (d->limits.read_only ? CTL_BLK_READ_ONLY : 0) |
	       (d->limits.rotational ? 0 : CTL_BLK_SSD) |
	       (d->limits.removable ? CTL_BLK_REMOVABLE : 0) | (d->opens ? CTL_BLK_OPEN : 0) |
	       (d->exclusive ? CTL_BLK_IN_USE : 0) | kinds[blk_part_kind(d->type_guid)];
}

static void fill_device(struct blk_dev *d, void *arg)
{
	struct ctl_blk *o = page_next(arg);

	if (!o)
		return;
	str_copy(o->id, d->id, sizeof(o->id));
	str_copy(o->node, d->node, sizeof(o->node));
	str_copy(o->vendor, d->vendor, sizeof(o->vendor));
	str_copy(o->model, d->model, sizeof(o->model));
	str_copy(o->serial, d->serial, sizeof(o->serial));
	str_copy(o->revision, d->revision, sizeof(o->revision));
	str_copy(o->part_name, d->part_name, sizeof(o->part_name));
	/* Partitions have their disk's device. */
	if (d->device) {
		str_copy(o->adapter, d->device->vmk_name, sizeof(o->adapter));
		str_copy(o->pci, d->device->name, sizeof(o->pci));
		str_copy(o->driver, d->device->driver ? d->device->driver->name : "",
		         sizeof(o->driver));
	}
	o->blocks = d->limits.blocks;
	o->block_size = d->limits.block_size;
	o->depth = d->limits.depth;
	o->start = d->start;
	o->partition = d->partition;
	o->flags = flags_of(d);
	memcpy(o->type_guid, d->type_guid, sizeof(o->type_guid));
	memcpy(o->part_guid, d->part_guid, sizeof(o->part_guid));
}

CTL_LIST(CTL_STORAGE_DEVICES, storage_devices, struct ctl_storage_devices, blk)
{
	blk_for_each(fill_device, page);
}

/* The device that a request names, opened. */
static int find(struct ctl_call *c, const char name[96], struct blk_dev **out)
{
	if (!memchr(name, 0, 96))
		return ctl_error(c, -EINVAL, "the device's name has no end");
	*out = blk_find(name);
	return *out ? 0 : ctl_error(c, -ENOENT, "no device %s", name);
}

CTL_OP(CTL_STORAGE_RESCAN, storage_rescan, sizeof(struct ctl_storage_device), 0, CTL_OPERATE)
{
	const struct ctl_storage_device *q = c->req;
	struct blk_dev *d;
	int err = find(c, q->id, &d);

	if (err)
		return err;
	err = blk_rescan(d);
	blk_close(d, false);
	return err == -EBUSY ? ctl_error(c, err, "a partition of %s is in use", q->id) : err;
}

CTL_OP(CTL_STORAGE_FORMAT, storage_format, sizeof(struct ctl_storage_format), 0, CTL_ADMIN)
{
	const struct ctl_storage_format *q = c->req;
	struct blk_dev *d;
	int err;

	/* The label becomes the name of a link below /vmfs/volumes. */
	if (!memchr(q->label, 0, sizeof(q->label)) || strchr(q->label, '/'))
		return ctl_error(c, -EINVAL, "a label has at most 63 bytes and no '/'");
	err = find(c, q->id, &d);
	if (err)
		return err;
	blk_close(d, false);
	err = blk_open(d, true);
	if (err)
		return ctl_error(c, err, "%s is in use", q->id);
	err = ds_format(d, q->label, q->uuid);
	blk_close(d, true);
	return err == -ENOSPC ? ctl_error(c, err, "%s is too small for a datastore", q->id) : err;
}

CTL_OP(CTL_STORAGE_MOUNT, storage_mount, sizeof(struct ctl_storage_device), 0, CTL_OPERATE)
{
	const struct ctl_storage_device *q = c->req;
	struct blk_dev *d;
	int err = find(c, q->id, &d);

	if (err)
		return err;
	/* find() opened it as one of many; the volume needs it for itself. */
	blk_close(d, false);
	err = blk_open(d, true);
	if (err)
		return ctl_error(c, err, "%s is in use", q->id);
	err = dsfs_mount(d);
	if (err == 0)
		return 0;
	blk_close(d, true);
	return err == -EINVAL ? ctl_error(c, err, "%s holds no datastore", q->id) : err;
}

CTL_OP(CTL_STORAGE_UNMOUNT, storage_unmount, sizeof(struct ctl_storage_device), 0, CTL_OPERATE)
{
	const struct ctl_storage_device *q = c->req;
	struct blk_dev *d;
	int err = find(c, q->id, &d);

	if (err)
		return err;
	err = dsfs_unmount(d);
	blk_close(d, false);
	return err == -EBUSY    ? ctl_error(c, err, "files on %s are in use", q->id)
	       : err == -ENOENT ? ctl_error(c, err, "%s is not mounted", q->id)
	                        : err;
}

static void fill_volume(const struct dsfs_info *v, void *arg)
{
	struct ctl_volume *o = page_next(arg);

	if (!o)
		return;
	str_copy(o->device, v->dev->id, sizeof(o->device));
	str_copy(o->label, v->label, sizeof(o->label));
	str_copy(o->damage, v->damage, sizeof(o->damage));
	memcpy(o->uuid, v->uuid, sizeof(o->uuid));
	o->size = v->blocks * DS_BLOCK;
	o->free = v->free * DS_BLOCK;
	o->read_only = v->read_only;
}

CTL_LIST(CTL_STORAGE_VOLUMES, storage_volumes, struct ctl_storage_volumes, volume)
{
	dsfs_for_each(fill_volume, page);
}

CTL_OP(CTL_STORAGE_STATS, storage_stats, sizeof(struct ctl_storage_device),
       sizeof(struct ctl_storage_stats), CTL_READ)
{
	const struct ctl_storage_device *q = c->req;
	struct ctl_storage_stats *o = c->reply;
	struct blk_stats s;
	struct blk_dev *d;
	int err = find(c, q->id, &d);

	if (err)
		return err;
	blk_stats_get(d, &s);
	blk_close(d, false);
	/* The arrays are copied as they are: abi/storage.h has their lengths as numbers. */
	STATIC_ASSERT(BLK_OPS == 5);
	memcpy(o->ops, s.ops, sizeof(o->ops));
	memcpy(o->bytes, s.bytes, sizeof(o->bytes));
	memcpy(o->latency_us_log2, s.latency_us_log2, sizeof(o->latency_us_log2));
	o->errors = s.errors;
	o->retries = s.retries;
	o->timeouts = s.timeouts;
	o->inflight = s.inflight;
	o->max_inflight = s.max_inflight;
	return 0;
}

CTL_OP(CTL_STORAGE_WORLDS, storage_worlds, sizeof(struct ctl_storage_device), 0, CTL_READ)
{
	const struct ctl_storage_device *q = c->req;
	struct ctl_storage_worlds *o = c->reply;
	struct blk_world *rows;
	struct blk_dev *d;
	int err = find(c, q->id, &d);

	if (err)
		return err;
	/* Too many for the stack of a kernel world. */
	rows = kcalloc(CTL_BLK_WORLDS, sizeof(*rows));
	o->count = rows ? blk_worlds_get(d, rows, CTL_BLK_WORLDS) : 0;
	o->reserved = 0;
	blk_close(d, false);
	for (unsigned i = 0; i < o->count; i++) {
		/* A world may have ended since: its row stays, without a name. */
		struct world *w = rows[i].id ? world_find(rows[i].id) : NULL;

		o->world[i] = (struct ctl_blk_world){ .id = rows[i].id,
			                              .errors = rows[i].errors,
			                              .ops = rows[i].ops,
			                              .bytes_read = rows[i].bytes_read,
			                              .bytes_written = rows[i].bytes_written,
			                              .time_ns = (uint64_t)rows[i].time };
		if (w) {
			str_copy(o->world[i].name, world_name(w), sizeof(o->world[i].name));
			world_put(w);
		}
	}
	err = rows ? 0 : -ENOMEM;
	kfree(rows);
	c->reply_len = offsetof(struct ctl_storage_worlds, world) + o->count * sizeof(o->world[0]);
	return err;
}
