// SPDX-License-Identifier: Apache-2.0
/*
 * Commands of an AHCI port: reads and writes by NCQ where disk and controller can, everything else
 * by DMA commands that have the disk to themselves (the two kinds never mix, ATA8-ACS 4.13). An
 * error stops the port; recovery finds the one that failed, resets the port and has the others
 * tried again. Spec: AHCI 1.3.1 5.5 (commands), 6.2 (errors).
 */
#include "ahci.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/world.h"

#define LOG_MODULE "ahci"

STAT(errors, "ahci.errors", "commands that failed");
STAT(recoveries, "ahci.recoveries", "ports reset after an error or a time-out");
STAT(lost, "ahci.lost_interrupts", "late commands that were finished");

/*
 * The register FIS (SATA 3.0 10.3.4) and the command header of a slot; the PRDs are filled already.
 * The lock is held, or the port is idle.
 */
static void ahci_fill(struct ahci_port *p, unsigned slot, enum ata_command cmd, uint64_t lba,
                      unsigned count, unsigned features, unsigned device, bool write, unsigned prds)
{
	struct ahci_header *h = &p->mem->list[slot];
	iova_t table = p->iova + offsetof(struct ahci_memory, table) +
	               slot * sizeof(struct ahci_table);
	uint8_t fis[20] = { FIS_H2D,
		            FIS_H2D_COMMAND,
		            (uint8_t)cmd,
		            (uint8_t)features,
		            (uint8_t)lba,
		            (uint8_t)(lba >> 8),
		            (uint8_t)(lba >> 16),
		            (uint8_t)(ATA_DEVICE_LBA | device),
		            (uint8_t)(lba >> 24),
		            (uint8_t)(lba >> 32),
		            (uint8_t)(lba >> 40),
		            (uint8_t)(features >> 8),
		            (uint8_t)count,
		            (uint8_t)(count >> 8) };

	memcpy(p->mem->table[slot].cfis, fis, sizeof(fis));
	*h = (struct ahci_header){ .flags = (uint16_t)(FIS_H2D_DWORDS |
		                                       (write ? AHCI_HEADER_WRITE : 0)),
		                   .prdt_length = (uint16_t)prds,
		                   .table = (uint32_t)table,
		                   .table_hi = (uint32_t)(table >> 32) };
}

static void prd_set(struct ahci_port *p, unsigned slot, unsigned i, iova_t at, uint32_t len)
{
	p->mem->table[slot].prd[i] = (struct ahci_prd){ .addr = (uint32_t)at,
		                                        .addr_hi = (uint32_t)(at >> 32),
		                                        .bytes = len - 1 };
}

int ahci_command(struct ahci_port *p, enum ata_command cmd, uint64_t lba, unsigned count,
                 void *data, uint32_t len)
{
	ns_t deadline = time_now() + AHCI_COMMAND_TIMEOUT;
	iova_t at = p->iova + (iova_t)((uint8_t *)data - (uint8_t *)p->mem);

	if (len)
		prd_set(p, 0, 0, at, len);
	ahci_fill(p, 0, cmd, lba, count, 0, 0, false, len ? 1 : 0);
	dma_wmb();
	ahci_write(p, PORT_CI, 1);
	for (;;) {
		uint32_t ci = ahci_read(p, PORT_CI), is = ahci_read(p, PORT_IS);

		if (ci == ~0u)
			return -ENODEV;
		/*
		 * The caller resets the port after an error: the engine has stopped by itself
		 * (6.2.2.1).
		 */
		if (is & PORT_IS_ERRORS || ahci_read(p, PORT_TFD) & PORT_TFD_ERR)
			return -EIO;
		if (!(ci & 1))
			break;
		if (time_now() >= deadline)
			return -ETIMEDOUT;
		world_sleep_until(time_now() + NS_PER_MS);
	}
	/* Interrupts are off; what this command raised must not be taken for the next one's. */
	ahci_write(p, PORT_IS, ~0u);
	return 0;
}

/*
 * The scatter list, or the range of a discard; the number of entries, 0: out of the device's reach.
 */
