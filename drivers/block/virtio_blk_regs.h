// SPDX-License-Identifier: Apache-2.0
/* Virtio block devices. Spec: VIRTIO 1.1 5.2. */
#ifndef VIRTIO_BLK_REGS_H
#define VIRTIO_BLK_REGS_H
#include "vmk/types.h"

/* Features, 5.2.3 */
#define VBLK_F_SEG_MAX      BIT(2)
#define VBLK_F_RO           BIT(5)
#define VBLK_F_BLK_SIZE     BIT(6)
#define VBLK_F_FLUSH        BIT(9)
#define VBLK_F_MQ           BIT(12)
#define VBLK_F_DISCARD      BIT(13)
#define VBLK_F_WRITE_ZEROES BIT(14)

/* Configuration, 5.2.4 */
enum {
	VBLK_CAPACITY = 0,
	VBLK_SEG_MAX = 12,
	VBLK_BLK_SIZE = 20,
	VBLK_NUM_QUEUES = 34,
	VBLK_MAX_DISCARD = 36,
	VBLK_MAX_ZEROES = 48
};
enum { VBLK_SECTOR_SHIFT = 9 }; /* of capacity and of every request, whatever the block size */

/* Requests, 5.2.6 */
enum {
	VBLK_IN = 0,
	VBLK_OUT = 1,
	VBLK_FLUSH = 4,
	VBLK_GET_ID = 8,
	VBLK_DISCARD = 11,
	VBLK_WRITE_ZEROES = 13
};
enum { VBLK_OK = 0, VBLK_IOERR = 1, VBLK_UNSUPPORTED = 2, VBLK_ID_SIZE = 20 };
struct vblk_header {
	uint32_t type, reserved;
	uint64_t sector;
};
ASSERT_SIZE(struct vblk_header, 16);
struct vblk_range { /* discard, write zeroes */
	uint64_t sector;
	uint32_t sectors, flags;
};
ASSERT_SIZE(struct vblk_range, 16);
#endif
