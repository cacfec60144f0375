// SPDX-License-Identifier: Apache-2.0
/* Virtual disks find their files by path: what vmk/vdisk.h wants of the file system. */
#include "fs/dsfs.h"

#include "fs/linux.h"
#include "vmk/errno.h"
#include "vmk/file.h"
#include "vmk/vdisk.h"

static int disk_open(const char *path, bool read_only, struct ds_file **f, void **held)
{
	struct file *file;
	int err = vfs_open(path, read_only ? O_RDONLY : O_RDWR, 0, &file);

	if (err)
		return err;
	*f = dsfs_file(file);
	*held = file;
	if (*f)
		return 0;
	file_put(file);
	return -EINVAL;
}

static void disk_close(void *held)
{
	file_put(held);
}

static const struct vdisk_source disk_source = { .open = disk_open, .close = disk_close };

void dsdisk_init(void)
{
	vdisk_set_source(&disk_source);
}
