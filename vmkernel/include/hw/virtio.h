// SPDX-License-Identifier: Apache-2.0
/*
 * Virtio as the specification lays it out, for both sides: the host's drivers (drivers/virtio,
 * drivers/block, drivers/net) and the devices that guests see (vmkernel/vdev/virtio). Split
 * virtqueues, the PCI transport, the legacy registers, block and network devices. Everything is
 * little-endian. Names are the specification's; registers are the fields of its structures, and
 * VIRTIO_PCI_COMMON(field) and the like give their offsets.
 * Spec: VIRTIO 1.2; bare section numbers.
 */
#ifndef HW_VIRTIO_H
#define HW_VIRTIO_H
#include "vmk/types.h"

/* Device types, 5 */
enum virtio_id {
	VIRTIO_ID_NET = 1,
	VIRTIO_ID_BLOCK = 2,
	VIRTIO_ID_CONSOLE = 3,
	VIRTIO_ID_ENTROPY = 4,
};

/* Device status, 2.1 */
enum virtio_device_status {
	VIRTIO_ACKNOWLEDGE = 1,
	VIRTIO_DRIVER = 2,
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_DEVICE_NEEDS_RESET = 64,
	VIRTIO_FAILED = 128,
};

/* Features of every device type, 6 */
#define VIRTIO_F_ANY_LAYOUT    BIT(27) /* legacy devices only, 6.3 */
#define VIRTIO_F_INDIRECT_DESC BIT(28)
#define VIRTIO_F_EVENT_IDX     BIT(29)
#define VIRTIO_F_VERSION_1     BIT(32)

/* Split virtqueues, 2.7 */

struct virtq_desc { /* 2.7.5 */
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
ASSERT_SIZE(struct virtq_desc, 16);
ASSERT_OFFSET(struct virtq_desc, len, 8);
ASSERT_OFFSET(struct virtq_desc, flags, 12);
ASSERT_OFFSET(struct virtq_desc, next, 14);
enum {
	VIRTQ_DESC_F_NEXT = 1,
	VIRTQ_DESC_F_WRITE = 2,
	VIRTQ_DESC_F_INDIRECT = 4,
};

struct virtq_avail { /* 2.7.6; used_event follows the ring */
	uint16_t flags, idx, ring[];
};
ASSERT_OFFSET(struct virtq_avail, idx, 2);
ASSERT_OFFSET(struct virtq_avail, ring, 4);
enum { VIRTQ_AVAIL_F_NO_INTERRUPT = 1 };

struct virtq_used_elem { /* 2.7.8 */
	uint32_t id, len;
};
ASSERT_SIZE(struct virtq_used_elem, 8);
struct virtq_used { /* avail_event follows the ring */
	uint16_t flags, idx;
	struct virtq_used_elem ring[];
};
ASSERT_OFFSET(struct virtq_used, idx, 2);
ASSERT_OFFSET(struct virtq_used, ring, 4);
enum { VIRTQ_USED_F_NO_NOTIFY = 1 };

/* Alignments, 2.7; in the legacy layout the used ring starts at the next multiple of 4096, 2.7.2 */
enum {
	VIRTQ_DESC_ALIGN = 16,
	VIRTQ_AVAIL_ALIGN = 2,
	VIRTQ_USED_ALIGN = 4,
	VIRTQ_LEGACY_ALIGN = 4096,
};

/* PCI, 4.1 */

enum { /* 4.1.2 */
       VIRTIO_PCI_VENDOR = 0x1af4,
       VIRTIO_PCI_TRANSITIONAL_NET = 0x1000,
       VIRTIO_PCI_TRANSITIONAL_BLOCK = 0x1001,
       VIRTIO_PCI_DEVICE_BASE = 0x1040, /* plus the device type */
};

struct virtio_pci_cap { /* 4.1.4, a vendor-specific capability */
	uint8_t cap_vndr, cap_next, cap_len, cfg_type, bar, id, padding[2];
	uint32_t offset, length;
};
ASSERT_SIZE(struct virtio_pci_cap, 16);
ASSERT_OFFSET(struct virtio_pci_cap, cfg_type, 3);
ASSERT_OFFSET(struct virtio_pci_cap, bar, 4);
ASSERT_OFFSET(struct virtio_pci_cap, offset, 8);
ASSERT_OFFSET(struct virtio_pci_cap, length, 12);
enum virtio_pci_cfg_type {
	VIRTIO_PCI_CAP_COMMON_CFG = 1,
	VIRTIO_PCI_CAP_NOTIFY_CFG = 2,
	VIRTIO_PCI_CAP_ISR_CFG = 3,
	VIRTIO_PCI_CAP_DEVICE_CFG = 4,
	VIRTIO_PCI_CAP_PCI_CFG = 5,
};
struct virtio_pci_notify_cap { /* 4.1.4.4 */
	struct virtio_pci_cap cap;
	uint32_t notify_off_multiplier;
};
ASSERT_SIZE(struct virtio_pci_notify_cap, 20);
#define VIRTIO_PCI_CAP(field) offsetof(struct virtio_pci_notify_cap, field)

/*
 * Common configuration, 4.1.4.3. The specification has 1.2 append queue_notify_data and queue_reset
 * for features that neither side here offers.
 */
struct virtio_pci_common_cfg {
	uint32_t device_feature_select, device_feature;
	uint32_t driver_feature_select, driver_feature;
	uint16_t config_msix_vector, num_queues;
	uint8_t device_status, config_generation;
	uint16_t queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
	uint64_t queue_desc, queue_driver, queue_device;
};
ASSERT_SIZE(struct virtio_pci_common_cfg, 0x38);
ASSERT_OFFSET(struct virtio_pci_common_cfg, driver_feature, 0x0c);
ASSERT_OFFSET(struct virtio_pci_common_cfg, config_msix_vector, 0x10);
ASSERT_OFFSET(struct virtio_pci_common_cfg, device_status, 0x14);
ASSERT_OFFSET(struct virtio_pci_common_cfg, queue_select, 0x16);
ASSERT_OFFSET(struct virtio_pci_common_cfg, queue_notify_off, 0x1e);
ASSERT_OFFSET(struct virtio_pci_common_cfg, queue_desc, 0x20);
ASSERT_OFFSET(struct virtio_pci_common_cfg, queue_device, 0x30);
#define VIRTIO_PCI_COMMON(field) offsetof(struct virtio_pci_common_cfg, field)
enum { VIRTIO_MSI_NO_VECTOR = 0xffff }; /* 4.1.5.1.2 */

enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 }; /* 4.1.4.5: reading clears it */

