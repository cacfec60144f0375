// SPDX-License-Identifier: Apache-2.0
/* The parts of tmpfs: inodes and directories (tmpfs.c), file data (tmpfs_data.c). */
#ifndef FS_TMPFS_H
#define FS_TMPFS_H
#include "fs/vfs.h"
#include "vmk/memobj.h"
#include "vmk/tree.h"

struct tmpfs {
	struct fs fs;
	uint64_t limit, used; /* pages of data; used is atomic */
};

/*
 * The data of a file. A slot holds the machine address of a page, or 0; where it is 0, the page is
 * the backing's (a boot module, used in place), or zeroes. obj.lock guards all; it outlives the
 * inode while it is mapped.
 */
struct tdata {
	struct memobj obj;
	struct tmpfs *tmpfs;
	pa_t **chunk;
	uint64_t chunks;
	const uint8_t *backing;
	uint64_t backing_len; /* bytes that still count: truncation shortens it */
	uint64_t pages_used;
};

struct tent { /* a name in a directory; the directory's lock */
	struct tree_node by_name, by_cookie;
	struct tnode *to; /* with a reference */
	uint64_t cookie;
	char name[];
};

struct tnode {
	struct inode i;
	struct tdata *data;         /* regular files */
	struct tree names, cookies; /* directories */
	uint64_t next_cookie;
	char *target;   /* links */
	uint32_t seals; /* F_SEAL_* */
};
#define to_tnode(inode) container_of(inode, struct tnode, i)

int __must_check tdata_create(struct tmpfs *fs, struct tdata **out);
int __must_check tdata_resize(struct tnode *t, uint64_t size);
int __must_check tdata_punch(struct tnode *t, uint64_t from, uint64_t to); /* zeroes a range */
extern const struct file_ops tmpfs_file_ops;
#endif