static unsigned fill_prds(struct ahci_port *p, unsigned slot, const struct blk_req *r)
{
	struct device *dev = &p->ctrl->pci->dev;
	enum dma_dir dir = r->op == BLK_READ ? DMA_FROM_DEVICE : DMA_TO_DEVICE;

	for (unsigned i = 0; i < r->sg_count; i++) {
		iova_t at = dma_map(dev, r->sg[i].pa, r->sg[i].len, dir);

		if (at == IOVA_BAD)
			return 0;
		prd_set(p, slot, i, at, r->sg[i].len);
	}
	return r->sg_count;
}

/* A block of 512 bytes with one range, at the end of the slot's table: PRDs are few then. */
static unsigned fill_trim(struct ahci_port *p, unsigned slot, uint64_t lba, uint64_t count)
{
	uint8_t *range = (uint8_t *)&p->mem->table[slot] + sizeof(struct ahci_table) - 512;
	/* ACS-2 7.10: 48 bits of address, 16 of length, and the rest of the block zero. */
	uint64_t entry = lba | count << 48;

	memset(range, 0, 512);
	memcpy(range, &entry, sizeof(entry));
	prd_set(p, slot, 0, p->iova + (iova_t)(range - (uint8_t *)p->mem), 512);
	return 1;
}

static int fill_request(struct ahci_port *p, unsigned slot, const struct blk_req *r)
{
	unsigned shift = log2_floor(p->blk->limits.block_size), prds;
	uint64_t lba = r->pos >> shift;
	unsigned count = (unsigned)(r->len >> shift);
	bool write = r->op == BLK_WRITE;

	switch (r->op) {
	case BLK_FLUSH: ahci_fill(p, slot, ATA_FLUSH_EXT, 0, 0, 0, 0, false, 0); return 0;
	case BLK_DISCARD:
		prds = fill_trim(p, slot, lba, count);
		ahci_fill(p, slot, ATA_DSM, 0, 1, ATA_DSM_TRIM, 0, true, prds);
		return 0;
	default:
		prds = fill_prds(p, slot, r);
		if (!prds)
			return -EFAULT;
		/* NCQ: the count stands in features, the tag in the count's bits 7:3. */
		if (p->ncq)
			ahci_fill(p, slot, write ? ATA_WRITE_FPDMA : ATA_READ_FPDMA, lba, slot << 3,
			          count, write && r->flags & BLK_FUA ? ATA_DEVICE_FUA : 0, write,
			          prds);
		else
			ahci_fill(p, slot, write ? ATA_WRITE_DMA_EXT : ATA_READ_DMA_EXT, lba, count,
			          0, 0, write, prds);
		return 0;
	}
}

int ahci_submit(struct blk_dev *d, unsigned qi, struct blk_req *r)
{
	struct ahci_port *p = d->drvdata;
	bool queued = p->ncq && r->op <= BLK_WRITE;
	int err = -EBUSY;
	uint64_t flags = spin_lock_irq(&p->lock);
	uint32_t all = (uint32_t)BITS(p->depth - 1, 0), free = all & ~p->issued;
	/* A command that is not queued has the disk for itself. */
	/* Mixing the kinds aborts everything (ATA8-ACS 4.13): -EBUSY until the others are done. */
	bool fits = queued && !p->solo ? p->issued == p->queued && free : !p->issued;

	if (p->dead)
		err = -ENODEV;
	if (!p->dead && p->live && fits) {
		unsigned slot = (unsigned)__builtin_ctz(free);

		err = fill_request(p, slot, r);
		if (!err) {
			p->req[slot] = r;
			p->issued |= 1u << slot;
			p->queued |= queued ? 1u << slot : 0;
			dma_wmb();
			/* SActive before the command is issued, 5.3.2.3. */
			if (queued)
				ahci_write(p, PORT_SACT, 1u << slot);
			ahci_write(p, PORT_CI, 1u << slot);
		}
	}
	spin_unlock_irq(&p->lock, flags);
	return err;
}

