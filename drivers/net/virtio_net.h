// SPDX-License-Identifier: Apache-2.0
/*
 * State of a virtio network device. virtio_net.c: device and control queue; virtio_net_io.c:
 * frames. A send or receive queue's lock guards its ring; control commands and set-up run in one
 * world at a time, under ctrl_mutex.
 */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H
#include "virtio/virtio.h"
#include "vmk/lock.h"
#include "vmk/pkt.h"
#include "vmk/wait.h"
#include "vmk/work.h"

enum { VNET_PAIRS_MAX = 8, VNET_RING = 256, VNET_BATCH = 16, VNET_MACS_MAX = 64 };
#define VNET_CTRL_TIMEOUT (2 * NS_PER_S)
#define VNET_SEND_TIMEOUT (5 * NS_PER_S) /* a full ring that does not move: the device is reset */
#define VNET_RESET_QUIET  (10 * NS_PER_S)
enum { VNET_RESETS_MAX = 3 }; /* without a quiet time between them */

struct vnet;
struct vnet_rx {
	struct spinlock lock;
	struct virtq vq;
	struct vnet *dev;
	struct bottom bottom;
	bool live;
} __aligned(CACHE_LINE);

struct vnet_tx {
	struct spinlock lock;
	struct virtq vq;
	struct vnet *dev;
	struct bottom bottom;
	bool live;
	struct virtio_net_hdr *header; /* one for each head; free ones are chained through next */
	iova_t header_iova;
	uint16_t next[VNET_RING], free; /* VNET_RING: none */
	struct pkt *pkt[VNET_RING];     /* by header */
	uint16_t inflight;
	ns_t moved; /* when a frame was last handed over to an idle ring or came back */
} __aligned(CACHE_LINE);

struct vnet_ctrl {
	uint8_t class, command, ack, pad;
	uint8_t data[8 + VNET_MACS_MAX * ETH_ALEN];
};

struct vnet {
	struct virtio virtio;
	struct uplink up;
	unsigned pairs;
	uint32_t header_len;
	bool split_header; /* a legacy device that wants it in a buffer of its own */
	struct vnet_rx *rx;
	struct vnet_tx *tx;
	struct mutex ctrl_mutex;
	struct virtq ctrl;
	struct vnet_ctrl *command;
	iova_t command_iova;
	struct bottom config_bottom;
	struct work config_work;
	bool removing, registered;
	bool stuck; /* a queue is broken or does not move: config_work resets the device */
	bool dead;  /* it does not come back: under ctrl_mutex */
	ns_t last_reset;
	unsigned resets;        /* since the last quiet time */
	bool promisc, allmulti; /* as they were asked for; a reset forgets them */
};

void vnet_stuck(struct vnet *n);
void vnet_rx_bottom(struct bottom *b);
void vnet_tx_bottom(struct bottom *b);
int __must_check vnet_rx_fill(struct vnet_rx *q);
void vnet_rx_drain(struct vnet_rx *q); /* after reset: frees what the device had */
void vnet_tx_drain(struct vnet_tx *q);
int vnet_xmit(struct uplink *u, unsigned qi, struct pkt *p);
#endif
