// SPDX-License-Identifier: Apache-2.0
/*
 * Time-outs and reset. A late command is looked for in its ring (a lost interrupt), then aborted,
 * then the controller is reset: what timed out ends with -ETIMEDOUT, everything else is tried
 * again. A controller that does not come back is dead until the next boot, and everything ends with
 * -ENODEV. Spec: NVMe 1.4 5.1 (abort), 7.3.1 (reset).
 */
#include "nvme.h"
#include "vmk/log.h"
#include "vmk/stat.h"

#define LOG_MODULE "nvme"

STAT(lost, "nvme.lost_interrupts", "late commands whose completion was in the ring");
STAT(aborts, "nvme.aborts", "commands asked to abort");
STAT(resets, "nvme.resets", "controller resets");
STAT(dead, "nvme.dead", "controllers given up");

/* The tag that r has, or -1. The lock is held. */
static int tag_of(const struct nvme_queue *q, const struct blk_req *r)
{
	for (unsigned tag = 0; tag < q->depth; tag++)
		if (q->cmd[tag].req == r)
			return (int)tag;
	return -1;
}

/* What is left to do about a late request. */
enum lateness { LATE_GONE, LATE_ABORT, LATE_RESET };

static enum lateness lateness(struct nvme_queue *q, const struct blk_req *r, uint16_t *cid)
{
	enum lateness what = LATE_GONE;
	uint64_t flags = spin_lock_irq(&q->lock);
	int tag = tag_of(q, r);

	if (tag >= 0) {
		struct nvme_cmd *cmd = &q->cmd[tag];

		/*
		 * blk.c calls again after BLK_ABORT_GRACE: an abort that did not help by then is
		 * followed by a reset.
		 */
		what = cmd->aborting ? LATE_RESET : LATE_ABORT;
		cmd->aborting = true;
		*cid = (uint16_t)(cmd->cid | tag);
	}
	spin_unlock_irq(&q->lock, flags);
	return what;
}

static bool in_flight(struct nvme_queue *q, const struct blk_req *r)
{
	uint64_t flags = spin_lock_irq(&q->lock);
	bool yes = tag_of(q, r) >= 0;

	spin_unlock_irq(&q->lock, flags);
	return yes;
}

static struct nvme_queue *queue_of(struct nvme *c, const struct blk_req *r)
{
	for (unsigned i = 0; i < c->queues_live; i++)
		if (in_flight(&c->io[i], r))
			return &c->io[i];
	return NULL;
}

/* r may have ended already and be another's memory: it is only compared with what the tags hold. */
void nvme_timeout(struct blk_dev *d, struct blk_req *r)
{
	struct nvme *c = ((struct nvme_ns *)d->drvdata)->ctrl;
	struct nvme_queue *q = queue_of(c, r);
	uint32_t csts = nvme_csts(c);
	uint16_t cid = 0;

	if (!q)
		return;
	/* Gone, or a fatal status (7.3.1): no abort will be answered. */
	if (csts == ~0u || csts & NVME_CSTS_CFS) {
		work_queue(&c->reset);
		return;
	}
	/* A completion without its interrupt looks like a time-out. */
	nvme_queue_poll(q);
	if (!in_flight(q, r)) {
		stat_inc(lost);
		log_warn("%s: an interrupt was lost", d->id);
		return;
	}
	enum lateness what = lateness(q, r, &cid);

	if (what == LATE_ABORT && !nvme_abort(c, q->id, cid)) {
		stat_inc(aborts);
		log_warn("%s: no answer to command %04x of queue %u: asked to abort", d->id, cid,
		         q->id);
		/* No admin tag was free, or the abort itself is late. */
	} else if (what != LATE_GONE) {
		work_queue(&c->reset);
	}
}

static void cancel_all(struct nvme *c, int status)
{
	for (unsigned i = 0; i < c->queues; i++)
		nvme_queue_cancel(&c->io[i], status);
	nvme_queue_cancel(&c->admin, status);
	waitq_wake_all(&c->admin_wait);
}

void nvme_die(struct nvme *c)
{
	stat_inc(dead);
	c->state = NVME_DEAD;
	/* Before the requests end: their owners reuse the pages at once. */
	pci_set_master(c->pci, false); /* whatever it still does, it no longer reaches memory */
	cancel_all(c, -ENODEV);
	for (unsigned i = 0; i < c->ns_count; i++)
		blk_kick(&c->ns[i]->blk); /* what is held is refused */
}

static int restart(struct nvme *c)
{
	int err = nvme_disable(c);

	/* CSTS.RDY did not fall: a function-level reset stops it from outside. */
	if (err == -ETIMEDOUT)
		err = pci_reset_function(c->pci);
	if (err)
		return err;
	/*
	 * Only when the controller is disabled: until then it may still write to the requests'
	 * pages. They wait in blk.c until the kick, since no queue is live.
	 */
	cancel_all(c, BLK_AGAIN);
	err = nvme_enable(c);
	return err ? err : nvme_create_queues(c);
}

/* Takes no more requests while the controller is reset. */
static void stop_queues(struct nvme *c)
{
	for (unsigned i = 0; i < c->queues; i++) {
		uint64_t flags = spin_lock_irq(&c->io[i].lock);

		c->io[i].live = false;
		spin_unlock_irq(&c->io[i].lock, flags);
	}
}

void nvme_reset_work(struct work *w)
{
	struct nvme *c = container_of(w, struct nvme, reset);

	if (c->state != NVME_LIVE)
		return;
	if (c->removing) { /* its last requests hang: a reset for them is not worth the wait */
		nvme_die(c);
		return;
	}
	c->state = NVME_RESETTING;
	stat_inc(resets);
	log_warn("%s: resetting the controller", c->pci->dev.vmk_name);
	/*
	 * State first, then the queues: a submitter that finds its queue stopped is told -EBUSY,
	 * not -ENODEV.
	 */
	stop_queues(c);
	int err = nvme_csts(c) == ~0u ? -ENODEV : restart(c);

	if (err) {
		log_err("%s: the controller does not come back: error %d", c->pci->dev.vmk_name,
		        -err);
		nvme_die(c);
		return;
	}
	c->state = NVME_LIVE;
	/* What was cancelled waits in blk.c. */
	for (unsigned i = 0; i < c->ns_count; i++)
		blk_kick(&c->ns[i]->blk);
}
