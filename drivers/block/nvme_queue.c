// SPDX-License-Identifier: Apache-2.0
/*
 * A queue pair and the path of an I/O: submit writes one entry whose PRPs point at the caller's own
 * pages and rings the doorbell; the bottom half takes completions. A command identifier is the tag
 * and a count of the tag's uses, so that a completion that comes twice, late or for nothing is told
 * from a true one. Spec: NVMe 1.4 4.1 (queues), 4.3 (PRP), 6 (I/O commands).
 */
#include "nvme.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "vmk/string.h"

#define LOG_MODULE "nvme"

STAT(stray, "nvme.stray_completions", "completions for no command in flight");
STAT(errors, "nvme.errors", "commands that ended with an error status");
STAT(interrupts, "nvme.interrupts", "interrupts");
STAT(mmio, "nvme.mmio", "doorbells rung");
STAT(busy, "nvme.queue_busy", "requests that found no free tag or a controller in reset");

static unsigned poll_batch(struct nvme_queue *q);

static void queue_bottom(struct bottom *b)
{
	struct nvme_queue *q = container_of(b, struct nvme_queue, bottom);

	for (unsigned done = 0; done < BOTTOM_BUDGET; done += NVME_BATCH) {
		if (poll_batch(q) < NVME_BATCH) {
			if (unlikely(q->ctrl->mask_irq))
				mmio_write32(q->ctrl->regs + NVME_INTMC, 1);
			return;
		}
	}
	/*
	 * The budget is used up: other bottom halves come first, then this one again. Without MSI-X
	 * the interrupt stays masked until the ring is empty.
	 */
	bottom_raise(b);
}

/*
 * Memory and doorbells of a pair; the controller does not know it yet. A ring has one entry more
 * than it has tags, so that it is never full (4.1.2).
 */
int nvme_queue_alloc(struct nvme *c, struct nvme_queue *q, uint16_t id, uint16_t depth)
{
	struct device *dev = &c->pci->dev;

	q->ctrl = c;
	q->id = id;
	q->depth = depth;
	q->entries = depth + 1;
	spin_init(&q->lock, "nvme queue", RANK_DEVICE);
	bottom_init(&q->bottom, queue_bottom);
	q->sq = dma_alloc(dev, (size_t)q->entries << NVME_SQE_SHIFT, &q->sq_iova);
	q->cq = dma_alloc(dev, (size_t)q->entries << NVME_CQE_SHIFT, &q->cq_iova);
	if (id)
		q->prp = dma_alloc(dev, depth * sizeof(*q->prp), &q->prp_iova);
	if (!q->sq || !q->cq || (id && !q->prp)) {
		nvme_queue_free(q);
		return -ENOMEM;
	}
	unsigned stride = 4u << GET(NVME_CAP_DSTRD, c->cap);

	q->sq_doorbell = (void *)(c->regs + NVME_DOORBELLS + 2 * id * stride);
	q->cq_doorbell = (void *)(c->regs + NVME_DOORBELLS + (2 * id + 1) * stride);
	return 0;
}

void nvme_queue_free(struct nvme_queue *q)
{
	if (!q->ctrl)
		return;
	struct device *dev = &q->ctrl->pci->dev;

	bottom_flush(&q->bottom);
	dma_free(dev, q->sq, (size_t)q->entries << NVME_SQE_SHIFT);
	dma_free(dev, (void *)q->cq, (size_t)q->entries << NVME_CQE_SHIFT);
	dma_free(dev, q->prp, q->depth * sizeof(*q->prp));
	q->ctrl = NULL;
}

void nvme_queue_start(struct nvme_queue *q)
{
	uint64_t flags = spin_lock_irq(&q->lock);

	/* Phase 0 everywhere: the controller writes its first round with phase 1 (4.6). */
	memset((void *)q->cq, 0, (size_t)q->entries << NVME_CQE_SHIFT);
	q->sq_tail = q->cq_head = 0;
	q->phase = 1;
	q->free_count = 0;
	for (unsigned tag = q->depth; tag--;) {
		q->cmd[tag].busy = false;
		q->cmd[tag].req = NULL;
		/*
		 * The lowest tag ends on top of the stack. The admin queue keeps one for
		 * nvme_admin.
		 */
		if (q->id || tag != NVME_ADMIN_TAG)
			q->free_tag[q->free_count++] = (uint8_t)tag;
	}
	spin_unlock_irq(&q->lock, flags);
}

