// SPDX-License-Identifier: Apache-2.0
/*
 * Open files, inodes and file systems (vmkernel/fs/). A file is reference counted; descriptors,
 * SCM_RIGHTS messages and calls in flight hold references. Everything here is called from worlds
 * and may sleep, but file_notify.
 */
#ifndef VMK_FILE_H
#define VMK_FILE_H
#include "vmk/uio.h"
#include "vmk/wait.h"

struct file;
struct inode;
struct dentry; /* a name in the tree: fs/dentry.h */
struct memobj;
struct vstat; /* fs/: what stat, statx need */

/* Linux's poll bits. */
enum { FPOLLIN = 1, FPOLLPRI = 2, FPOLLOUT = 4, FPOLLERR = 8, FPOLLHUP = 16, FPOLLRDHUP = 0x2000 };

struct file_ops {
	const char *name; /* for /proc and the log */
	/*
	 * Bytes done or -errno; *pos is the place in the file (seekable ones advance it
	 * themselves).
	 */
	ssize_t (*read)(struct file *f, struct uio *u, uint64_t *pos);
	ssize_t (*write)(struct file *f, struct uio *u, uint64_t *pos);
	/*
	 * The bits that are ready now. Sleeping pollers wait on *q, which is set first and stays
	 * the same while the file lives. The file wakes all of *q after every change, also those of
	 * waiters for other bits.
	 */
	unsigned (*poll)(struct file *f, struct waitq **q);
	long (*ioctl)(struct file *f, unsigned cmd, uva_t arg);
	/* The object behind a mapping of it and whether it may be shared; -ENODEV by default. */
	int (*mmap)(struct file *f, uint64_t offset, uint64_t len, unsigned prot, bool shared,
	            struct memobj **obj, uint64_t *obj_offset);
	/* Entries from *pos on: emit returns false when full. Directories only. */
	int (*readdir)(struct file *f, uint64_t *pos,
	               bool (*emit)(void *arg, const char *name, uint64_t ino, unsigned type,
	                            uint64_t next),
	               void *arg);
	int (*fsync)(struct file *f, bool data_only);
	/*
	 * The next data or hole at or behind `from`, the end being a hole; -ENXIO. NULL: all is
	 * data.
	 */
	int (*seek)(struct file *f, uint64_t from, bool hole, uint64_t *found);
	/* fallocate: Linux's modes; -EOPNOTSUPP. NULL: only the size grows. */
	int (*allocate)(struct file *f, unsigned mode, uint64_t off, uint64_t len);
	void (*release)(struct file *f); /* the last reference is gone */
};

struct file {
	const struct file_ops *ops;
	struct inode *inode;   /* file_alloc gives a fresh one of the anonymous file system */
	struct dentry *dentry; /* where it was opened; NULL for anonymous ones */
	void *priv;
	uint64_t pos;
	struct mutex pos_lock;
	uint32_t flags; /* O_* of open, changed by F_SETFL */
	uint32_t refs;
	bool seekable;      /* has a position: read and write hold pos_lock */
	int32_t owner;      /* F_SETOWN */
	struct list epolls; /* epoll entries that watch it; fs/epoll.c */
};

int __must_check file_alloc(const struct file_ops *ops, void *priv, uint32_t flags,
                            struct file **out);
struct file *file_get(struct file *f);
void file_put(struct file *f);

/* Descriptors of the current process. fd_get returns a reference or NULL (-EBADF). */
struct file *__must_check fd_get(int fd);
int __must_check fd_install(struct file *f, bool cloexec); /* takes the reference; fd or -EMFILE */

/*
 * Inodes. A file system fills ops; lookup and the rest are called with the directory's lock held.
 * Names are checked (length, no '/') before.
 */
enum inode_type {
	INODE_FIFO = 1,
	INODE_CHAR = 2,
	INODE_DIR = 4,
	INODE_BLOCK = 6,
	INODE_FILE = 8,
	INODE_LINK = 10,
	INODE_SOCKET = 12
}; /* = DT_* */

