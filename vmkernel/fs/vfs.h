// SPDX-License-Identifier: Apache-2.0
/*
 * Inside of fs/ and for the system calls on files (linux/): names in use, path walks, and the
 * operations on paths that both calls and the kernel use.
 *
 * A dentry exists while somebody uses the name (an open file, a working directory, a child's
 * dentry), so two users of one name share it, and renames and mounts are seen by all. tree_lock
 * (dentry.c) guards its members; the directory's inode lock serialises lookup against change.
 */
#ifndef FS_VFS_H
#define FS_VFS_H
#include "fs/linux.h"
#include "proc/signal.h"
#include "vmk/errno.h"
#include "vmk/fdtable.h"
#include "vmk/time.h"
#include "vmk/user.h"

struct dentry {
	struct list hash;
	struct dentry *parent;  /* reference; NULL: the root of all, or nowhere in the tree */
	struct inode *inode;    /* reference */
	struct dentry *mounted; /* root of the file system that is mounted here */
	char *name;
	uint32_t refs;
	bool is_root; /* of its file system; parent is then the name it covers */
	bool deleted;
};

extern struct dentry *vfs_root;

struct dentry *dentry_get(struct dentry *d);
void dentry_put(struct dentry *d);
/* A dentry outside of the tree: for files that are reached without a path. */
int __must_check dentry_alone(struct inode *i, const char *name, struct dentry **out);
/* The child's dentry; -ENOENT when there is none. Follows mounts. */
int __must_check dentry_lookup(struct dentry *dir, const char *name, struct dentry **out);
/*
 * A new child whose inode the caller has just made, under the directory's lock; takes the
 * reference.
 */
int __must_check dentry_add(struct dentry *dir, const char *name, struct inode *i,
                            struct dentry **out);
struct dentry *dentry_find(struct dentry *dir, const char *name);    /* only if in use */
struct dentry *dentry_parent(struct dentry *d, struct dentry *root); /* "..", with a reference */
void dentry_deleted(struct dentry *dir, const char *name);
int __must_check dentry_renamed(struct dentry *dir, const char *name, struct dentry *to,
                                const char *to_name, bool exchange);
bool dentry_below(struct dentry *d, struct dentry *above); /* d is above or inside of it */
/* The path from root; " (deleted)" is added for deleted names. Bytes or -ERANGE. */
int dentry_path(struct dentry *d, struct dentry *root, char *buf, size_t size);
int __must_check dentry_mount(struct dentry *at, struct dentry *root);
int __must_check
dentry_unmount(struct dentry *root); /* the caller holds one reference: -EBUSY for more */
/* fn for each mounted root, under tree_lock. */
void dentry_each_mount(void (*fn)(struct dentry *root, void *arg), void *arg);

enum walk_flags {
	WALK_FOLLOW = 1, /* a link as last component is followed */
	WALK_PARENT = 2, /* stops before the last component and gives its name */
	WALK_MAYBE = 4,  /* the last component may be missing: then as with WALK_PARENT */
	WALK_EMPTY = 8,  /* "" is the base itself */
};
struct walk {
	struct dentry *at;       /* what was found, or the directory for name; with a reference */
	char name[NAME_MAX + 1]; /* WALK_PARENT and missing names; "" when at is the thing itself */
	bool slash;              /* the path ended in '/' */
	bool too_long; /* WALK_PARENT: the name is longer than NAME_MAX, "name" its beginning */
	bool dots; /* WALK_PARENT: the last component was ".", ".." or nothing; "name" holds it */
};
/* base NULL: the current working directory. */
int __must_check path_walk(struct dentry *base, const char *path, unsigned flags, struct walk *w);
int __must_check path_lookup(struct dentry *base, const char *path, unsigned flags,
                             struct dentry **out);

int __must_check inode_permission(struct inode *i, unsigned may); /* MAY_*, effective ids */
int __must_check inode_setattr(struct inode *i, struct vstat *to,
                               unsigned mask); /* no permission check */
void inode_stat(struct inode *i, struct vstat *st);
enum inode_type inode_type(const struct inode *i);
uint64_t fs_next_dev(void);
uint64_t ino_next(void); /* for file systems without numbers of their own */
int __must_check anon_inode(uint32_t mode, struct inode **out);

/* Operations by path; base NULL: working directory. mode is masked with umask by the callers. */
int __must_check vfs_open_at(struct dentry *base, const char *path, unsigned flags, uint32_t mode,
                             struct file **out);
