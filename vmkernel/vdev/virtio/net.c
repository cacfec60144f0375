// SPDX-License-Identifier: Apache-2.0
/*
 * virtio network device on a port of a virtual switch. What the guest sends goes on from its own
 * pages; what it receives is copied into its buffers, over several of them when they are merged.
 * Queues come in pairs; a flow is received where the guest last sent it (net_control.c). The
 * device's lock guards the queues.
 * Spec: VIRTIO 1.2, 5.1.
 */
#include "vdev/virtio/net.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"

STAT(tx_packets, "vm.virtio_net.tx", "packets that guests sent");
STAT(tx_refused, "vm.virtio_net.tx_refused",
     "packets with a header that makes no sense, or too long");
STAT(tx_copied, "vm.virtio_net.tx_copied", "packets in too many pieces: copied");
STAT(rx_packets, "vm.virtio_net.rx", "packets that guests received");
STAT(rx_full, "vm.virtio_net.rx_full", "packets dropped because the guest had no buffers");

enum { CLASS_ETHERNET = 0x020000 };
#define FEATURES                                                                      \
	(VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_MAC |             \
	 VIRTIO_NET_F_GUEST_TSO4 | VIRTIO_NET_F_GUEST_TSO6 | VIRTIO_NET_F_HOST_TSO4 | \
	 VIRTIO_NET_F_HOST_TSO6 | VIRTIO_NET_F_MRG_RXBUF | VIRTIO_NET_F_STATUS |      \
	 VIRTIO_NET_F_CTRL_VQ | VIRTIO_NET_F_CTRL_RX | VIRTIO_NET_F_CTRL_MAC_ADDR)

/* A packet of the guest's own pages. */
struct vnet_tx {
	struct virtio_request v;
	struct pkt p;
	struct vnet *n;
	uint16_t head, queue;
	bool pinned;
};

/* The packet's last holder lets go; any context. */
static void tx_release(struct pkt *p)
{
	struct vnet_tx *t = container_of(p, struct vnet_tx, p);
	struct virtio *d = &t->n->d;

	if (t->pinned)
		gmem_unpin(d->gmem);
	virtio_complete(d, &t->v, t->queue, t->head, 0);
}

