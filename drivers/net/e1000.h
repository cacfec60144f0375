// SPDX-License-Identifier: Apache-2.0
/*
 * State of an Intel Gigabit NIC. e1000.c: device, link, filters, binding; e1000_io.c: rings.
 * rx_lock and tx_lock guard their rings; registers of set-up are written in one world at a time.
 */
#ifndef E1000_H
#define E1000_H
#include "e1000_regs.h"
#include "vmk/errno.h"
#include "vmk/lock.h"
#include "vmk/pci.h"
#include "vmk/pkt.h"
#include "vmk/work.h"

enum {
	E1000_RING = 256,
	E1000_BATCH = 16,
	E1000_RX_BYTES = 2048,
	E1000_TX_BYTES_MAX = 4096,
	E1000_HEAD = 256, /* bytes for the headers of a segmented frame */
	E1000_Q_82574 = 1 /* quirks: PCI Express part with MSI-X and another EEPROM handshake */
};
#define E1000_RESET_WAIT   (10 * NS_PER_MS)
#define E1000_SEND_TIMEOUT (5 * NS_PER_S) /* a full ring that does not move: the device is reset */
#define E1000_ITR_INTERVAL 488            /* of 256 ns: 8,000 interrupts a second */

struct e1000 {
	struct pci_dev *pci;
	uint8_t *regs;
	struct uplink up;
	bool express, removing, registered;
	bool stuck;         /* sending does not go on: link_work resets the device */
	uint32_t rctl_mode; /* UPE and MPE as they were asked for */
	struct bottom bottom;
	struct work link_work;
	uint32_t causes; /* that the handler saw, for the bottom half */

	struct spinlock rx_lock;
	volatile struct e1000_rx_desc *rx;
	iova_t rx_iova;
	pa_t rx_page[E1000_RING];
	uint16_t rx_next;
	struct pkt *rx_pkt; /* the frame whose last piece has not come */
	bool rx_skip;       /* the rest of a dropped frame */

	struct spinlock tx_lock;
	struct e1000_tx_desc *tx;
	iova_t tx_iova;
	uint8_t (*tx_head)[E1000_HEAD]; /* by descriptor */
	iova_t tx_head_iova;
	struct pkt *tx_pkt[E1000_RING]; /* at a frame's last descriptor */
	uint16_t tx_tail, tx_clean;
	uint16_t csum_start, csum_offset; /* of the context that the device has; 0: none */
	ns_t tx_moved;                    /* when a descriptor was last handed over or came back */
	bool live;
};

void e1000_write(struct e1000 *e, unsigned reg, uint32_t v);

int __must_check e1000_rings_alloc(struct e1000 *e);
void e1000_rings_free(struct e1000 *e);
void e1000_rings_start(struct e1000 *e);
void e1000_rings_halt(struct e1000 *e); /* nothing is taken or sent from here on */
void e1000_rings_drop(struct e1000 *e); /* what is in them; the device is stopped */
int e1000_xmit(struct uplink *u, unsigned q, struct pkt *p);
void e1000_bottom(struct bottom *b);
#endif
