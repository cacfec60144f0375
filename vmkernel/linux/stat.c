// SPDX-License-Identifier: Apache-2.0
/* System calls on attributes: stat, statx, statfs, access, chmod, chown, times. */
#include "linux/path.h"
#include "vmk/string.h"
#include "vmk/syscall.h"
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

	/* A copy under the inode's lock: size and times belong together. */
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
	long err;

	if (flags &
	    ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC))
		return -EINVAL;
	err = path_inode(dirfd, path, flags, &i);
	if (err)
		return err;
	err = stat_out(i, out);
	inode_put(i);
	return err;
}

SYSCALL2(stat, uva_t, path, uva_t, out)
{
	return do_stat(AT_FDCWD, path, 0, out);
}

SYSCALL2(fstat, int, fd, uva_t, out)
{
	return WITH_FILE(fd, f, stat_out(f->inode, out));
}

SYSCALL2(lstat, uva_t, path, uva_t, out)
{
	return do_stat(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, out);
}

SYSCALL4(newfstatat, int, dirfd, uva_t, path, uva_t, out, unsigned, flags)
{
	return do_stat(dirfd, path, flags, out);
}

static struct statx_timestamp stamp(ns_t t)
{
	return (struct statx_timestamp){ .sec = (int64_t)(t / NS_PER_S),
		                         .nsec = (uint32_t)(t % NS_PER_S) };
}

SYSCALL5(statx, int, dirfd, uva_t, path, unsigned, flags, unsigned, mask, uva_t, out)
{
	enum { STATX_BASIC_STATS = 0x7ff, STATX_RESERVED = (int)0x80000000 };
	struct inode *i;
	struct vstat v;
	struct statx s;
	int err;

	if (mask & 0x80000000u || (flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT |
	                                               AT_EMPTY_PATH | AT_STATX_SYNC)))
		return -EINVAL;
	err = path_inode(dirfd, path, flags, &i);
	if (err)
		return err;
	inode_stat(i, &v);
	inode_put(i);
	/* mask tells what was filled in: no time of birth, whatever the caller asked for. */
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
	return copy_to_user(out, &s, sizeof(s));
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

SYSCALL2(statfs, uva_t, path, uva_t, out)
{
	struct inode *i;
	long err = path_inode(AT_FDCWD, path, 0, &i);

	if (err)
		return err;
	err = statfs_out(i->fs, out);
	inode_put(i);
	return err;
}

SYSCALL2(fstatfs, int, fd, uva_t, out)
{
	return WITH_FILE(fd, f, statfs_out(f->inode->fs, out));
}