void nvme_queue_live(struct nvme_queue *q)
{
	uint64_t flags = spin_lock_irq(&q->lock);

	q->live = true;
	spin_unlock_irq(&q->lock, flags);
}

void nvme_queue_put(struct nvme_queue *q, unsigned tag, struct nvme_sqe *e, struct blk_req *r)
{
	struct nvme_cmd *cmd = &q->cmd[tag];

	/*
	 * The use count changes with each command, so that a completion for an earlier use of the
	 * tag does not match.
	 */
	cmd->cid += 1 << NVME_TAG_BITS;
	cmd->req = r;
	cmd->busy = true;
	cmd->aborting = false;
	e->cid = (uint16_t)(cmd->cid | tag);
	q->sq[q->sq_tail] = *e;
	if (++q->sq_tail == q->entries)
		q->sq_tail = 0;
	/* The entry must be in memory before the controller is told of it. */
	dma_wmb();
	mmio_write32(q->sq_doorbell, q->sq_tail);
	stat_inc(mmio);
}

/*
 * 4.3: the first page may begin anywhere, all others at a page. -EFAULT: out of the device's reach.
 */
static int map_data(struct nvme_queue *q, unsigned tag, const struct blk_req *r, struct nvme_sqe *e)
{
	enum dma_dir dir = r->op == BLK_READ ? DMA_FROM_DEVICE : DMA_TO_DEVICE;
	struct device *dev = &q->ctrl->pci->dev;
	uint64_t *list = q->prp[tag];
	unsigned n = 0;

	for (unsigned i = 0; i < r->sg_count; i++) {
		iova_t at = dma_map(dev, r->sg[i].pa, r->sg[i].len, dir), end = at + r->sg[i].len;

		if (unlikely(at == IOVA_BAD))
			return -EFAULT;
		if (i == 0) {
			e->prp1 = at;
			/*
			 * PRP1 covers the rest of its page; blk.c has seen to it that all inner
			 * boundaries are pages' (sg_align).
			 */
			at = ALIGN_DOWN(at, PAGE_SIZE) + PAGE_SIZE;
		}
		for (; at < end; at += PAGE_SIZE)
			list[n++] = at;
	}
	/* Two pages: both stand in the command. More: PRP2 is the address of the list. */
	if (n == 1)
		e->prp2 = list[0];
	else if (n)
		e->prp2 = q->prp_iova + tag * sizeof(*q->prp);
	return 0;
}

static void unmap_data(struct nvme_queue *q, const struct blk_req *r)
{
	enum dma_dir dir = r->op == BLK_READ ? DMA_FROM_DEVICE : DMA_TO_DEVICE;

	for (unsigned i = 0; i < r->sg_count; i++)
		dma_unmap(&q->ctrl->pci->dev, r->sg[i].pa, r->sg[i].len, dir);
}

/* The command for a request. The lock is held; the tag's list page holds the range of a discard. */
static int fill(struct nvme_queue *q, unsigned tag, const struct nvme_ns *ns,
                const struct blk_req *r, struct nvme_sqe *e)
{
	static const uint8_t opcode[BLK_OPS] = { [BLK_READ] = NVME_READ,
		                                 [BLK_WRITE] = NVME_WRITE,
		                                 [BLK_FLUSH] = NVME_FLUSH,
		                                 [BLK_DISCARD] = NVME_DSM,
		                                 [BLK_WRITE_ZEROES] = NVME_WRITE_ZEROES };
	uint64_t lba = r->pos >> ns->shift;
	uint32_t blocks = (uint32_t)(r->len >> ns->shift);

	*e = (struct nvme_sqe){ .opcode = opcode[r->op], .nsid = ns->nsid };
	if (r->op == BLK_FLUSH)
		return 0;
	if (r->op == BLK_DISCARD) {
		struct nvme_dsm_range *range = (void *)q->prp[tag];

		*range = (struct nvme_dsm_range){ .blocks = blocks, .lba = lba };
		e->prp1 = q->prp_iova + tag * sizeof(*q->prp);
		e->cdw11 = NVME_DSM_DISCARD;
		return 0;
	}
	e->cdw10 = (uint32_t)lba;
	e->cdw11 = (uint32_t)(lba >> 32);
	/* The number of blocks is 0-based (6.15). */
	e->cdw12 = (blocks - 1) | (r->flags & BLK_FUA && r->op != BLK_READ ? NVME_RW_FUA : 0);
	return r->op == BLK_WRITE_ZEROES ? 0 : map_data(q, tag, r, e);
}

