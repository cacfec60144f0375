// SPDX-License-Identifier: Apache-2.0
/*
 * Block devices. A request is asynchronous and belongs to its submitter; blk_submit may be called from worlds and
 * bottom halves; done runs exactly once, in a bottom half on the submitting CPU where the device allows it (no sleeping). Everyone
 * above passes machine addresses: the pages are pinned or owned until done. Drivers implement
 * blk_ops and call blk_complete; deadlines, retries by error class and statistics live in storage/blk.c.
 */
#ifndef VMK_BLK_H
#define VMK_BLK_H
#include "vmk/dma.h"
#include "vmk/list.h"
#include "vmk/lock.h"
#include "vmk/time.h"

enum blk_op { BLK_READ, BLK_WRITE, BLK_FLUSH, BLK_DISCARD, BLK_WRITE_ZEROES, BLK_OPS };
enum blk_flags { BLK_FUA = 1 << 0 };

struct blk_dev;

struct blk_req {
	uint8_t op; /* enum blk_op */
	uint8_t retries;
	uint16_t flags;
	uint16_t sg_count;
	uint16_t queue; /* set by blk.c: the device's queue that has it */
	uint64_t offset; /* bytes from the start of the device, multiple of the block size */
	uint64_t len;	 /* bytes; for reads and writes the sum of sg */
	const struct sg *sg;
	int status; /* 0; -EIO medium, -ETIMEDOUT, -ENODEV gone, -EINVAL, -ENOSPC, -EOPNOTSUPP */
	void (*done)(struct blk_req *r);
	void *arg;
	struct blk_dev *dev; /* set by blk_submit */
	ns_t submitted, deadline; /* deadline 0: the device's default */
	uint32_t world; /* for statistics */
	struct list link; /* blk.c's, then the driver's while it owns the request */
	uint64_t drv[2];  /* the driver's */
};

struct blk_limits {
	uint32_t block_size;  /* logical, 512 or 4096 */
	uint32_t phys_block;
	uint64_t blocks;
	uint32_t max_bytes;   /* of one request */
	uint16_t max_sg;      /* pieces */
	uint32_t sg_align;    /* every piece but the last ends, but the first begins, on this boundary; 1: none */
	uint32_t discard_max; /* bytes, 0: none */
	uint16_t depth;	      /* outstanding requests a queue */
	uint16_t queues;
	bool write_cache, read_only, rotational, removable;
};

struct blk_ops {
	/* Starts r on queue q; 0, -EBUSY (queue full: blk.c holds it until a completion), -errno. */
	int (*submit)(struct blk_dev *d, unsigned q, struct blk_req *r);
	/* The deadline passed: abort or reset; every request it owns comes back through blk_complete. */
	void (*timeout)(struct blk_dev *d, struct blk_req *r);
};

struct blk_stats {
	uint64_t ops[BLK_OPS], bytes[BLK_OPS], errors, retries, timeouts;
	uint64_t latency_us_log2[24];
	uint32_t inflight, max_inflight;
};

struct blk_dev {
	char id[96];   /* t10.NVMe____... , mpx.vmhba0:C0:T0:L0 */
	char node[24]; /* vmhba0:C0:T0:L0 */
	char vendor[16], model[48], serial[24], revision[16];
	struct blk_limits limits;
	const struct blk_ops *ops;
	struct device *device; /* the adapter; NULL for partitions' parents is never */
	struct blk_dev *parent; /* partitions: the whole disk */
	uint64_t start;		/* partitions: byte offset in parent */
	uint32_t partition;	/* 1.. ; 0: the whole disk */
	uint8_t type_guid[16], part_guid[16];
	char part_name[40];
	void *drvdata;
	uint32_t opens, exclusive; /* blk.c */
	struct blk_queue *queue;   /* blk.c */
	struct blk_stats stats;
	struct list link;
};

/* Drivers: register after limits, ops and names are filled (blk.c reads the partition table then); unregister
 * fails every request still queued with -ENODEV and waits for those in flight. */
int __must_check blk_register(struct blk_dev *d);
void blk_unregister(struct blk_dev *d);
void blk_complete(struct blk_req *r, int status); /* bottom half or submit's context */

void blk_submit(struct blk_req *r, struct blk_dev *d); /* refusals come through done as well */
/* Synchronous, for worlds: a request on the stack that sleeps until done. */
int __must_check blk_rw(struct blk_dev *d, enum blk_op op, uint64_t offset, const struct sg *sg,
			unsigned sg_count);
int __must_check blk_flush(struct blk_dev *d);
/* Kernel memory, split and bounced as needed. */
int __must_check blk_rw_buf(struct blk_dev *d, enum blk_op op, uint64_t offset, void *buf, size_t len);

struct blk_dev *blk_find(const char *id_or_node); /* opened: needs blk_close; NULL */
int __must_check blk_open(struct blk_dev *d, bool exclusive); /* -EBUSY, -ENODEV */
void blk_close(struct blk_dev *d, bool exclusive);
void blk_for_each(void (*fn)(struct blk_dev *d, void *arg), void *arg);
int blk_rescan(struct blk_dev *d); /* reads the partition table again; -EBUSY when one is open */
#endif
