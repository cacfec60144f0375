// SPDX-License-Identifier: Apache-2.0
/*
 * An AHCI port up and down: engines, link reset, the disk's identity. In worlds. Spec: AHCI 1.3.1
 * 10.1 (initialisation), 10.4.2 (port reset); ATA8-ACS 7.16 (IDENTIFY DEVICE).
 */
#include "ahci.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/world.h"

#define LOG_MODULE "ahci"

STAT(mmio, "ahci.mmio", "registers of ports read and written");

uint32_t ahci_read(struct ahci_port *p, unsigned reg)
{
	stat_inc(mmio);
	return mmio_read32(p->regs + reg);
}

void ahci_write(struct ahci_port *p, unsigned reg, uint32_t v)
{
	stat_inc(mmio);
	mmio_write32(p->regs + reg, v);
}

/* Polls every millisecond until (reg & mask) == expected. -ENODEV when it reads all ones. */
static int wait_reg(struct ahci_port *p, unsigned reg, uint32_t mask, uint32_t expected,
                    ns_t timeout)
{
	ns_t deadline = time_now() + timeout;

	for (;;) {
		uint32_t v = ahci_read(p, reg);

		if (v == ~0u)
			return -ENODEV;
		if ((v & mask) == expected)
			return 0;
		if (time_now() >= deadline)
			return -ETIMEDOUT;
		world_sleep_until(time_now() + NS_PER_MS);
	}
}

/* 10.3.2: ST first, then FRE. */
static int ahci_stop(struct ahci_port *p)
{
	uint32_t cmd = ahci_read(p, PORT_CMD);

	ahci_write(p, PORT_CMD, cmd & ~PORT_CMD_ST);
	int err = wait_reg(p, PORT_CMD, PORT_CMD_CR, 0, AHCI_ENGINE_TIMEOUT);

	/* FRE must not be cleared while the command engine runs, 10.3.2. */
	if (err)
		return err;
	ahci_write(p, PORT_CMD, ahci_read(p, PORT_CMD) & ~PORT_CMD_FRE);
	return wait_reg(p, PORT_CMD, PORT_CMD_FR, 0, AHCI_ENGINE_TIMEOUT);
}

static int start_engine(struct ahci_port *p)
{
	/* The list and FIS addresses change only with the engines stopped. */
	ahci_write(p, PORT_CLB, (uint32_t)p->iova);
	ahci_write(p, PORT_CLBU, (uint32_t)(p->iova >> 32));
	iova_t fis = p->iova + offsetof(struct ahci_memory, received);

	ahci_write(p, PORT_FB, (uint32_t)fis);
	ahci_write(p, PORT_FBU, (uint32_t)(fis >> 32));
	uint32_t cmd = ahci_read(p, PORT_CMD);

	ahci_write(p, PORT_CMD,
	           (uint32_t)SET(PORT_CMD_ICC, cmd, PORT_ICC_ACTIVE) | PORT_CMD_FRE | PORT_CMD_SUD |
	                   PORT_CMD_POD);
	/* An empty port says so at once: COMINIT comes within 10 ms (SATA 3.0 8.4.1). */
	int err = wait_reg(p, PORT_SSTS, PORT_DET_SEEN, PORT_DET_SEEN, AHCI_EMPTY_TIMEOUT);

	if (!err)
		err = wait_reg(p, PORT_SSTS, PORT_SSTS_DET, PORT_DET_PRESENT, AHCI_LINK_TIMEOUT);
	if (err == -ETIMEDOUT)
		return -ENODEV;
	if (!err)
		err = wait_reg(p, PORT_TFD, PORT_TFD_BSY | PORT_TFD_DRQ, 0, AHCI_READY_TIMEOUT);
	if (err)
		return err;
	/*
	 * The reset leaves its traces in both; they must not look like errors of the first command.
	 */
	ahci_write(p, PORT_SERR, ~0u);
	ahci_write(p, PORT_IS, ~0u);
	ahci_write(p, PORT_CMD, ahci_read(p, PORT_CMD) | PORT_CMD_ST);
	return 0;
}