static void end_slots(struct ahci_port *p, struct blk_req **done, uint32_t slots, int status,
                      uint32_t late)
{
	for (; slots; slots &= slots - 1) {
		unsigned slot = (unsigned)__builtin_ctz(slots);
		struct blk_req *r = done[slot];
		enum dma_dir dir = r->op == BLK_READ ? DMA_FROM_DEVICE : DMA_TO_DEVICE;

		for (unsigned i = 0; i < r->sg_count; i++)
			dma_unmap(&p->ctrl->pci->dev, r->sg[i].pa, r->sg[i].len, dir);
		/* What passed its deadline is not tried again. */
		blk_complete(r, late & 1u << slot && status == BLK_AGAIN ? -ETIMEDOUT : status);
	}
}

/* Takes slots away from the device's list; their requests into done. The lock is held. */
static void take_slots(struct ahci_port *p, struct blk_req **done, uint32_t slots)
{
	memcpy(done, p->req, sizeof(p->req));
	p->issued &= ~slots;
	p->queued &= ~slots;
	p->late &= ~slots;
}

/* What has finished: slots of ours that neither register names any more. */
static uint32_t collect(struct ahci_port *p, struct blk_req **done)
{
	uint32_t finished = 0;
	uint64_t flags = spin_lock_irq(&p->lock);

	if (p->live) {
		uint32_t pending = ahci_read(p, PORT_CI) |
		                   (p->queued ? ahci_read(p, PORT_SACT) : 0);

		/*
		 * CI is cleared when a command is accepted (NCQ) or done (others), SActive when a
		 * queued one is done: a slot in neither has finished.
		 */
		finished = p->issued & ~pending;
		take_slots(p, done, finished);
		/* A success: the port works, and the next failure is a new one. */
		p->recoveries = finished ? 0 : p->recoveries;
		p->solo -= finished && p->solo;
	}
	spin_unlock_irq(&p->lock, flags);
	return finished;
}

void ahci_bottom(struct bottom *b)
{
	struct ahci_port *p = container_of(b, struct ahci_port, bottom);
	struct blk_req *done[AHCI_SLOTS];
	uint32_t is = ahci_read(p, PORT_IS); /* all ones: it is gone, or an error like any other */

	/* Acknowledged before the slots are read: what finishes in between interrupts again. */
	ahci_write(p, PORT_IS, is);
	if (is & (PORT_IS_ERRORS | PORT_IS_PCS)) {
		uint64_t flags = spin_lock_irq(&p->lock);

		/*
		 * Which command failed is not known yet: none is collected until the recovery has
		 * asked the disk.
		 */
		p->live = false;
		p->failed = true;
		spin_unlock_irq(&p->lock, flags);
		work_queue(&p->recover);
	} else {
		end_slots(p, done, collect(p, done), 0, 0);
	}
	ahci_write(p, PORT_IE, PORT_IS_WANTED); /* the handler turned it off */
}

void ahci_timeout(struct blk_dev *d, struct blk_req *r)
{
	struct ahci_port *p = d->drvdata;
	struct blk_req *done[AHCI_SLOTS];
	uint32_t finished = collect(p, done), late = 0;

	end_slots(p, done, finished, 0, 0);
	uint64_t flags = spin_lock_irq(&p->lock);

	/* r may be another's memory by now; it is only compared. */
	for (unsigned slot = 0; slot < AHCI_SLOTS; slot++)
		if (p->issued & 1u << slot && p->req[slot] == r)
			late = 1u << slot;
	p->late |= late;
	spin_unlock_irq(&p->lock, flags);
	if (late) {
		work_queue(&p->recover);
	} else if (finished) {
		stat_inc(lost);
		log_warn("%s: an interrupt was lost", d->id);
	}
}

/* Ends what the port has; those late with -ETIMEDOUT. The engine is stopped. */
static void ahci_cancel(struct ahci_port *p, int status)
{
	struct blk_req *done[AHCI_SLOTS];
	uint64_t flags = spin_lock_irq(&p->lock);
	uint32_t slots = p->issued, late = p->late;

	p->live = false;
	take_slots(p, done, slots);
	spin_unlock_irq(&p->lock, flags);
	/* Without the lock: ends may submit, to a port that is not live. */
	end_slots(p, done, slots, status, late);
}

/*
 * Which slot failed and how, 6.2.2: the only one, or by NCQ the one that the log page names. -1: a
 * disk that does not keep the page; then commands go one at a time until it is known.
 */
