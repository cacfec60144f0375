// SPDX-License-Identifier: Apache-2.0
/* Datastores below /vmfs/volumes. Worlds; mounts and unmounts are serialised here. */
#ifndef FS_DSFS_H
#define FS_DSFS_H
#include "vmk/blk.h"

/*
 * Mounts the datastore on dev, which the caller has opened exclusively, at /vmfs/volumes/UUID with
 * a link by its label ("LABEL (1)" when that is taken). The device is the volume's until the
 * unmount. -EINVAL: there is none on it.
 */
int __must_check dsfs_mount(struct blk_dev *dev);
/*
 * -EBUSY: a file, a working directory or a virtual disk is in use; -ENOENT: not mounted. Closes the
 * device.
 */
int __must_check dsfs_unmount(struct blk_dev *dev);
/* Before power off: makes everything durable and every volume read-only. */
void dsfs_freeze(void);

struct dsfs_info {
	const struct blk_dev *dev;
	const char *label, *damage; /* damage: why it is read-only; "" */
	const uint8_t *uuid;
	uint64_t blocks, free; /* of 1 MiB */
	bool read_only;
};
void dsfs_for_each(void (*fn)(const struct dsfs_info *v, void *arg), void *arg);

struct file;
struct ds_file *dsfs_file(const struct file *f); /* NULL: not a datastore's file */
void dsdisk_init(void);                          /* virtual disks find their files by path */
#endif