int __must_check vfs_open_dentry(struct dentry *d, unsigned flags, struct file **out);
int __must_check vfs_open_dentry_exec(struct dentry *d,
                                      struct file **out); /* execute permission suffices */
int __must_check vfs_make(struct dentry *base, const char *path, uint32_t mode, uint64_t rdev,
                          const char *target, struct dentry **out); /* out may be NULL */
int __must_check vfs_remove(struct dentry *base, const char *path, bool directory);
int __must_check vfs_rename(struct dentry *from, const char *path, struct dentry *to,
                            const char *to_path, unsigned flags);
int __must_check vfs_link(struct dentry *old, struct dentry *base, const char *path);

/* The working directory and root of the current process (the kernel's: "/"); with references. */
struct dentry *fsctx_cwd(void);
struct dentry *fsctx_root(void);
void fsctx_set_cwd(struct dentry *d); /* takes the reference */
void fsctx_set_root(struct dentry *d);
uint32_t fsctx_umask(int set); /* -1: only ask */
/* Another process's, for /proc; with references. */
struct dentry *fsctx_cwd_of(struct fsctx *c);
struct dentry *fsctx_root_of(struct fsctx *c);

/* file.c: with the flags, position and limits of the calls. */
ssize_t file_read(struct file *f, struct uio *u, uint64_t *pos); /* pos NULL: the file's own */
ssize_t file_write(struct file *f, struct uio *u, uint64_t *pos);
int64_t file_seek(struct file *f, int64_t off, int whence);
int __must_check file_truncate(struct file *f, uint64_t size);
/* As file_alloc, with the type and mode that fstat shows. */
int __must_check file_alloc_mode(const struct file_ops *ops, void *priv, uint32_t flags,
                                 uint32_t mode, struct file **out);

/* A file over i without operations yet. */
int __must_check file_alloc_inode(struct inode *i, uint32_t flags, struct file **out);

/* A growing text for generated files. */
struct text_buf {
	char *p;
	size_t len, size;
	int error; /* 0 or what the read gives: -ENOMEM; -ESRCH where the process is gone */
};
void text_append(struct text_buf *t, const void *data, size_t n);

/* Devices by type and number; devfs.c. */
int __must_check device_open(struct inode *i, struct file *f);
/* Parts of fs_init, in this order. */
void tmpfs_init(void);
void devfs_init(void);
int __must_check devmem_init(void);
void procfs_init(void);
void sysfs_init(void);
void sysfs_pci_init(void); /* after pci_scan() */
void pipe_init(void);
void tty_init(void);
void unix_init(void);

/* tmpfs.c: a fresh tmpfs; limit in pages for data. */
int __must_check tmpfs_create(const char *name, uint64_t limit, struct fs **out);
/* A nameless file: O_TMPFILE, memfd_create. */
int __must_check tmpfs_anon_file(struct fs *fs, uint32_t mode, struct inode **out);
int tmpfs_punch(struct inode *i, uint64_t from, uint64_t to); /* zeroes; -EOPNOTSUPP elsewhere */
long tmpfs_seals(struct inode *i, int add);                   /* F_ADD_SEALS; add -1: F_GET_SEALS */
extern struct fs *tmpfs_root;                                 /* the one at "/" */
/* Data that is used in place until it is written to: the boot module's. */
void tmpfs_set_backing(struct inode *i, const uint8_t *data, uint64_t len);

int fifo_open(struct inode *i, struct file *f);
int pipe_create(uint32_t flags, struct file *out[2]);
bool is_pipe(const struct file *f);
/*
 * splice: pipe_peek copies what is there, at most what u takes, and leaves it in; 0 is the end.
 * After more than 0, pipe_consume takes n of it out; other readers wait for that. pipe_room: bytes
 * that fit, at least 1.
 */
ssize_t __must_check pipe_peek(struct file *f, struct uio *u, bool nonblock);
void pipe_consume(struct file *f, size_t n);
ssize_t __must_check pipe_room(struct file *f, bool nonblock);
long pipe_size(struct file *f, long set); /* F_GETPIPE_SZ when set is 0; -EBADF for others */

/* flock.c */
void lock_init(void);
struct linux_flock {
	int16_t type, whence;
	int32_t pad;
	int64_t start, len;
	int32_t pid, pad2;
};
ASSERT_SIZE(struct linux_flock, 32);
int lock_flock(struct file *f, unsigned op);
int lock_posix(struct file *f, int cmd, struct linux_flock *l); /* F_GETLK ... F_OFD_SETLKW */
void lock_release_owner(struct inode *i, const void *owner);
#endif
