// SPDX-License-Identifier: Apache-2.0
/* Virtio network devices. Spec: VIRTIO 1.1 5.1. */
#ifndef VIRTIO_NET_REGS_H
#define VIRTIO_NET_REGS_H
#include "vmk/types.h"

/* Features, 5.1.3 */
#define VNET_F_CSUM       BIT(0)
#define VNET_F_GUEST_CSUM BIT(1)
#define VNET_F_MTU        BIT(3)
#define VNET_F_MAC        BIT(5)
#define VNET_F_GUEST_TSO4 BIT(7)
#define VNET_F_GUEST_TSO6 BIT(8)
#define VNET_F_HOST_TSO4  BIT(11)
#define VNET_F_HOST_TSO6  BIT(12)
#define VNET_F_MRG_RXBUF  BIT(15)
#define VNET_F_STATUS     BIT(16)
#define VNET_F_CTRL_VQ    BIT(17)
#define VNET_F_CTRL_RX    BIT(18)
#define VNET_F_MQ         BIT(22)

/* Configuration, 5.1.4 */
enum { VNET_MAC = 0, VNET_STATUS = 6, VNET_MAX_PAIRS = 8, VNET_MTU = 10 };
enum { VNET_LINK_UP = 1 };

/* In front of every frame, 5.1.6; num_buffers only with MRG_RXBUF or VERSION_1 */
struct vnet_header {
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset, num_buffers;
};
ASSERT_SIZE(struct vnet_header, 12);
enum { VNET_HEADER_LEGACY = 10 };
enum { VNET_NEEDS_CSUM = 1, VNET_DATA_VALID = 2 };
enum { VNET_GSO_NONE = 0, VNET_GSO_TCPV4 = 1, VNET_GSO_TCPV6 = 4, VNET_GSO_ECN = 0x80 };

/* Control queue, 5.1.6.5 */
enum {
	VNET_CTRL_RX = 0,
	VNET_CTRL_RX_PROMISC = 0,
	VNET_CTRL_RX_ALLMULTI = 1,
	VNET_CTRL_MAC = 1,
	VNET_CTRL_MAC_TABLE = 0,
	VNET_CTRL_MQ = 4,
	VNET_CTRL_MQ_PAIRS = 0,
	VNET_CTRL_OK = 0
};
#endif
