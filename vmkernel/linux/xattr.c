// SPDX-License-Identifier: Apache-2.0
/*
 * Extended attributes: no file system here has them, so every call on a file that exists answers
 * -EOPNOTSUPP, as Linux does on such file systems; programs then copy without them. Spec: xattr(7).
 */
#include "linux/path.h"

static long no_attributes(uva_t path, unsigned at_flags)
{
	struct inode *i;
	int err = path_inode(AT_FDCWD, path, at_flags, &i);

	if (err)
		return err;
	inode_put(i);
	return -EOPNOTSUPP;
}

#define XATTR_CALLS(name, nr, nr_link, nr_fd)                    \
	SYSCALL(nr, name)                                        \
	{                                                        \
		return no_attributes(a[0], 0);                   \
	}                                                        \
	SYSCALL(nr_link, l##name)                                \
	{                                                        \
		return no_attributes(a[0], AT_SYMLINK_NOFOLLOW); \
	}                                                        \
	SYSCALL(nr_fd, f##name)                                  \
	{                                                        \
		return WITH_FILE((int)a[0], f, -EOPNOTSUPP);     \
	}

XATTR_CALLS(setxattr, 188, 189, 190)
XATTR_CALLS(getxattr, 191, 192, 193)
XATTR_CALLS(listxattr, 194, 195, 196)
XATTR_CALLS(removexattr, 197, 198, 199)
