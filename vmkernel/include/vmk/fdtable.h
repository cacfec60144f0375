// SPDX-License-Identifier: Apache-2.0
/*
 * What a process holds of the file world: its descriptor table and its directory context. Both are
 * reference counted, because CLONE_FILES and CLONE_FS share them (vmkernel/fs/fdtable.c, fsctx.c).
 */
#ifndef VMK_FDTABLE_H
#define VMK_FDTABLE_H
#include "vmk/file.h"

struct fdtable;
int __must_check fdtable_create(struct fdtable **out); /* empty */
int __must_check fdtable_clone(struct fdtable *t, struct fdtable **out);
struct fdtable *fdtable_get(struct fdtable *t);
void fdtable_put(struct fdtable *t); /* the last one closes everything */
void fdtable_close_on_exec(struct fdtable *t);

/* Operations on any table; fd_get and fd_install in file.h are these on the current process's. */
struct file *__must_check fdtable_file(struct fdtable *t, int fd); /* a reference or NULL */
/* Lowest free descriptor >= min; takes the reference; -EMFILE at limit. */
int __must_check fdtable_install(struct fdtable *t, struct file *f, int min, bool cloexec,
                                 unsigned limit);
/* dup2: replaces fd; a reference of f is taken over. */
int __must_check fdtable_replace(struct fdtable *t, int fd, struct file *f, bool cloexec,
                                 unsigned limit);
int fdtable_close(struct fdtable *t, int fd);            /* 0 or -EBADF */
int fdtable_next(struct fdtable *t, int fd);             /* first used >= fd, or -1 */
int fdtable_cloexec(struct fdtable *t, int fd, int set); /* set -1: ask; 0, 1 or -EBADF */

struct fsctx;                                      /* root, working directory, umask */
int __must_check fsctx_create(struct fsctx **out); /* "/" and umask 022 */
int __must_check fsctx_clone(struct fsctx *c, struct fsctx **out);
struct fsctx *fsctx_get(struct fsctx *c);
void fsctx_put(struct fsctx *c);

/* The absolute path of an open file, "pipe:[7]" and the like; bytes without the 0 or -ERANGE. */
int file_path(const struct file *f, char *buf, size_t size);
/* execve: opens a regular file with execute permission for the current process. */
int __must_check vfs_open_exec(int dirfd, const char *path, unsigned at_flags, struct file **out);
/* Reads up to n bytes at pos into kernel memory. */
ssize_t __must_check file_read_kernel(struct file *f, void *buf, size_t n, uint64_t pos);
#endif
