// SPDX-License-Identifier: Apache-2.0
/*
 * Linux's numbers for files, as x86-64 userworlds pass them (asm-generic/fcntl.h, linux/stat.h,
 * ioctls.h).
 */
#ifndef FS_LINUX_H
#define FS_LINUX_H
#include "vmk/types.h"

enum { NAME_MAX = 255, PATH_MAX = 4096, LINKS_MAX = 40, IOV_MAX = 1024, RW_MAX = 0x7ffff000 };

enum falloc_mode { FALLOC_KEEP_SIZE = 1, FALLOC_PUNCH_HOLE = 2 };

enum open_flags {
	O_RDONLY = 0,
	O_WRONLY = 1,
	O_RDWR = 2,
	O_ACCMODE = 3,
	O_CREAT = 0100,
	O_EXCL = 0200,
	O_NOCTTY = 0400,
	O_TRUNC = 01000,
	O_APPEND = 02000,
	O_NONBLOCK = 04000,
	O_DSYNC = 010000,
	O_ASYNC = 020000,
	O_DIRECT = 040000,
	O_LARGEFILE = 0100000,
	O_DIRECTORY = 0200000,
	O_NOFOLLOW = 0400000,
	O_NOATIME = 01000000,
	O_CLOEXEC = 02000000,
	O_SYNC = 04010000,
	O_PATH = 010000000,
	O_TMPFILE = 020200000,
	/* What fcntl(F_SETFL) changes. */
	O_SETFL = O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME,
};
enum {
	S_IFMT = 0170000,
	S_IFSOCK = 0140000,
	S_IFLNK = 0120000,
	S_IFREG = 0100000,
	S_IFBLK = 0060000,
	S_IFDIR = 0040000,
	S_IFCHR = 0020000,
	S_IFIFO = 0010000,
	S_ISUID = 04000,
	S_ISGID = 02000,
	S_ISVTX = 01000
};
#define S_ISTYPE(mode, type) (((mode)&S_IFMT) == (type))
#define S_TYPE(mode)         (((mode)&S_IFMT) >> 12) /* enum inode_type */

enum {
	AT_FDCWD = -100,
	AT_SYMLINK_NOFOLLOW = 0x100,
	AT_REMOVEDIR = 0x200,
	AT_EACCESS = 0x200,
	AT_SYMLINK_FOLLOW = 0x400,
	AT_NO_AUTOMOUNT = 0x800,
	AT_EMPTY_PATH = 0x1000,
	AT_STATX_SYNC = 0x6000
};
enum { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE };
enum { MAY_EXEC = 1, MAY_WRITE = 2, MAY_READ = 4 };
enum { RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2 };

enum {
	F_DUPFD,
	F_GETFD,
	F_SETFD,
	F_GETFL,
	F_SETFL,
	F_GETLK,
	F_SETLK,
	F_SETLKW,
	F_SETOWN,
	F_GETOWN,
	F_SETSIG,
	F_GETSIG,
	F_SETOWN_EX = 15,
	F_GETOWN_EX = 16,
	F_OFD_GETLK = 36,
	F_OFD_SETLK,
	F_OFD_SETLKW,
	F_SETLEASE = 1024,
	F_GETLEASE,
	F_NOTIFY,
	F_DUPFD_CLOEXEC = 1030,
	F_SETPIPE_SZ,
	F_GETPIPE_SZ,
	F_ADD_SEALS,
	F_GET_SEALS
};
enum { F_SEAL_SEAL = 1, F_SEAL_SHRINK = 2, F_SEAL_GROW = 4, F_SEAL_WRITE = 8, F_SEAL_ALL = 15 };
enum { FD_CLOEXEC = 1 };
enum { F_RDLCK, F_WRLCK, F_UNLCK };
enum { LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8 };

enum tty_ioctls {
	TCGETS = 0x5401,
	TCSETS,
	TCSETSW,
	TCSETSF,
	TCSBRK = 0x5409,
	TCXONC,
	TCFLSH,
	TIOCEXCL,
	TIOCNXCL,
	TIOCSCTTY,
	TIOCGPGRP,
	TIOCSPGRP,
	TIOCOUTQ,
	TIOCSTI,
	TIOCGWINSZ,
	TIOCSWINSZ,
	TIOCMGET,
	FIONREAD = 0x541b,
	TIOCCONS = 0x541d,
	TIOCPKT = 0x5420,
	FIONBIO,
	TIOCNOTTY,
	TIOCGETD = 0x5424,
	TCSBRKP = 0x5425,
	TIOCGSID = 0x5429,
	FIONCLEX = 0x5450,
	FIOCLEX,
	FIOASYNC,
	FIOQSIZE = 0x5460,
};
#define TIOCGPTN    0x80045430u
#define TIOCSPTLCK  0x40045431u
#define TIOCGPTLCK  0x80045439u
#define TIOCGPTPEER 0x5441u

struct linux_stat {
	uint64_t st_dev, st_ino, st_nlink;
	uint32_t st_mode, st_uid, st_gid, pad0;
	uint64_t st_rdev;
	int64_t st_size, st_blksize, st_blocks;
	int64_t atime, atime_nsec, mtime, mtime_nsec, ctime, ctime_nsec, unused[3];
};
ASSERT_SIZE(struct linux_stat, 144);

struct linux_timespec {
	int64_t sec, nsec;
};
#endif
