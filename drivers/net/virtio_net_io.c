// SPDX-License-Identifier: Apache-2.0
/*
 * Frames of a virtio network device. Receive buffers are single pages, which become the packet's
 * own; a page that cannot be replaced drops its frame and goes back to the device, so the ring
 * never runs dry. Sending points at the caller's pages; finished packets are released at the next
 * send, and by an interrupt when three quarters of what is under way are done.
 * Spec: VIRTIO 1.2 5.1.6.
 */
#include "virtio_net.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/time.h"

#define LOG_MODULE "virtio_net"

STAT(rx_nobuf, "virtio_net.rx_no_buffer", "frames dropped for want of memory");
STAT(rx_bad, "virtio_net.rx_malformed", "buffers with an impossible length or header");
STAT(tx_full, "virtio_net.tx_full", "frames that found the send ring full");

/* Tokens of receive chains are machine addresses of pages, never 0. */
static void *page_token(pa_t page)
{
	return (void *)(uintptr_t)page;
}
static pa_t token_page(void *token)
{
	return (pa_t)(uintptr_t)token;
}

static int rx_post(struct vnet_rx *q, pa_t page)
{
	struct vnet *n = q->dev;
	iova_t at = dma_map(&n->virtio.pci->dev, page, PAGE_SIZE, DMA_FROM_DEVICE);
	struct virtq_buf buf[2] = { { at, n->header_len },
		                    { at + n->header_len, PAGE_SIZE - n->header_len } };

	if (at == IOVA_BAD)
		return -EFAULT;
	if (n->split_header)
		return virtq_add(&q->vq, buf, 0, 2, page_token(page));
	buf[0].len = PAGE_SIZE;
	return virtq_add(&q->vq, buf, 0, 1, page_token(page));
}

int vnet_rx_fill(struct vnet_rx *q)
{
	unsigned each = q->dev->split_header ? 2 : 1;

	while (q->vq.free_count >= each) {
		pa_t page = page_alloc(ORDER_4K, FRAME_DMA, 0);
		int err = page == PA_NONE ? -ENOMEM : rx_post(q, page);

		if (err && page != PA_NONE)
			page_free(page, ORDER_4K);
		if (err)
			return err;
	}
	virtq_kick(&q->vq);
	return 0;
}

/*
 * Trades a page that the device filled for a fresh one; PA_NONE: the old one went back, its frame
 * is lost.
 */
static pa_t rx_exchange(struct vnet_rx *q, pa_t page)
{
	pa_t fresh = page_alloc(ORDER_4K, FRAME_DMA, 0);

	if (fresh != PA_NONE && !rx_post(q, fresh))
		return page;
	if (fresh != PA_NONE)
		page_free(fresh, ORDER_4K);
	stat_inc(rx_nobuf);
	q->dev->up.errors.rx_no_buffer++;
	/* The ring has room: the chain of this page was just taken. */
	if (rx_post(q, page))
		page_free(page, ORDER_4K);
	return PA_NONE;
}

/* 5.1.6.4.1: what the header says about the frame; false when it contradicts it. */
static bool rx_header(struct pkt *p, const struct virtio_net_hdr *h)
{
	unsigned gso = h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;

	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if ((uint32_t)h->csum_start + h->csum_offset + 2 > p->len)
			return false;
		p->flags |= PKT_CSUM_PARTIAL;
		p->csum_start = h->csum_start;
		p->csum_offset = h->csum_offset;
	} else if (h->flags & VIRTIO_NET_HDR_F_DATA_VALID) {
		p->flags |= PKT_CSUM_VALID;
	}
	if (gso == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	if ((gso != VIRTIO_NET_HDR_GSO_TCPV4 && gso != VIRTIO_NET_HDR_GSO_TCPV6) || !h->gso_size ||
	    !(p->flags & PKT_CSUM_PARTIAL) || h->hdr_len > p->len)
		return false;
	p->flags |= gso == VIRTIO_NET_HDR_GSO_TCPV4 ? PKT_TSO4 : PKT_TSO6;
	p->gso_size = h->gso_size;
	p->hdr_len = h->hdr_len;
	return true;
}

static void rx_drop(struct vnet_rx *q, struct pkt *p)
{
	stat_inc(rx_bad);
	q->dev->up.errors.rx++;
	if (p)
		pkt_done(p);
}

