// SPDX-License-Identifier: Apache-2.0
/* Disks and partitions as files. */
#ifndef FS_BLOCK_H
#define FS_BLOCK_H
#include "fs/vfs.h"

void block_init(void); /* after devfs_init */
/* Opens the device that i's number names; with O_EXCL in f's flags for f alone. */
int __must_check block_open(struct inode *i, struct file *f);
uint64_t block_size(const struct file *f); /* bytes; 0: not a block node */
#endif
