// SPDX-License-Identifier: Apache-2.0
/*
 * Path walks. Symbolic links are spliced into the text that is left, so depth costs no stack.
 * Spec: POSIX.1-2017, 4.13 Pathname Resolution; Linux path_resolution(7).
 */
#include "fs/vfs.h"
#include "vmk/mm.h"
#include "vmk/string.h"

struct walker {
	struct walk *w;
	struct dentry *root;
	char *text; /* what is left, PATH_MAX + 1 bytes */
	char *spare;
	char *p; /* into text */
	unsigned flags, links;
};

static void walk_to(struct walker *k, struct dentry *d) /* takes the reference */
{
	dentry_put(k->w->at);
	k->w->at = d;
}

/* Puts the link's target before what is left. d's reference stays with the caller. */
static int splice_link(struct walker *k, struct dentry *d)
{
	struct inode *i = d->inode;
	size_t rest = strlen(k->p);
	ssize_t n;

	if (++k->links > LINKS_MAX)
		return -ELOOP;
	/* Links of /proc lead to an open file's place, which may have no path at all. */
	if (i->ops->follow) {
		struct dentry *to;
		int err = i->ops->follow(i, &to);

		if (!err)
			walk_to(k, to);
		return err;
	}
	n = i->ops->readlink ? i->ops->readlink(i, k->spare, PATH_MAX) : -EINVAL;
	if (n <= 0)
		return n ? (int)n : -ENOENT;
	/* Target and rest together are bounded as a path is, so links cannot make the text grow. */
	if ((size_t)n + rest >= PATH_MAX)
		return -ENAMETOOLONG;
	/* Target, then the rest; the two buffers change places. */
	memcpy(k->spare + n, k->p, rest + 1);
	if (k->spare[0] == '/')
		walk_to(k, dentry_get(k->root));
	char *t = k->text;

	k->text = k->spare;
	k->spare = t;
	k->p = k->text;
	return 0;
}

/*
 * One component, its name in w->name; last: nothing but slashes follow. Returns 1 when the walk
 * ends here.
 */
static int step(struct walker *k, bool last, bool slash)
{
	struct walk *w = k->w;
	struct dentry *d;
	int err;

	w->dots = !strcmp(w->name, ".") || !strcmp(w->name, "..");
	w->slash = slash;
	if (last && (k->flags & WALK_PARENT))
		return 1;
	/* ".." of the process's root is that root: path_resolution(7). */
	if (w->dots) {
		if (w->name[1])
			walk_to(k, dentry_parent(w->at, k->root));
		return 0;
	}
	err = dentry_lookup(w->at, w->name, &d);
	if (err == -ENOENT && last && (k->flags & WALK_MAYBE))
		return 1;
	if (err)
		return err;
	/*
	 * A trailing slash follows the link even where the call does not: it names the directory
	 * behind it.
	 */
	if (inode_type(d->inode) == INODE_LINK && (!last || slash || (k->flags & WALK_FOLLOW))) {
		err = splice_link(k, d);
		dentry_put(d);
		return err;
	}
	walk_to(k, d);
	return 0;
}

static int run(struct walker *k)
{
	struct walk *w = k->w;
	int err;

	for (;;) {
		char *end;
		size_t len;
		bool last;

		while (*k->p == '/')
			k->p++;
		if (!*k->p)
			break;
		end = strchr(k->p, '/');
		len = end ? (size_t)(end - k->p) : strlen(k->p);
		if (inode_type(w->at->inode) != INODE_DIR)
			return -ENOTDIR;
		err = inode_permission(w->at->inode, MAY_EXEC);
		if (err)
			return err;
		/*
		 * Too long a name fails only where it would be looked up: the callers of
		 * WALK_PARENT have their own order of errors.
		 */
		memcpy(w->name, k->p, MIN(len, (size_t)NAME_MAX));
		w->name[MIN(len, (size_t)NAME_MAX)] = 0;
		w->too_long = len > NAME_MAX;
		k->p += len;
		/* "a/b//" ends in b: its last component is followed by slashes only. */
		while (end && *end == '/')
			end++;
		last = !end || !*end;
		if (w->too_long && !(last && (k->flags & WALK_PARENT)))
			return -ENAMETOOLONG;
		err = step(k, last, end != NULL);
		if (err)
			return err < 0 ? err : 0;
	}
	if (k->flags & WALK_PARENT) { /* "/" or "" */
		w->dots = true;
		w->name[0] = 0;
		return 0;
	}
	w->name[0] = 0;
	return w->slash && inode_type(w->at->inode) != INODE_DIR ? -ENOTDIR : 0;
}

int path_walk(struct dentry *base, const char *path, unsigned flags, struct walk *w)
{
	struct walker k = { .w = w, .flags = flags };
	size_t len = strnlen(path, PATH_MAX);
	int err = -ENOMEM;

	memset(w, 0, sizeof(*w));
	if (len == PATH_MAX)
		return -ENAMETOOLONG;
	if (!len && !(flags & WALK_EMPTY))
		return -ENOENT;
	/* On the heap: two paths are half of a kernel stack. */
	k.text = kmalloc(PATH_MAX + 1);
	k.spare = kmalloc(PATH_MAX + 1);
	if (k.text && k.spare) {
		k.root = fsctx_root();
		memcpy(k.text, path, len + 1);
		k.p = k.text;
		/*
		 * `at` holds the reference of where the walk is, from the first component to the
		 * result.
		 */
		w->at = path[0] == '/' ? dentry_get(k.root) : base ? dentry_get(base) : fsctx_cwd();
		err = run(&k);
		dentry_put(k.root);
		if (err) {
			dentry_put(w->at);
			w->at = NULL;
		}
	}
	kfree(k.text);
	kfree(k.spare);
	return err;
}

int path_lookup(struct dentry *base, const char *path, unsigned flags, struct dentry **out)
{
	struct walk *w = kmalloc(sizeof(*w));
	int err = w ? path_walk(base, path, flags & ~(unsigned)(WALK_PARENT | WALK_MAYBE), w)
	            : -ENOMEM;

	if (!err)
		*out = w->at;
	kfree(w);
	return err;
}
