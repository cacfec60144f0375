// SPDX-License-Identifier: Apache-2.0
/*
 * The registry of block devices: disks, each followed by its partitions. One spin lock guards list,
 * opens and exclusive; scan_lock serialises what reads partition tables.
 */
#include "storage/blk_impl.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"

#define LOG_MODULE "blk"

static struct list devices = LIST_INIT(devices);
static struct spinlock devices_lock = SPINLOCK_INIT("blk registry", RANK_BLK);
static struct mutex scan_lock = { SPINLOCK_INIT("blk scan", RANK_WAIT), NULL,
	                          LIST_INIT(scan_lock.waiters) };
static uint32_t last_number;

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
		blk_flows_init(q);
		list_init(&q->inflight);
		list_init(&q->refused);
		waitq_init(&q->idle, "blk idle");
		timer_init(&q->tick, blk_queue_tick);
		bottom_init(&q->bottom, blk_queue_bottom);
	}
	return 0;
}

/* A partition goes before the next one of its disk. */
static void list_add(struct blk_dev *d)
{
	uint64_t flags = spin_lock_irq(&devices_lock);
	struct list *before = &devices;
	struct blk_dev *it;

	list_for_each(it, &devices, link)
		if (d->parent && it->parent == d->parent && it->partition > d->partition) {
			before = &it->link;
			break;
		}
	d->number = ++last_number;
	list_push_back(before, &d->link);
	spin_unlock_irq(&devices_lock, flags);
}

static void partition_describe(struct blk_dev *d, const struct part *part)
{
	d->mbr_type = part->mbr_type;
	memcpy(d->type_guid, part->type_guid, sizeof(d->type_guid));
	memcpy(d->part_guid, part->guid, sizeof(d->part_guid));
	str_copy(d->part_name, part->name, sizeof(d->part_name));
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
	partition_describe(d, part);
	vmk_snprintf(d->id, sizeof(d->id), "%s:%u", disk->id, part->number);
	vmk_snprintf(d->node, sizeof(d->node), "%s:%u", disk->node, part->number);
	list_add(d);
}

/* Where the table has the partition d, at the same place; NULL. */
static const struct part *same_part(const struct blk_dev *d, const struct part *parts, int n)
{
	for (int i = 0; i < n; i++)
		if (parts[i].number == d->partition && parts[i].blocks == d->limits.blocks &&
		    parts[i].first * d->limits.block_size == d->start)
			return &parts[i];
	return NULL;
}

static void retire(struct blk_dev *d);

/* The first partition of disk's that is not among the n; those that are get their new names. */
static struct blk_dev *stale_partition(const struct blk_dev *disk, const struct part *parts, int n,
                                       bool open)
{
	struct blk_dev *d, *found = NULL;
	const struct part *same;
	uint64_t flags = spin_lock_irq(&devices_lock);

	list_for_each(d, &devices, link) {
		if (d->parent != disk)
			continue;
		same = same_part(d, parts, n);
		if (same)
			partition_describe(d, same);
		else if (!found && (d->opens || !open))
			found = d;
	}
	spin_unlock_irq(&devices_lock, flags);
	return found;
}

static bool partition_known(const struct blk_dev *disk, const struct part *part)
{
	struct blk_dev *d;
	bool known = false;
	uint64_t flags = spin_lock_irq(&devices_lock);

	list_for_each(d, &devices, link)
		known |= d->parent == disk && d->partition == part->number;
	spin_unlock_irq(&devices_lock, flags);
	return known;
}

/* Makes the disk's partitions those of its table. */
static int partitions_update(struct blk_dev *disk)
{
	struct part *parts = kcalloc(PARTS_MAX, sizeof(*parts));
	struct blk_dev *d;
	int n = parts ? part_read(disk, parts) : -ENOMEM;

	/* First, before anything has changed: a partition that is open cannot go or move. */
	if (n >= 0 && stale_partition(disk, parts, n, true))
		n = -EBUSY;
	while (n >= 0 && (d = stale_partition(disk, parts, n, false)))
		retire(d);
	for (int i = 0; i < n; i++)
		if (!partition_known(disk, &parts[i]))
			partition_add(disk, &parts[i]);
	kfree(parts);
	return MIN(n, 0);
}

