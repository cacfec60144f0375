// SPDX-License-Identifier: Apache-2.0
/* Shared by blk.c, split.c, sync.c and part.c. */
#ifndef STORAGE_BLK_IMPL_H
#define STORAGE_BLK_IMPL_H
#include "vmk/blk.h"
#include "vmk/errno.h"
#include "vmk/wait.h"
#include "vmk/work.h"

enum { BLK_WORLDS = 32, BLK_FLOWS = 64 };
/*
 * What an owner's turn is worth, in bytes: no request costs more, so each turn sends at least one.
 * A request costs its bytes, and not less than BLK_COST_MIN, which stands for the seek and the
 * command.
 */
enum { BLK_TURN = 512 << 10, BLK_COST_MIN = 16 << 10 };

/* An owner's requests that wait. One without any is free for whoever comes next. */
struct blk_flow {
	const void *owner;
	struct list requests;
	struct list turn; /* on the queue's round while it has requests */
	uint32_t credit;  /* bytes that are left of its turn */
};

/* One queue of a disk. lock guards everything in it; RANK_BLK, taken in bottom halves. */
struct blk_queue {
	struct spinlock lock;
	struct blk_dev *dev;
	struct list first; /* waiting in front of all flows: urgent ones, and those tried again */
	struct list round; /* flows with requests; the first one has its turn */
	struct list inflight; /* with the driver */
	struct list refused;  /* waiting for bottom to call done */
	unsigned waiting;     /* requests in `first` and in flows */
	unsigned active;      /* waiting, in flight, or between the driver and the end of done */
	uint64_t progress;    /* completions and kicks: tells whether -EBUSY is still true */
	uint64_t seen;        /* progress at the last tick that found some, which was at `moved` */
	ns_t moved;
	bool ticking;
	struct timer tick;
	struct bottom bottom;
	struct waitq idle; /* active became 0 */
	struct blk_stats stats;
	struct blk_flow flow[BLK_FLOWS];
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
/*
 * flow.c: what waits because the device is full. The queue's lock is held. blk_wait_first: in front
 * of the flows. blk_next_waiting takes the next to be sent; NULL: none.
 */
void blk_wait(struct blk_queue *q, struct blk_req *r);
void blk_wait_first(struct blk_queue *q, struct blk_req *r);
struct blk_req *blk_next_waiting(struct blk_queue *q);
void blk_flows_init(struct blk_queue *q);

/* Queues r, which fits the disk's limits. */
void blk_enqueue(struct blk_req *r, struct blk_queue *q);
/* Ends r with status from the queue's bottom half, as done promises. */
void blk_refuse(struct blk_req *r, struct blk_queue *q, int status);
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
