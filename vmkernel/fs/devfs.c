// SPDX-License-Identifier: Apache-2.0
/*
 * /dev: a tmpfs whose nodes name devices by type and number. A device is looked up when its node is
 * opened, so nodes made by mknod elsewhere work too. table_lock guards the table.
 */
#include "fs/block.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/tty.h"

#define LOG_MODULE "devfs"

struct device_node {
	struct list link;
	enum inode_type type;
	uint64_t rdev;
	int (*open)(struct inode *i, struct file *f);
	void *priv;
	char name[64];
};

static struct mutex table_lock;
static struct list table = LIST_INIT(table);

static struct device_node *find(enum inode_type type, uint64_t rdev)
{
	struct device_node *n;

	list_for_each(n, &table, link)
		if (n->type == type && n->rdev == rdev)
			return n;
	return NULL;
}

int device_open(struct inode *i, struct file *f)
{
	int (*open)(struct inode *, struct file *) = NULL;
	struct device_node *n;

	if (inode_type(i) == INODE_BLOCK)
		return block_open(i, f);
	mutex_lock(&table_lock);
	n = find(inode_type(i), i->st.rdev);
	if (n) {
		open = n->open;
		f->priv = n->priv;
	}
	/* Opening may take long and may itself add a device (ptmx). */
	mutex_unlock(&table_lock);
	return open ? open(i, f) : -ENXIO;
}

/* Makes the folders of "/dev/a/b". */
static int make_folders(char *path)
{
	for (char *p = strchr(path + 5, '/'); p; p = strchr(p + 1, '/')) {
		int err;

		*p = 0;
		err = vfs_mkdir(path, 0755);
		*p = '/';
		if (err && err != -EEXIST)
			return err;
	}
	return 0;
}

int devfs_add(const char *name, enum inode_type type, uint32_t mode, uint64_t rdev,
              int (*open)(struct inode *i, struct file *f), void *priv)
{
	char path[80];
	struct device_node *n;
	int err;

	if (strlen(name) >= sizeof(n->name))
		return -ENAMETOOLONG;
	n = kzalloc(sizeof(*n));
	if (!n)
		return -ENOMEM;
	*n = (struct device_node){ .type = type, .rdev = rdev, .open = open, .priv = priv };
	str_copy(n->name, name, sizeof(n->name));
	vmk_snprintf(path, sizeof(path), "/dev/%s", name);
	mutex_lock(&table_lock);
	/* In the table before its node is visible, so an open at once finds the device. */
	list_push_back(&table, &n->link);
	mutex_unlock(&table_lock);
	err = make_folders(path);
	if (!err)
		err = vfs_make(vfs_root, path, (uint32_t)type << 12 | mode, rdev, NULL, NULL);
	if (err)
		devfs_remove(name);
	return err;
}

void devfs_remove(const char *name)
{
	char path[80];
	struct device_node *n, *next;

	vmk_snprintf(path, sizeof(path), "/dev/%s", name);
	(void)!vfs_unlink(path); /* a user may have removed the name already */
	mutex_lock(&table_lock);
	list_for_each_safe(n, next, &table, link)
		if (strcmp(n->name, name) == 0) {
			list_remove(&n->link);
			kfree(n);
		}
	mutex_unlock(&table_lock);
}

void devfs_init(void)
{
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
	};
	struct fs *fs;
	int err = vfs_mkdir("/dev", 0755);

	mutex_init(&table_lock, "devfs");
	/*
	 * A tmpfs of its own, with room for nodes and little else: files written to /dev by mistake
	 * fail.
	 */
	if (!err || err == -EEXIST)
		err = tmpfs_create("devtmpfs", 1024, &fs);
	if (!err)
		err = vfs_mount("/dev", fs);
	for (unsigned i = 0; !err && i < ARRAY_SIZE(links); i++)
		err = vfs_symlink(links[i][0], links[i][1]);
	if (!err)
		err = vfs_mkdir("/dev/shm", 01777);
	if (!err)
		err = devmem_init();
	if (err)
		panic("no /dev: error %d", -err);
}
