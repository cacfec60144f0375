// SPDX-License-Identifier: Apache-2.0
/*
 * The control queue of a virtio network device (promiscuous mode, MAC address, number of queue
 * pairs), and which pair a flow is received by. Spec: VIRTIO 1.2, 5.1.6.5.
 */
#include "vdev/virtio/net.h"
#include "vmk/errno.h"
#include "vmk/string.h"

/* What the port is told once the device's lock is free. */
struct changes {
	bool mac, promisc, on;
	uint8_t address[ETH_ALEN];
};

/* One command, under lock; the byte of its answer. */
static uint8_t execute(struct vnet *n, const struct vchain *c, struct changes *ch)
{
	struct virtio_net_ctrl k;
	uint16_t pairs;
	uint8_t on;

	if (vchain_read(n->d.gmem, c, 0, &k, sizeof(k)) != sizeof(k))
		return VIRTIO_NET_ERR;
	if (k.class_id == VIRTIO_NET_CTRL_RX && k.command == VIRTIO_NET_CTRL_RX_PROMISC) {
		if (vchain_read(n->d.gmem, c, sizeof(k), &on, 1) != 1)
			return VIRTIO_NET_ERR;
		ch->promisc = true;
		ch->on = on;
		return VIRTIO_NET_OK;
	}
	if (k.class_id == VIRTIO_NET_CTRL_MAC && k.command == VIRTIO_NET_CTRL_MAC_ADDR_SET) {
		if (vchain_read(n->d.gmem, c, sizeof(k), ch->address, ETH_ALEN) != ETH_ALEN ||
		    (ch->address[0] & 1))
			return VIRTIO_NET_ERR;
		ch->mac = true;
		memcpy(n->mac, ch->address, ETH_ALEN);
		memcpy(n->d.config, n->mac, ETH_ALEN);
		return VIRTIO_NET_OK;
	}
	if (k.class_id == VIRTIO_NET_CTRL_MQ && k.command == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET) {
		if (vchain_read(n->d.gmem, c, sizeof(k), &pairs, 2) != 2 || !pairs ||
		    pairs > n->pairs || !(n->d.features & VIRTIO_NET_F_MQ))
			return VIRTIO_NET_ERR;
		n->active = pairs;
		return VIRTIO_NET_OK;
	}
	/* The switch delivers all multicast; filters may be ignored. */
	if ((k.class_id == VIRTIO_NET_CTRL_RX && k.command == VIRTIO_NET_CTRL_RX_ALLMULTI) ||
	    (k.class_id == VIRTIO_NET_CTRL_MAC && k.command == VIRTIO_NET_CTRL_MAC_TABLE_SET))
		return VIRTIO_NET_OK;
	return VIRTIO_NET_ERR;
}

void vnet_control(struct vnet *n)
{
	struct virtio *d = &n->d;
	struct vqueue *q = &d->queue[vnet_control_queue(n)];
	bool more = true;

	for (unsigned i = 0; more && i < VIRTIO_BUDGET; i++) {
		struct changes ch = { 0 };
		uint64_t flags = spin_lock_irq(&d->lock);
		int got = virtio_live(d) ? vqueue_take(q, &n->control) : 0;
		uint8_t ack;

		more = got > 0;
		if (more) {
			ack = execute(n, &n->control, &ch);
			/* The answer is a byte; without room for it the chain is no command. */
			virtio_give(d, q, n->control.head,
			            vchain_write(d->gmem, &n->control, 0, &ack, 1) == 1 ? 1
			                                                                : -EPROTO);
		}
		if (got < 0)
			virtio_broken(d);
		spin_unlock_irq(&d->lock, flags);
		if (ch.mac)
			port_set_mac(n->port, ch.address);
		if (ch.promisc)
			port_set_promisc(n->port, ch.on);
	}
	if (more)
		virtio_again(d, vnet_control_queue(n));
}

/*
 * Addresses and, unless it is a fragment, ports of an IP packet: the same for both directions; 0:
 * another packet.
 */
static unsigned flow_hash(const struct pkt *p)
{
	enum {
		TYPE = 12,
		IP = 14,
		V4 = 0x0800,
		V6 = 0x86dd,
		TCP = 6,
		UDP = 17,
		V6_LEN = 40,
		HEAD = 78
	};
	uint8_t b[HEAD] = { 0 };
	unsigned type, proto, from, to, ports = 0;
	uint32_t word, hash = 0;

	if (!pkt_read(p, 0, b, MIN(p->len, (uint32_t)HEAD)))
		return 0;
	type = b[TYPE] << 8 | b[TYPE + 1];
	if (type == V4) {
		proto = b[IP + 9];
		from = IP + 12;
		to = IP + 20;
		/* Only the first fragment has ports: all of them go by addresses alone. */
		if (!((b[IP + 6] & 0x3f) | b[IP + 7]))
			ports = IP + 4u * (b[IP] & 15);
	} else if (type == V6) {
		proto = b[IP + 6];
		from = IP + 8;
		to = ports = IP + V6_LEN;
	} else {
		return 0;
	}
	for (unsigned i = from; i < to; i += sizeof(word)) {
		memcpy(&word, b + i, sizeof(word));
		hash ^= word;
	}
	if (ports && (proto == TCP || proto == UDP)) {
		memcpy(&word, b + ports, sizeof(word));
		hash ^= (word ^ word >> 16) & 0xffff;
	}
	return (hash * 0x9e3779b1u) >> 24;
}

void vnet_flow_sent(struct vnet *n, unsigned pair, const struct pkt *p)
{
	/* 5.1.6.5.5: a flow is received on the pair on which it was last sent. */
	if (n->active > 1)
		WRITE_ONCE(n->flow[flow_hash(p)], (uint8_t)pair);
}

unsigned vnet_flow_pair(const struct vnet *n, const struct pkt *p)
{
	/* The driver may use fewer pairs since the flow was noted. */
	unsigned pair = n->active > 1 ? READ_ONCE(n->flow[flow_hash(p)]) : 0;

	return pair < n->active ? pair : 0;
}
