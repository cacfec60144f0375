// SPDX-License-Identifier: Apache-2.0
/* Shared by dsfs.c (files) and dsfs_mount.c (volumes). */
#ifndef FS_DSFS_IMPL_H
#define FS_DSFS_IMPL_H
#include "fs/vfs.h"
#include "storage/ds/ds.h"

/* A mounted volume. */
struct dsfs {
	struct fs fs;
	struct ds *ds;
	struct list link;
	char path[64]; /* /vmfs/volumes/UUID */
	char name[96]; /* the link's path; "": none */
	struct mutex live_lock;
	struct list live;
};

struct dsfs_usage {
	uint64_t blocks, free, inodes, root;
};

extern const struct fs_ops dsfs_ops;
int __must_check dsfs_usage(struct ds *ds, struct dsfs_usage *out);
int __must_check dsfs_inode(struct dsfs *fs, uint64_t page, struct inode **out);
#endif
