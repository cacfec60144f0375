// SPDX-License-Identifier: Apache-2.0
/*
 * Trees of generated files. A node is an inode and its place in the tree in one; nodes are added
 * and never removed, so the tree's own reference keeps them. A text is made when the file is read,
 * not under gen_lock: the functions take locks of their subsystems. The root may have entries
 * without nodes (the processes of /proc, disks), which the file system answers itself.
 */
#include "fs/genfs.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum { FIRST_POSITION = 2 };

static struct mutex gen_lock;
static const struct inode_ops gen_inode_ops;

#define to_node(inode) container_of(inode, struct gennode, i)

static struct genfs *genfs_of(struct inode *i)
{
	return i->fs->priv;
}

static struct gennode *find(struct gennode *dir, const char *name, size_t len)
{
	struct gennode *n;

	list_for_each(n, &dir->children, sibling)
		if (strncmp(n->name, name, len) == 0 && !n->name[len])
			return n;
	return NULL;
}

static int node_new(struct genfs *fs, struct gennode *dir, const char *name, size_t len,
                    uint32_t mode, struct gennode **out)
{
	struct gennode *n = kzalloc(sizeof(*n));

	if (n)
		n->name = kzalloc(len + 1);
	if (!n || !n->name) {
		kfree(n);
		return -ENOMEM;
	}
	memcpy(n->name, name, len);
	inode_init(&n->i, &fs->fs, &gen_inode_ops, ino_next(), mode);
	list_init(&n->children);
	list_init(&n->sibling);
	n->parent = dir;
	if (S_ISTYPE(mode, S_IFDIR))
		n->i.st.nlink = 2;
	if (dir) {
		/*
		 * Rising positions let readdir go on behind its last entry while siblings come and
		 * go.
		 */
		n->position = list_empty(&dir->children)
		                      ? FIRST_POSITION
		                      : list_entry(dir->children.prev, struct gennode, sibling)
		                                        ->position +
		                                1;
		list_push_back(&dir->children, &n->sibling);
		dir->i.st.nlink += S_ISTYPE(mode, S_IFDIR);
	}
	*out = n;
	return 0;
}

/* Walks to path's directory, which it makes; *name is what is left. gen_lock is held. */
static int walk_to_parent(struct genfs *fs, const char *path, struct gennode **dir,
                          const char **name)
{
	const char *slash;
	int err = 0;

	*dir = fs->root;
	while (*path == '/')
		path++;
	/* Directories come into being with the first file in them. */
	while (!err && (slash = strchr(path, '/')) != NULL) {
		size_t len = (size_t)(slash - path);
		struct gennode *next = find(*dir, path, len);

		if (!next)
			err = node_new(fs, *dir, path, len, S_IFDIR | 0555, &next);
		*dir = next;
		path = slash + 1;
	}
	*name = path;
	return err;
}

int genfs_add(struct genfs *fs, const char *path, const struct gennode *what, uint32_t mode,
              uint64_t size)
{
	struct gennode *dir, *n;
	const char *name;
	int err;

	mutex_lock(&gen_lock);
	err = walk_to_parent(fs, path, &dir, &name);
	if (!err && find(dir, name, strlen(name)))
		err = -EEXIST;
	if (!err)
		err = node_new(fs, dir, name, strlen(name), mode, &n);
	if (!err) {
		/* Still under gen_lock: nobody can open the node before it is complete. */
		n->text = what->text;
		n->bin = what->bin;
		n->arg = what->arg;
		n->i.st.size = size;
		if (what->target) {
			n->i.st.size = strlen(what->target);
			n->target = kmalloc(n->i.st.size + 1);
			if (n->target)
				str_copy(n->target, what->target, n->i.st.size + 1);
			else
				err = -ENOMEM;
		}
	}
	mutex_unlock(&gen_lock);
	return err;
}

static void gen_release(struct inode *i)
{
	struct gennode *n = to_node(i);

	kfree(n->name);
	kfree(n->target);
	kfree(n);
}

static int gen_lookup(struct inode *dir, const char *name, struct inode **out)
{
	struct gennode *n;
	struct genfs *fs = genfs_of(dir);

	mutex_lock(&gen_lock);
	n = find(to_node(dir), name, strlen(name));
	if (n)
		*out = inode_get(&n->i);
	mutex_unlock(&gen_lock);
	if (n)
		return 0;
	/* Outside of gen_lock: the processes have locks of their own. */
	return to_node(dir) == fs->root && fs->lookup ? fs->lookup(name, out) : -ENOENT;
}

