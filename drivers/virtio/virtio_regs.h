// SPDX-License-Identifier: Apache-2.0
/*
 * Virtio over PCI, modern and legacy, and split virtqueues. Spec: VIRTIO 1.1; bare section numbers.
 */
#ifndef VIRTIO_REGS_H
#define VIRTIO_REGS_H
#include "vmk/types.h"

enum { VIRTIO_VENDOR = 0x1af4 };

/* Device status, 2.1 */
enum {
	VIRTIO_ACKNOWLEDGE = 1,
	VIRTIO_DRIVER = 2,
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
	VIRTIO_FAILED = 128
};

/* Features that are not one device type's, 6 */
#define VIRTIO_F_ANY_LAYOUT    BIT(27) /* legacy, 6.3 */
#define VIRTIO_F_INDIRECT_DESC BIT(28)
#define VIRTIO_F_EVENT_IDX     BIT(29)
#define VIRTIO_F_VERSION_1     BIT(32)

/* Capability in configuration space, 4.1.4: offsets from its start */
enum {
	VIRTIO_CAP_TYPE = 3,
	VIRTIO_CAP_BAR = 4,
	VIRTIO_CAP_OFFSET = 8,
	VIRTIO_CAP_LENGTH = 12,
	VIRTIO_CAP_NOTIFY_MULTIPLIER = 16
};
enum { VIRTIO_CAP_COMMON = 1, VIRTIO_CAP_NOTIFY = 2, VIRTIO_CAP_ISR = 3, VIRTIO_CAP_DEVICE = 4 };

/* Common configuration, 4.1.4.3 */
enum {
	VIRTIO_DEVICE_FEATURE_SELECT = 0x00,
	VIRTIO_DEVICE_FEATURE = 0x04,
	VIRTIO_DRIVER_FEATURE_SELECT = 0x08,
	VIRTIO_DRIVER_FEATURE = 0x0c,
	VIRTIO_CONFIG_MSIX = 0x10,
	VIRTIO_NUM_QUEUES = 0x12,
	VIRTIO_STATUS = 0x14,
	VIRTIO_CONFIG_GENERATION = 0x15,
	VIRTIO_QUEUE_SELECT = 0x16,
	VIRTIO_QUEUE_SIZE = 0x18,
	VIRTIO_QUEUE_MSIX = 0x1a,
	VIRTIO_QUEUE_ENABLE = 0x1c,
	VIRTIO_QUEUE_NOTIFY_OFF = 0x1e,
	VIRTIO_QUEUE_DESC = 0x20,
	VIRTIO_QUEUE_AVAIL = 0x28,
	VIRTIO_QUEUE_USED = 0x30,
	VIRTIO_COMMON_SIZE = 0x38,
	VIRTIO_NO_VECTOR = 0xffff,
};
enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 }; /* 4.1.4.5: reading clears */

/* Legacy registers in the I/O BAR, 4.1.4.8 */
enum {
	VIRTIO_LEGACY_DEVICE_FEATURES = 0,
	VIRTIO_LEGACY_DRIVER_FEATURES = 4,
	VIRTIO_LEGACY_QUEUE_PFN = 8,
	VIRTIO_LEGACY_QUEUE_SIZE = 12,
	VIRTIO_LEGACY_QUEUE_SELECT = 14,
	VIRTIO_LEGACY_QUEUE_NOTIFY = 16,
	VIRTIO_LEGACY_STATUS = 18,
	VIRTIO_LEGACY_ISR = 19,
	VIRTIO_LEGACY_CONFIG_MSIX = 20, /* this and the next only while MSI-X is on */
	VIRTIO_LEGACY_QUEUE_MSIX = 22,
	VIRTIO_LEGACY_CONFIG = 20,
	VIRTIO_LEGACY_CONFIG_WITH_MSIX = 24,
};

/* Split virtqueues, 2.6 */
struct vring_desc { /* 2.6.5 */
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
ASSERT_SIZE(struct vring_desc, 16);
enum { VRING_NEXT = 1, VRING_WRITE = 2, VRING_INDIRECT = 4 };

struct vring_avail { /* 2.6.6; used_event stands behind the ring */
	uint16_t flags, idx, ring[];
};
struct vring_used_elem {
	uint32_t id, len;
};
struct vring_used { /* 2.6.8; avail_event stands behind the ring */
	uint16_t flags, idx;
	struct vring_used_elem ring[];
};
ASSERT_OFFSET(struct vring_used, ring, 4);
enum { VRING_AVAIL_NO_INTERRUPT = 1, VRING_USED_NO_NOTIFY = 1, VRING_ALIGN = 4096 };
#endif
