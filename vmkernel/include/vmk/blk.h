// SPDX-License-Identifier: Apache-2.0
/*
 * Block devices. A request is asynchronous and belongs to its submitter until blk_submit, and again
 * from done. blk_submit may be called from worlds and bottom halves; done runs exactly once, in a
 * bottom half, on the submitting CPU where the device has a queue for it (no sleeping; it may
 * submit again). Everyone above passes machine addresses: the pages are pinned or owned until done.
 * Drivers implement blk_ops and call blk_complete; queueing, splitting, deadlines, retries by error
 * class and statistics live in storage/blk.c and split.c.
 *
 * A driver's submit runs under no lock of blk.c, and drivers call blk_complete under no lock of
 * theirs.
 */
#ifndef VMK_BLK_H
#define VMK_BLK_H
#include "vmk/dma.h"
#include "vmk/list.h"
#include "vmk/lock.h"
#include "vmk/time.h"

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES, BLK_OPS };
enum blk_flags {
	BLK_FUA = 1 << 0,
	BLK_URGENT = 1 << 1, /* before everything that waits: metadata that all users wait for */
};

struct blk_dev;

struct blk_req {
	uint8_t op; /* enum blk_op */
	uint8_t retries;
	uint16_t flags;
	uint16_t sg_count;
	uint16_t queue;  /* set by blk.c: the device's queue that has it */
	uint64_t offset; /* bytes from the start of the device, multiple of the block size */
	uint64_t len;    /* bytes, multiple of the block size; for reads and writes the sum of sg */
	const struct sg *sg;
	/*
	 * 0; -EIO medium or transport, -ETIMEDOUT, -ENODEV gone, -EINVAL, -EROFS, -ENOSPC,
	 * -EOPNOTSUPP, -ENOMEM
	 */
	int status;
	void (*done)(struct blk_req *r);
	void *arg;
	struct blk_dev *dev; /* set by blk_submit */
	uint64_t pos; /* set by blk.c: bytes from the start of the whole disk; drivers use this */
	/*
	 * Whose share of the device it takes while requests wait: one owner's backlog delays
	 * others by a request, not by its length. Only compared; NULL: the submitting world.
	 */
	const void *owner;
	ns_t timeout;     /* from the hand-over to the driver, within BLK_TICK; 0: BLK_DEADLINE */
	ns_t submitted;   /* set by blk_submit */
	ns_t deadline;    /* set by blk.c with each hand-over to the driver */
	uint32_t world;   /* of the submitter, for statistics: set by blk_submit */
	struct list link; /* blk.c's */
	uint64_t drv[2];  /* the driver's */
};

struct blk_limits {
	uint32_t block_size; /* logical, 512 or 4096 */
	uint32_t phys_block;
	uint64_t blocks;
	uint32_t max_bytes; /* of one request, multiple of the block size; larger ones are split */
	uint16_t max_sg;    /* pieces */
	/*
	 * Interior boundaries between pieces are multiples of this; 1: any. Requests that do not
	 * fit are split or bounced.
	 */
	uint32_t sg_align;
	uint32_t sg_base_align; /* alignment of every piece's address; 0 or 1: any */
	uint32_t discard_max;   /* bytes of one discard; 0: not supported */
	uint32_t zeroes_max;    /* bytes of one write zeroes; 0: blk.c writes zeroes instead */
	uint16_t depth;         /* outstanding requests a queue */
	uint16_t queues;
	bool write_cache, read_only, rotational, removable;
	bool fua; /* the device writes through on BLK_FUA; else blk.c flushes */
};

/*
 * Passed to blk_complete for a request that a reset interrupted or that found the device not ready:
 * it is tried again, up to BLK_RETRIES times, and done never sees this status.
 */
enum { BLK_AGAIN = -11, BLK_RETRIES = 5 };
#define BLK_TICK        (500 * NS_PER_MS)
#define BLK_DEADLINE    (30 * NS_PER_S) /* of a request that names no timeout */
#define BLK_STALL       (60 * NS_PER_S) /* no progress, nothing with the driver: what waits fails */
#define BLK_ABORT_GRACE (5 * NS_PER_S)  /* between two calls of timeout for one request */

struct blk_ops {
	/*
	 * Starts r on queue q; 0, -EBUSY (not now: blk.c holds it until a completion or blk_kick),
	 * -errno.
	 */
	int (*submit)(struct blk_dev *d, unsigned q, struct blk_req *r);
	/*
	 * The deadline passed: abort or reset; every request it owns comes back through
	 * blk_complete. Bottom half; called again after BLK_ABORT_GRACE. r may have completed
	 * meanwhile: compare the pointer, do not follow it.
	 */
	void (*timeout)(struct blk_dev *d, struct blk_req *r);
	/* After blk_unregister, when the last opener has closed: frees d. Optional. */
	void (*release)(struct blk_dev *d);
};