int nvme_submit(struct blk_dev *d, unsigned qi, struct blk_req *r)
{
	struct nvme_ns *ns = d->drvdata;
	struct nvme_queue *q = &ns->ctrl->io[qi];
	struct nvme_sqe e;
	int err;
	uint64_t flags = spin_lock_irq(&q->lock);

	if (unlikely(!q->live || !q->free_count)) {
		/*
		 * -EBUSY: blk.c keeps the request until a completion, or until the kick that ends a
		 * reset.
		 */
		err = ns->ctrl->state == NVME_DEAD ? -ENODEV : -EBUSY;
		stat_inc(busy);
	} else {
		/* Taken only when the command could be filled; nothing to undo otherwise. */
		unsigned tag = q->free_tag[q->free_count - 1];

		err = fill(q, tag, ns, r, &e);
		if (likely(!err)) {
			q->free_count--;
			nvme_queue_put(q, tag, &e, r);
		}
	}
	spin_unlock_irq(&q->lock, flags);
	return err;
}

/* 4.6.1: what a status means to those above. */
int nvme_errno(uint16_t status)
{
	switch (GET(NVME_STATUS_CODE, status)) {
	case NVME_SC_SUCCESS: return 0;
	case NVME_SC_INVALID_OPCODE: return -EOPNOTSUPP;
	case NVME_SC_INVALID_FIELD:
	case NVME_SC_INVALID_NS:
	case NVME_SC_LBA_RANGE: return -EINVAL;
	case NVME_SC_CAPACITY: return -ENOSPC;
	case NVME_SC_WRITE_PROTECTED:
	case NVME_SC_READ_ONLY: return -EROFS;
	case NVME_SC_INTERNAL:
	case NVME_SC_SQ_DELETED:
	case NVME_SC_NS_NOT_READY: return status & NVME_STATUS_DNR ? -EIO : BLK_AGAIN;
	case NVME_SC_ABORT_REQUESTED:
		return -ETIMEDOUT; /* we ask for it when a deadline has passed */
	default: return -EIO;
	}
}

struct finished {
	struct blk_req *req;
	uint16_t status;
};

/*
 * Takes one entry off the ring; false when there is none. out->req NULL: no I/O of ours. The lock
 * is held.
 */
static bool take_completion(struct nvme_queue *q, struct finished *out)
{
	volatile struct nvme_cqe *e = &q->cq[q->cq_head];
	uint16_t status = e->status;

	if ((status & NVME_STATUS_PHASE) != q->phase)
		return false;
	/* The rest of the entry is read after its phase bit, which the controller writes last. */
	dma_rmb();
	uint16_t cid = e->cid;
	unsigned tag = cid & ((1 << NVME_TAG_BITS) - 1);
	struct nvme_cmd *cmd = tag < q->depth ? &q->cmd[tag] : NULL;

	if (++q->cq_head == q->entries) {
		q->cq_head = 0;
		q->phase ^= 1;
	}
	out->status = status;
	out->req = NULL;
	/* The entry is consumed all the same: its place in the ring is real. */
	if (unlikely(!cmd || !cmd->busy || (cmd->cid | tag) != cid)) {
		stat_inc(stray);
		log_warn("%s: queue %u: completion for unknown command %04x",
		         q->ctrl->pci->dev.vmk_name, q->id, cid);
		return true;
	}
	out->req = cmd->req;
	cmd->busy = false;
	cmd->req = NULL;
	if (q->id || tag != NVME_ADMIN_TAG) {
		q->free_tag[q->free_count++] = (uint8_t)tag;
	} else {
		/* Read by the world that waits for it, after busy is false. */
		q->ctrl->admin_result = e->result;
		q->ctrl->admin_status = status;
	}
	return true;
}