static int failed_slot(struct ahci_port *p, int *status)
{
	/* Before the reset, which overwrites the task file. */
	uint8_t error = (uint8_t)GET(PORT_TFD_ERROR, ahci_read(p, PORT_TFD));
	uint32_t issued = p->issued;
	int slot = IS_POW2(issued) ? __builtin_ctz(issued) : -1;

	if (ahci_reset_port(p))
		return -1;
	/*
	 * With several NCQ commands out, only the disk knows which one failed; reading this log
	 * also lets it take commands again (ATA8-ACS 7.25).
	 */
	if (p->queued &&
	    !ahci_command(p, ATA_READ_LOG_EXT, ATA_LOG_NCQ_ERROR, 1, p->mem->log,
	                  sizeof(p->mem->log)) &&
	    !(p->mem->log[0] & ATA_NCQ_NOT_QUEUED)) {
		slot = p->mem->log[0] & ATA_NCQ_TAG;
		error = p->mem->log[3];
	}
	bool refused = slot >= 0 && p->req[slot] && p->req[slot]->op == BLK_DISCARD &&
	               error == ATA_ERR_ABRT;

	/*
	 * IDNF: an address that the disk does not have. An aborted TRIM: a disk that claims the
	 * command and does not do it.
	 */
	*status = error & ATA_ERR_IDNF ? -EINVAL : refused ? -EOPNOTSUPP : -EIO;
	p->solo = slot < 0 ? AHCI_SOLO : 0;
	return slot;
}

/*
 * The engine is stopped and slot 0 is used by the recovery: requests keep their slots only as
 * pointers.
 */
static void end_failed(struct ahci_port *p, int slot, int status)
{
	struct blk_req *done[AHCI_SLOTS];
	uint64_t flags = spin_lock_irq(&p->lock);
	uint32_t one = slot >= 0 ? p->issued & 1u << slot : 0;

	if (one)
		take_slots(p, done, one);
	spin_unlock_irq(&p->lock, flags);
	if (!one)
		return;
	stat_inc(errors);
	log_warn("%s: operation %u at %llu failed: error %d", p->blk->id, done[slot]->op,
	         (unsigned long long)done[slot]->pos, -status);
	end_slots(p, done, one, status, 0);
}

void ahci_recover(struct work *w)
{
	struct ahci_port *p = container_of(w, struct ahci_port, recover);
	int status = -EIO;

	if (!p->blk || p->dead)
		return;
	bool gone = ahci_read(p, PORT_SSTS) == ~0u || p->ctrl->removing;
	uint64_t flags = spin_lock_irq(&p->lock);
	bool error = p->failed && !p->late, wanted = p->failed || p->late || gone;

	/* From here on no one submits or collects: the slots belong to the recovery. */
	p->live &= !wanted;
	spin_unlock_irq(&p->lock, flags);
	/* What a time-out during the last recovery asked for, that one has done. */
	if (!wanted)
		return;
	stat_inc(recoveries);
	log_warn("%s: recovering the port", p->blk->id);
	/* The reset and the log command raise interrupts of their own. */
	ahci_write(p, PORT_IE, 0);
	int slot = gone || !error ? -1 : failed_slot(p, &status);

	if (slot >= 0)
		end_failed(p, slot, status);
	/*
	 * Also after failed_slot's reset: the log command may have failed and stopped the engine
	 * again.
	 */
	int err = gone ? -ENODEV : ahci_reset_port(p);

	p->recoveries = slot >= 0 ? 0
	                          : p->recoveries + 1; /* a bad sector is no fault of the port's */
	if (err || p->recoveries > AHCI_RECOVERIES_MAX) {
		log_err("%s: the port does not come back: error %d", p->blk->id, -err);
		p->dead = true;
		ahci_cancel(p, -ENODEV);
		blk_kick(p->blk);
		return;
	}
	/* The engine was restarted with an empty list: what was out has to be issued again. */
	ahci_cancel(p, BLK_AGAIN);
	flags = spin_lock_irq(&p->lock);
	p->live = true;
	p->failed = false;
	spin_unlock_irq(&p->lock, flags);
	ahci_write(p, PORT_IE, PORT_IS_WANTED);
	blk_kick(p->blk);
}