/* Adds one buffer's bytes from skip on to p. The page is p's from here, or the device's again. */
static bool rx_append(struct vnet_rx *q, struct pkt *p, pa_t page, uint32_t skip, uint32_t len)
{
	page = rx_exchange(q, page);
	if (page == PA_NONE)
		return false;
	if (len > skip && len <= PAGE_SIZE && pkt_add_page(p, page, skip, len - skip))
		return true;
	page_free(page, ORDER_4K);
	return false;
}

/*
 * The next frame, which takes num_buffers chains; NULL with *more true: one was dropped. The device
 * publishes a frame's buffers together (5.1.6.4), so a missing one is its error. The lock is held.
 */
static struct pkt *rx_next(struct vnet_rx *q, bool *more)
{
	struct vnet *n = q->dev;
	uint32_t len;
	void *token = virtq_get(&q->vq, &len);

	*more = token;
	if (!token)
		return NULL;
	struct virtio_net_hdr h = *(struct virtio_net_hdr *)pa_to_va(token_page(token));
	/* Copied once: the device could change it between the checks. */
	unsigned buffers = n->header_len == sizeof(h) && n->virtio.features & VIRTIO_NET_F_MRG_RXBUF
	                           ? h.num_buffers
	                           : 1;
	struct pkt *p = pkt_new();
	bool good = p && rx_append(q, p, token_page(token), n->header_len, len);

	if (!p)
		(void)rx_post(q, token_page(token)); /* the chain that was just taken makes room */
	while (buffers-- > 1 && (token = virtq_get(&q->vq, &len))) {
		if (good)
			good = rx_append(q, p, token_page(token), 0, len);
		else if (rx_post(q, token_page(token)))
			page_free(token_page(token), ORDER_4K);
	}
	if (good && p->len >= ETH_HLEN && rx_header(p, &h))
		return p;
	rx_drop(q, p);
	return NULL;
}

static unsigned rx_batch(struct vnet_rx *q)
{
	struct pkt *got[VNET_BATCH];
	unsigned n = 0, taken = 0;
	bool more = true;
	uint64_t flags = spin_lock_irq(&q->lock);

	while (taken < VNET_BATCH && q->live && more) {
		struct pkt *p = rx_next(q, &more);

		taken += more;
		if (p)
			got[n++] = p;
	}
	if (taken)
		virtq_kick(&q->vq);
	spin_unlock_irq(&q->lock, flags);
	for (unsigned i = 0; i < n; i++)
		uplink_receive(&q->dev->up, got[i]);
	return taken;
}

void vnet_rx_bottom(struct bottom *b)
{
	struct vnet_rx *q = container_of(b, struct vnet_rx, bottom);
	bool again = true;

	/* A hint only: an interrupt that comes nevertheless finds nothing to do. */
	virtq_irq_off(&q->vq);
	for (unsigned done = 0; done < BOTTOM_BUDGET && again; done += VNET_BATCH)
		again = rx_batch(q) == VNET_BATCH;
	uint64_t flags = spin_lock_irq(&q->lock);

	if (!again && q->live)
		again = virtq_irq_after(&q->vq, 1);
	else if (!q->live)
		again = false;
	spin_unlock_irq(&q->lock, flags);
	if (q->vq.broken)
		vnet_stuck(q->dev);
	else if (again)
		bottom_raise(b);
}

void vnet_rx_drain(struct vnet_rx *q)
{
	void *token;

	while (q->vq.memory && (token = virtq_reclaim(&q->vq)))
		page_free(token_page(token), ORDER_4K);
}

/* Sending */

/* Takes one finished packet; the lock is held. */
static struct pkt *tx_get(struct vnet_tx *q, void *token)
{
	unsigned i = (unsigned)((struct virtio_net_hdr *)token - q->header);
	struct pkt *p = q->pkt[i];

	q->pkt[i] = NULL;
	q->next[i] = q->free;
	q->free = (uint16_t)i;
	q->inflight--;
	return p;
}

static unsigned tx_collect(struct vnet_tx *q, struct pkt **done, unsigned most)
{
	void *token;
	uint32_t len;
	unsigned n = 0;

	while (n < most && (token = virtq_get(&q->vq, &len)))
		done[n++] = tx_get(q, token);
	if (n)
		q->moved = time_now();
	return n;
}

