// SPDX-License-Identifier: Apache-2.0
/*
 * State of an AHCI controller. ahci.c: controller, binding, interrupt; ahci_port.c: bringing a port
 * up and down, identify; ahci_io.c: commands, errors and recovery of a port. A port's lock guards
 * its slots and its command registers; recovery runs in its work, and set-up in probe's world.
 */
#ifndef AHCI_H
#define AHCI_H
#include "ahci_regs.h"
#include "vmk/blk.h"
#include "vmk/errno.h"
#include "vmk/pci.h"
#include "vmk/work.h"

#define AHCI_ENGINE_TIMEOUT  (500 * NS_PER_MS) /* 10.1.2: engines stop within it */
#define AHCI_LINK_TIMEOUT    (1 * NS_PER_S)
#define AHCI_EMPTY_TIMEOUT   (50 * NS_PER_MS)
#define AHCI_READY_TIMEOUT   (10 * NS_PER_S) /* a disk that spins up */
#define AHCI_COMMAND_TIMEOUT (10 * NS_PER_S)
#define AHCI_RESET_TIMEOUT   (1 * NS_PER_S) /* 10.4.3 */
enum { AHCI_XFER_MAX = 512 << 10, AHCI_RECOVERIES_MAX = 3, AHCI_SOLO = 2 * AHCI_SLOTS };

struct ahci;
struct ahci_port {
	struct ahci *ctrl;
	unsigned number;
	uint8_t *regs;
	struct spinlock lock;
	struct ahci_memory *mem;
	iova_t iova;
	struct blk_dev *blk; /* its own allocation: it may outlive the driver */
	struct blk_req *req[AHCI_SLOTS];
	uint32_t issued, queued; /* slots with the device; those of them by NCQ */
	uint32_t late;           /* slots whose deadline passed */
	bool ncq, lba48, live, dead;
	bool failed;                /* the port told of an error: recovery finds whose */
	unsigned depth, recoveries; /* without a success between them */
	unsigned solo;              /* so many commands more go one at a time */
	struct bottom bottom;
	struct work recover;
};

struct ahci {
	struct pci_dev *pci;
	uint8_t *regs;
	uint32_t cap;
	struct ahci_port *port[AHCI_PORTS_MAX];
	bool removing;
};

uint32_t ahci_read(struct ahci_port *p, unsigned reg);
void ahci_write(struct ahci_port *p, unsigned reg, uint32_t v);

/* COMRESET, waits for the device, starts the engine. -ENODEV: nothing there. */
int __must_check ahci_reset_port(struct ahci_port *p);
/* Finds what is behind a port; *out NULL: no disk. */
int __must_check ahci_port_open(struct ahci *c, unsigned number, struct ahci_port **out);
void ahci_port_close(struct ahci_port *p);
/*
 * One command in slot 0 with the engine idle, polled. In a world. Data goes to an area of p->mem.
 */
int __must_check ahci_command(struct ahci_port *p, enum ata_command cmd, uint64_t lba,
                              unsigned count, void *data, uint32_t len);
int __must_check ahci_register(struct ahci_port *p);

int ahci_submit(struct blk_dev *d, unsigned q, struct blk_req *r);
void ahci_timeout(struct blk_dev *d, struct blk_req *r);
void ahci_bottom(struct bottom *b);
void ahci_recover(struct work *w);
#endif
