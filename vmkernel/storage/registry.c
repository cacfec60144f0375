// SPDX-License-Identifier: Apache-2.0
/*
 * The registry of block devices: disks, each followed by its partitions. One spin lock guards list, opens and exclusive;
 * registering, unregistering and rescanning run in worlds and are serialised by the caller (the bus, or
 * the one who holds the disk exclusively).
 */
#define LOG_MODULE "blk"
#include "storage/blk_impl.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"

static struct list devices = LIST_INIT(devices);
static struct spinlock devices_lock = SPINLOCK_INIT("blk registry", RANK_BLK);

static bool limits_valid(const struct blk_limits *l)
{
	return (l->block_size == 512 || l->block_size == 4096) && l->blocks &&
	       l->max_bytes >= l->block_size && IS_ALIGNED(l->max_bytes, l->block_size) &&
	       l->max_sg && l->depth && l->queues && IS_POW2(l->sg_align) &&
	       l->blocks <= UINT64_MAX / 4096;
}

static int queues_create(struct blk_dev *d)
{
	d->queue = kcalloc(d->limits.queues, sizeof(*d->queue));
	if (!d->queue)
		return -ENOMEM;
	for (unsigned i = 0; i < d->limits.queues; i++) {
		struct blk_queue *q = &d->queue[i];
		q->dev = d;
		spin_init(&q->lock, "blk queue", RANK_BLK);
		list_init(&q->held);
		list_init(&q->inflight);
		list_init(&q->refused);
		waitq_init(&q->idle, "blk idle");
		timer_init(&q->tick, blk_queue_tick);
		bottom_init(&q->bottom, blk_queue_bottom);
	}
	return 0;
}

static void list_add(struct blk_dev *d)
{
	uint64_t flags = spin_lock_irq(&devices_lock);
	list_push_back(&devices, &d->link);
	spin_unlock_irq(&devices_lock, flags);
}

static void partition_add(struct blk_dev *disk, const struct part *part)
{
	struct blk_dev *d = kzalloc(sizeof(*d));
	if (!d) {
		log_err("%s: no memory for partition %u", disk->id, part->number);
		return;
	}
	d->limits = disk->limits;
	d->limits.blocks = part->blocks;
	d->ops = disk->ops;
	d->device = disk->device;
	d->parent = disk;
	d->start = part->first * disk->limits.block_size;
	d->partition = part->number;
	d->mbr_type = part->mbr_type;
	memcpy(d->type_guid, part->type_guid, sizeof(d->type_guid));
	memcpy(d->part_guid, part->guid, sizeof(d->part_guid));
	str_copy(d->part_name, part->name, sizeof(d->part_name));
	vmk_snprintf(d->id, sizeof(d->id), "%s:%u", disk->id, part->number);
	vmk_snprintf(d->node, sizeof(d->node), "%s:%u", disk->node, part->number);
	list_add(d);
}

static void partitions_add(struct blk_dev *disk)
{
	struct part *parts = kcalloc(PARTS_MAX, sizeof(*parts));
	int n = parts ? part_read(disk, parts) : -ENOMEM;
	if (n < 0)
		log_warn("%s: partition table: error %d", disk->id, -n);
	for (int i = 0; i < n; i++)
		partition_add(disk, &parts[i]);
	kfree(parts);
}

int blk_register(struct blk_dev *d)
{
	if (!limits_valid(&d->limits) || !d->ops || d->parent)
		return -EINVAL;
	int rc = queues_create(d);
	if (rc)
		return rc;
	list_add(d);
	log_info("%s: %s, %llu MiB, %u-byte blocks, %u queues of %u, model %s", d->id, d->node,
	         (unsigned long long)(blk_size(d) >> 20), d->limits.block_size, d->limits.queues,
	         d->limits.depth, d->model);
	partitions_add(d);
	return 0;
}

/* No opener is left: the memory goes back to where it came from. */
static void destroy(struct blk_dev *d)
{
	struct blk_dev *disk = d->parent;
	if (disk) {
		kfree(d);
		blk_close(disk, false);
		return;
	}
	for (unsigned i = 0; i < d->limits.queues; i++) {
		bottom_flush(&d->queue[i].bottom);
		timer_cancel_sync(&d->queue[i].tick);
	}
	kfree(d->queue);
	d->queue = NULL;
	if (d->ops->release)
		d->ops->release(d);
}

