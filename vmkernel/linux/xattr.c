// SPDX-License-Identifier: Apache-2.0
/*
 * Extended attributes: no file system here has them, so every call on a file that exists answers
 * -EOPNOTSUPP, as Linux does on such file systems; programs then copy without them. Spec: xattr(7).
 */
#include "linux/path.h"
#include "vmk/syscall.h"

static long no_attributes(uva_t path, unsigned at_flags)
{
	struct inode *i;
	int err = path_inode(AT_FDCWD, path, at_flags, &i);

	if (err)
		return err;
	inode_put(i);
	return -EOPNOTSUPP;
}

/* The value and its size follow path or fd; nothing looks at them. */
#define XATTR_CALLS(name)                                        \
	SYSCALL1(name, uva_t, path)                              \
	{                                                        \
		return no_attributes(path, 0);                   \
	}                                                        \
	SYSCALL1(l##name, uva_t, path)                           \
	{                                                        \
		return no_attributes(path, AT_SYMLINK_NOFOLLOW); \
	}                                                        \
	SYSCALL1(f##name, int, fd)                               \
	{                                                        \
		return WITH_FILE(fd, f, -EOPNOTSUPP);            \
	}

XATTR_CALLS(setxattr)
XATTR_CALLS(getxattr)
XATTR_CALLS(listxattr)
XATTR_CALLS(removexattr)
