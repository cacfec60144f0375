// SPDX-License-Identifier: Apache-2.0
/*
 * The root file system: a tmpfs that is filled from the boot module "userworld" and those whose
 * names go on behind that word, in their order. File data stays where the module lies and is mapped
 * from there; what is written to becomes a page of the tmpfs.
 */
#include "fs/block.h"
#include "fs/cpio.h"
#include "fs/dsfs.h"
#include "fs/epoll.h"
#include "fs/logfile.h"
#include "fs/vfs.h"
#include "vmk/boot.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/tty.h"

#define LOG_MODULE "fs"

struct fs *tmpfs_root;

static int unpack_entry(const struct cpio_entry *e)
{
	char target[1024];
	struct dentry *d;
	struct vstat to = {
		.mode = e->mode, .uid = e->uid, .gid = e->gid, .mtime = e->mtime * NS_PER_S
	};
	int err;

	if (S_ISTYPE(e->mode, S_IFLNK)) {
		if (e->size >= sizeof(target))
			return -ENAMETOOLONG;
		memcpy(target, e->data, e->size);
		target[e->size] = 0;
	}
	err = vfs_make(vfs_root, e->name, e->mode, DEV_MAKE(e->rdev_major, e->rdev_minor), target,
	               &d);
	/* Archives may give a directory that is there (of an earlier one) its mode and owner. */
	if (err == -EEXIST && S_ISTYPE(e->mode, S_IFDIR))
		err = path_lookup(vfs_root, e->name, 0, &d);
	if (err)
		return err;
	if (S_ISTYPE(e->mode, S_IFREG))
		/* No copy: the module's memory is never freed. */
		tmpfs_set_backing(d->inode, e->data, e->size);
	err = inode_setattr(d->inode, &to, VSTAT_MODE | VSTAT_UID | VSTAT_GID | VSTAT_MTIME);
	dentry_put(d);
	return err;
}

static const char module_name[] = "userworld";

static void unpack(const struct boot_module *m)
{
	struct cpio c;
	struct cpio_entry e;
	unsigned files = 0;
	int more;

	cpio_init(&c, pa_to_va(m->base), m->len);
	while ((more = cpio_next(&c, &e)) > 0) {
		int err = e.name[0] ? unpack_entry(&e) : 0;

		if (err)
			log_warn("%s: %s: error %d", m->name, e.name, -err);
		files++;
	}
	if (more)
		log_err("%s: the archive is broken at byte %zu", m->name, c.at);
	log_info("%s: %u entries, %llu KiB", m->name, files, (unsigned long long)(m->len / KiB));
}

static int show_module(const struct boot_module *m)
{
	char path[sizeof("/boot/") + sizeof(m->name)];
	struct dentry *d;
	int err = strchr(m->name, '/') ? -EINVAL : 0;

	vmk_snprintf(path, sizeof(path), "/boot/%s", m->name);
	if (!err)
		err = vfs_make(vfs_root, path, S_IFREG | 0444, 0, NULL, &d);
	if (err)
		return err;
	tmpfs_set_backing(d->inode, pa_to_va(m->file), m->file_len);
	dentry_put(d);
	return 0;
}

/* The boot modules as they were loaded, below /boot: what the installer puts on a disk. */
static void show_modules(void)
{
	int err = vfs_mkdir("/boot", 0755);

	if (err == -EEXIST)
		err = 0;
	for (unsigned i = 0; !err && i < boot_info.modules; i++)
		if (boot_info.module[i].file_len || !boot_info.module[i].len)
			err = show_module(&boot_info.module[i]);
	if (err)
		log_warn("/boot: not every module is there: error %d", -err);
}

static void mount_tmpfs(const char *path, uint32_t mode, uint64_t limit)
{
	struct vstat to = { .mode = mode };
	struct fs *fs;
	int err = vfs_mkdir(path, mode);

	if (!err || err == -EEXIST)
		err = tmpfs_create("tmpfs", limit, &fs);
	if (!err)
		err = inode_setattr(fs->root, &to, VSTAT_MODE);
	if (!err)
		err = vfs_mount(path, fs);
	if (err)
		log_err("%s: cannot mount: error %d", path, -err);
}

void fs_init(void)
{
	struct mm_totals t;
	int err;

	epoll_init();
	lock_init();
	pipe_init();
	mm_totals(&t);
	/*
	 * Limits are upper bounds, not reservations: the tmpfs of a host may together promise more
	 * than there is.
	 */
	err = tmpfs_create("rootfs", t.total_pages / 2, &tmpfs_root);
	if (!err)
		err = vfs_mount("/", tmpfs_root);
	if (err)
		panic("no root file system: error %d", -err);
	if (!boot_module_find(module_name))
		log_warn("no module \"%s\": the root is empty", module_name);
	for (unsigned i = 0; i < boot_info.modules; i++)
		if (!strncmp(boot_info.module[i].name, module_name, sizeof(module_name) - 1))
			unpack(&boot_info.module[i]);
	/* The order below: directories and /dev before what adds nodes to them. */
	show_modules();
	devfs_init();
	block_init();
	mount_tmpfs("/tmp", 01777, t.total_pages / 2);
	mount_tmpfs("/run", 0755, t.total_pages / 4);
	mount_tmpfs("/dev/shm", 01777, t.total_pages / 2);
	procfs_init();
	sysfs_init();
	sysfs_pci_init();
	unix_init();
	tty_init();
	dsdisk_init();
	logfile_init();
}
