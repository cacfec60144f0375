// SPDX-License-Identifier: Apache-2.0
/*
 * Advisory locks: flock (owner: the open file), POSIX record locks (owner: the descriptor table)
 * and open file description locks (owner: the open file). locks_lock guards every inode's list.
 * flock and record locks do not see each other. Spec: Linux flock(2), fcntl(2).
 */
#include "fs/vfs.h"
#include "vmk/mm.h"

struct flk {
	struct list link; /* inode->locks */
	const void *owner;
	bool flock; /* not a record lock */
	bool write;
	int pid;
	uint64_t start, end; /* last byte */
};

static struct spinlock locks_lock = SPINLOCK_INIT("flock", RANK_FS);
static struct waitq locks_wait; /* any lock went away */

static void wake(void)
{
	waitq_wake_all(&locks_wait);
}

void lock_init(void)
{
	waitq_init(&locks_wait, "flock");
}

/* The first lock that is in the way of want; locks_lock is held. */
static struct flk *conflict(struct inode *i, const struct flk *want)
{
	struct flk *l;

	list_for_each(l, &i->locks, link)
		if (l->flock == want->flock && l->owner != want->owner &&
		    (l->write || want->write) && l->start <= want->end && want->start <= l->end)
			return l;
	return NULL;
}

/*
 * Takes [start, end] away from the owner's record locks, and then adds want unless unlock. spare[]
 * are up to two fresh locks; what is used becomes NULL. locks_lock is held.
 */
static void replace_range(struct inode *i, const struct flk *want, bool unlock,
                          struct flk *spare[2])
{
	struct flk *l, *n;

	/*
	 * Own locks that overlap are cut back first, so an owner's record locks never overlap:
	 * POSIX fcntl.
	 */
	list_for_each_safe(l, n, &i->locks, link) {
		if (l->flock != want->flock || l->owner != want->owner || l->end < want->start ||
		    l->start > want->end)
			continue;
		if (l->start < want->start && l->end > want->end) { /* splits */
			*spare[1] = *l;
			spare[1]->start = want->end + 1;
			list_push_back(&i->locks, &spare[1]->link);
			spare[1] = NULL;
			l->end = want->start - 1;
		} else if (l->start < want->start) {
			l->end = want->start - 1;
		} else if (l->end > want->end) {
			l->start = want->end + 1;
		} else {
			list_remove(&l->link);
			kfree(l);
		}
	}
	if (!unlock) {
		*spare[0] = *want;
		list_push_back(&i->locks, &spare[0]->link);
		spare[0] = NULL;
	}
}

static int try_lock(struct inode *i, const struct flk *want, bool unlock)
{
	/*
	 * Both are allocated before the spin lock: one range may split in two, and one may be
	 * added.
	 */
	struct flk *spare[2] = { kmalloc_charged(sizeof(struct flk)),
		                 kmalloc_charged(sizeof(struct flk)) };
	int err = 0;

	if (!spare[0] || !spare[1]) {
		err = -ENOLCK;
	} else {
		spin_lock(&locks_lock);
		if (!unlock && conflict(i, want))
			err = -EAGAIN;
		else
			replace_range(i, want, unlock, spare);
		spin_unlock(&locks_lock);
	}
	kfree(spare[0]);
	kfree(spare[1]);
	if (!err)
		wake(); /* also a lock that became weaker */
	return err;
}

static bool is_free(struct inode *i, const struct flk *want)
{
	bool free;

	spin_lock(&locks_lock);
	free = !conflict(i, want);
	spin_unlock(&locks_lock);
	return free;
}

static int lock_wait(struct inode *i, const struct flk *want, bool unlock, bool wait)
{
	int err;

	/*
	 * All waiters of all files share one queue: locks are rare, and each looks at its own
	 * range.
	 */
	while ((err = try_lock(i, want, unlock)) == -EAGAIN && wait)
		if (wait_event_interruptible(&locks_wait, is_free(i, want)))
			return -ERESTARTSYS;
	return err;
}

