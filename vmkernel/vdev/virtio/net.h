// SPDX-License-Identifier: Apache-2.0
/* A virtio network device, between its two files. */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H
#include "vdev/virtio/virtio.h"
#include "vmk/port.h"

enum { VNET_PAIRS = 8, VNET_FLOWS = 256 };

/* Queue 2i receives, 2i + 1 sends; the control queue is the last. */
struct vnet {
	struct virtio d;
	struct port *port;
	uint8_t mac[ETH_ALEN];
	uint16_t pairs, active; /* active: pairs that the driver uses, under the device's lock */
	uint32_t filled; /* pairs that received since the last flush, under the device's lock */
	struct {
		struct mutex tx_lock; /* one sender */
		struct vchain tx;     /* the sender's */
	} pair[VNET_PAIRS];
	struct vchain rx_first, rx_more, control; /* under the device's lock */
	uint8_t flow[VNET_FLOWS];                 /* the pair by which a flow was last sent */
};

static inline unsigned vnet_control_queue(const struct vnet *n)
{
	return n->d.features & VIRTIO_NET_F_MQ ? 2u * n->pairs : 2;
}

/* net_control.c */
void vnet_control(struct vnet *n); /* the control queue was kicked */
void vnet_flow_sent(struct vnet *n, unsigned pair, const struct pkt *p);
unsigned vnet_flow_pair(const struct vnet *n, const struct pkt *p); /* to receive it by */
#endif