static void end_request(struct nvme_queue *q, const struct finished *f)
{
	int err = 0;

	if (unlikely(f->status & ~NVME_STATUS_PHASE)) {
		err = nvme_errno(f->status);
		if (err) {
			stat_inc(errors);
			log_warn("%s: operation %u at %llu failed with status %03x",
			         f->req->dev->id, f->req->op, (unsigned long long)f->req->pos,
			         (unsigned)GET(NVME_STATUS_CODE, f->status));
		}
	}
	unmap_data(q, f->req);
	blk_complete(f->req, err);
}

/* At most NVME_BATCH completions; how many it took. */
static unsigned poll_batch(struct nvme_queue *q)
{
	struct finished done[NVME_BATCH];
	unsigned n = 0;
	uint64_t flags = spin_lock_irq(&q->lock);

	while (n < NVME_BATCH && q->live && take_completion(q, &done[n]))
		n++;
	if (n) {
		/*
		 * One doorbell a batch gives the entries back; before the requests end, so that a
		 * submission from done finds room.
		 */
		mmio_write32(q->cq_doorbell, q->cq_head);
		stat_inc(mmio);
	}
	spin_unlock_irq(&q->lock, flags);
	for (unsigned i = 0; i < n; i++)
		if (done[i].req)
			end_request(q, &done[i]);
	if (n && !q->id)
		waitq_wake_all(&q->ctrl->admin_wait);
	return n;
}

void nvme_queue_poll(struct nvme_queue *q)
{
	while (poll_batch(q) == NVME_BATCH)
		;
}

enum irq_return nvme_irq(void *arg)
{
	struct nvme_queue *q = arg;

	stat_inc(interrupts);
	bottom_raise(&q->bottom);
	return IRQ_HANDLED;
}

/*
 * A level interrupt may be another device's, and stays up until the bottom half has taken the
 * completions.
 */
enum irq_return nvme_irq_all(void *arg)
{
	struct nvme *c = arg;
	bool ours = false;

	for (unsigned i = 0; i <= c->queues; i++) {
		struct nvme_queue *q = i ? &c->io[i - 1] : &c->admin;

		if (!q->live || (q->cq[q->cq_head].status & NVME_STATUS_PHASE) != q->phase)
			continue;
		ours = true;
		bottom_raise(&q->bottom);
	}
	if (!ours)
		return IRQ_NONE;
	stat_inc(interrupts);
	/*
	 * Masked until the bottom half has emptied the ring (queue_bottom), else a level interrupt
	 * would come again at once.
	 */
	if (c->mask_irq)
		mmio_write32(c->regs + NVME_INTMS, 1);
	return IRQ_HANDLED;
}

void nvme_queue_cancel(struct nvme_queue *q, int status)
{
	for (unsigned tag = 0; tag < q->depth; tag++) {
		uint64_t flags = spin_lock_irq(&q->lock);
		struct nvme_cmd *cmd = &q->cmd[tag];
		struct blk_req *r = cmd->req;
		/*
		 * One that was asked to abort passed its deadline: it ends so rather than being
		 * tried again.
		 */
		bool late = cmd->aborting;

		q->live = false;
		if (!q->id && tag == NVME_ADMIN_TAG && cmd->busy)
			q->ctrl->admin_status = (uint16_t)PUT(NVME_STATUS_CODE,
			                                      NVME_SC_ABORT_REQUESTED);
		cmd->req = NULL;
		cmd->busy = false;
		spin_unlock_irq(&q->lock, flags);
		if (!r)
			continue;
		unmap_data(q, r);
		/*
		 * Without the lock: blk_complete may submit to this queue, which is not live and
		 * says -EBUSY.
		 */
		blk_complete(r, late && status == BLK_AGAIN ? -ETIMEDOUT : status);
	}
}
