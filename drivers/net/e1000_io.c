// SPDX-License-Identifier: Apache-2.0
/*
 * Rings of an Intel Gigabit NIC. Receive buffers are the first half of single pages, which become
 * the packet's own; a frame longer than a buffer takes several. Sending points at the caller's
 * pages; checksums are left to the device by a context descriptor, which it remembers. Spec: SDM
 * 3.2 (receive), 3.3 (transmit), 3.5 (segmentation).
 */
#include "e1000.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/time.h"

#define LOG_MODULE "e1000"

STAT(rx_nobuf, "e1000.rx_no_buffer", "frames dropped for want of memory");
STAT(rx_bad, "e1000.rx_errors", "frames that the device marked as damaged");
STAT(tx_full, "e1000.tx_full", "frames that found the send ring full");
STAT(tx_odd, "e1000.tx_refused", "frames with offloads that the device does not have");

enum { RING_BYTES = E1000_RING * 16 };

int e1000_rings_alloc(struct e1000 *e)
{
	struct device *dev = &e->pci->dev;

	spin_init(&e->rx_lock, "e1000 receive", RANK_DEVICE);
	spin_init(&e->tx_lock, "e1000 send", RANK_DEVICE);
	e->rx = dma_alloc(dev, RING_BYTES, &e->rx_iova);
	e->tx = dma_alloc(dev, RING_BYTES, &e->tx_iova);
	e->tx_head = dma_alloc(dev, E1000_RING * E1000_HEAD, &e->tx_head_iova);
	if (!e->rx || !e->tx || !e->tx_head)
		return -ENOMEM;
	for (unsigned i = 0; i < E1000_RING; i++) {
		e->rx_page[i] = page_alloc(ORDER_4K, FRAME_DMA, 0);
		if (e->rx_page[i] == PA_NONE) {
			e->rx_page[i] = 0;
			return -ENOMEM;
		}
	}
	return 0;
}

void e1000_rings_free(struct e1000 *e)
{
	for (unsigned i = 0; i < E1000_RING; i++)
		if (e->rx_page[i])
			page_free(e->rx_page[i], ORDER_4K);
	dma_free(&e->pci->dev, (void *)e->rx, RING_BYTES);
	dma_free(&e->pci->dev, e->tx, RING_BYTES);
	dma_free(&e->pci->dev, e->tx_head, E1000_RING * E1000_HEAD);
}

static void rx_arm(struct e1000 *e, unsigned i)
{
	e->rx[i].addr = dma_map(&e->pci->dev, e->rx_page[i], E1000_RX_BYTES, DMA_FROM_DEVICE);
	e->rx[i].status = 0;
}

/*
 * Fills the receive ring and tells the device of both. It is in reset, or just out of it with
 * receiving and sending off.
 */
void e1000_rings_start(struct e1000 *e)
{
	for (unsigned i = 0; i < E1000_RING; i++)
		rx_arm(e, i);
	memset(e->tx, 0, RING_BYTES);
	e->rx_next = e->tx_tail = e->tx_clean = 0;
	e->csum_start = e->csum_offset = 0;
	e->rx_skip = false;
	e1000_write(e, E1000_RDBAL, (uint32_t)e->rx_iova);
	e1000_write(e, E1000_RDBAH, (uint32_t)(e->rx_iova >> 32));
	e1000_write(e, E1000_RDLEN, RING_BYTES);
	e1000_write(e, E1000_RDH, 0);
	/* One short of the head: equal pointers would mean an empty ring (SDM 3.2.6). */
	e1000_write(e, E1000_RDT, E1000_RING - 1);
	e1000_write(e, E1000_TDBAL, (uint32_t)e->tx_iova);
	e1000_write(e, E1000_TDBAH, (uint32_t)(e->tx_iova >> 32));
	e1000_write(e, E1000_TDLEN, RING_BYTES);
	e1000_write(e, E1000_TDH, 0);
	e1000_write(e, E1000_TDT, 0);
	uint64_t flags = spin_lock_irq(&e->tx_lock);

	e->live = true;
	spin_unlock_irq(&e->tx_lock, flags);
}

void e1000_rings_halt(struct e1000 *e)
{
	uint64_t flags = spin_lock_irq(&e->tx_lock);

	e->live = false;
	spin_unlock_irq(&e->tx_lock, flags);
}

void e1000_rings_drop(struct e1000 *e)
{
	for (unsigned i = 0; i < E1000_RING; i++) {
		if (e->tx_pkt[i])
			pkt_done(e->tx_pkt[i]);
		e->tx_pkt[i] = NULL;
	}
	if (e->rx_pkt)
		pkt_done(e->rx_pkt);
	e->rx_pkt = NULL;
}

