// SPDX-License-Identifier: Apache-2.0
/* Root, working directory and umask of a process; c->lock guards them. */
#include "fs/vfs.h"
#include "vmk/mm.h"

struct fsctx {
	struct spinlock lock;
	uint32_t refs, umask;
	struct dentry *root, *cwd;
};

static int ctx_new(struct dentry *root, struct dentry *cwd, uint32_t umask, struct fsctx **out)
{
	struct fsctx *c = kzalloc(sizeof(*c));

	if (!c) {
		dentry_put(root);
		dentry_put(cwd);
		return -ENOMEM;
	}
	spin_init(&c->lock, "fsctx", RANK_OUTER);
	*c = (struct fsctx){ .lock = c->lock, .refs = 1, .umask = umask, .root = root, .cwd = cwd };
	*out = c;
	return 0;
}

int fsctx_create(struct fsctx **out)
{
	return ctx_new(dentry_get(vfs_root), dentry_get(vfs_root), 022, out);
}

struct dentry *fsctx_root_of(struct fsctx *c)
{
	struct dentry *d;

	spin_lock(&c->lock);
	d = dentry_get(c->root);
	spin_unlock(&c->lock);
	return d;
}

struct dentry *fsctx_cwd_of(struct fsctx *c)
{
	struct dentry *d;

	spin_lock(&c->lock);
	d = dentry_get(c->cwd);
	spin_unlock(&c->lock);
	return d;
}

int fsctx_clone(struct fsctx *c, struct fsctx **out)
{
	return ctx_new(fsctx_root_of(c), fsctx_cwd_of(c), c->umask, out);
}

struct fsctx *fsctx_get(struct fsctx *c)
{
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void fsctx_put(struct fsctx *c)
{
	if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL))
		return;
	dentry_put(c->root);
	dentry_put(c->cwd);
	kfree(c);
}

static struct fsctx *current(void)
{
	struct proc *p = proc_current();

	return p ? proc_fsctx(p) : NULL;
}

struct dentry *fsctx_root(void)
{
	struct fsctx *c = current();

	return c ? fsctx_root_of(c) : dentry_get(vfs_root);
}

struct dentry *fsctx_cwd(void)
{
	struct fsctx *c = current();

	return c ? fsctx_cwd_of(c) : dentry_get(vfs_root);
}

static void set(struct fsctx *c, struct dentry **which, struct dentry *d)
{
	struct dentry *old;

	spin_lock(&c->lock);
	old = *which;
	*which = d;
	spin_unlock(&c->lock);
	dentry_put(old);
}

void fsctx_set_cwd(struct dentry *d)
{
	set(current(), &current()->cwd, d);
}

void fsctx_set_root(struct dentry *d)
{
	set(current(), &current()->root, d);
}

uint32_t fsctx_umask(int set_to)
{
	struct fsctx *c = current();
	uint32_t old = c ? c->umask : 0;

	if (c && set_to >= 0)
		c->umask = (uint32_t)set_to & 0777;
	return old;
}
