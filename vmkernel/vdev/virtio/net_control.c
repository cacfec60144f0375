// SPDX-License-Identifier: Apache-2.0
/* The control queue of a virtio network device: promiscuous mode and the MAC address. Spec: VIRTIO 1.2, 5.1.6.5. */
#include "vdev/virtio/net.h"
#include "vmk/errno.h"
#include "vmk/string.h"

enum {
	CLASS_RX = 0,
	CLASS_MAC = 1,
	RX_PROMISC = 0,
	RX_ALLMULTI = 1,
	MAC_TABLE_SET = 0,
	MAC_ADDR_SET = 1
};
enum { ACK_OK = 0, ACK_ERROR = 1 };

struct command {
	uint8_t class, command;
};

/* What is to be done once the device's lock is free. */
struct wish {
	bool mac, promisc, on;
	uint8_t address[ETH_ALEN];
};

static uint8_t obey(struct vnet *n, const struct vchain *c, struct wish *w)
{
	struct command k;
	uint8_t on;

	if (vchain_read(n->d.gmem, c, 0, &k, sizeof(k)) != sizeof(k))
		return ACK_ERROR;
	if (k.class == CLASS_RX && k.command == RX_PROMISC) {
		if (vchain_read(n->d.gmem, c, sizeof(k), &on, 1) != 1)
			return ACK_ERROR;
		w->promisc = true;
		w->on = on;
		return ACK_OK;
	}
	if (k.class == CLASS_MAC && k.command == MAC_ADDR_SET) {
		if (vchain_read(n->d.gmem, c, sizeof(k), w->address, ETH_ALEN) != ETH_ALEN ||
		    (w->address[0] & 1))
			return ACK_ERROR;
		w->mac = true;
		memcpy(n->mac, w->address, ETH_ALEN);
		memcpy(n->d.config, n->mac, ETH_ALEN);
		return ACK_OK;
	}
	/* The switch delivers all multicast; filters may be ignored. */
	if ((k.class == CLASS_RX && k.command == RX_ALLMULTI) ||
	    (k.class == CLASS_MAC && k.command == MAC_TABLE_SET))
		return ACK_OK;
	return ACK_ERROR;
}

void vnet_control(struct vnet *n)
{
	struct virtio *d = &n->d;
	struct vqueue *q = &d->queue[VNET_CONTROL];
	bool more = true;

	for (unsigned i = 0; more && i < VIRTIO_BUDGET; i++) {
		struct wish w = { 0 };
		uint64_t flags = spin_lock_irq(&d->lock);
		int got = virtio_live(d) ? vqueue_next(q, &n->control) : 0;
		uint8_t ack;

		more = got > 0;
		if (more) {
			ack = obey(n, &n->control, &w);
			if (!n->control.write_bytes ||
			    vchain_write(d->gmem, &n->control, 0, &ack, 1) != 1 ||
			    vqueue_done(q, n->control.head, 1))
				got = -EPROTO;
			else
				virtio_signal(d, q);
		}
		if (got < 0)
			virtio_broken(d);
		spin_unlock_irq(&d->lock, flags);
		if (w.mac)
			port_set_mac(n->port, w.address);
		if (w.promisc)
			port_set_promisc(n->port, w.on);
	}
}
