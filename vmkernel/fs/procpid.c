// SPDX-License-Identifier: Apache-2.0
/*
 * /proc/PID: directories that are made while somebody looks. An inode here names a process by
 * number and an entry of a table; each use finds the process again, so a file that outlives its
 * process gives -ESRCH.
 */
#include "fs/procfs.h"
#include "proc/proc.h"
#include "vmk/fdtable.h"
#include "vmk/mm.h"
#include "vmk/string.h"

struct pentry {
	const char *name; /* NULL: a number (thread, descriptor) */
	uint32_t mode;
	proc_text text;
	struct dentry *(*link)(struct proc *p, int fd); /* where a link leads, with a reference */
	const struct pentry *dir; /* entries of a directory; ends with name NULL and mode 0 */
	int (*next)(struct proc *p, int after); /* or numbers: the next above, -1 */
	const struct pentry *each;              /* what a number is */
};

struct pnode {
	struct inode i;
	const struct pentry *e;
	int pid, number; /* number: thread or descriptor */
};
#define to_pnode(inode) container_of(inode, struct pnode, i)

static struct dentry *link_exe(struct proc *p, int fd)
{
	struct file *f = procpid_exe(p);
	struct dentry *d = f && f->dentry ? dentry_get(f->dentry) : NULL;

	file_put(f);
	return d;
}

static struct dentry *link_ctx(struct proc *p, struct dentry *(*which)(struct fsctx *))
{
	struct fsctx *c = procpid_fsctx(p);
	struct dentry *d = c ? which(c) : NULL;

	fsctx_put(c);
	return d;
}

static struct dentry *link_cwd(struct proc *p, int fd)
{
	return link_ctx(p, fsctx_cwd_of);
}

static struct dentry *link_root(struct proc *p, int fd)
{
	return link_ctx(p, fsctx_root_of);
}

static struct file *fd_file(struct proc *p, int fd)
{
	struct fdtable *t = procpid_files(p);
	struct file *f = t ? fdtable_file(t, fd) : NULL;

	fdtable_put(t);
	return f;
}

static struct dentry *link_fd(struct proc *p, int fd)
{
	struct file *f = fd_file(p, fd);
	struct dentry *d = NULL;

	if (f && f->dentry)
		d = dentry_get(f->dentry);
	else if (f && dentry_alone(f->inode, f->ops->name, &d))
		d = NULL;
	file_put(f);
	return d;
}

static int next_fd(struct proc *p, int after)
{
	struct fdtable *t = procpid_files(p);
	int fd = t ? fdtable_next(t, after + 1) : -1;

	fdtable_put(t);
	return fd;
}

static int next_thread(struct proc *p, int after)
{
	struct uthread *t;
	int best = -1;
	/*
	 * Under the lock for the whole search: threads come and go, and the list is not in order.
	 */
	uint64_t flags = spin_lock_irq(&proc_lock);

	list_for_each(t, &p->threads, link)
		if (t->tid > after && (best < 0 || t->tid < best))
			best = t->tid;
	spin_unlock_irq(&proc_lock, flags);
	return best;
}

static const struct pentry fd_each = { NULL, S_IFLNK | 0700, .link = link_fd };

#define COMMON                                                               \
	{ "stat", S_IFREG | 0444, .text = proctext_stat },                   \
		{ "statm", S_IFREG | 0444, .text = proctext_statm },         \
		{ "status", S_IFREG | 0444, .text = proctext_status },       \
		{ "cmdline", S_IFREG | 0444, .text = proctext_cmdline },     \
		{ "environ", S_IFREG | 0400, .text = proctext_environ },     \
		{ "comm", S_IFREG | 0644, .text = proctext_comm },           \
		{ "maps", S_IFREG | 0444, .text = proctext_maps },           \
		{ "cgroup", S_IFREG | 0444, .text = proctext_cgroup },       \
		{ "mountinfo", S_IFREG | 0444, .text = proctext_mountinfo }, \
		{ "mounts", S_IFREG | 0444, .text = proctext_mounts },       \
		{ "limits", S_IFREG | 0444, .text = proctext_limits },       \
		{ "oom_score_adj", S_IFREG | 0644, .text = proctext_zero },  \
		{ "exe", S_IFLNK | 0777, .link = link_exe },                 \
		{ "cwd", S_IFLNK | 0777, .link = link_cwd },                 \
		{ "root", S_IFLNK | 0777, .link = link_root },               \
	{                                                                    \
		"fd", S_IFDIR | 0500, .next = next_fd, .each = &fd_each      \
	}

