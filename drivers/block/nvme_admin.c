// SPDX-License-Identifier: Apache-2.0
/* Admin commands: one that a world waits for, and aborts beside it. Spec: NVMe 1.4 5. */
#include "nvme.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/string.h"

#define LOG_MODULE "nvme"

static bool answered(struct nvme *c)
{
	return !READ_ONCE(c->admin.cmd[NVME_ADMIN_TAG].busy);
}

static int send_and_wait(struct nvme *c, const struct nvme_sqe *cmd)
{
	struct nvme_queue *q = &c->admin;
	struct nvme_sqe e = *cmd;
	uint64_t flags = spin_lock_irq(&q->lock);

	/* admin_mutex is held, so the tag is free. */
	nvme_queue_put(q, NVME_ADMIN_TAG, &e, NULL);
	spin_unlock_irq(&q->lock, flags);
	int err = wait_event_until(&c->admin_wait, answered(c), time_now() + NVME_ADMIN_TIMEOUT);

	if (err) {
		nvme_queue_poll(q); /* its interrupt may have been lost */
		if (!answered(c)) {
			bool gone = nvme_csts(c) == ~0u;

			log_err("%s: admin command %02x: %s", c->pci->dev.name, cmd->opcode,
			        gone ? "the controller is gone" : "no answer");
			return gone ? -ENODEV : -ETIMEDOUT;
		}
		log_warn("%s: admin command %02x: an interrupt was lost", c->pci->dev.name,
		         cmd->opcode);
	}
	err = nvme_errno(c->admin_status);
	if (err)
		log_warn("%s: admin command %02x: status %03x", c->pci->dev.name, cmd->opcode,
		         (unsigned)GET(NVME_STATUS_CODE, c->admin_status));
	/* Nobody tries an admin command again. */
	return err == BLK_AGAIN ? -EIO : err;
}

int nvme_admin(struct nvme *c, const struct nvme_sqe *cmd, uint32_t *result)
{
	mutex_lock(&c->admin_mutex);
	int err = send_and_wait(c, cmd);

	if (!err && result)
		*result = c->admin_result;
	mutex_unlock(&c->admin_mutex);
	return err;
}

int nvme_abort(struct nvme *c, uint16_t sq_id, uint16_t cid)
{
	struct nvme_queue *q = &c->admin;
	struct nvme_sqe e = { .opcode = NVME_ADMIN_ABORT, .cdw10 = sq_id | (uint32_t)cid << 16 };
	int err = -EBUSY;
	uint64_t flags = spin_lock_irq(&q->lock);

	if (q->live && q->free_count) {
		/*
		 * Its completion frees the tag and is not waited for: what counts is that the
		 * aborted command comes back. The caller is a bottom half.
		 */
		nvme_queue_put(q, q->free_tag[--q->free_count], &e, NULL);
		err = 0;
	}
	spin_unlock_irq(&q->lock, flags);
	return err;
}

int nvme_identify(struct nvme *c, uint32_t cns, uint32_t nsid)
{
	struct nvme_sqe e = {
		.opcode = NVME_ADMIN_IDENTIFY, .nsid = nsid, .prp1 = c->identify_iova, .cdw10 = cns
	};

	return nvme_admin(c, &e, NULL);
}

/* ASCII padded with spaces; anything unprintable becomes '_'. */
static void copy_text(char *out, const char *in, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		out[i] = in[i] >= ' ' && in[i] < 127 ? in[i] : '_';
	while (n && out[n - 1] == ' ')
		n--;
	out[n] = '\0';
}

int nvme_identify_controller(struct nvme *c)
{
	int err = nvme_identify(c, NVME_CNS_CONTROLLER, 0);

	if (err)
		return err;
	const struct nvme_id_ctrl *id = c->identify;

	copy_text(c->model, id->mn, sizeof(id->mn));
	copy_text(c->serial, id->sn, sizeof(id->sn));
	copy_text(c->firmware, id->fr, sizeof(id->fr));
	c->oncs = id->oncs;
	c->write_cache = id->vwc & NVME_VWC_PRESENT;
	c->max_bytes = NVME_XFER_MAX;
	/* In units of the smallest page, which nvme_probe made sure is 4 KiB; 0: no limit. */
	if (id->mdts && id->mdts < log2_floor(NVME_PRPS))
		c->max_bytes = (uint32_t)PAGE_SIZE << id->mdts;
	return 0;
}

static int create_pair(struct nvme *c, struct nvme_queue *q)
{
	uint32_t vector = c->vectors > 1 ? q->id : 0;
	struct nvme_sqe cq = { .opcode = NVME_ADMIN_CREATE_CQ,
		               .prp1 = q->cq_iova,
		               .cdw10 = q->id | (q->entries - 1u) << 16,
		               .cdw11 = (uint32_t)(NVME_QUEUE_CONTIGUOUS | NVME_CQ_INTERRUPTS |
		                                   PUT(NVME_CQ_VECTOR, vector)) };
	struct nvme_sqe sq = { .opcode = NVME_ADMIN_CREATE_SQ,
		               .prp1 = q->sq_iova,
		               .cdw10 = q->id | (q->entries - 1u) << 16,
		               .cdw11 = (uint32_t)(NVME_QUEUE_CONTIGUOUS |
		                                   PUT(NVME_SQ_CQID, q->id)) };
	int err = nvme_admin(c, &cq, NULL);

	return err ? err : nvme_admin(c, &sq, NULL);
}

/*
 * 5.21.1.7: the controller grants at least one pair, and as many as the device's queues were made
 * for after a reset.
 */
int nvme_create_queues(struct nvme *c)
{
	uint32_t granted, asked = c->queues - 1u;
	struct nvme_sqe e = { .opcode = NVME_ADMIN_SET_FEATURES,
		              .cdw10 = NVME_FEATURE_QUEUES,
		              .cdw11 = asked | asked << 16 };
	int err = nvme_admin(c, &e, &granted);

	if (err)
		return err;
	unsigned most = MIN(granted & 0xffff, granted >> 16) + 1;
	unsigned count = MIN((unsigned)c->queues, most);

	/* Requests carry their queue's number, so a reset must bring back as many as before. */
	if (c->queues_live && count < c->queues_live)
		return -EIO;
	c->queues_live = c->queues_live ? c->queues_live : (uint16_t)count;
	for (unsigned i = 0; i < c->queues_live; i++) {
		nvme_queue_start(&c->io[i]);
		err = create_pair(c, &c->io[i]);
		if (err)
			return err;
		/* Not earlier: after a reset, requests arrive while the queues are being made. */
		nvme_queue_live(&c->io[i]);
	}
	return 0;
}
