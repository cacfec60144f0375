// SPDX-License-Identifier: Apache-2.0
/* Namespaces as block devices, with ESXi's names. Spec: NVMe 1.4 5.15. */
#include "nvme.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"

#define LOG_MODULE "nvme"

static void ns_release(struct blk_dev *d)
{
	kfree(d->drvdata);
}

static const struct blk_ops nvme_blk_ops = { .submit = nvme_submit,
	                                     .timeout = nvme_timeout,
	                                     .release = ns_release };

/* Text padded with '_' to the width of its field, as in t10 identifiers. */
static char *pad_text(char *out, const char *text, unsigned width)
{
	for (unsigned i = 0; i < width; i++) {
		*out++ = *text && *text != ' ' ? *text : '_';
		text += *text != '\0';
	}
	return out;
}

static void ns_names(struct nvme_ns *ns, unsigned lun)
{
	struct nvme *c = ns->ctrl;
	struct blk_dev *d = &ns->blk;
	static const char prefix[] = "t10.NVMe____";

	memcpy(d->id, prefix, sizeof(prefix) - 1);
	char *end = pad_text(d->id + sizeof(prefix) - 1, c->model, 40);

	end = pad_text(end, c->serial, 20);
	vmk_snprintf(end, 9, "%08x", ns->nsid);
	vmk_snprintf(d->node, sizeof(d->node), "%s:C0:T0:L%u", c->pci->dev.vmk_name, lun);
	str_copy(d->vendor, "NVMe", sizeof(d->vendor));
	str_copy(d->model, c->model, sizeof(d->model));
	str_copy(d->serial, c->serial, sizeof(d->serial));
	str_copy(d->revision, c->firmware, sizeof(d->revision));
}

static void ns_limits(struct nvme_ns *ns, const struct nvme_id_ns *id)
{
	struct nvme *c = ns->ctrl;
	uint32_t block = 1u << ns->shift;

	/* Write zeroes and deallocate count blocks in 16 and 32 bits. */
	ns->blk.limits = (struct blk_limits){
		.block_size = block,
		.phys_block = block,
		.blocks = id->nsze,
		.max_bytes = c->max_bytes,
		.max_sg = (uint16_t)(c->max_bytes / PAGE_SIZE + 1),
		.sg_align = PAGE_SIZE,
		.sg_base_align = 4, /* PRP offsets are dwords, 4.3 */
		.discard_max = c->oncs & NVME_ONCS_DSM ? 1u << 30 : 0,
		.zeroes_max = c->oncs & NVME_ONCS_ZEROES ? NVME_BLOCKS_MAX / 2 * block : 0,
		.depth = c->io[0].depth,
		.queues = c->queues_live,
		.write_cache = c->write_cache,
		.fua = true,
		.read_only = id->nsattr & NVME_NSATTR_READ_ONLY,
	};
}

/*
 * Registers one namespace. Formats that blk.c does not know (other block sizes, metadata beside the
 * data) are skipped with a warning.
 */
static int ns_add(struct nvme *c, uint32_t nsid)
{
	int err = nvme_identify(c, NVME_CNS_NAMESPACE, nsid);

	if (err)
		return err;
	/* c->identify is overwritten by the next identify: what is kept is copied before. */
	const struct nvme_id_ns *id = c->identify;
	const struct nvme_lbaf *format = &id->lbaf[GET(NVME_FLBAS_FORMAT, id->flbas)];

	/* An inactive namespace identifies as zeros (5.15.2.1). */
	if (!id->nsze)
		return 0;
	if ((format->lbads != 9 && format->lbads != 12) || format->ms) {
		log_warn(
			"%s: namespace %u: blocks of 2^%u bytes with %u of metadata are not supported",
			c->pci->dev.vmk_name, nsid, format->lbads, format->ms);
		return 0;
	}
	struct nvme_ns *ns = kzalloc(sizeof(*ns));

	if (!ns)
		return -ENOMEM;
	ns->ctrl = c;
	ns->nsid = nsid;
	ns->shift = format->lbads;
	ns->blk.ops = &nvme_blk_ops;
	ns->blk.device = &c->pci->dev;
	ns->blk.drvdata = ns;
	ns_limits(ns, id);
	ns_names(ns, c->ns_count);
	err = blk_register(&ns->blk);
	if (err)
		kfree(ns);
	else
		c->ns[c->ns_count++] = ns;
	return err;
}

/* 5.15.2.3: identifiers in rising order, 0 ends the list. */
int nvme_ns_scan(struct nvme *c)
{
	uint32_t ids[NVME_NS_MAX];
	int err = nvme_identify(c, NVME_CNS_ACTIVE, 0);

	if (err)
		return err;
	/* ns_add() identifies into the same page. */
	memcpy(ids, c->identify, sizeof(ids));
	for (unsigned i = 0; i < NVME_NS_MAX && ids[i]; i++) {
		err = ns_add(c, ids[i]);
		if (err)
			log_warn("%s: namespace %u: error %d", c->pci->dev.vmk_name, ids[i], -err);
		/*
		 * The controller is gone or does not answer: the other namespaces would only time
		 * out one by one.
		 */
		if (err == -ENODEV || err == -ETIMEDOUT)
			return err;
	}
	return 0;
}

void nvme_ns_remove(struct nvme *c)
{
	while (c->ns_count)
		blk_unregister(&c->ns[--c->ns_count]->blk);
}
