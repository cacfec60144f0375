// SPDX-License-Identifier: Apache-2.0
/* System calls on attributes: stat, statx, statfs, access, chmod, chown, times. */
#include "linux/path.h"
#include "vmk/string.h"
#include "vmk/tty.h"

struct statx_timestamp {
	int64_t sec;
	uint32_t nsec, pad;
};
struct statx {
	uint32_t mask, blksize;
	uint64_t attributes;
	uint32_t nlink, uid, gid;
	uint16_t mode, pad0;
	uint64_t ino, size, blocks, attributes_mask;
	struct statx_timestamp atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t spare[14];
};
ASSERT_SIZE(struct statx, 256);

struct linux_statfs {
	int64_t type, bsize, blocks, bfree, bavail, files, ffree, fsid, namelen, frsize, flags,
		spare[4];
};
ASSERT_SIZE(struct linux_statfs, 120);

static long stat_out(struct inode *i, uva_t out)
{
	struct vstat v;
	struct linux_stat s;

	inode_stat(i, &v);
	s = (struct linux_stat){
		.st_dev = v.dev,
		.st_ino = v.ino,
		.st_nlink = v.nlink,
		.st_mode = v.mode,
		.st_uid = v.uid,
		.st_gid = v.gid,
		.st_rdev = v.rdev,
		.st_size = (int64_t)v.size,
		.st_blksize = v.blksize,
		.st_blocks = (int64_t)v.blocks512,
		.atime = (int64_t)(v.atime / NS_PER_S),
		.atime_nsec = (int64_t)(v.atime % NS_PER_S),
		.mtime = (int64_t)(v.mtime / NS_PER_S),
		.mtime_nsec = (int64_t)(v.mtime % NS_PER_S),
		.ctime = (int64_t)(v.ctime / NS_PER_S),
		.ctime_nsec = (int64_t)(v.ctime % NS_PER_S),
	};
	return copy_to_user(out, &s, sizeof(s));
}

static long do_stat(int dirfd, uva_t path, unsigned flags, uva_t out)
{
	struct inode *i;
	long r;

	if (flags &
	    ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC))
		return -EINVAL;
	r = path_inode(dirfd, path, flags, &i);
	if (r)
		return r;
	r = stat_out(i, out);
	inode_put(i);
	return r;
}

SYSCALL(4, stat)
{
	return do_stat(AT_FDCWD, a[0], 0, a[1]);
}

SYSCALL(5, fstat)
{
	return WITH_FILE((int)a[0], f, stat_out(f->inode, a[1]));
}

SYSCALL(6, lstat)
{
	return do_stat(AT_FDCWD, a[0], AT_SYMLINK_NOFOLLOW, a[1]);
}

SYSCALL(262, newfstatat)
{
	return do_stat((int)a[0], a[1], (unsigned)a[3], a[2]);
}

static struct statx_timestamp stamp(ns_t t)
{
	return (struct statx_timestamp){ .sec = (int64_t)(t / NS_PER_S),
		                         .nsec = (uint32_t)(t % NS_PER_S) };
}

SYSCALL(332, statx)
{
	enum { STATX_BASIC_STATS = 0x7ff, STATX_RESERVED = (int)0x80000000 };
	struct inode *i;
	struct vstat v;
	struct statx s;
	unsigned flags = (unsigned)a[2];
	int err;

	if (a[3] & 0x80000000u || (flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT |
	                                               AT_EMPTY_PATH | AT_STATX_SYNC)))
		return -EINVAL;
	err = path_inode((int)a[0], a[1], flags, &i);
	if (err)
		return err;
	inode_stat(i, &v);
	inode_put(i);
	s = (struct statx){
		.mask = STATX_BASIC_STATS,
		.blksize = v.blksize,
		.nlink = v.nlink,
		.uid = v.uid,
		.gid = v.gid,
		.mode = (uint16_t)v.mode,
		.ino = v.ino,
		.size = v.size,
		.blocks = v.blocks512,
		.atime = stamp(v.atime),
		.ctime = stamp(v.ctime),
		.mtime = stamp(v.mtime),
		.rdev_major = DEV_MAJOR(v.rdev),
		.rdev_minor = DEV_MINOR(v.rdev),
		.dev_major = (uint32_t)(v.dev >> 8),
		.dev_minor = v.dev & 0xff,
	};
	return copy_to_user(a[4], &s, sizeof(s));
}