struct inode_ops {
	int (*lookup)(struct inode *dir, const char *name,
	              struct inode **out); /* with a reference */
	/* rdev for nodes, target for links. */
	int (*create)(struct inode *dir, const char *name, enum inode_type type, uint32_t mode,
	              uint64_t rdev, const char *target, struct inode **out);
	int (*link)(struct inode *dir, const char *name, struct inode *old);
	int (*unlink)(struct inode *dir, const char *name, bool directory);
	int (*rename)(struct inode *dir, const char *name, struct inode *to, const char *to_name,
	              unsigned flags);
	int (*readlink)(struct inode *i, char *buf, size_t size); /* bytes, truncated to size */
	/* Links of /proc that lead to a file itself, not to a path; NULL for usual links. */
	int (*follow)(struct inode *i, struct dentry **out);
	int (*open)(struct inode *i, struct file *f); /* sets f->ops, f->priv */
	int (*setattr)(struct inode *i, const struct vstat *to, unsigned mask);
};

struct vstat {
	uint64_t ino, size, blocks512, rdev, dev;
	uint32_t mode, nlink, uid, gid, blksize; /* mode with S_IFMT */
	ns_t atime, mtime, ctime;
};
enum vstat_mask {
	VSTAT_MODE = 1,
	VSTAT_UID = 2,
	VSTAT_GID = 4,
	VSTAT_SIZE = 8,
	VSTAT_ATIME = 16,
	VSTAT_MTIME = 32
};

struct fs;
struct inode {
	const struct inode_ops *ops;
	struct fs *fs;
	struct vstat st;
	struct mutex lock;
	uint32_t refs;
	void *priv;
	struct list locks; /* advisory locks; fs/flock.c */
	void *special;     /* FIFO: its pipe; bound socket: its address (fs/pipe.c, fs/unix.c) */
};

struct fs_ops {
	int (*statfs)(struct fs *fs, uint64_t *block_size, uint64_t *blocks, uint64_t *free,
	              uint64_t *inodes, uint64_t *inodes_free, char name[16]);
	void (*inode_release)(struct inode *i); /* the last reference is gone */
	/* Attributes that are computed at the time of asking; may be NULL. */
	void (*refresh)(struct inode *i);
	int (*sync)(struct fs *fs);
};
struct fs {
	const char *name; /* "tmpfs", "tepuifs" as in /proc/mounts */
	const struct fs_ops *ops;
	struct inode *root;
	uint64_t dev;
	bool read_only;
	void *priv;
};
/* A file system makes its inodes with inode_init (one reference) in memory of its own. */
void inode_init(struct inode *i, struct fs *fs, const struct inode_ops *ops, uint64_t ino,
                uint32_t mode);
struct inode *inode_get(struct inode *i);
void inode_put(struct inode *i);
/* Boot: root from the module "userworld", tmpfs, /dev, /proc, /sys, device nodes, families. */
void fs_init(void);
/* Mounts on an existing directory of the global tree. */
int __must_check vfs_mount(const char *path, struct fs *fs);
int __must_check vfs_unmount(const char *path); /* -EBUSY while files are open */
/* Paths from the root, for the kernel itself. */
int __must_check vfs_open(const char *path, unsigned flags, uint32_t mode, struct file **out);
int __must_check vfs_mkdir(const char *path, uint32_t mode);
int __must_check vfs_symlink(const char *target, const char *path);
int __must_check vfs_unlink(const char *path);

/* Nodes below /dev, made and removed as devices come and go. name may hold '/'. */
int __must_check devfs_add(const char *name, enum inode_type type, uint32_t mode, uint64_t rdev,
                           int (*open)(struct inode *i, struct file *f), void *priv);
void devfs_remove(const char *name);
/* Generated text files below /proc and /sys: fn appends with text_printf. */
struct text_buf;
void text_printf(struct text_buf *t, const char *fmt, ...) __printf(2, 3);
int __must_check procfs_add(const char *path, void (*fn)(struct text_buf *t, void *arg), void *arg);
int __must_check sysfs_add(const char *path, void (*fn)(struct text_buf *t, void *arg), void *arg);
int __must_check sysfs_add_bin(const char *path, size_t size,
                               ssize_t (*read)(void *arg, uint64_t off, void *buf, size_t n),
                               void *arg);
int __must_check sysfs_link(const char *path, const char *target);
#endif