/* Receiving */

static void rx_drop(struct e1000 *e, uint64_t *counter)
{
	(*counter)++;
	if (e->rx_pkt)
		pkt_done(e->rx_pkt);
	e->rx_pkt = NULL;
}

static void rx_flags(const struct e1000 *e, struct pkt *p, uint8_t status, uint8_t errors,
                     uint16_t tag)
{
	if (status & E1000_RXD_VP) {
		p->flags |= PKT_VLAN;
		p->vlan_tci = tag;
	}
	if (status & E1000_RXD_TCPCS && !(status & E1000_RXD_IXSM) &&
	    !(errors & (E1000_RXD_ERR_TCPE | E1000_RXD_ERR_IPE)))
		p->flags |= PKT_CSUM_VALID;
}

/*
 * One buffer; the frame when it is complete, else NULL. The page is replaced, or used again and the
 * frame lost.
 */
static struct pkt *rx_take(struct e1000 *e, unsigned i, uint8_t status)
{
	uint16_t len = e->rx[i].length, tag = e->rx[i].special;
	uint8_t errors = e->rx[i].errors;
	bool last = status & E1000_RXD_EOP;

	if (e->rx_skip || errors & E1000_RXD_ERR_FRAME || len > E1000_RX_BYTES || !len) {
		if (!e->rx_skip) {
			stat_inc(rx_bad);
			e->up.errors.rx_crc += errors & E1000_RXD_ERR_CE ? 1 : 0;
			rx_drop(e, &e->up.errors.rx);
		}
		/* The rest of the frame has no beginning any more. */
		e->rx_skip = !last;
		return NULL;
	}
	/*
	 * The replacement first: without one the page goes back to the ring and the frame is lost,
	 * so the ring never runs dry.
	 */
	pa_t fresh = page_alloc(ORDER_4K, FRAME_DMA, 0);

	if (!e->rx_pkt)
		e->rx_pkt = pkt_new();
	if (fresh == PA_NONE || !e->rx_pkt || !pkt_add_page(e->rx_pkt, e->rx_page[i], 0, len)) {
		if (fresh != PA_NONE)
			page_free(fresh, ORDER_4K);
		stat_inc(rx_nobuf);
		rx_drop(e, &e->up.errors.rx_no_buffer);
		e->rx_skip = !last;
		return NULL;
	}
	e->rx_page[i] = fresh;
	if (!last)
		return NULL;
	struct pkt *p = e->rx_pkt;

	e->rx_pkt = NULL;
	rx_flags(e, p, status, errors, tag);
	return p;
}

/* Handles at most a batch of buffers; how many. */
static unsigned rx_batch(struct e1000 *e)
{
	struct pkt *got[E1000_BATCH];
	unsigned n = 0, taken = 0;
	uint8_t status;
	uint64_t flags = spin_lock_irq(&e->rx_lock);

	while (taken < E1000_BATCH && e->live &&
	       (status = e->rx[e->rx_next].status) & E1000_RXD_DD) {
		/* Length and errors are read after DD. */
		dma_rmb();
		struct pkt *p = rx_take(e, e->rx_next, status);

		if (p)
			got[n++] = p;
		/* With the new page or the old one; its DD is cleared. */
		rx_arm(e, e->rx_next);
		e->rx_next = (e->rx_next + 1) % E1000_RING;
		taken++;
	}
	if (taken) {
		dma_wmb();
		/* One write a batch. The descriptor in front of the next one stays ours. */
		e1000_write(e, E1000_RDT, (e->rx_next + E1000_RING - 1u) % E1000_RING);
	}
	spin_unlock_irq(&e->rx_lock, flags);
	for (unsigned i = 0; i < n; i++)
		uplink_receive(&e->up, got[i]);
	return taken;
}

/* Sending */

static unsigned tx_free(const struct e1000 *e)
{
	return (e->tx_clean + E1000_RING - e->tx_tail - 1u) % E1000_RING;
}

/* Passes the descriptors of finished frames; the lock is held. */
static unsigned tx_collect(struct e1000 *e, struct pkt **done, unsigned most)
{
	unsigned n = 0, at = e->tx_clean;

	while (at != e->tx_tail && n < most) {
		/* Only a frame's last descriptor reports. */
		unsigned last = at;

		while (last != e->tx_tail && !e->tx_pkt[last])
			last = (last + 1) % E1000_RING;
		/* The device finishes in order: the first that is not done ends the walk. */
		if (last == e->tx_tail || !(READ_ONCE(e->tx[last].status) & E1000_TXD_DD))
			break;
		done[n++] = e->tx_pkt[last];
		e->tx_pkt[last] = NULL;
		at = (last + 1) % E1000_RING;
		e->tx_clean = (uint16_t)at;
	}
	if (n)
		e->tx_moved = time_now();
	return n;
}