static long statfs_out(struct fs *fs, uva_t out)
{
	static const struct {
		const char *name;
		int64_t magic;
	} magic[] = { { "tmpfs", 0x01021994 }, { "rootfs", 0x01021994 }, { "devtmpfs", 0x01021994 },
		      { "proc", 0x9fa0 },      { "sysfs", 0x62656572 },  { "devpts", 0x1cd1 } };
	uint64_t bsize = PAGE_SIZE, blocks = 0, bfree = 0, files = 0, ffree = 0;
	struct linux_statfs s = { 0 };
	char name[16] = "";
	int err = fs->ops->statfs
	                  ? fs->ops->statfs(fs, &bsize, &blocks, &bfree, &files, &ffree, name)
	                  : 0;

	if (err)
		return err;
	s.type = 0x54455055; /* "TEPU" for what Linux does not have */
	for (unsigned i = 0; i < ARRAY_SIZE(magic); i++)
		if (strcmp(fs->name, magic[i].name) == 0)
			s.type = magic[i].magic;
	s.bsize = s.frsize = (int64_t)bsize;
	s.blocks = (int64_t)blocks;
	s.bfree = s.bavail = (int64_t)bfree;
	s.files = (int64_t)files;
	s.ffree = (int64_t)ffree;
	s.fsid = (int64_t)fs->dev;
	s.namelen = NAME_MAX;
	s.flags = fs->read_only ? 0x21 : 0x20; /* ST_VALID, ST_RDONLY */
	return copy_to_user(out, &s, sizeof(s));
}

SYSCALL(137, statfs)
{
	struct inode *i;
	long r = path_inode(AT_FDCWD, a[0], 0, &i);

	if (r)
		return r;
	r = statfs_out(i->fs, a[1]);
	inode_put(i);
	return r;
}

SYSCALL(138, fstatfs)
{
	return WITH_FILE((int)a[0], f, statfs_out(f->inode->fs, a[1]));
}

