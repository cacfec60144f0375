// SPDX-License-Identifier: Apache-2.0
/*
 * Volumes below /vmfs/volumes: mount, unmount, what is mounted, and the world that commits every
 * few seconds what nobody has asked to be durable. mounts_lock guards the list.
 */
#include "fs/dsfs.h"

#include "fs/dsfs_impl.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/world.h"

#define LOG_MODULE     "datastore"
#define VOLUMES        "/vmfs/volumes/"
#define COMMIT_SECONDS 5

static struct list mounts = LIST_INIT(mounts);
static struct mutex mounts_lock = { SPINLOCK_INIT("datastores", RANK_WAIT), NULL,
	                            LIST_INIT(mounts_lock.waiters) };

static void commit_world(void *arg)
{
	struct dsfs *fs;

	for (;;) {
		world_sleep_until(time_now() + COMMIT_SECONDS * NS_PER_S);
		mutex_lock(&mounts_lock);
		list_for_each(fs, &mounts, link)
			if (READ_ONCE(fs->ds->txn_count))
				/* A failure has damaged the volume and is logged. */
				(void)!ds_sync(fs->ds);
		mutex_unlock(&mounts_lock);
	}
}

/* Without it data becomes durable when somebody asks, and when the journal has to make room. */
static void commit_start(void)
{
	static bool started;
	const struct world_attr attr = { .name = "datastore", .cpu = -1, .fn = commit_world };
	struct world *w;

	if (started || world_create(&attr, &w) != 0)
		return;
	started = true;
	world_start(w);
	world_put(w);
}

static void uuid_text(const uint8_t u[16], char *text, size_t size)
{
	static const char *const gap[16] = { [4] = "-", [8] = "-", [10] = "-" };
	size_t n = 0;

	for (unsigned i = 0; i < 16; i++)
		n += (size_t)vmk_snprintf(text + n, size - n, "%s%02x", gap[i] ? gap[i] : "", u[i]);
}

/* The link by the label, which a stranger may have written: only a plain name makes one. */
static void make_link(struct dsfs *fs)
{
	const char *label = fs->ds->label;
	int err = -EEXIST;

	if (!label[0] || label[0] == '.' || strchr(label, '/'))
		return;
	for (unsigned i = 0; i < 10 && err == -EEXIST; i++) {
		vmk_snprintf(fs->name, sizeof(fs->name), i ? VOLUMES "%s (%u)" : VOLUMES "%s",
		             label, i);
		err = vfs_symlink(fs->path + strlen(VOLUMES), fs->name);
	}
	if (err) {
		log_warn("%s: no link by the name \"%s\": error %d", fs->path, label, -err);
		fs->name[0] = 0;
	}
}

static int attach(struct dsfs *fs)
{
	struct dsfs_usage u;
	int err = dsfs_usage(fs->ds, &u);

	if (err == 0)
		err = dsfs_inode(fs, u.root, &fs->fs.root);
	if (err)
		return err;
	str_copy(fs->path, VOLUMES, sizeof(fs->path));
	uuid_text(fs->ds->uuid, fs->path + strlen(VOLUMES), sizeof(fs->path) - strlen(VOLUMES));
	err = vfs_mkdir(fs->path, 0755);
	if (err == 0)
		err = vfs_mount(fs->path, &fs->fs);
	if (err) {
		inode_put(fs->fs.root);
		return err;
	}
	make_link(fs);
	return 0;
}

int dsfs_mount(struct blk_dev *dev)
{
	struct dsfs *fs = kzalloc(sizeof(*fs));
	int err = fs ? ds_mount(dev, &fs->ds) : -ENOMEM;

	if (err) {
		kfree(fs);
		return err;
	}
	fs->fs = (struct fs){ .name = "tepuifs",
		              .ops = &dsfs_ops,
		              .dev = fs_next_dev(),
		              .read_only = fs->ds->read_only,
		              .priv = fs };
	mutex_init(&fs->live_lock, "datastore inodes");
	list_init(&fs->live);
	mutex_lock(&mounts_lock);
	/* Under mounts_lock, so that two mounts of one device or label do not cross. */
	err = attach(fs);
	if (err == 0)
		list_push_back(&mounts, &fs->link);
	mutex_unlock(&mounts_lock);
	if (err) {
		/* The caller keeps the device and closes it. */
		(void)!ds_unmount(fs->ds);
		kfree(fs);
	} else {
		commit_start();
	}
	return err;
}

/* mounts_lock is held; nobody has a file of it open. */
static int detach(struct dsfs *fs)
{
	struct blk_dev *dev = fs->ds->dev;
	/* Virtual disks hold files of the datastore without a file of this layer. */
	int err = list_empty(&fs->ds->files) ? vfs_unmount(fs->path) : -EBUSY;

	if (err)
		return err;
	list_remove(&fs->link);
	(void)!vfs_remove(vfs_root, fs->path, true);
	if (fs->name[0])
		(void)!vfs_unlink(fs->name);
	inode_put(fs->fs.root);
	err = ds_unmount(fs->ds);
	kfree(fs);
	blk_close(dev, true);
	return err;
}

int dsfs_unmount(struct blk_dev *dev)
{
	struct dsfs *fs;
	int err = -ENOENT;

	mutex_lock(&mounts_lock);
	list_for_each(fs, &mounts, link)
		if (fs->ds->dev == dev) {
			err = detach(fs);
			break;
		}
	mutex_unlock(&mounts_lock);
	return err;
}

void dsfs_freeze(void)
{
	struct dsfs *fs;

	mutex_lock(&mounts_lock);
	list_for_each(fs, &mounts, link) {
		int err = ds_freeze(fs->ds);

		if (err)
			log_err("%s: not everything is durable: error %d", fs->path, -err);
	}
	mutex_unlock(&mounts_lock);
}

void dsfs_for_each(void (*fn)(const struct dsfs_info *v, void *arg), void *arg)
{
	struct dsfs *fs;

	mutex_lock(&mounts_lock);
	list_for_each(fs, &mounts, link) {
		struct ds *ds = fs->ds;
		struct dsfs_usage u = { .blocks = ds->blocks };

		(void)!dsfs_usage(ds, &u); /* damaged: nothing is free */
		fn(&(struct dsfs_info){ ds->dev, ds->label, ds->damage, ds->uuid, u.blocks, u.free,
		                        ds->read_only },
		   arg);
	}
	mutex_unlock(&mounts_lock);
}