static const struct pentry thread_entries[] = { COMMON, { 0 } };
static const struct pentry thread_each = { NULL, S_IFDIR | 0555, .dir = thread_entries };
static const struct pentry pid_entries[] = {
	COMMON, { "task", S_IFDIR | 0555, .next = next_thread, .each = &thread_each }, { 0 }
};
static const struct pentry pid_each = { NULL, S_IFDIR | 0555, .dir = pid_entries };

static const struct inode_ops pid_inode_ops, pid_link_ops;
static void pnode_release(struct inode *i)
{
	kfree(to_pnode(i));
}
static const struct fs_ops pid_fs_ops = { .statfs = gen_statfs, .inode_release = pnode_release };
static struct fs pid_fs = { .name = "proc", .ops = &pid_fs_ops, .dev = 4 };

/* The same number for the same file every time. */
static uint64_t pnode_ino(int pid, const struct pentry *e, int number)
{
	return (uint64_t)(uint32_t)pid << 32 | ((uintptr_t)e & 0xffff) << 16 |
	       ((uint32_t)number & 0xffff);
}

static int pnode_new(struct proc *p, const struct pentry *e, int number, struct inode **out)
{
	struct pnode *n = kzalloc(sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->e = e;
	n->pid = proc_pid(p);
	n->number = number;
	inode_init(&n->i, &pid_fs, e->link ? &pid_link_ops : &pid_inode_ops,
	           pnode_ino(n->pid, e, number), e->mode);
	n->i.st.uid = p->cred.euid;
	n->i.st.gid = p->cred.egid;
	n->i.st.nlink = S_ISTYPE(e->mode, S_IFDIR) ? 2 : 1;
	*out = &n->i;
	return 0;
}

int procpid_of(const struct inode *i)
{
	const struct pnode *n = container_of(i, const struct pnode, i);

	return i->fs == &pid_fs && i->ops == &pid_inode_ops && n->e == &pid_each ? n->pid : 0;
}

static int number_of(const char *name)
{
	uint64_t v;

	return name[0] >= '0' && name[0] <= '9' && (name[0] != '0' || !name[1]) &&
	                       !str_to_u64(name, &v) && v <= INT32_MAX
	               ? (int)v
	               : -1;
}

static int pid_lookup(struct inode *dir, const char *name, struct inode **out)
{
	struct pnode *d = to_pnode(dir);
	struct proc *p = proc_find(d->pid);
	int err = -ENOENT, n = number_of(name);

	if (!p)
		return -ENOENT;
	for (const struct pentry *e = d->e->dir; e && e->name && err; e++)
		if (strcmp(e->name, name) == 0)
			err = pnode_new(p, e, d->number, out);
	/* A number exists when it is the next one above its predecessor. */
	if (d->e->next && n >= 0 && d->e->next(p, n - 1) == n)
		err = pnode_new(p, d->e->each, n, out);
	proc_put(p);
	return err;
}

/* /proc/self and thread-self: links whose text depends on who reads them. */
static int self_readlink(struct inode *i, char *buf, size_t size)
{
	struct proc *p = proc_current();
	char text[48];
	int n;

	if (!p)
		return -ENOENT;
	n = to_pnode(i)->number ? vmk_snprintf(text, sizeof(text), "%d/task/%d", proc_pid(p),
	                                       uthread_current()->tid)
	                        : vmk_snprintf(text, sizeof(text), "%d", proc_pid(p));
	n = (int)MIN((size_t)n, size);
	memcpy(buf, text, (size_t)n);
	return n;
}

static const struct inode_ops self_ops = { .readlink = self_readlink };

static int self_new(bool thread, struct inode **out)
{
	struct pnode *n = kzalloc(sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->number = thread;
	inode_init(&n->i, &pid_fs, &self_ops, 1 + thread, S_IFLNK | 0777);
	*out = &n->i;
	return 0;
}

int procpid_lookup(const char *name, struct inode **out)
{
	int pid = number_of(name), err;
	struct proc *p;

	if (!strcmp(name, "self") || !strcmp(name, "thread-self"))
		return self_new(name[0] == 't', out);
	p = pid > 0 ? proc_find(pid) : NULL;
	if (!p)
		return -ENOENT;
	err = pnode_new(p, &pid_each, 0, out);
	proc_put(p);
	return err;
}

int procpid_list(uint64_t *pos, bool (*emit)(void *, const char *, uint64_t, unsigned, uint64_t),
                 void *arg)
{
	char name[16];

	if (*pos == GEN_DYNAMIC && emit(arg, "self", 1, INODE_LINK, GEN_DYNAMIC + 1))
		*pos = GEN_DYNAMIC + 1;
	if (*pos == GEN_DYNAMIC)
		return 0;
	for (int pid; (pid = proc_next_pid((int)(*pos - GEN_DYNAMIC - 1))) != 0;) {
		uint64_t next = GEN_DYNAMIC + 1 + (uint64_t)pid;

		vmk_snprintf(name, sizeof(name), "%d", pid);
		if (!emit(arg, name, pnode_ino(pid, &pid_each, 0), INODE_DIR, next))
			break;
		*pos = next;
	}
	return 0;
}

static int pid_readdir(struct file *f, uint64_t *pos,
                       bool (*emit)(void *, const char *, uint64_t, unsigned, uint64_t), void *arg)
{
	struct pnode *d = to_pnode(f->inode);
	struct proc *p = proc_find(d->pid);
	char name[16];

	if (!p)
		return -ENOENT;
	if (*pos == 0 && emit(arg, ".", d->i.st.ino, INODE_DIR, 1))
		*pos = 1;
	if (*pos == 1 && emit(arg, "..", d->i.st.ino, INODE_DIR, 2))
		*pos = 2;
	/*
	 * Of fixed entries *pos counts the place in the table; of numbers it is the last one shown,
	 * plus 3.
	 */
	while (*pos >= 2) {
		const struct pentry *e = d->e->dir ? d->e->dir + (*pos - 2) : d->e->each;
		int n = d->e->dir ? 0 : d->e->next(p, (int)*pos - 3);
		uint64_t next = d->e->dir ? *pos + 1 : (uint64_t)n + 3;

		if (d->e->dir ? !e->name : n < 0)
			break;
		vmk_snprintf(name, sizeof(name), "%d", n);
		if (!emit(arg, d->e->dir ? e->name : name, pnode_ino(d->pid, e, n), S_TYPE(e->mode),
		          next))
			break;
		*pos = next;
	}
	proc_put(p);
	return 0;
}

static int pid_readlink(struct inode *i, char *buf, size_t size)
{
	struct pnode *n = to_pnode(i);
	struct proc *p = proc_find(n->pid);
	struct file *f = p && n->e->link == link_fd ? fd_file(p, n->number) : NULL;
	char *text = kmalloc(PATH_MAX);
	int err = text ? -ENOENT : -ENOMEM;

	if (text && f) {
		/* Pipes and sockets have a text like "pipe:[7]" that is no path. */
		err = file_path(f, text, PATH_MAX);
	} else if (text && p) {
		struct dentry *d = n->e->link(p, n->number), *root = fsctx_root();

		if (d)
			err = dentry_path(d, root, text, PATH_MAX);
		dentry_put(d);
		dentry_put(root);
	}
	if (err > 0) {
		err = (int)MIN((size_t)err, size);
		memcpy(buf, text, (size_t)err);
	}
	kfree(text);
	file_put(f);
	if (p)
		proc_put(p);
	return err;
}

static int pid_follow(struct inode *i, struct dentry **out)
{
	struct pnode *n = to_pnode(i);
	struct proc *p = proc_find(n->pid);

	/* By reference, not by path: a deleted or anonymous file can be opened through it. */
	*out = p ? n->e->link(p, n->number) : NULL;
	if (p)
		proc_put(p);
	return *out ? 0 : -ENOENT;
}

static void fill(struct text_buf *t, void *arg)
{
	struct pnode *n = arg;
	struct proc *p = proc_find(n->pid);

	if (!p) {
		t->error = -ESRCH;
		return;
	}
	n->e->text(t, p, n->number);
	proc_put(p);
}

static const struct file_ops pid_dir_ops = { .name = "proc", .readdir = pid_readdir };

static int pid_open(struct inode *i, struct file *f)
{
	struct pnode *n = to_pnode(i);

	if (inode_type(i) != INODE_DIR)
		return n->e->text ? text_file_open(f, fill, n, NULL) : -EACCES;
	f->ops = &pid_dir_ops;
	return 0;
}

static const struct inode_ops pid_link_ops = { .readlink = pid_readlink, .follow = pid_follow };
static const struct inode_ops pid_inode_ops = { .lookup = pid_lookup, .open = pid_open };
