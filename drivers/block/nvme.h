// SPDX-License-Identifier: Apache-2.0
/*
 * State of an NVMe controller. nvme.c: controller and binding; nvme_admin.c: admin commands,
 * identify; nvme_queue.c: queue pairs, the path of an I/O; nvme_ns.c: namespaces as block devices;
 * nvme_recover.c: time-outs and reset.
 *
 * nvme_queue.lock guards a pair's rings and tags. admin_mutex lets one world at a time send an
 * admin command and wait for it. state changes in probe, in the reset work, and in remove once it
 * has stopped the work.
 */
#ifndef NVME_H
#define NVME_H
#include "nvme_regs.h"
#include "vmk/blk.h"
#include "vmk/errno.h"
#include "vmk/pci.h"
#include "vmk/wait.h"
#include "vmk/work.h"

enum {
	NVME_DEPTH = 128, /* tags of an I/O queue; its ring has one entry more */
	NVME_ADMIN_DEPTH = 8,
	NVME_ADMIN_TAG = 0, /* of the command that a world waits for; the others are aborts */
	NVME_QUEUES_MAX = 32,
	NVME_NS_MAX = 32,
	NVME_PRPS = 128, /* list entries of a command: 512 KiB that begin inside a page */
	NVME_BATCH = 16,
	NVME_TAG_BITS = 8, /* of the command identifier; the rest counts the tag's uses */
};
#define NVME_XFER_MAX         (NVME_PRPS * (uint32_t)PAGE_SIZE)
#define NVME_ADMIN_TIMEOUT    (10 * NS_PER_S)
#define NVME_SHUTDOWN_TIMEOUT (10 * NS_PER_S)

enum nvme_state { NVME_NEW, NVME_LIVE, NVME_RESETTING, NVME_DEAD };

struct nvme_cmd {
	struct blk_req *req; /* NULL: an admin command */
	uint16_t cid;        /* the use count, above the tag's bits */
	bool busy, aborting;
};

struct nvme;
struct nvme_queue {
	struct spinlock lock;
	struct nvme *ctrl;
	struct nvme_sqe *sq;
	volatile struct nvme_cqe *cq;
	volatile uint32_t *sq_doorbell, *cq_doorbell;
	uint16_t id, depth, entries;
	uint16_t sq_tail, cq_head, phase, free_count;
	bool live;
	uint8_t free_tag[NVME_DEPTH];
	struct nvme_cmd cmd[NVME_DEPTH];
	uint64_t (*prp)[NVME_PRPS]; /* a list for each tag */
	iova_t prp_iova, sq_iova, cq_iova;
	struct bottom bottom;
} __aligned(CACHE_LINE);

struct nvme_ns {
	struct blk_dev blk;
	struct nvme *ctrl;
	uint32_t nsid;
	uint8_t shift; /* block size, log2 */
};

struct nvme {
	struct pci_dev *pci;
	uint8_t *regs;
	uint64_t cap;
	enum nvme_state state;
	uint16_t vectors, queues, queues_live; /* I/O queue pairs: allocated, created */
	bool mask_irq; /* no MSI-X: the handler masks, the bottom half unmasks (3.1.3) */
	uint16_t oncs;
	bool write_cache;
	uint32_t max_bytes;
	char model[41], serial[21], firmware[9];
	struct nvme_queue admin;
	struct nvme_queue *io;
	struct mutex admin_mutex;
	struct waitq admin_wait;
	uint16_t admin_status; /* of the command waited for */
	uint32_t admin_result;
	void *identify;
	iova_t identify_iova;
	struct nvme_ns *ns[NVME_NS_MAX];
	unsigned ns_count;
	struct work reset;
	bool removing;
};

uint32_t nvme_csts(struct nvme *c); /* all ones: the controller is gone */
/*
 * CC.EN to 0 or 1 and the wait for CSTS.RDY; enable also sets up the admin queue. -ETIMEDOUT,
 * -ENODEV, -EIO
 */
int __must_check nvme_disable(struct nvme *c);
int __must_check nvme_enable(struct nvme *c);

/* Sends one and waits. 0, -errno of its status, -ETIMEDOUT, -ENODEV. */
int __must_check nvme_admin(struct nvme *c, const struct nvme_sqe *cmd, uint32_t *result);
/* Asks for the abort of a command, without waiting; -EBUSY when too many are under way. */
int __must_check nvme_abort(struct nvme *c, uint16_t sq_id, uint16_t cid);
int __must_check nvme_identify(struct nvme *c, uint32_t cns, uint32_t nsid); /* into c->identify */
int __must_check nvme_identify_controller(struct nvme *c);
int __must_check nvme_create_queues(struct nvme *c);

int __must_check nvme_queue_alloc(struct nvme *c, struct nvme_queue *q, uint16_t id,
                                  uint16_t depth);
void nvme_queue_free(struct nvme_queue *q);
void nvme_queue_start(struct nvme_queue *q); /* empty rings, all tags free */
void nvme_queue_live(struct nvme_queue *q);  /* the controller knows it: requests may come */
/* Takes all completions; under no lock. */
void nvme_queue_poll(struct nvme_queue *q);
/*
 * Ends every command of a queue whose controller does not run; those that timed out with
 * -ETIMEDOUT.
 */
void nvme_queue_cancel(struct nvme_queue *q, int status);
/* Queues e as tag, which is free, and rings the doorbell. The lock is held. */
void nvme_queue_put(struct nvme_queue *q, unsigned tag, struct nvme_sqe *e, struct blk_req *r);
int nvme_submit(struct blk_dev *d, unsigned qi, struct blk_req *r);
enum irq_return nvme_irq(void *queue);
enum irq_return nvme_irq_all(void *ctrl); /* the only vector there is */
int nvme_errno(uint16_t status);

int __must_check nvme_ns_scan(struct nvme *c);
void nvme_ns_remove(struct nvme *c);

void nvme_timeout(struct blk_dev *d, struct blk_req *r);
void nvme_reset_work(struct work *w);
/* No way back: every request ends with -ENODEV. */
void nvme_die(struct nvme *c);
#endif