static void tx_header(struct virtio_net_hdr *h, const struct pkt *p)
{
	*h = (struct virtio_net_hdr){ .gso_type = VIRTIO_NET_HDR_GSO_NONE };
	if (p->flags & PKT_CSUM_PARTIAL) {
		h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->csum_start = p->csum_start;
		h->csum_offset = p->csum_offset;
	}
	if (p->flags & (PKT_TSO4 | PKT_TSO6)) {
		h->gso_type = p->flags & PKT_TSO4 ? VIRTIO_NET_HDR_GSO_TCPV4
		                                  : VIRTIO_NET_HDR_GSO_TCPV6;
		h->gso_size = p->gso_size;
		h->hdr_len = p->hdr_len;
	}
}

/*
 * Header and pages as one chain; the lock is held. -EBUSY: the ring is full and the packet is still
 * the caller's.
 */
static int tx_post(struct vnet_tx *q, struct pkt *p)
{
	struct vnet *n = q->dev;
	struct virtq_buf buf[PKT_SG_MAX + 1];
	unsigned i = q->free;

	if (unlikely(i == VNET_RING))
		return -EBUSY;
	buf[0] = (struct virtq_buf){ q->header_iova + i * sizeof(struct virtio_net_hdr),
		                     n->header_len };
	for (unsigned s = 0; s < p->sg_count; s++) {
		iova_t at = dma_map(&n->virtio.pci->dev, p->sg[s].pa, p->sg[s].len, DMA_TO_DEVICE);

		if (unlikely(at == IOVA_BAD))
			return -EFAULT;
		buf[s + 1] = (struct virtq_buf){ at, p->sg[s].len };
	}
	tx_header(&q->header[i], p);
	int err = virtq_add(&q->vq, buf, p->sg_count + 1u, 0, &q->header[i]);

	if (unlikely(err))
		return err;
	/*
	 * The time-out of a stuck ring counts from the moment that the device had something to do.
	 */
	if (!q->inflight)
		q->moved = time_now();
	q->free = q->next[i];
	q->pkt[i] = p;
	q->inflight++;
	return 0;
}

/*
 * Sends one packet. Finished ones are released here, so that an interrupt is needed only when
 * nothing more is sent.
 */
int vnet_xmit(struct uplink *u, unsigned qi, struct pkt *p)
{
	struct vnet *n = u->drvdata;
	struct vnet_tx *q = &n->tx[qi % n->pairs];
	struct pkt *done[VNET_BATCH];
	uint64_t flags = spin_lock_irq(&q->lock);
	unsigned finished = q->live ? tx_collect(q, done, VNET_BATCH) : 0;
	int err = likely(q->live) ? tx_post(q, p) : -EBUSY;
	bool stuck = false;

	if (likely(!err)) {
		uplink_sent(u, p);
		/*
		 * Three quarters of what is under way; true: they have finished meanwhile and no
		 * interrupt will tell.
		 */
		if (virtq_irq_after(&q->vq, q->inflight - q->inflight / 4u))
			bottom_raise(&q->bottom);
		virtq_kick(&q->vq);
	} else {
		stat_inc(tx_full);
		u->stats.tx_dropped++;
		/* The ring is full and nothing has come back for long: only a reset helps. */
		stuck = q->live && (q->vq.broken || time_now() - q->moved > VNET_SEND_TIMEOUT);
	}
	spin_unlock_irq(&q->lock, flags);
	if (unlikely(stuck))
		vnet_stuck(n);
	/* Without the lock: the owner may send again from here. */
	for (unsigned i = 0; i < finished; i++)
		pkt_done(done[i]);
	return err;
}

/*
 * Releases what has finished. The loop ends when the next interrupt is asked for and nothing came
 * in between.
 */
void vnet_tx_bottom(struct bottom *b)
{
	struct vnet_tx *q = container_of(b, struct vnet_tx, bottom);
	struct pkt *done[VNET_BATCH];
	unsigned total = 0, n;
	bool again;

	do {
		uint64_t flags = spin_lock_irq(&q->lock);

		n = q->live ? tx_collect(q, done, VNET_BATCH) : 0;
		again = q->live && q->inflight &&
		        virtq_irq_after(&q->vq, q->inflight - q->inflight / 4u);
		spin_unlock_irq(&q->lock, flags);
		for (unsigned i = 0; i < n; i++)
			pkt_done(done[i]);
		total += n;
	} while ((n == VNET_BATCH || again) && total < BOTTOM_BUDGET);
	if (q->vq.broken)
		vnet_stuck(q->dev);
	else if (n == VNET_BATCH || again)
		bottom_raise(b);
}

void vnet_tx_drain(struct vnet_tx *q)
{
	void *token;

	while (q->vq.memory && (token = virtq_reclaim(&q->vq)))
		pkt_done(tx_get(q, token));
}
