// SPDX-License-Identifier: Apache-2.0
/* A virtio network device, between its two files. */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H
#include "vdev/virtio/virtio.h"
#include "vmk/port.h"

enum { VNET_RX = 0, VNET_TX = 1, VNET_CONTROL = 2 };

struct vnet {
	struct virtio d;
	struct port *port;
	uint8_t mac[ETH_ALEN];
	struct mutex tx_lock;                     /* one sender; tx_current */
	struct vchain tx_chain, tx_current;       /* tx_chain: under the device's lock */
	struct vchain rx_first, rx_more, control; /* under the device's lock */
};

void vnet_control(struct vnet *n); /* net_control.c: the control queue was kicked */
#endif