static struct e1000_tx_desc *tx_slot(struct e1000 *e)
{
	struct e1000_tx_desc *d = &e->tx[e->tx_tail];

	e->tx_tail = (e->tx_tail + 1) % E1000_RING;
	return d;
}

/*
 * 3.3.6, 3.5.7: headers of a segmented frame are rewritten by the device, which needs to know where
 * they are.
 */
static void tx_context(struct e1000 *e, const struct pkt *p)
{
	bool tso = p->flags & (PKT_TSO4 | PKT_TSO6);

	if (!tso && p->csum_start == e->csum_start && p->csum_offset == e->csum_offset)
		return;
	struct e1000_tx_context c = { .tucss = (uint8_t)p->csum_start,
		                      .tucso = (uint8_t)(p->csum_start + p->csum_offset),
		                      .command = (uint32_t)E1000_TXD_DEXT };

	if (tso) {
		bool v4 = p->flags & PKT_TSO4;

		c.ipcss = ETH_HLEN;
		c.ipcso = v4 ? ETH_HLEN + 10 : 0;
		c.ipcse = v4 ? (uint16_t)(p->csum_start - 1) : 0;
		c.hdr_len = (uint8_t)p->hdr_len;
		c.mss = p->gso_size;
		c.command |= (uint32_t)((p->len - p->hdr_len) | E1000_TXC_TCP |
		                        (v4 ? E1000_TXC_IP : 0) | E1000_TXD_TSE);
	}
	/*
	 * A segmenting context is good for its frame only (length and sizes are in it); 0 forgets
	 * it.
	 */
	e->csum_start = tso ? 0 : p->csum_start;
	e->csum_offset = tso ? 0 : p->csum_offset;
	memcpy(tx_slot(e), &c, sizeof(c));
}

static unsigned tx_need(const struct pkt *p)
{
	unsigned n = (p->flags & PKT_CSUM_PARTIAL ? 1 : 0) +
	             (p->flags & (PKT_TSO4 | PKT_TSO6) ? 1 : 0);

	for (unsigned i = 0; i < p->sg_count; i++)
		n += DIV_UP(p->sg[i].len, (uint32_t)E1000_TX_BYTES_MAX);
	return n;
}

/*
 * 3.5.7: the device adds each segment's length to what it finds in the checksum fields: the IPv4
 * sum has to be 0 there, and TCP's that of the pseudo-header without a length. The caller's has
 * one, and its pages may be a guest's: a copy of the headers is changed. Returns their length.
 */
static uint32_t tx_header(struct e1000 *e, const struct pkt *p, uint32_t command, uint8_t options)
{
	struct e1000_tx_desc *d = tx_slot(e);
	size_t i = (size_t)(d - e->tx);
	uint8_t *h = e->tx_head[i], *field = h + p->csum_start + p->csum_offset;
	uint32_t length = p->len - p->csum_start;

	(void)pkt_read(p, 0, h, p->hdr_len);
	uint32_t sum = ((uint32_t)field[0] << 8 | field[1]) + (0xffff - (length & 0xffff)) +
	               (0xffff - (length >> 16));

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	field[0] = (uint8_t)(sum >> 8);
	field[1] = (uint8_t)sum;
	if (p->flags & PKT_TSO4)
		memset(h + ETH_HLEN + 10, 0, 2);
	*d = (struct e1000_tx_desc){ .addr = e->tx_head_iova + i * E1000_HEAD,
		                     .command = command | p->hdr_len,
		                     .options = options };
	return p->hdr_len;
}

/*
 * Data descriptors for a frame that fits (tx_fits, tx_need); the lock is held. A segmented frame's
 * headers come from our copy.
 */
