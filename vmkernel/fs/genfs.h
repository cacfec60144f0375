// SPDX-License-Identifier: Apache-2.0
/*
 * File systems whose files are made up when they are read: /proc and /sys (genfs.c), and the
 * numbered directories of processes (procfs.c). gen_lock guards the tree of nodes.
 */
#ifndef FS_GENFS_H
#define FS_GENFS_H
#include "fs/vfs.h"

struct gennode {
	struct inode i;
	struct gennode *parent;
	struct list children, sibling;
	char *name;
	char *target; /* links */
	void (*text)(struct text_buf *t, void *arg);
	ssize_t (*bin)(void *arg, uint64_t off, void *buf, size_t n);
	void *arg;
	uint64_t position; /* among its siblings: readdir's cookie */
};

enum { GEN_DYNAMIC = 1 << 30 };

struct genfs {
	struct fs fs;
	struct gennode *root;
	/* Names below the root that nodes do not hold; may be NULL (procfs's processes). */
	int (*lookup)(const char *name, struct inode **out);
	/* Positions from GEN_DYNAMIC on are its own. */
	int (*list)(uint64_t *pos, bool (*emit)(void *, const char *, uint64_t, unsigned, uint64_t),
	            void *arg);
};

int __must_check genfs_create(struct genfs *fs, const char *name);
/*
 * A file, or a link when target is set, or with neither text nor bin a directory; makes directories
 * on the way.
 */
int __must_check genfs_add(struct genfs *fs, const char *path, const struct gennode *what,
                           uint32_t mode, uint64_t size);

/* An open file that shows t, which is remade by fill when it is read from the start. */
struct text_file {
	struct text_buf t;
	void (*fill)(struct text_buf *t, void *arg);
	void *arg;
	void (*put)(void *arg); /* may be NULL */
};
int __must_check text_file_open(struct file *f, void (*fill)(struct text_buf *, void *), void *arg,
                                void (*put)(void *));
int gen_statfs(struct fs *fs, uint64_t *block_size, uint64_t *blocks, uint64_t *free,
               uint64_t *inodes, uint64_t *inodes_free, char name[16]);
#endif
