// SPDX-License-Identifier: Apache-2.0
/*
 * Names of AF_UNIX sockets: paths, abstract names, names made up. names_lock guards inode->special
 * and abstract names.
 */
#include "fs/unix.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum { PATH_SIZE = 108, PATH_OFFSET = 2 };

static struct mutex names_lock;
static struct list abstract_names = LIST_INIT(abstract_names);
static uint32_t next_auto;

void unix_name_init(void)
{
	mutex_init(&names_lock, "unix_names");
	waitq_init(&unix_changed, "unix");
}

static struct usock *find_abstract(const struct sockaddr_any *a)
{
	struct usock *u;

	list_for_each(u, &abstract_names, by_name)
		if (u->addr.len == a->len && memcmp(u->addr.bytes, a->bytes, a->len) == 0)
			return u;
	return NULL;
}

/* names_lock is held. */
static void set_name(struct usock *u, const struct sockaddr_any *name)
{
	mutex_lock(&u->lock);
	u->addr = *name;
	mutex_unlock(&u->lock);
}

static int bind_abstract(struct usock *u, const struct sockaddr_any *a)
{
	struct sockaddr_any name = *a;
	int err = 0;

	/* From the search to the insertion, so that no two sockets get one name. */
	mutex_lock(&names_lock);
	if (a->len == PATH_OFFSET) { /* autobind: five hex digits */
		char text[8];

		do {
			vmk_snprintf(text, sizeof(text), "%05x", next_auto++ & 0xfffff);
			name.bytes[PATH_OFFSET] = 0;
			memcpy(name.bytes + PATH_OFFSET + 1, text, 5);
			name.len = PATH_OFFSET + 6;
		} while (find_abstract(&name));
	}
	if (find_abstract(&name)) {
		err = -EADDRINUSE;
	} else {
		set_name(u, &name);
		list_push_back(&abstract_names, &u->by_name);
	}
	mutex_unlock(&names_lock);
	return err;
}

static void path_of(const struct sockaddr_any *a, char path[PATH_SIZE + 1])
{
	size_t n = a->len - PATH_OFFSET;

	memcpy(path, a->bytes + PATH_OFFSET, n);
	path[n] = 0;
}

static int bind_path(struct usock *u, const struct sockaddr_any *a, uint32_t mode)
{
	struct sockaddr_any name = *a;
	char path[PATH_SIZE + 1];
	struct dentry *d;
	int err;

	path_of(a, path);
	err = vfs_make(NULL, path, S_IFSOCK | mode, 0, NULL, &d);
	if (err)
		return err == -EEXIST ? -EADDRINUSE : err;
	/*
	 * A connect between vfs_make and here finds the node without a socket: refused, as if it
	 * came earlier.
	 */
	mutex_lock(&names_lock);
	u->inode = inode_get(d->inode);
	u->inode->special = u;
	name.len = PATH_OFFSET + (uint32_t)strlen(path) + 1;
	name.bytes[MIN(name.len, (uint32_t)sizeof(name.bytes)) - 1] = 0;
	set_name(u, &name);
	mutex_unlock(&names_lock);
	dentry_put(d);
	return 0;
}

int unix_bind(struct usock *u, const struct sockaddr_any *a, uint32_t mode)
{
	int err;

	if (a->family != AF_UNIX || a->len < PATH_OFFSET || a->len > PATH_OFFSET + PATH_SIZE)
		return -EINVAL;
	/*
	 * A socket has one name for life. Making a node sleeps, so the lock is not held meanwhile:
	 * a second thread that binds the same socket finds the first at it.
	 */
	mutex_lock(&u->lock);
	err = u->addr.len > PATH_OFFSET || u->binding ? -EINVAL : 0;
	u->binding |= !err;
	mutex_unlock(&u->lock);
	if (err)
		return err;
	err = a->len == PATH_OFFSET || !a->bytes[PATH_OFFSET] ? bind_abstract(u, a)
	                                                      : bind_path(u, a, mode);
	mutex_lock(&u->lock);
	u->binding = false;
	mutex_unlock(&u->lock);
	return err;
}

void unix_unbind(struct usock *u)
{
	struct inode *i;

	mutex_lock(&names_lock);
	list_remove(&u->by_name);
	i = u->inode;
	if (i)
		/*
		 * The node in the file system stays, as on Linux: connecting to it is refused from
		 * now on.
		 */
		i->special = NULL;
	u->inode = NULL;
	mutex_unlock(&names_lock);
	inode_put(i);
}

static int find_path(const struct sockaddr_any *a, struct usock **out)
{
	char path[PATH_SIZE + 1];
	struct dentry *d;
	int err;

	path_of(a, path);
	err = path_lookup(NULL, path, WALK_FOLLOW, &d);
	if (err)
		return err;
	/* unix(7): connecting and sending take write permission on the socket. */
	err = inode_permission(d->inode, MAY_WRITE);
	if (!err && inode_type(d->inode) != INODE_SOCKET)
		err = -ECONNREFUSED;
	if (!err) {
		mutex_lock(&names_lock);
		/* Under names_lock: unix_unbind clears special before the last reference goes. */
		*out = d->inode->special ? unix_get(d->inode->special) : NULL;
		mutex_unlock(&names_lock);
		err = *out ? 0 : -ECONNREFUSED;
	}
	dentry_put(d);
	return err;
}

int unix_find(const struct sockaddr_any *a, uint16_t type, struct usock **out)
{
	int err = 0;

	if (a->family != AF_UNIX || a->len <= PATH_OFFSET || a->len > PATH_OFFSET + PATH_SIZE)
		return -EINVAL;
	if (a->bytes[PATH_OFFSET]) {
		err = find_path(a, out);
	} else {
		/* The reference is taken before the socket can unbind and go. */
		mutex_lock(&names_lock);
		*out = find_abstract(a);
		if (*out)
			unix_get(*out);
		else
			err = -ECONNREFUSED;
		mutex_unlock(&names_lock);
	}
	/* unix(7): EPROTOTYPE; the name is of another kind of socket. */
	if (!err && (*out)->type != type) {
		unix_put(*out);
		*out = NULL; /* the caller puts what it was given */
		err = -EPROTOTYPE;
	}
	return err;
}