static void tx_pieces(struct e1000 *e, struct pkt *p)
{
	bool tso = p->flags & (PKT_TSO4 | PKT_TSO6);
	uint32_t command = (uint32_t)(E1000_TXD_DEXT | E1000_TXD_DATA | E1000_TXD_IFCS |
	                              (tso ? E1000_TXD_TSE : 0));
	uint8_t options = (uint8_t)((p->flags & PKT_CSUM_PARTIAL ? E1000_TXD_TXSM : 0) |
	                            (p->flags & PKT_TSO4 ? E1000_TXD_IXSM : 0));
	struct e1000_tx_desc *d = NULL;
	uint32_t skip = tso ? tx_header(e, p, command, options) : 0;

	for (unsigned i = 0; i < p->sg_count; i++) {
		uint32_t from = MIN(skip, p->sg[i].len);

		skip -= from;
		for (uint32_t off = from; off < p->sg[i].len; off += E1000_TX_BYTES_MAX) {
			uint32_t len = MIN(p->sg[i].len - off, (uint32_t)E1000_TX_BYTES_MAX);

			d = tx_slot(e);
			*d = (struct e1000_tx_desc){ .addr = dma_map(&e->pci->dev,
				                                     p->sg[i].pa + off, len,
				                                     DMA_TO_DEVICE),
				                     .command = command | len,
				                     .options = options,
				                     .special = p->vlan_tci };
		}
	}
	if (!d)
		return;
	d->command |= (uint32_t)(E1000_TXD_EOP | E1000_TXD_RS |
	                         (p->flags & PKT_VLAN ? E1000_TXD_VLE : 0));
	/* Released when this descriptor reports; the device reports for EOP with RS only. */
	e->tx_pkt[d - e->tx] = p;
}

/* What the descriptors can say: offsets in bytes, IPv4 headers behind a plain Ethernet header. */
static bool tx_fits(const struct pkt *p)
{
	bool tso = p->flags & (PKT_TSO4 | PKT_TSO6);

	if (!p->len || (tso && !(p->flags & PKT_CSUM_PARTIAL)))
		return false;
	/* TUCSS and TUCSO are bytes, 3.3.6. */
	if (p->flags & PKT_CSUM_PARTIAL && p->csum_start + p->csum_offset > 255)
		return false;
	return !tso || (p->csum_start >= ETH_HLEN + 20 &&
	                p->csum_start + p->csum_offset + 2 <= p->hdr_len && p->hdr_len <= 255 &&
	                p->gso_size && p->hdr_len < p->len);
}

/* Sends one frame; finished ones are released here as well as in the bottom half. */
int e1000_xmit(struct uplink *u, unsigned q, struct pkt *p)
{
	struct e1000 *e = u->drvdata;
	struct pkt *done[E1000_BATCH];
	int err = -EBUSY;

	if (unlikely(!tx_fits(p))) {
		stat_inc(tx_odd);
		return -EINVAL;
	}
	uint64_t flags = spin_lock_irq(&e->tx_lock);
	unsigned n = e->live ? tx_collect(e, done, E1000_BATCH) : 0;
	bool stuck = false;

	/* A frame goes in as a whole or not at all. */
	if (likely(e->live && tx_free(e) >= tx_need(p))) {
		if (e->tx_tail == e->tx_clean)
			e->tx_moved = time_now();
		if (p->flags & PKT_CSUM_PARTIAL)
			tx_context(e, p);
		tx_pieces(e, p);
		uplink_sent(u, p);
		/* Descriptors before the tail that hands them over. */
		dma_wmb();
		e1000_write(e, E1000_TDT, e->tx_tail);
		err = 0;
	} else {
		stat_inc(tx_full);
		u->stats.tx_dropped++;
		/* Full, and nothing has come back for long: link_work resets the device. */
		stuck = e->live && time_now() - e->tx_moved > E1000_SEND_TIMEOUT;
		e->stuck |= stuck;
	}
	spin_unlock_irq(&e->tx_lock, flags);
	if (stuck)
		work_queue(&e->link_work);
	for (unsigned i = 0; i < n; i++)
		pkt_done(done[i]);
	return err;
}

static unsigned tx_batch(struct e1000 *e)
{
	struct pkt *done[E1000_BATCH];
	uint64_t flags = spin_lock_irq(&e->tx_lock);
	unsigned n = e->live ? tx_collect(e, done, E1000_BATCH) : 0;

	spin_unlock_irq(&e->tx_lock, flags);
	for (unsigned i = 0; i < n; i++)
		pkt_done(done[i]);
	return n;
}

void e1000_bottom(struct bottom *b)
{
	struct e1000 *e = container_of(b, struct e1000, bottom);
	bool again = true;
	/* Reading ICR clears it, so the handler keeps what it saw here. */
	uint32_t causes = __atomic_exchange_n(&e->causes, 0, __ATOMIC_ACQ_REL);

	if (causes & E1000_ICR_LSC)
		work_queue(&e->link_work);
	for (unsigned done = 0; done < BOTTOM_BUDGET && again; done += E1000_BATCH)
		again = (rx_batch(e) == E1000_BATCH) | (tx_batch(e) == E1000_BATCH);
	if (again)
		bottom_raise(b);
	else
		e1000_write(e, E1000_IMS, (uint32_t)E1000_IMS_WANTED); /* the handler masked them */
}
