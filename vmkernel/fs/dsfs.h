// SPDX-License-Identifier: Apache-2.0
/* Datastores below /vmfs/volumes. */
#ifndef FS_DSFS_H
#define FS_DSFS_H
#include "vmk/blk.h"

/*
 * Mounts the datastore on dev at /vmfs/volumes/UUID with a link by its label. The device stays
 * open. -EINVAL: there is none on it.
 */
int __must_check dsfs_mount(struct blk_dev *dev);

struct file;
struct ds_file *dsfs_file(const struct file *f); /* NULL: not a datastore's file */
void dsdisk_init(void);                          /* virtual disks find their files by path */
#endif
