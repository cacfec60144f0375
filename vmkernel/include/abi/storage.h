// SPDX-License-Identifier: Apache-2.0
/* Operations on block devices and datastores (vmkernel/ctl/ops_storage.c). */
#ifndef ABI_STORAGE_H
#define ABI_STORAGE_H
#include "abi/host.h"

enum ctl_storage_op {
	CTL_STORAGE_DEVICES = CTL_BASE_STORAGE,
	CTL_STORAGE_RESCAN, /* reads a disk's partition table again */
	CTL_STORAGE_FORMAT, /* makes a datastore: everything on the device is lost */
	CTL_STORAGE_MOUNT,
	CTL_STORAGE_STATS,
	CTL_STORAGE_UNMOUNT,
	CTL_STORAGE_VOLUMES, /* what is mounted */
	CTL_STORAGE_WORLDS,  /* whose requests a disk served */
};

struct ctl_blk {
	char id[96];
	char node[24];
	char vendor[16];
	char model[48];
	char serial[24];
	char revision[16];
	char adapter[16]; /* vmhba0 */
	char driver[16];
	char pci[16]; /* 0000:00:03.0 */
	uint64_t blocks;
	uint64_t start; /* partitions: byte offset in the disk */
	uint32_t block_size;
	uint32_t partition; /* 0: the whole disk */
	uint32_t depth;
	uint32_t flags; /* enum ctl_blk_flags */
	uint8_t type_guid[16];
	uint8_t part_guid[16];
	char part_name[40];
};
ABI_SIZE(struct ctl_blk, 376);
enum ctl_blk_flags {
	CTL_BLK_READ_ONLY = 1,
	CTL_BLK_SSD = 2,
	CTL_BLK_REMOVABLE = 4,
	CTL_BLK_OPEN = 8,
	CTL_BLK_IN_USE = 16, /* open exclusively: mounted, or a running VM's */
	CTL_BLK_OS_DATA = 32,
	CTL_BLK_DATASTORE = 64 /* both: by the partition's type */
};
enum ctl_blk_limits { CTL_BLKS_PAGE = 128 };
struct ctl_storage_devices {
	struct ctl_page page;
	struct ctl_blk blk[128];
};

struct ctl_storage_device {
	char id[96]; /* or the node's name */
};

struct ctl_volume {
	char device[96];
	char label[64];
	char damage[160]; /* why it is read-only; "" */
	uint8_t uuid[16];
	uint64_t size; /* bytes */
	uint64_t free;
	uint32_t read_only;
	uint32_t reserved;
};
ABI_SIZE(struct ctl_volume, 360);
enum ctl_volume_limits { CTL_VOLUMES_PAGE = 128 };
struct ctl_storage_volumes {
	struct ctl_page page;
	struct ctl_volume volume[128];
};

struct ctl_storage_format {
	char id[96];
	char label[64];
	uint8_t uuid[16];
};
ABI_SIZE(struct ctl_storage_format, 176);

/* Operations in the order of enum blk_op: read, write, flush, discard, write zeroes. */
struct ctl_storage_stats {
	uint64_t ops[5];
	uint64_t bytes[5];
	uint64_t errors;
	uint64_t retries;
	uint64_t timeouts;
	uint64_t latency_us_log2[24];
	uint32_t inflight;
	uint32_t max_inflight;
};
ABI_SIZE(struct ctl_storage_stats, 304);

struct ctl_blk_world {
	char name[32]; /* "": it has ended */
	uint32_t id;   /* 0: several that have */
	uint32_t errors;
	uint64_t ops;
	uint64_t bytes_read;
	uint64_t bytes_written;
	uint64_t time_ns; /* from submission to the end, of all requests */
};
ABI_SIZE(struct ctl_blk_world, 72);
enum ctl_blk_world_limits { CTL_BLK_WORLDS = 128 };
struct ctl_storage_worlds {
	uint32_t count;
	uint32_t reserved;
	struct ctl_blk_world world[128];
};
#endif
