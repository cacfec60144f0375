// SPDX-License-Identifier: Apache-2.0
/* Shared by blk.c, split.c, sync.c and part.c. */
#ifndef STORAGE_BLK_IMPL_H
#define STORAGE_BLK_IMPL_H
#include "vmk/blk.h"
#include "vmk/errno.h"
#include "vmk/wait.h"
#include "vmk/work.h"

enum { BLK_WORLDS = 32 };

/* One queue of a disk. lock guards everything in it; RANK_BLK, taken in bottom halves. */
struct blk_queue {
	struct spinlock lock;
	struct blk_dev *dev;
	struct list pending;  /* not yet with the driver, in order */
	struct list inflight; /* with the driver */
	struct list refused;  /* waiting for bottom to call done */
	unsigned active;      /* in flight, or between the driver and the end of done */
	uint64_t progress;    /* completions and kicks: tells whether -EBUSY is still true */
	bool ticking;
	struct timer tick;
	struct bottom bottom;
	struct waitq idle; /* active became 0 */
	struct blk_stats stats;
	struct blk_world worlds[BLK_WORLDS]; /* by id, which newer ones push out into `others` */
	struct blk_world others;
} __aligned(CACHE_LINE);

/* A partition's whole disk. */
static inline struct blk_dev *blk_disk(struct blk_dev *d)
{
	return d->parent ? d->parent : d;
}

/* Counts a request that has ended; the queue's lock is held. */
void blk_account(struct blk_queue *q, const struct blk_req *r, int status, ns_t now);
/* Queues r, which fits the disk's limits. */
void blk_enqueue(struct blk_req *r, struct blk_queue *q);
/* Ends r with status from the queue's bottom half, as done promises. */
void blk_refuse(struct blk_req *r, struct blk_queue *q, int status);
struct blk_queue *blk_queue_here(struct blk_dev *disk);
/* Does r fit into one command? */
bool blk_fits(const struct blk_req *r, const struct blk_limits *l);
/* Carries r out as several smaller requests and copies where a piece fits no command. */
void blk_split(struct blk_req *r, struct blk_queue *q);

void blk_queue_bottom(struct bottom *b);
void blk_queue_tick(struct timer *t);

/* One partition as a table describes it. */
struct part {
	uint64_t first, blocks;
	uint32_t number;
	uint8_t mbr_type; /* 0: from a GPT */
	uint8_t type_guid[16], guid[16];
	char name[40]; /* UTF-8, cut */
};
enum { PARTS_MAX = 128 };
/*
 * Reads d's table: how many partitions it holds, sorted by number, 0 without a table, or -errno.
 * All lie inside the disk and none overlaps another.
 */
int __must_check part_read(struct blk_dev *d, struct part *out);
#endif