static long do_access(int dirfd, uva_t path, unsigned mode, unsigned flags)
{
	struct inode *i;
	long err;

	if (mode & ~7u || (flags & ~(unsigned)(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
		return -EINVAL;
	err = path_inode(dirfd, path, flags & ~(unsigned)AT_EACCESS, &i);
	if (err)
		return err;
	err = mode ? inode_permission(i, mode) : 0;
	inode_put(i);
	return err;
}

SYSCALL2(access, uva_t, path, unsigned, mode)
{
	return do_access(AT_FDCWD, path, mode, 0);
}

SYSCALL3(faccessat, int, dirfd, uva_t, path, unsigned, mode)
{
	return do_access(dirfd, path, mode, 0);
}

SYSCALL4(faccessat2, int, dirfd, uva_t, path, unsigned, mode, unsigned, flags)
{
	return do_access(dirfd, path, mode, flags);
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
	long err = path_inode(dirfd, path, flags, &i);

	if (err)
		return err;
	err = mask == VSTAT_MODE && inode_type(i) == INODE_LINK ? -EOPNOTSUPP : change(i, to, mask);
	inode_put(i);
	return err;
}

SYSCALL2(chmod, uva_t, path, uint32_t, mode)
{
	struct vstat to = { .mode = mode };

	return change_at(AT_FDCWD, path, 0, &to, VSTAT_MODE);
}

SYSCALL2(fchmod, int, fd, uint32_t, mode)
{
	struct vstat to = { .mode = mode };

	return WITH_FILE(fd, f, f->flags & O_PATH ? -EBADF : change(f->inode, &to, VSTAT_MODE));
}

SYSCALL3(fchmodat, int, dirfd, uva_t, path, uint32_t, mode)
{
	struct vstat to = { .mode = mode };

	return change_at(dirfd, path, 0, &to, VSTAT_MODE);
}

static unsigned owner_mask(struct vstat *to, uint32_t uid, uint32_t gid)
{
	*to = (struct vstat){ .uid = uid, .gid = gid };
	return (to->uid != ~0u ? VSTAT_UID : 0) | (to->gid != ~0u ? VSTAT_GID : 0);
}

static long do_chown(int dirfd, uva_t path, uint32_t uid, uint32_t gid, unsigned flags)
{
	struct vstat to;
	unsigned mask = owner_mask(&to, uid, gid);

	return change_at(dirfd, path, flags, &to, mask);
}

SYSCALL3(chown, uva_t, path, uint32_t, uid, uint32_t, gid)
{
	return do_chown(AT_FDCWD, path, uid, gid, 0);
}

SYSCALL3(fchown, int, fd, uint32_t, uid, uint32_t, gid)
{
	struct vstat to;
	unsigned mask = owner_mask(&to, uid, gid);

	return WITH_FILE(fd, f, f->flags & O_PATH ? -EBADF : change(f->inode, &to, mask));
}

SYSCALL3(lchown, uva_t, path, uint32_t, uid, uint32_t, gid)
{
	return do_chown(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

SYSCALL5(fchownat, int, dirfd, uva_t, path, uint32_t, uid, uint32_t, gid, unsigned, flags)
{
	return do_chown(dirfd, path, uid, gid, flags & (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

/* times NULL: now, for which write permission is enough. */
static long set_times(int dirfd, uva_t path, unsigned flags, const struct linux_timespec *times)
{
	enum { UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe };
	struct vstat to = { .atime = time_realtime(), .mtime = time_realtime() };
	unsigned mask = VSTAT_ATIME | VSTAT_MTIME;
	ns_t *const member[2] = { &to.atime, &to.mtime };
	struct inode *i;
	long err;

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
	err = path_inode(dirfd, path, flags, &i);
	if (err)
		return err;
	/* Times of one's choice need ownership, "now" only the permission to write. */
	if (times)
		err = mask ? change(i, &to, mask) : 0;
	else if (cred_current()->euid == i->st.uid || !(err = inode_permission(i, MAY_WRITE)))
		err = inode_setattr(i, &to, mask);
	inode_put(i);
	return err;
}

SYSCALL4(utimensat, int, dirfd, uva_t, path, uva_t, times, unsigned, flags)
{
	struct linux_timespec t[2];

	if (flags & ~(unsigned)(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if (times && copy_from_user(t, times, sizeof(t)))
		return -EFAULT;
	return set_times(dirfd, path, path ? flags : flags | AT_EMPTY_PATH, times ? t : NULL);
}

static long set_timevals(int dirfd, uva_t path, uva_t tv, int64_t unit)
{
	struct linux_timespec t[2];

	if (!tv)
		return set_times(dirfd, path, 0, NULL);
	if (copy_from_user(t, tv, sizeof(t)))
		return -EFAULT;
	/* A struct timeval has a timespec's layout; UTIME_NOW and UTIME_OMIT are not in it. */
	for (unsigned i = 0; i < 2; i++) {
		if (t[i].nsec < 0 || t[i].nsec >= 1000000)
			return -EINVAL;
		t[i].nsec *= unit;
	}
	return set_times(dirfd, path, 0, t);
}

SYSCALL2(utimes, uva_t, path, uva_t, times)
{
	return set_timevals(AT_FDCWD, path, times, 1000);
}

SYSCALL3(futimesat, int, dirfd, uva_t, path, uva_t, times)
{
	return set_timevals(dirfd, path, times, 1000);
}

SYSCALL2(utime, uva_t, path, uva_t, times)
{
	int64_t s[2] = { 0 };

	if (times && copy_from_user(s, times, sizeof(s)))
		return -EFAULT;
	struct linux_timespec t[2] = { { .sec = s[0] }, { .sec = s[1] } };

	return set_times(AT_FDCWD, path, 0, times ? t : NULL);
}
