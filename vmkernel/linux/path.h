// SPDX-License-Identifier: Apache-2.0
/* What the file system calls share: paths from user memory, the meaning of dirfd. */
#ifndef LINUX_PATH_H
#define LINUX_PATH_H
#include "fs/vfs.h"

/* The inode of (dirfd, path), path "" being dirfd itself with AT_EMPTY_PATH; with a reference. */
int __must_check path_inode(int dirfd, uva_t path, unsigned at_flags, struct inode **out);
/* The same, only for what has a name. */
int __must_check path_dentry(int dirfd, uva_t path, unsigned at_flags, struct dentry **out);

/* Both references pass over; both descriptors or none, written to out as two ints. */
long fd_install_pair(struct file *one, struct file *two, bool cloexec, uva_t out);
/* A vector of at most IOV_MAX pieces, RW_MAX bytes in all; kfree it. */
int __must_check vec_from_user(uva_t vec, uint64_t count, struct uio_vec **out);

/* Runs call with `f`, the file of fd, and puts it. */
#define WITH_FILE(fd, f, call)                            \
	({                                                \
		struct file *f = fd_get(fd);              \
		long with_r_ = f ? (long)(call) : -EBADF; \
		file_put(f);                              \
		with_r_;                                  \
	})
#endif
