// SPDX-License-Identifier: Apache-2.0
/* The NVMe controller: binding, enable, disable, shutdown. Spec: NVMe 1.4 3.1, 7.6. */
#include "nvme.h"
#include "vmk/cpu.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/world.h"

#define LOG_MODULE "nvme"

#define READY_POLL (2 * NS_PER_MS)

uint32_t nvme_csts(struct nvme *c)
{
	return mmio_read32(c->regs + NVME_CSTS);
}

/*
 * 3.1.6: waits for a field of CSTS. -ENODEV when the registers read all ones, -EIO on a fatal
 * status.
 */
static int wait_csts(struct nvme *c, uint32_t mask, uint32_t expected, ns_t timeout)
{
	ns_t deadline = time_now() + timeout;

	for (;;) {
		uint32_t csts = nvme_csts(c);

		if (csts == ~0u)
			return -ENODEV;
		if ((csts & mask) == expected)
			return 0;
		/* While disabling, a fatal status does not matter: RDY falls all the same. */
		if (csts & NVME_CSTS_CFS && expected)
			return -EIO;
		if (time_now() >= deadline)
			return -ETIMEDOUT;
		world_sleep_until(time_now() + READY_POLL);
	}
}

/* CAP.TO is the worst case for both directions, 3.1.1. */
static ns_t ready_timeout(const struct nvme *c)
{
	return (GET(NVME_CAP_TO, c->cap) + 1) * 500 * NS_PER_MS;
}

int nvme_disable(struct nvme *c)
{
	uint32_t cc = mmio_read32(c->regs + NVME_CC);

	if (cc & NVME_CC_EN)
		mmio_write32(c->regs + NVME_CC, cc & ~(NVME_CC_EN | NVME_CC_SHN));
	return wait_csts(c, NVME_CSTS_RDY, 0, ready_timeout(c));
}

int nvme_enable(struct nvme *c)
{
	struct nvme_queue *q = &c->admin;
	uint32_t last = q->entries - 1u;

	nvme_queue_start(q);
	nvme_queue_live(q); /* nobody uses it before CSTS.RDY, which probe and reset wait for */
	mmio_write32(c->regs + NVME_AQA,
	             (uint32_t)(PUT(NVME_AQA_ASQS, last) | PUT(NVME_AQA_ACQS, last)));
	mmio_write64(c->regs + NVME_ASQ, q->sq_iova);
	mmio_write64(c->regs + NVME_ACQ, q->cq_iova);
	mmio_write32(c->regs + NVME_CC,
	             (uint32_t)(PUT(NVME_CC_IOSQES, NVME_SQE_SHIFT) |
	                        PUT(NVME_CC_IOCQES, NVME_CQE_SHIFT) | NVME_CC_EN));
	return wait_csts(c, NVME_CSTS_RDY, NVME_CSTS_RDY, ready_timeout(c));
}

/* 7.6.2: the controller writes its caches out. */
static void shut_down(struct nvme *c)
{
	uint32_t cc = mmio_read32(c->regs + NVME_CC);

	if (cc == ~0u)
		return;
	mmio_write32(c->regs + NVME_CC, (uint32_t)SET(NVME_CC_SHN, cc, NVME_SHN_NORMAL));
	int err = wait_csts(c, NVME_CSTS_SHST, PUT(NVME_CSTS_SHST, NVME_SHST_COMPLETE),
	                    NVME_SHUTDOWN_TIMEOUT);

	if (!err)
		err = nvme_disable(c);
	if (err)
		log_warn("%s: shutdown: error %d", c->pci->dev.vmk_name, -err);
}

static int map_registers(struct nvme *c)
{
	c->regs = pci_map_bar(c->pci, 0);
	if (!c->regs || c->pci->bar[0].len < 2 * PAGE_SIZE)
		return -ENODEV;
	if (nvme_csts(c) == ~0u)
		return -ENODEV;
	c->cap = mmio_read64(c->regs + NVME_CAP);
	/* PRPs here are of 4 KiB pages. */
	if (GET(NVME_CAP_MPSMIN, c->cap) || !(c->cap & NVME_CAP_CSS_NVM)) {
		log_err("%s: needs pages larger than 4 KiB, or has no NVM command set",
		        c->pci->dev.name);
		return -ENOTSUP;
	}
	return 0;
}

/* Vector 0 is the admin queue's, vector i that of I/O queue i, on its CPU. */
static int attach_irqs(struct nvme *c)
{
	c->mask_irq = !c->pci->cap_msix;
	if (c->vectors == 1)
		return pci_irq_attach(c->pci, 0, -1, nvme_irq_all, c);
	int err = pci_irq_attach(c->pci, 0, -1, nvme_irq, &c->admin);

	for (unsigned i = 0; !err && i < c->queues; i++)
		err = pci_irq_attach(c->pci, i + 1, (int)i, nvme_irq, &c->io[i]);
	return err;
}