static int gen_readlink(struct inode *i, char *buf, size_t size)
{
	size_t n = MIN((size_t)i->st.size, size);

	memcpy(buf, to_node(i)->target, n);
	return (int)n;
}

static int gen_readdir(struct file *f, uint64_t *pos,
                       bool (*emit)(void *, const char *, uint64_t, unsigned, uint64_t), void *arg)
{
	struct gennode *dir = to_node(f->inode), *n;
	struct genfs *fs = genfs_of(f->inode);
	uint64_t up = dir->parent ? dir->parent->i.st.ino : dir->i.st.ino;
	bool full = false;

	if (*pos == 0 && !(full = !emit(arg, ".", dir->i.st.ino, INODE_DIR, 1)))
		*pos = 1;
	if (*pos == 1 && !(full = !emit(arg, "..", up, INODE_DIR, 2)))
		*pos = FIRST_POSITION;
	if (full)
		return 0;
	mutex_lock(&gen_lock);
	list_for_each(n, &dir->children, sibling) {
		if (n->position < *pos)
			continue;
		/* A full buffer leaves *pos at this entry, so the next call begins with it. */
		full = !emit(arg, n->name, n->i.st.ino, inode_type(&n->i), n->position + 1);
		if (full)
			break;
		*pos = n->position + 1;
	}
	mutex_unlock(&gen_lock);
	if (full || dir != fs->root || !fs->list)
		return 0;
	/* Entries without nodes have positions of their own, far behind any node's. */
	*pos = MAX(*pos, (uint64_t)GEN_DYNAMIC);
	return fs->list(pos, emit, arg);
}

static ssize_t bin_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct gennode *n = to_node(f->inode);
	uint8_t buf[256];
	ssize_t done = 0;

	while (u->left && *pos < n->i.st.size && n->bin) {
		size_t want = MIN(MIN(u->left, sizeof(buf)), n->i.st.size - *pos);
		/*
		 * In small pieces over the stack: user memory may fault, the function may hold
		 * locks.
		 */
		ssize_t got = n->bin(n->arg, *pos, buf, want);

		if (got > 0 && uio_write(u, buf, (size_t)got))
			got = -EFAULT;
		if (got <= 0)
			return done ? done : got;
		done += got;
		*pos += (uint64_t)got;
	}
	return done;
}

static const struct file_ops gen_dir_ops = { .name = "dir", .readdir = gen_readdir };
static const struct file_ops gen_bin_ops = { .name = "bin", .read = bin_read };

static int gen_open(struct inode *i, struct file *f)
{
	struct gennode *n = to_node(i);

	if (inode_type(i) == INODE_DIR)
		f->ops = &gen_dir_ops;
	else if (n->bin)
		f->ops = &gen_bin_ops;
	else
		return n->text ? text_file_open(f, n->text, n->arg, NULL) : -ENOENT;
	return 0;
}

static const struct inode_ops gen_inode_ops = { .lookup = gen_lookup,
	                                        .readlink = gen_readlink,
	                                        .open = gen_open };

int gen_statfs(struct fs *fs, uint64_t *block_size, uint64_t *blocks, uint64_t *free,
               uint64_t *inodes, uint64_t *inodes_free, char name[16])
{
	*block_size = PAGE_SIZE;
	*blocks = *free = *inodes = *inodes_free = 0;
	str_copy(name, fs->name, 16);
	return 0;
}

static const struct fs_ops gen_fs_ops = { .statfs = gen_statfs, .inode_release = gen_release };

int genfs_create(struct genfs *fs, const char *name)
{
	static bool ready;
	int err;

	if (!ready)
		mutex_init(&gen_lock, "genfs");
	ready = true;
	fs->fs = (struct fs){ .name = name, .ops = &gen_fs_ops, .dev = fs_next_dev(), .priv = fs };
	err = node_new(fs, NULL, "", 0, S_IFDIR | 0555, &fs->root);
	if (!err)
		fs->fs.root = &fs->root->i;
	return err;
}
