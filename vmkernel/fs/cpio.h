// SPDX-License-Identifier: Apache-2.0
/*
 * Reads a cpio archive ("newc", cpio(5)) in memory, entry by entry. Nothing in it is trusted. Zero
 * bytes between entries are skipped, as Linux does: iso/cpio.py puts file data on page boundaries
 * with them.
 */
#ifndef FS_CPIO_H
#define FS_CPIO_H
#include "vmk/types.h"

struct cpio {
	const uint8_t *data;
	size_t len, at;
};
struct cpio_entry {
	/* terminated, inside the archive; no leading "/" or "./"; "" is the root */
	const char *name;
	uint32_t mode, uid, gid, nlink, ino, mtime;
	uint32_t rdev_major, rdev_minor;
	const uint8_t *data;
	uint64_t size;
};
void cpio_init(struct cpio *c, const void *data, size_t len);
/* 1: *e is the next entry; 0: the trailer; -EINVAL: it is broken here. */
int __must_check cpio_next(struct cpio *c, struct cpio_entry *e);
#endif