int lock_flock(struct file *f, unsigned op)
{
	struct flk want = { .owner = f,
		            .flock = true,
		            .write = (op & ~(unsigned)LOCK_NB) == LOCK_EX,
		            .end = UINT64_MAX };

	switch (op & ~(unsigned)LOCK_NB) {
	case LOCK_SH:
	case LOCK_EX: return lock_wait(f->inode, &want, false, !(op & LOCK_NB));
	case LOCK_UN: return lock_wait(f->inode, &want, true, false);
	}
	return -EINVAL;
}

static int range_of(struct file *f, const struct linux_flock *l, struct flk *want)
{
	struct vstat st;
	int64_t start = l->start, base = 0;

	inode_stat(f->inode, &st);
	if (l->whence == SEEK_CUR)
		base = (int64_t)f->pos;
	else if (l->whence == SEEK_END)
		base = (int64_t)st.size;
	else if (l->whence != SEEK_SET)
		return -EINVAL;
	if (add_overflow(start, base, &start))
		return -EOVERFLOW;
	/*
	 * POSIX fcntl: a negative length is the range before start, 0 is to the end, however far
	 * the file grows.
	 */
	if (l->len < 0)
		start += l->len;
	if (start < 0)
		return -EINVAL;
	want->start = (uint64_t)start;
	want->end = l->len == 0 ? UINT64_MAX
	                        : (uint64_t)start + (uint64_t)(l->len < 0 ? -l->len : l->len) - 1;
	return 0;
}

static void tell(struct inode *i, const struct flk *want, struct linux_flock *l)
{
	struct flk *c;

	spin_lock(&locks_lock);
	c = conflict(i, want);
	l->type = F_UNLCK;
	if (c) {
		*l = (struct linux_flock){ .type = c->write ? F_WRLCK : F_RDLCK,
			                   .whence = SEEK_SET,
			                   .start = (int64_t)c->start,
			                   .pid = c->pid };
		l->len = c->end == UINT64_MAX ? 0 : (int64_t)(c->end - c->start + 1);
	}
	spin_unlock(&locks_lock);
}

int lock_posix(struct file *f, int cmd, struct linux_flock *l)
{
	/*
	 * Record locks belong to the process, that is its descriptor table, which fork copies: the
	 * child has none.
	 */
	bool ofd = cmd >= F_OFD_GETLK, get = cmd == F_GETLK || cmd == F_OFD_GETLK;
	unsigned acc = f->flags & O_ACCMODE;
	struct flk want = { .owner = ofd ? (void *)f : (void *)proc_fdtable(proc_current()),
		            .write = l->type == F_WRLCK,
		            .pid = ofd ? -1 : proc_pid(proc_current()) };
	int err;

	if (l->type != F_RDLCK && l->type != F_WRLCK && l->type != F_UNLCK)
		return -EINVAL;
	if (ofd && l->pid)
		return -EINVAL;
	if (!get &&
	    ((l->type == F_RDLCK && acc == O_WRONLY) || (l->type == F_WRLCK && acc == O_RDONLY)))
		return -EBADF;
	err = range_of(f, l, &want);
	if (err)
		return err;
	if (get) {
		tell(f->inode, &want, l);
		return 0;
	}
	return lock_wait(f->inode, &want, l->type == F_UNLCK,
	                 cmd == F_SETLKW || cmd == F_OFD_SETLKW);
}

void lock_release_owner(struct inode *i, const void *owner)
{
	struct flk *l, *n;
	bool any = false;

	/* Without the lock: only this owner adds its locks, and it is going. */
	if (list_empty(&i->locks))
		return;
	spin_lock(&locks_lock);
	list_for_each_safe(l, n, &i->locks, link)
		if (l->owner == owner) {
			list_remove(&l->link);
			kfree(l);
			any = true;
		}
	spin_unlock(&locks_lock);
	if (any)
		wake();
}