int blk_register(struct blk_dev *d)
{
	if (!limits_valid(&d->limits) || !d->ops || d->parent)
		return -EINVAL;
	int err = queues_create(d);

	/*
	 * A disk with a damaged or unreadable table is registered all the same, without partitions.
	 */
	if (err)
		return err;
	list_add(d);
	log_info("%s: %s, %llu MiB, %u-byte blocks, %u queues of %u, model %s", d->id, d->node,
	         (unsigned long long)(blk_size(d) >> 20), d->limits.block_size, d->limits.queues,
	         d->limits.depth, d->model);
	mutex_lock(&scan_lock);
	/*
	 * The disk is on the list by now: reading its table needs its queues only, and rescans are
	 * kept out by scan_lock.
	 */
	err = partitions_update(d);
	mutex_unlock(&scan_lock);
	if (err)
		log_warn("%s: partition table: error %d", d->id, -err);
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

/*
 * Takes d off the list; its openers keep it alive. A partition keeps its disk alive by an open of
 * its own.
 */
static void retire(struct blk_dev *d)
{
	uint64_t flags = spin_lock_irq(&devices_lock);

	list_remove(&d->link);
	d->gone = true;
	/* Given back in destroy(), by blk_close of the disk. */
	if (d->parent)
		d->parent->opens++;
	bool unused = !d->opens;

	spin_unlock_irq(&devices_lock, flags);
	if (unused)
		destroy(d);
}

/* Under the lock, which finish() holds until it needs the queue no more. */
static bool is_idle(struct blk_queue *q)
{
	uint64_t flags = spin_lock_irq(&q->lock);
	bool idle = !q->active;

	spin_unlock_irq(&q->lock, flags);
	return idle;
}

static void queue_drain(struct blk_queue *q)
{
	uint64_t flags = spin_lock_irq(&q->lock);
	struct blk_req *r;

	/* Ended through the bottom half, as done promises its caller. */
	while ((r = blk_next_waiting(q))) {
		r->status = -ENODEV;
		list_push_back(&q->refused, &r->link);
	}
	spin_unlock_irq(&q->lock, flags);
	bottom_raise(&q->bottom);
	wait_event(&q->idle, is_idle(q));
}

void blk_unregister(struct blk_dev *d)
{
	for (unsigned i = 0; i < d->limits.queues; i++) {
		uint64_t flags = spin_lock_irq(&d->queue[i].lock);

		/*
		 * Under every queue's lock in turn: a submitter either sees it, or has its request
		 * on a list that queue_drain looks at next.
		 */
		d->gone = true;
		spin_unlock_irq(&d->queue[i].lock, flags);
	}
	for (unsigned i = 0; i < d->limits.queues; i++)
		queue_drain(&d->queue[i]);
	struct blk_dev *part;

	mutex_lock(&scan_lock);
	while ((part = stale_partition(d, NULL, 0, false)))
		retire(part);
	mutex_unlock(&scan_lock);
	log_info("%s: removed", d->id);
	retire(d);
}

int blk_rescan(struct blk_dev *d)
{
	if (d->parent)
		return -EINVAL;
	mutex_lock(&scan_lock);
	int err = d->gone ? -ENODEV : partitions_update(d);

	mutex_unlock(&scan_lock);
	return err;
}

static bool in_use(const struct blk_dev *d)
{
	const struct blk_dev *it;

	if (d->exclusive || (d->parent && d->parent->exclusive))
		return true;
	list_for_each(it, &devices, link)
		if (it->parent == d && it->exclusive)
			return true;
	return false;
}

bool blk_in_use(struct blk_dev *d)
{
	uint64_t flags = spin_lock_irq(&devices_lock);
	bool used = in_use(d);

	spin_unlock_irq(&devices_lock, flags);
	return used;
}

static int open_locked(struct blk_dev *d, bool exclusive)
{
	if (d->gone)
		return -ENODEV;
	if (exclusive && in_use(d))
		return -EBUSY;
	d->opens++;
	d->exclusive += exclusive;
	return 0;
}

int blk_open(struct blk_dev *d, bool exclusive)
{
	uint64_t flags = spin_lock_irq(&devices_lock);
	int err = open_locked(d, exclusive);

	spin_unlock_irq(&devices_lock, flags);
	return err;
}

void blk_close(struct blk_dev *d, bool exclusive)
{
	uint64_t flags = spin_lock_irq(&devices_lock);

	d->opens--;
	d->exclusive -= exclusive;
	/* Off the list: retire() has run, so this close was the one that kept d alive. */
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

struct blk_dev *blk_next(uint32_t number)
{
	struct blk_dev *d, *found = NULL;
	uint64_t flags = spin_lock_irq(&devices_lock);

	list_for_each(d, &devices, link)
		if (d->number >= number && (!found || d->number < found->number) && !d->gone)
			found = d;
	if (found)
		found->opens++;
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