/* The offloads that the header asks for, into the packet. False: they make no sense. */
static bool tx_offloads(struct pkt *p, const struct virtio_net_hdr *h)
{
	unsigned gso = h->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;

	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		/* The checksum that somebody fills in must lie inside of the packet. */
		if ((uint32_t)h->csum_start + h->csum_offset + 2 > p->len)
			return false;
		p->flags |= PKT_CSUM_PARTIAL;
		p->csum_start = h->csum_start;
		p->csum_offset = h->csum_offset;
	}
	if (gso == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	if (!h->gso_size || !(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	    (gso != VIRTIO_NET_HDR_GSO_TCPV4 && gso != VIRTIO_NET_HDR_GSO_TCPV6))
		return false;
	p->flags |= gso == VIRTIO_NET_HDR_GSO_TCPV4 ? PKT_TSO4 : PKT_TSO6;
	p->gso_size = h->gso_size;
	p->hdr_len = h->hdr_len;
	return true;
}

/* The chain's bytes into pages of the packet's own. */
static struct pkt *tx_copy(struct vnet *n, const struct vchain *c, uint32_t len)
{
	struct pkt *p = pkt_alloc(len);
	uint32_t off = sizeof(struct virtio_net_hdr);

	for (unsigned i = 0; p && i < p->sg_count; i++) {
		if (vchain_read(n->d.gmem, c, off, pa_to_va(p->sg[i].pa), p->sg[i].len) !=
		    (int)p->sg[i].len) {
			pkt_done(p);
			return NULL;
		}
		off += p->sg[i].len;
	}
	stat_inc(tx_copied);
	return p;
}

/*
 * Sends one chain; it comes back at once, or when the packet's last holder lets go. Returns how
 * many frames it is.
 */
static unsigned tx_one(struct vnet *n, unsigned queue, struct vnet_tx *t, const struct vchain *c)
{
	struct virtio_net_hdr h;
	uint32_t len = c->read_bytes - (uint32_t)sizeof(h);
	struct pkt *p = &t->p, *copy = NULL;
	unsigned segments;
	int pieces;

	memset(p, 0, offsetof(struct pkt, sg));
	p->len = len;
	p->refs = 1;
	p->release = tx_release;
	t->n = n;
	t->head = c->head;
	t->queue = (uint16_t)queue;
	t->pinned = false;
	if (c->read_bytes <= sizeof(h) + ETH_HLEN || len > PKT_LEN_MAX ||
	    vchain_read(n->d.gmem, c, 0, &h, sizeof(h)) != sizeof(h) || !tx_offloads(p, &h))
		goto refused;
	pieces = vchain_pin(n->d.gmem, c, false, sizeof(h), len, p->sg, PKT_SG_MAX);
	if (pieces == -E2BIG) {
		copy = tx_copy(n, c, len);
		if (!copy || !tx_offloads(copy, &h))
			goto refused;
		/* Memory that is not the guest's: dropped, as a NIC would after a failed DMA. */
	} else if (pieces < 0) {
		goto refused;
	} else {
		t->pinned = true;
		p->sg_count = (uint16_t)pieces;
	}
	stat_inc(tx_packets);
	segments = pkt_segments(copy ? copy : p);
	/* Before it is sent: it may be gone afterwards, and the answer may already be there. */
	vnet_flow_sent(n, queue / 2, copy ? copy : p);
	if (copy)
		pkt_done(p); /* the chain is free again, the copy travels */
	port_send(n->port, copy ? copy : p);
	return segments;
refused:
	stat_inc(tx_refused);
	if (copy)
		pkt_done(copy);
	pkt_done(p);
	return 1;
}

/* One sender at a time, for order; the chain is its own. */
static void tx_kick(struct vnet *n, unsigned queue)
{
	struct virtio *d = &n->d;
	struct vchain *c = &n->pair[queue / 2].tx;

	/* The vCPU does not stay here longer than for so many frames. */
	for (unsigned sent = 0; sent < VIRTIO_BUDGET;) {
		uint64_t flags = spin_lock_irq(&d->lock);
		struct virtio_request *r = virtio_live(d) ? virtio_get(d, queue) : NULL;
		int got = r ? vqueue_take(&d->queue[queue], c) : 0;

		if (got < 0)
			virtio_broken(d);
		if (r && got <= 0)
			virtio_unget(d, r);
		spin_unlock_irq(&d->lock, flags);
		if (got <= 0)
			return;
		sent += tx_one(n, queue, container_of(r, struct vnet_tx, v), c);
	}
	virtio_again(d, queue);
}

static void kick(struct virtio *d, unsigned queue)
{
	struct vnet *n = container_of(d, struct vnet, d);

	if (queue == vnet_control_queue(n)) {
		vnet_control(n);
	} else if (queue & 1) {
		mutex_lock(&n->pair[queue / 2].tx_lock);
		tx_kick(n, queue);
		mutex_unlock(&n->pair[queue / 2].tx_lock);
	}
}

/* Receive: bottom half. */

static void rx_header(const struct vnet *n, const struct pkt *p, struct virtio_net_hdr *h)
{
	*h = (struct virtio_net_hdr){ .num_buffers = 1 };
	if ((p->flags & PKT_CSUM_PARTIAL) && (n->d.features & VIRTIO_NET_F_GUEST_CSUM)) {
		h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		h->csum_start = p->csum_start;
		h->csum_offset = p->csum_offset;
	} else if ((p->flags & PKT_CSUM_VALID) && (n->d.features & VIRTIO_NET_F_GUEST_CSUM)) {
		h->flags = VIRTIO_NET_HDR_F_DATA_VALID;
	}
	if (p->flags & (PKT_TSO4 | PKT_TSO6)) {
		h->gso_type = p->flags & PKT_TSO4 ? VIRTIO_NET_HDR_GSO_TCPV4
		                                  : VIRTIO_NET_HDR_GSO_TCPV6;
		h->gso_size = p->gso_size;
		h->hdr_len = p->hdr_len;
	}
}

/* Bytes [from, from + len) of the packet to the chain at off. */
static bool rx_copy(struct vnet *n, const struct vchain *c, uint32_t off, const struct pkt *p,
                    uint32_t from, uint32_t len)
{
	for (unsigned i = 0; i < p->sg_count && len; i++) {
		const struct sg *s = &p->sg[i];
		uint32_t part;

		/* Skips pieces that were copied before. */
		if (from >= s->len) {
			from -= s->len;
			continue;
		}
		part = MIN(s->len - from, len);
		if (vchain_write(n->d.gmem, c, off, (char *)pa_to_va(s->pa) + from, part) !=
		    (int)part)
			return false;
		off += part;
		len -= part;
		from = 0;
	}
	return !len;
}

/* Under lock. 0, -ENOBUFS, -EPROTO. */
static int rx_one(struct vnet *n, struct vqueue *q, const struct pkt *p)
{
	struct virtio *d = &n->d;
	bool merge = d->features & VIRTIO_NET_F_MRG_RXBUF;
	struct virtio_net_hdr h;
	uint32_t done = 0, head = sizeof(h);
	uint16_t count = 0;

	rx_header(n, p, &h);
	while (done < p->len || !count) {
		struct vchain *c = count ? &n->rx_more : &n->rx_first;
		int got = vqueue_next(q, c);
		uint32_t part;

		/*
		 * Too few buffers: the chains taken so far are not used, and wait for the
		 * next packet.
		 */
		if (got <= 0 || (count && !merge) || count == q->size) {
			q->next_avail -= count + (got > 0);
			return got < 0 ? got : -ENOBUFS;
		}
		if (c->write_bytes <= head)
			return -EPROTO;
		part = MIN(c->write_bytes - head, p->len - done);
		/*
		 * Entries are filled in one by one but appear together, when the header knows
		 * their number.
		 */
		if (!rx_copy(n, c, head, p, done, part) ||
		    vqueue_fill(q, count, c->head, head + part))
			return -EPROTO;
		done += part;
		head = 0;
		count++;
	}
	h.num_buffers = count;
	if (vchain_write(d->gmem, &n->rx_first, 0, &h, sizeof(h)) != sizeof(h))
		return -EPROTO;
	return vqueue_publish(q, count);
}

static int deliver(void *arg, struct pkt *p)
{
	struct vnet *n = arg;
	struct virtio *d = &n->d;
	uint64_t flags = spin_lock_irq(&d->lock);
	unsigned pair = vnet_flow_pair(n, p);
	struct vqueue *q = &d->queue[2 * pair];
	int err = virtio_live(d) && q->enabled ? rx_one(n, q, p) : -ENOBUFS;

	/* The interrupt is flush's: one for all packets of a pass of the switch. */
	n->filled |= BIT(pair);
	if (err == -EPROTO)
		virtio_broken(d);
	spin_unlock_irq(&d->lock, flags);
	if (err)
		stat_inc(rx_full);
	else
		stat_inc(rx_packets);
	pkt_done(p);
	return err ? -ENOBUFS : 0;
}

static void flush(void *arg)
{
	struct vnet *n = arg;
	uint64_t flags = spin_lock_irq(&n->d.lock);

	for (; virtio_live(&n->d) && n->filled; n->filled &= n->filled - 1)
		virtio_signal(&n->d, &n->d.queue[2 * __builtin_ctz(n->filled)]);
	spin_unlock_irq(&n->d.lock, flags);
}

static void put_config(struct vnet *n, bool up)
{
	struct virtio_net_config c = { .status = up ? VIRTIO_NET_S_LINK_UP : 0,
		                       .max_virtqueue_pairs = n->pairs };

	memcpy(c.mac, n->mac, sizeof(c.mac));
	memcpy(n->d.config, &c, n->d.config_len);
}

static void link_changed(void *arg, bool up)
{
	struct vnet *n = arg;
	uint64_t flags = spin_lock_irq(&n->d.lock);

	put_config(n, up);
	virtio_config_changed(&n->d);
	spin_unlock_irq(&n->d.lock, flags);
}

static const struct port_ops port_ops = { .deliver = deliver,
	                                  .flush = flush,
	                                  .link_changed = link_changed };

/* The driver is ready: what it takes in unfinished form is known. */
static void started(struct virtio *d)
{
	struct vnet *n = container_of(d, struct vnet, d);
	uint32_t caps = PORT_VOLATILE;
	uint64_t flags;

	/* 5.1.3.1: TSO towards the guest needs that it can finish checksums. */
	if (d->features & VIRTIO_NET_F_GUEST_CSUM) {
		caps |= PORT_CSUM;
		caps |= d->features & VIRTIO_NET_F_GUEST_TSO4 ? PORT_TSO4 : 0;
		caps |= d->features & VIRTIO_NET_F_GUEST_TSO6 ? PORT_TSO6 : 0;
	}
	port_set_caps(n->port, caps);
	/* Buffers are looked for when packets come: no kicks for them. */
	flags = spin_lock_irq(&d->lock);
	for (unsigned i = 0; i < n->pairs; i++)
		vqueue_kicks(&d->queue[2 * i], false);
	spin_unlock_irq(&d->lock, flags);
}

static void reset(struct virtio *d)
{
	struct vnet *n = container_of(d, struct vnet, d);

	n->active = 1;
	n->filled = 0;
}

static const struct virtio_kind kind = {
	.type = VIRTIO_ID_NET,
	.class_code = CLASS_ETHERNET,
	.requests = VQUEUE_SIZE_MAX,
	.request_size = sizeof(struct vnet_tx),
	.kick = kick,
	.started = started,
	.reset = reset,
};

/* As ESXi makes them: VMware's prefix and the end of the VM's UUID; NICs differ by their slot. */
static void choose_mac(struct vnet *n, struct vm *vm, const struct vm_device *cfg, uint32_t slot)
{
	static const uint8_t prefix[3] = { 0x00, 0x0c, 0x29 }, none[ETH_ALEN];
	const uint8_t *uuid = vm_config(vm)->uuid;

	if (memcmp(cfg->mac, none, ETH_ALEN)) {
		memcpy(n->mac, cfg->mac, ETH_ALEN);
		return;
	}
	memcpy(n->mac, prefix, 3);
	memcpy(n->mac + 3, uuid + 13, 3);
	n->mac[5] += (uint8_t)(10 * slot);
}

static int create(struct vm *vm, struct vpci_bus *bus, const struct vm_device *cfg,
                  struct vdev **out)
{
	struct vnet *n = kzalloc(sizeof(*n));
	struct port_attr attr = {
		.client = vm_config(vm)->name,
		.group = cfg->backend,
		.caps = PORT_VOLATILE,
		.ops = &port_ops,
		.arg = n,
	};
	int err;

	if (!n)
		return -ENOMEM;
	n->pairs = (uint16_t)virtio_queue_count(vm, cfg, VNET_PAIRS);
	n->active = 1;
	for (unsigned i = 0; i < n->pairs; i++)
		mutex_init(&n->pair[i].tx_lock, "vnet-tx");
	err = virtio_init(&n->d, vm, bus, cfg->slot, &kind,
	                  FEATURES | (n->pairs > 1 ? VIRTIO_NET_F_MQ : 0), 2 * n->pairs + 1,
	                  n->pairs > 1 ? VIRTIO_NET_CONFIG(mtu)
	                               : VIRTIO_NET_CONFIG(max_virtqueue_pairs));
	if (err)
		goto free;
	choose_mac(n, vm, cfg, n->d.vdev.slot);
	/* The device is on the bus by now: its slot is part of the address. */
	memcpy(attr.mac, n->mac, ETH_ALEN);
	err = port_open(&attr, &n->port);
	if (err)
		goto remove;
	put_config(n, port_link_up(n->port));
	*out = &n->d.vdev;
	return 0;
remove:
	vpci_remove(&n->d.pci);
	virtio_destroy(&n->d);
free:
	kfree(n);
	return err;
}

static void stop(struct vdev *v)
{
	struct vnet *n = container_of(v, struct vnet, d.vdev);

	port_set_connected(n->port, false);
	virtio_stop(&n->d);
}

static void destroy(struct vdev *v)
{
	struct vnet *n = container_of(v, struct vnet, d.vdev);

	port_close(n->port);
	virtio_destroy(&n->d);
	kfree(n);
}

VDEV_CLASS(virtio_net, .kind = VM_DEV_VIRTIO_NET, .name = "virtio-net", .create = create,
           .stop = stop, .destroy = destroy);