static int alloc_queues(struct nvme *c)
{
	unsigned doorbells = (unsigned)((c->pci->bar[0].len - NVME_DOORBELLS) /
	                                (8u << GET(NVME_CAP_DSTRD, c->cap)));
	int vectors = pci_irq_setup(c->pci, 1 + MIN(cpu_count(), (unsigned)NVME_QUEUES_MAX));

	if (vectors < 0)
		return vectors;
	c->vectors = (uint16_t)vectors;
	/* A vector and a pair a CPU; with one vector, one pair shares it with the admin queue. */
	c->queues = (uint16_t)MIN(vectors > 1 ? vectors - 1u : 1u, doorbells - 1);
	/* MQES is 0-based, and the ring has an entry more than tags: both ones cancel out. */
	uint16_t depth = (uint16_t)MIN((unsigned)NVME_DEPTH, (unsigned)GET(NVME_CAP_MQES, c->cap));

	c->identify = dma_alloc(&c->pci->dev, NVME_IDENTIFY_SIZE, &c->identify_iova);
	c->io = kcalloc(c->queues, sizeof(*c->io));
	if (!c->identify || !c->io)
		return -ENOMEM;
	int err = nvme_queue_alloc(c, &c->admin, 0, NVME_ADMIN_DEPTH);

	for (unsigned i = 0; !err && i < c->queues; i++)
		err = nvme_queue_alloc(c, &c->io[i], (uint16_t)(i + 1), depth);
	return err ? err : attach_irqs(c);
}

static void release(struct nvme *c)
{
	pci_set_master(c->pci, false);
	pci_irq_teardown(c->pci);
	for (unsigned i = 0; c->io && i < c->queues; i++)
		nvme_queue_free(&c->io[i]);
	nvme_queue_free(&c->admin);
	dma_free(&c->pci->dev, c->identify, NVME_IDENTIFY_SIZE);
	kfree(c->io);
	c->pci->dev.drvdata = NULL;
	kfree(c);
}

/* 7.6.1 */
static int start(struct nvme *c)
{
	int err = map_registers(c);

	/* Firmware may have left it running, with queues of its own in memory that is ours now. */
	if (!err)
		err = nvme_disable(c);
	if (!err)
		err = alloc_queues(c);
	if (err)
		return err;
	/* Only after the disable: it may have had DMA of the firmware's under way. */
	pci_set_master(c->pci, true);
	err = nvme_enable(c);
	if (!err)
		err = nvme_identify_controller(c);
	if (!err)
		err = nvme_create_queues(c);
	return err;
}

/* A controller that does not start is left stopped and unable to reach memory. */
static int nvme_probe(struct device *dev)
{
	struct nvme *c = kzalloc(sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->pci = to_pci(dev);
	dev->drvdata = c;
	mutex_init(&c->admin_mutex, "nvme admin");
	waitq_init(&c->admin_wait, "nvme admin");
	work_init(&c->reset, nvme_reset_work);
	int err = start(c);

	if (err) {
		if (c->regs && err != -ENODEV && nvme_disable(c))
			log_warn("%s: the controller does not stop", dev->name);
		release(c);
		return err;
	}
	device_set_vmk_name(dev, "vmhba");
	c->state = NVME_LIVE;
	log_info("%s: %s, serial %s, firmware %s, %u queues of %u", dev->vmk_name, c->model,
	         c->serial, c->firmware, c->queues_live, c->io[0].depth);
	err = nvme_ns_scan(c);
	if (err)
		log_warn("%s: namespaces: error %d", dev->vmk_name, -err);
	return 0;
}

static void nvme_remove(struct device *dev)
{
	struct nvme *c = dev->drvdata;

	WRITE_ONCE(c->removing, true);
	/*
	 * A reset that is running ends; from here on a new one gives the controller up
	 * (nvme_reset_work).
	 */
	work_flush(&c->reset);
	if (dev->gone || nvme_csts(c) == ~0u)
		nvme_die(c); /* what is in flight will not come back by itself */
	/*
	 * Waits for the requests in flight: a time-out among them queues the reset work, which then
	 * ends them.
	 */
	nvme_ns_remove(c);
	work_flush(&c->reset);
	if (c->state == NVME_LIVE)
		shut_down(c);
	release(c);
}

static const struct hcl_match nvme_match[] = {
	PCI_DEV(0x1b36, 0x0010, EMULATED, "QEMU NVMe controller"),
	PCI_CLASS(0x010802, SUPPORTED, "any NVM Express 1.1+ controller"),
};
DRIVER(nvme, .desc = "NVM Express storage", .spec = "NVMe 1.4", .bus = HCL_BUS_PCI,
       .class = HCL_CLASS_BLOCK, MATCH(nvme_match), .probe = nvme_probe, .remove = nvme_remove);