static long do_access(int dirfd, uva_t path, unsigned mode, unsigned flags)
{
	struct inode *i;
	long r;

	if (mode & ~7u || (flags & ~(unsigned)(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
		return -EINVAL;
	r = path_inode(dirfd, path, flags & ~(unsigned)AT_EACCESS, &i);
	if (r)
		return r;
	r = mode ? inode_permission(i, mode) : 0;
	inode_put(i);
	return r;
}

SYSCALL(21, access)
{
	return do_access(AT_FDCWD, a[0], (unsigned)a[1], 0);
}

SYSCALL(269, faccessat)
{
	return do_access((int)a[0], a[1], (unsigned)a[2], 0);
}

SYSCALL(439, faccessat2)
{
	return do_access((int)a[0], a[1], (unsigned)a[2], (unsigned)a[3]);
}

/* Only the owner and root change attributes. */
static long change(struct inode *i, struct vstat *to, unsigned mask)
{
	const struct cred *c = cred_current();

	if (c->euid && (c->euid != i->st.uid || (mask & VSTAT_UID && to->uid != i->st.uid) ||
	                (mask & VSTAT_GID && !cred_in_group(to->gid))))
		return -EPERM;
	return inode_setattr(i, to, mask);
}

static long change_at(int dirfd, uva_t path, unsigned flags, struct vstat *to, unsigned mask)
{
	struct inode *i;
	long r = path_inode(dirfd, path, flags, &i);

	if (r)
		return r;
	r = mask == VSTAT_MODE && inode_type(i) == INODE_LINK ? -EOPNOTSUPP : change(i, to, mask);
	inode_put(i);
	return r;
}

SYSCALL(90, chmod)
{
	struct vstat to = { .mode = (uint32_t)a[1] };

	return change_at(AT_FDCWD, a[0], 0, &to, VSTAT_MODE);
}

SYSCALL(91, fchmod)
{
	struct vstat to = { .mode = (uint32_t)a[1] };

	return WITH_FILE((int)a[0], f,
	                 f->flags & O_PATH ? -EBADF : change(f->inode, &to, VSTAT_MODE));
}

SYSCALL(268, fchmodat)
{
	struct vstat to = { .mode = (uint32_t)a[2] };

	return change_at((int)a[0], a[1], 0, &to, VSTAT_MODE);
}

static unsigned owner_mask(struct vstat *to, uint64_t uid, uint64_t gid)
{
	*to = (struct vstat){ .uid = (uint32_t)uid, .gid = (uint32_t)gid };
	return (to->uid != ~0u ? VSTAT_UID : 0) | (to->gid != ~0u ? VSTAT_GID : 0);
}

static long do_chown(int dirfd, uva_t path, uint64_t uid, uint64_t gid, unsigned flags)
{
	struct vstat to;
	unsigned mask = owner_mask(&to, uid, gid);

	return change_at(dirfd, path, flags, &to, mask);
}

SYSCALL(92, chown)
{
	return do_chown(AT_FDCWD, a[0], a[1], a[2], 0);
}

SYSCALL(93, fchown)
{
	struct vstat to;
	unsigned mask = owner_mask(&to, a[1], a[2]);

	return WITH_FILE((int)a[0], f, f->flags & O_PATH ? -EBADF : change(f->inode, &to, mask));
}

SYSCALL(94, lchown)
{
	return do_chown(AT_FDCWD, a[0], a[1], a[2], AT_SYMLINK_NOFOLLOW);
}

SYSCALL(260, fchownat)
{
	return do_chown((int)a[0], a[1], a[2], a[3],
	                (unsigned)a[4] & (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

/* times NULL: now, for which write permission is enough. */
static long set_times(int dirfd, uva_t path, unsigned flags, const struct linux_timespec *times)
{
	enum { UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe };
	struct vstat to = { .atime = time_realtime(), .mtime = time_realtime() };
	unsigned mask = VSTAT_ATIME | VSTAT_MTIME;
	ns_t *const member[2] = { &to.atime, &to.mtime };
	struct inode *i;
	long r;

	for (unsigned n = 0; times && n < 2; n++) {
		if (times[n].nsec == UTIME_OMIT)
			mask &= n ? ~(unsigned)VSTAT_MTIME : ~(unsigned)VSTAT_ATIME;
		else if (times[n].nsec != UTIME_NOW &&
		         (times[n].nsec < 0 || times[n].nsec >= (int64_t)NS_PER_S))
			return -EINVAL;
		else if (times[n].nsec != UTIME_NOW)
			*member[n] = times[n].sec < 0
			                     ? 0
			                     : (ns_t)times[n].sec * NS_PER_S + (ns_t)times[n].nsec;
	}
	r = path_inode(dirfd, path, flags, &i);
	if (r)
		return r;
	if (times)
		r = mask ? change(i, &to, mask) : 0;
	else if (cred_current()->euid == i->st.uid || !(r = inode_permission(i, MAY_WRITE)))
		r = inode_setattr(i, &to, mask);
	inode_put(i);
	return r;
}

SYSCALL(280, utimensat)
{
	struct linux_timespec t[2];
	unsigned flags = (unsigned)a[3];

	if (flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (a[2] && copy_from_user(t, a[2], sizeof(t)))
		return -EFAULT;
	return set_times((int)a[0], a[1], a[1] ? flags : flags | AT_EMPTY_PATH, a[2] ? t : NULL);
}

static long set_timevals(int dirfd, uva_t path, uva_t tv, int64_t unit)
{
	struct linux_timespec t[2];

	if (!tv)
		return set_times(dirfd, path, 0, NULL);
	if (copy_from_user(t, tv, sizeof(t)))
		return -EFAULT;
	for (unsigned i = 0; i < 2; i++) {
		if (t[i].nsec < 0 || t[i].nsec >= 1000000)
			return -EINVAL;
		t[i].nsec *= unit;
	}
	return set_times(dirfd, path, 0, t);
}

SYSCALL(235, utimes)
{
	return set_timevals(AT_FDCWD, a[0], a[1], 1000);
}

SYSCALL(261, futimesat)
{
	return set_timevals((int)a[0], a[1], a[2], 1000);
}

SYSCALL(132, utime)
{
	int64_t s[2] = { 0 };

	if (a[1] && copy_from_user(s, a[1], sizeof(s)))
		return -EFAULT;
	struct linux_timespec t[2] = { { .sec = s[0] }, { .sec = s[1] } };

	return set_times(AT_FDCWD, a[0], 0, a[1] ? t : NULL);
}