struct blk_stats {
	uint64_t ops[BLK_OPS], bytes[BLK_OPS], errors, retries, timeouts, splits, bounces;
	uint64_t latency_us_log2[24];
	uint32_t inflight, max_inflight;
};

/* What one world's requests to a disk came to; id 0: worlds that made room for others. */
struct blk_world {
	uint32_t id, errors;
	uint64_t ops, bytes_read, bytes_written;
	ns_t time; /* from submission to the end, of all of them */
};

struct blk_dev {
	char id[96];   /* t10.NVMe____... , mpx.vmhba0:C0:T0:L0 */
	char node[24]; /* vmhba0:C0:T0:L0 */
	char vendor[16], model[48], serial[24], revision[16];
	struct blk_limits limits;
	const struct blk_ops *ops;
	struct device *device;  /* the adapter */
	struct blk_dev *parent; /* partitions: the whole disk */
	uint64_t start;         /* partitions: byte offset in parent */
	uint32_t partition;     /* 1.. ; 0: the whole disk */
	uint8_t mbr_type;       /* partitions of an MBR */
	uint8_t type_guid[16], part_guid[16];
	char part_name[40];
	void *drvdata;
	uint32_t number; /* never given to another: set by the registry, with opens, exclusive */
	uint32_t opens, exclusive;
	bool gone;               /* unregistered: requests end with -ENODEV */
	struct blk_queue *queue; /* blk.c; a partition has none of its own */
	struct list link;
};

/*
 * Drivers, in a world: register after limits, ops and names are filled (reads the partition table);
 * unregister fails every request that still waits with -ENODEV, then waits for those in flight.
 */
int __must_check blk_register(struct blk_dev *d);
void blk_unregister(struct blk_dev *d);
void blk_complete(struct blk_req *r, int status); /* bottom half or world; not inside submit */
void blk_kick(struct blk_dev *d);                 /* the driver takes requests again after -EBUSY */

void blk_submit(struct blk_req *r, struct blk_dev *d); /* refusals come through done as well */
/* Synchronous, for worlds: a request on the stack that sleeps until done. */
int __must_check blk_rw(struct blk_dev *d, enum blk_op op, uint64_t offset, const struct sg *sg,
                        unsigned sg_count);
int __must_check blk_flush(struct blk_dev *d);
int __must_check blk_range(struct blk_dev *d, enum blk_op op, uint64_t offset,
                           uint64_t len); /* discard, zeroes */
/* Kernel memory of any kind, whole blocks; copied through pages of its own. */
int __must_check blk_rw_buf(struct blk_dev *d, enum blk_op op, uint64_t offset, void *buf,
                            size_t len);
/* The same and blk_flush with BLK_URGENT, for whoever holds a lock that others wait for. */
int __must_check blk_urgent_rw(struct blk_dev *d, enum blk_op op, uint64_t offset, void *buf,
                               size_t len);
int __must_check blk_urgent_flush(struct blk_dev *d);

/*
 * Opened, to be closed; NULL: none. blk_next: the device with the smallest number from `number` on.
 */
struct blk_dev *blk_find(const char *id_or_node);
struct blk_dev *blk_next(uint32_t number);
/*
 * Exclusive: -EBUSY when the device, its disk or a partition of it is open exclusively; -ENODEV.
 * Others may open such a device to read. Close in a world: the last close of an unplugged device
 * frees it.
 */
int __must_check blk_open(struct blk_dev *d, bool exclusive);
void blk_close(struct blk_dev *d, bool exclusive);
/* Whether the device, its disk or a partition of it is open exclusively. */
bool blk_in_use(struct blk_dev *d);
/*
 * Disks, each followed by its partitions; under the registry's spin lock: fn must not sleep, nor
 * ask the registry.
 */
void blk_for_each(void (*fn)(struct blk_dev *d, void *arg), void *arg);
/*
 * Reads the partition table again. A partition whose number and place are the same stays; -EBUSY
 * when another that is open would go or move, and nothing has changed then.
 */
int __must_check blk_rescan(struct blk_dev *d);
void blk_stats_get(const struct blk_dev *d, struct blk_stats *s); /* of the whole disk */
/* By world, in no order; the number of rows, at most `room`. */
unsigned blk_worlds_get(struct blk_dev *d, struct blk_world *rows, unsigned room);
/* What a partition's type says that it is for: vmk/part_types.h. */
enum blk_part_kind { BLK_PART_OTHER, BLK_PART_OS_DATA, BLK_PART_DATASTORE };
enum blk_part_kind blk_part_kind(const uint8_t type[16]);
static inline uint64_t blk_size(const struct blk_dev *d)
{
	return d->limits.blocks * d->limits.block_size;
}
#endif