/* Legacy registers in the I/O BAR, 4.1.4.10 */
enum {
	VIRTIO_LEGACY_DEVICE_FEATURES = 0,
	VIRTIO_LEGACY_DRIVER_FEATURES = 4,
	VIRTIO_LEGACY_QUEUE_ADDRESS = 8, /* in pages of 4096 bytes */
	VIRTIO_LEGACY_QUEUE_SIZE = 12,
	VIRTIO_LEGACY_QUEUE_SELECT = 14,
	VIRTIO_LEGACY_QUEUE_NOTIFY = 16,
	VIRTIO_LEGACY_DEVICE_STATUS = 18,
	VIRTIO_LEGACY_ISR_STATUS = 19,
	VIRTIO_LEGACY_CONFIG_MSIX_VECTOR = 20, /* this and the next only while MSI-X is on */
	VIRTIO_LEGACY_QUEUE_MSIX_VECTOR = 22,
	VIRTIO_LEGACY_CONFIG = 20,
	VIRTIO_LEGACY_CONFIG_WITH_MSIX = 24,
};

/* Network device, 5.1 */

/* Features, 5.1.3 */
#define VIRTIO_NET_F_CSUM          BIT(0)
#define VIRTIO_NET_F_GUEST_CSUM    BIT(1)
#define VIRTIO_NET_F_MTU           BIT(3)
#define VIRTIO_NET_F_MAC           BIT(5)
#define VIRTIO_NET_F_GUEST_TSO4    BIT(7)
#define VIRTIO_NET_F_GUEST_TSO6    BIT(8)
#define VIRTIO_NET_F_HOST_TSO4     BIT(11)
#define VIRTIO_NET_F_HOST_TSO6     BIT(12)
#define VIRTIO_NET_F_MRG_RXBUF     BIT(15)
#define VIRTIO_NET_F_STATUS        BIT(16)
#define VIRTIO_NET_F_CTRL_VQ       BIT(17)
#define VIRTIO_NET_F_CTRL_RX       BIT(18)
#define VIRTIO_NET_F_MQ            BIT(22)
#define VIRTIO_NET_F_CTRL_MAC_ADDR BIT(23)

struct virtio_net_config { /* 5.1.4, as far as the features above reach */
	uint8_t mac[6];
	uint16_t status, max_virtqueue_pairs, mtu;
};
ASSERT_OFFSET(struct virtio_net_config, status, 6);
ASSERT_OFFSET(struct virtio_net_config, max_virtqueue_pairs, 8);
ASSERT_OFFSET(struct virtio_net_config, mtu, 10);
#define VIRTIO_NET_CONFIG(field) offsetof(struct virtio_net_config, field)
enum { VIRTIO_NET_S_LINK_UP = 1 };