int ahci_reset_port(struct ahci_port *p)
{
	int err = ahci_stop(p);

	if (err)
		log_warn("%s: port %u: its engine does not stop: error %d", p->ctrl->pci->dev.name,
		         p->number, -err);
	/* An engine that does not stop is reset by COMRESET all the same. */
	if (err == -ENODEV)
		return err;
	uint32_t sctl = ahci_read(p, PORT_SCTL);

	ahci_write(p, PORT_SCTL, (uint32_t)SET(PORT_SCTL_DET, sctl, PORT_DET_RESET));
	world_sleep_until(time_now() + 2 * NS_PER_MS); /* 10.4.2: at least 1 ms */
	ahci_write(p, PORT_SCTL, (uint32_t)SET(PORT_SCTL_DET, sctl, 0));
	return start_engine(p);
}

static uint16_t id_word(const struct ahci_port *p, unsigned word)
{
	return (uint16_t)(p->mem->identify[2 * word] | p->mem->identify[2 * word + 1] << 8);
}

/* Text of identify: two characters a word, the first in the high byte. */
static void id_text(const struct ahci_port *p, char *out, unsigned word, unsigned chars)
{
	unsigned n = 0;

	for (unsigned i = 0; i < chars; i++) {
		char c = (char)p->mem->identify[2 * word + (i ^ 1)];

		out[i] = c >= ' ' && c < 127 ? c : '_';
		n = out[i] != ' ' ? i + 1 : n;
	}
	out[n] = '\0';
}

static void id_limits(struct ahci_port *p)
{
	struct blk_limits *l = &p->blk->limits;
	uint64_t sectors = 0;
	uint32_t block = 512;

	for (unsigned i = 0; i < 4; i++)
		sectors |= (uint64_t)id_word(p, ATA_ID_SECTORS + i) << 16 * i;
	uint16_t info = id_word(p, ATA_ID_SECTOR_INFO);

	/* Words 117 and 118 count 16-bit words. */
	if (GET(ATA_ID_106_VALID, info) == 1 && info & ATA_ID_106_LONG)
		block = 2 * (id_word(p, ATA_ID_SECTOR_WORDS) |
		             (uint32_t)id_word(p, ATA_ID_SECTOR_WORDS + 1) << 16);
	p->ncq = p->ctrl->cap & AHCI_CAP_SNCQ && id_word(p, ATA_ID_SATA) & ATA_ID_76_NCQ;
	unsigned slots = (unsigned)GET(AHCI_CAP_NCS, p->ctrl->cap) + 1;
	unsigned device = (id_word(p, ATA_ID_QUEUE_DEPTH) & ATA_NCQ_TAG) + 1u;

	p->depth = p->ncq ? MIN(slots, device) : 1;
	*l = (struct blk_limits){
		.block_size = block,
		.phys_block = GET(ATA_ID_106_VALID, info) == 1 ? block << (info & 15) : block,
		.blocks = sectors,
		.max_bytes = AHCI_XFER_MAX,
		.max_sg = AHCI_PRDS,
		.sg_align = 2,
		.sg_base_align = 2,
		/* One range entry holds 65,535 sectors. */
		.discard_max = id_word(p, ATA_ID_TRIM) & 1 ? 0xfff8 * block : 0,
		.depth = (uint16_t)p->depth,
		.queues = 1,
		.write_cache = id_word(p, ATA_ID_ENABLED_85) & ATA_ID_82_CACHE,
		.fua = p->ncq,
		.rotational = id_word(p, ATA_ID_ROTATION) != 1,
	};
}

static const struct blk_ops ahci_blk_ops;

