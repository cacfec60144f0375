// SPDX-License-Identifier: Apache-2.0
/*
 * Virtual disks: a datastore's file as a block device for one user (vmkernel/storage/vdisk.c).
 * While it is open nobody else opens the file, not even to read (-EBUSY). vdisk_submit is for
 * worlds and does not sleep; done runs once, in a bottom half or a work world, and may submit again
 * only from a world. Pages are pinned or owned by the submitter until done. Reads and writes of
 * blocks that are written go down as they are, and so does a first write, behind which metadata is
 * published; nothing is copied.
 */
#ifndef VMK_VDISK_H
#define VMK_VDISK_H
#include "vmk/blk.h"

struct vdisk;
enum vdisk_flags {
	VDISK_READ_ONLY = 1,
	VDISK_THIN = 2, /* a discard gives whole blocks back; else it does nothing */
};

struct vdisk_req {
	struct blk_req
		blk; /* the submitter's: op, offset in the disk, len, sg, sg_count; then status */
	void (*done)(struct vdisk_req *r);
	struct vdisk *disk; /* set by vdisk_submit, as is what follows */
	uint64_t offset;
	struct list link;
};

/*
 * A path below /vmfs/volumes. -ENOENT, -EBUSY, -EINVAL (no file of a datastore, or no whole
 * sectors), -EROFS, -ENOMEM.
 */
int __must_check vdisk_open(const char *path, unsigned flags, struct vdisk **out);
void vdisk_close(struct vdisk *d); /* nothing is in flight any more */
/* The size cannot change while it is open. discard_max is 0 unless it is thin. */
const struct blk_limits *vdisk_limits(const struct vdisk *d);
void vdisk_submit(struct vdisk *d, struct vdisk_req *r);

/*
 * How a path becomes a file: set once, by the file system above. *handle keeps the file open until
 * close(handle).
 */
struct ds_file;
struct vdisk_source {
	int (*open)(const char *path, bool read_only, struct ds_file **f, void **handle);
	void (*close)(void *handle);
};
void vdisk_set_source(const struct vdisk_source *s);
#endif