struct virtio_net_hdr { /* 5.1.6, in front of every frame */
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
	uint16_t num_buffers; /* on a legacy device only with MRG_RXBUF */
};
ASSERT_SIZE(struct virtio_net_hdr, 12);
ASSERT_OFFSET(struct virtio_net_hdr, csum_start, 6);
ASSERT_OFFSET(struct virtio_net_hdr, num_buffers, 10);
enum { VIRTIO_NET_HDR_LEGACY_SIZE = 10 }; /* without num_buffers */
enum { VIRTIO_NET_HDR_F_NEEDS_CSUM = 1, VIRTIO_NET_HDR_F_DATA_VALID = 2 };
enum {
	VIRTIO_NET_HDR_GSO_NONE = 0,
	VIRTIO_NET_HDR_GSO_TCPV4 = 1,
	VIRTIO_NET_HDR_GSO_TCPV6 = 4,
	VIRTIO_NET_HDR_GSO_ECN = 0x80,
};

struct virtio_net_ctrl { /* 5.1.6.5; the command's data and the byte of the answer follow */
	uint8_t class_id, command;
};
ASSERT_SIZE(struct virtio_net_ctrl, 2);
enum { VIRTIO_NET_OK = 0, VIRTIO_NET_ERR = 1 };
enum virtio_net_ctrl_class {
	VIRTIO_NET_CTRL_RX = 0,
	VIRTIO_NET_CTRL_MAC = 1,
	VIRTIO_NET_CTRL_MQ = 4,
};
enum { VIRTIO_NET_CTRL_RX_PROMISC = 0, VIRTIO_NET_CTRL_RX_ALLMULTI = 1 };
enum { VIRTIO_NET_CTRL_MAC_TABLE_SET = 0, VIRTIO_NET_CTRL_MAC_ADDR_SET = 1 };
enum { VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET = 0 };

/* Block device, 5.2 */

/* Features, 5.2.3 */
#define VIRTIO_BLK_F_SEG_MAX      BIT(2)
#define VIRTIO_BLK_F_RO           BIT(5)
#define VIRTIO_BLK_F_BLK_SIZE     BIT(6)
#define VIRTIO_BLK_F_FLUSH        BIT(9)
#define VIRTIO_BLK_F_TOPOLOGY     BIT(10)
#define VIRTIO_BLK_F_MQ           BIT(12)
#define VIRTIO_BLK_F_DISCARD      BIT(13)
#define VIRTIO_BLK_F_WRITE_ZEROES BIT(14)

struct virtio_blk_config { /* 5.2.4, without what 1.2 appends for secure erase and zones */
	uint64_t capacity; /* sectors of 512 bytes, whatever blk_size is */
	uint32_t size_max, seg_max;
	struct {
		uint16_t cylinders;
		uint8_t heads, sectors;
	} geometry;
	uint32_t blk_size;
	struct {
		uint8_t physical_block_exp, alignment_offset;
		uint16_t min_io_size;
		uint32_t opt_io_size;
	} topology;
	uint8_t writeback, unused0;
	uint16_t num_queues;
	uint32_t max_discard_sectors, max_discard_seg, discard_sector_alignment;
	uint32_t max_write_zeroes_sectors, max_write_zeroes_seg;
	uint8_t write_zeroes_may_unmap, unused1[7];
};
ASSERT_SIZE(struct virtio_blk_config, 64);
ASSERT_OFFSET(struct virtio_blk_config, seg_max, 12);
ASSERT_OFFSET(struct virtio_blk_config, blk_size, 20);
ASSERT_OFFSET(struct virtio_blk_config, topology, 24);
ASSERT_OFFSET(struct virtio_blk_config, num_queues, 34);
ASSERT_OFFSET(struct virtio_blk_config, max_discard_sectors, 36);
ASSERT_OFFSET(struct virtio_blk_config, max_write_zeroes_sectors, 48);
ASSERT_OFFSET(struct virtio_blk_config, write_zeroes_may_unmap, 56);
#define VIRTIO_BLK_CONFIG(field) offsetof(struct virtio_blk_config, field)
enum { VIRTIO_BLK_SECTOR_SHIFT = 9 }; /* of every sector number below, too */

struct virtio_blk_req { /* 5.2.6; data and the byte of the status follow */
	uint32_t type, reserved;
	uint64_t sector;
};
ASSERT_SIZE(struct virtio_blk_req, 16);
ASSERT_OFFSET(struct virtio_blk_req, sector, 8);
enum virtio_blk_type {
	VIRTIO_BLK_T_IN = 0,
	VIRTIO_BLK_T_OUT = 1,
	VIRTIO_BLK_T_FLUSH = 4,
	VIRTIO_BLK_T_GET_ID = 8,
	VIRTIO_BLK_T_DISCARD = 11,
	VIRTIO_BLK_T_WRITE_ZEROES = 13,
};
enum { VIRTIO_BLK_ID_BYTES = 20 };
enum { VIRTIO_BLK_S_OK = 0, VIRTIO_BLK_S_IOERR = 1, VIRTIO_BLK_S_UNSUPP = 2 };
struct virtio_blk_discard_write_zeroes {
	uint64_t sector;
	uint32_t num_sectors, flags;
};
ASSERT_SIZE(struct virtio_blk_discard_write_zeroes, 16);
#endif