static void id_names(struct ahci_port *p)
{
	struct blk_dev *d = p->blk;
	struct device *dev = &p->ctrl->pci->dev;

	vmk_snprintf(d->node, sizeof(d->node), "%s:C0:T%u:L0", dev->vmk_name, p->number);
	str_copy(d->vendor, "ATA", sizeof(d->vendor));
	id_text(p, d->model, ATA_ID_MODEL, 40);
	id_text(p, d->serial, ATA_ID_SERIAL, 20);
	id_text(p, d->revision, ATA_ID_FIRMWARE, 8);
	/* SPC-4 annex: vendor in 8 characters, then model in 40 and serial number in 20. */
	vmk_snprintf(d->id, sizeof(d->id), "t10.ATA_____%-40s%-20s", d->model, d->serial);
	for (char *c = d->id; *c; c++)
		*c = *c == ' ' ? '_' : *c;
}

static void ahci_release(struct blk_dev *d)
{
	kfree(d);
}

static const struct blk_ops ahci_blk_ops = { .submit = ahci_submit,
	                                     .timeout = ahci_timeout,
	                                     .release = ahci_release };

/* Identifies the disk and registers it. The port is idle, its interrupt off. */
int ahci_register(struct ahci_port *p)
{
	int err = ahci_command(p, ATA_IDENTIFY, 0, 0, p->mem->identify, sizeof(p->mem->identify));

	if (err)
		return err;
	if (!(id_word(p, ATA_ID_FEATURES_83) & ATA_ID_83_LBA48)) {
		log_warn("%s: port %u: a disk without 48-bit addresses", p->ctrl->pci->dev.name,
		         p->number);
		return -ENOTSUP;
	}
	p->blk = kzalloc(sizeof(*p->blk));
	if (!p->blk)
		return -ENOMEM;
	id_limits(p);
	id_names(p);
	p->blk->ops = &ahci_blk_ops;
	p->blk->device = &p->ctrl->pci->dev;
	p->blk->drvdata = p;
	/* blk_register reads the partition table, through ahci_submit. */
	p->live = true;
	ahci_write(p, PORT_IS, ~0u);
	ahci_write(p, PORT_IE, PORT_IS_WANTED);
	err = blk_register(p->blk);
	if (err) {
		kfree(p->blk);
		p->blk = NULL;
	}
	return err;
}

int ahci_port_open(struct ahci *c, unsigned number, struct ahci_port **out)
{
	struct ahci_port *p = kzalloc(sizeof(*p));

	*out = NULL;
	if (!p)
		return -ENOMEM;
	p->ctrl = c;
	p->number = number;
	p->regs = c->regs + AHCI_PORTS + number * AHCI_PORT_SIZE;
	spin_init(&p->lock, "ahci port", RANK_DEVICE);
	bottom_init(&p->bottom, ahci_bottom);
	work_init(&p->recover, ahci_recover);
	/* Before the reset: nobody is there to take its interrupts. */
	ahci_write(p, PORT_IE, 0);
	p->mem = dma_alloc(&c->pci->dev, sizeof(*p->mem), &p->iova);
	int err = p->mem ? ahci_reset_port(p) : -ENOMEM;

	if (!err && ahci_read(p, PORT_SIG) != PORT_SIG_ATA)
		err = -ENODEV; /* a CD drive, a port multiplier */
	if (err) {
		ahci_port_close(p);
		/* An empty port is no error, a controller that was pulled out is. */
		return err == -ENODEV && mmio_read32(c->regs + AHCI_PI) != ~0u ? 0 : err;
	}
	*out = p;
	return 0;
}

void ahci_port_close(struct ahci_port *p)
{
	int err = ahci_stop(p);

	if (err == -ETIMEDOUT)
		log_warn("%s: port %u: its engine does not stop", p->ctrl->pci->dev.name,
		         p->number);
	bottom_flush(&p->bottom);
	dma_free(&p->ctrl->pci->dev, p->mem, sizeof(*p->mem));
	kfree(p);
}
