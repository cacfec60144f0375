// SPDX-License-Identifier: Apache-2.0
/*
 * The root file system: a tmpfs that is filled from the boot module "userworld" and those whose names go on behind
 * that word, in their order. File data stays where the module lies and is mapped from there; what is written to
 * becomes a page of the tmpfs.
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
	int r;

	if (S_ISTYPE(e->mode, S_IFLNK)) {
		if (e->size >= sizeof(target))
			return -ENAMETOOLONG;
		memcpy(target, e->data, e->size);
		target[e->size] = 0;
	}
	r = vfs_make(vfs_root, e->name, e->mode, DEV_MAKE(e->rdev_major, e->rdev_minor), target,
	             &d);
	if (r == -EEXIST && S_ISTYPE(e->mode, S_IFDIR))
		r = path_lookup(vfs_root, e->name, 0, &d);
	if (r)
		return r;
	if (S_ISTYPE(e->mode, S_IFREG))
		tmpfs_set_backing(d->inode, e->data, e->size);
	r = inode_setattr(d->inode, &to, VSTAT_MODE | VSTAT_UID | VSTAT_GID | VSTAT_MTIME);
	dentry_put(d);
	return r;
}

static const char module_name[] = "userworld";

static void unpack(const struct boot_module *m)
{
	struct cpio c;
	struct cpio_entry e;
	unsigned files = 0;
	int r;

	cpio_init(&c, pa_to_va(m->base), m->len);
	while ((r = cpio_next(&c, &e)) > 0) {
		int err = e.name[0] ? unpack_entry(&e) : 0;

		if (err)
			log_warn("%s: %s: error %d", m->name, e.name, -err);
		files++;
	}
	if (r)
		log_err("%s: the archive is broken at byte %zu", m->name, c.at);
	log_info("%s: %u entries, %llu KiB", m->name, files, (unsigned long long)(m->len / KiB));
}

static int show_module(const struct boot_module *m)
{
	char path[sizeof("/boot/") + sizeof(m->name)];
	struct dentry *d;
	int r = strchr(m->name, '/') ? -EINVAL : 0;

	vmk_snprintf(path, sizeof(path), "/boot/%s", m->name);
	if (!r)
		r = vfs_make(vfs_root, path, S_IFREG | 0444, 0, NULL, &d);
	if (r)
		return r;
	tmpfs_set_backing(d->inode, pa_to_va(m->file), m->file_len);
	dentry_put(d);
	return 0;
}

/* The boot modules as they were loaded, below /boot: what the installer puts on a disk. */
static void show_modules(void)
{
	int r = vfs_mkdir("/boot", 0755);

	if (r == -EEXIST)
		r = 0;
	for (unsigned i = 0; !r && i < boot_info.modules; i++)
		if (boot_info.module[i].file_len || !boot_info.module[i].len)
			r = show_module(&boot_info.module[i]);
	if (r)
		log_warn("/boot: not every module is there: error %d", -r);
}

static void mount_tmpfs(const char *path, uint32_t mode, uint64_t limit)
{
	struct vstat to = { .mode = mode };
	struct fs *fs;
	int r = vfs_mkdir(path, mode);

	if (!r || r == -EEXIST)
		r = tmpfs_create("tmpfs", limit, &fs);
	if (!r)
		r = inode_setattr(fs->root, &to, VSTAT_MODE);
	if (!r)
		r = vfs_mount(path, fs);
	if (r)
		log_err("%s: cannot mount: error %d", path, -r);
}

void fs_init(void)
{
	struct mm_totals t;
	int r;

	epoll_init();
	lock_init();
	pipe_init();
	mm_totals(&t);
	r = tmpfs_create("rootfs", t.total_pages / 2, &tmpfs_root);
	if (!r)
		r = vfs_mount("/", tmpfs_root);
	if (r)
		panic("no root file system: error %d", -r);
	if (!boot_module_find(module_name))
		log_warn("no module \"%s\": the root is empty", module_name);
	for (unsigned i = 0; i < boot_info.modules; i++)
		if (!strncmp(boot_info.module[i].name, module_name, sizeof(module_name) - 1))
			unpack(&boot_info.module[i]);
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