/* Takes d off the list; its openers keep it alive. A partition keeps its disk alive by an open of its own. */
static void retire(struct blk_dev *d)
{
	uint64_t flags = spin_lock_irq(&devices_lock);
	list_remove(&d->link);
	d->gone = true;
	if (d->parent)
		d->parent->opens++;
	bool unused = !d->opens;
	spin_unlock_irq(&devices_lock, flags);
	if (unused)
		destroy(d);
}

static struct blk_dev *partition_of(const struct blk_dev *disk)
{
	struct blk_dev *d, *found = NULL;
	uint64_t flags = spin_lock_irq(&devices_lock);
	list_for_each(d, &devices, link)
		if (d->parent == disk)
			found = found ? found : d;
	spin_unlock_irq(&devices_lock, flags);
	return found;
}

static void partitions_remove(struct blk_dev *disk)
{
	struct blk_dev *d;
	while ((d = partition_of(disk)))
		retire(d);
}

static void queue_drain(struct blk_queue *q)
{
	uint64_t flags = spin_lock_irq(&q->lock);
	struct blk_req *r;
	list_for_each(r, &q->held, link)
		r->status = -ENODEV;
	list_splice_back(&q->refused, &q->held);
	spin_unlock_irq(&q->lock, flags);
	bottom_raise(&q->bottom);
	wait_event(&q->idle, !READ_ONCE(q->active));
}

void blk_unregister(struct blk_dev *d)
{
	for (unsigned i = 0; i < d->limits.queues; i++) {
		uint64_t flags = spin_lock_irq(&d->queue[i].lock);
		d->gone = true;
		spin_unlock_irq(&d->queue[i].lock, flags);
	}
	for (unsigned i = 0; i < d->limits.queues; i++)
		queue_drain(&d->queue[i]);
	partitions_remove(d);
	log_info("%s: removed", d->id);
	retire(d);
}

int blk_rescan(struct blk_dev *d)
{
	if (d->parent)
		return -EINVAL;
	struct blk_dev *it;
	int rc = 0;
	uint64_t flags = spin_lock_irq(&devices_lock);
	list_for_each(it, &devices, link)
		if (it->parent == d && it->opens)
			rc = -EBUSY;
	spin_unlock_irq(&devices_lock, flags);
	if (rc)
		return rc;
	partitions_remove(d);
	partitions_add(d);
	return 0;
}

static int open_locked(struct blk_dev *d, bool exclusive)
{
	if (d->gone)
		return -ENODEV;
	if (exclusive && d->exclusive)
		return -EBUSY;
	d->opens++;
	d->exclusive += exclusive;
	return 0;
}

int blk_open(struct blk_dev *d, bool exclusive)
{
	uint64_t flags = spin_lock_irq(&devices_lock);
	int rc = open_locked(d, exclusive);
	spin_unlock_irq(&devices_lock, flags);
	return rc;
}

void blk_close(struct blk_dev *d, bool exclusive)
{
	uint64_t flags = spin_lock_irq(&devices_lock);
	d->opens--;
	d->exclusive -= exclusive;
	bool unused = d->gone && !d->opens && list_empty(&d->link);
	spin_unlock_irq(&devices_lock, flags);
	if (unused)
		destroy(d);
}

struct blk_dev *blk_find(const char *id_or_node)
{
	struct blk_dev *d, *found = NULL;
	uint64_t flags = spin_lock_irq(&devices_lock);
	list_for_each(d, &devices, link) {
		if (strcmp(d->id, id_or_node) && strcmp(d->node, id_or_node))
			continue;
		if (!open_locked(d, false))
			found = d;
		break;
	}
	spin_unlock_irq(&devices_lock, flags);
	return found;
}

void blk_for_each(void (*fn)(struct blk_dev *d, void *arg), void *arg)
{
	struct blk_dev *d, *part;
	uint64_t flags = spin_lock_irq(&devices_lock);
	list_for_each(d, &devices, link) {
		if (d->parent)
			continue;
		fn(d, arg);
		list_for_each(part, &devices, link)
			if (part->parent == d)
				fn(part, arg);
	}
	spin_unlock_irq(&devices_lock, flags);
}
