// SPDX-License-Identifier: Apache-2.0
/* Descriptor tables. t->lock guards the slots; files are put outside of it. */
#include "fs/vfs.h"
#include "proc/proc.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum { FIRST_SIZE = 64, SIZE_LIMIT = 1 << 20 };

struct fd_slot {
	struct file *file;
	bool cloexec;
};

struct fdtable {
	struct spinlock lock;
	uint32_t refs;
	unsigned size, low; /* low: no free slot is below */
	struct fd_slot *slot;
};

int fdtable_create(struct fdtable **out)
{
	struct fdtable *t = kzalloc_charged(sizeof(*t));

	if (!t)
		return -ENOMEM;
	spin_init(&t->lock, "fdtable", RANK_OUTER);
	t->refs = 1;
	t->size = FIRST_SIZE;
	t->slot = kcalloc_charged(t->size, sizeof(*t->slot));
	if (!t->slot) {
		kfree(t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

/* Makes room for fd; the lock is held and is dropped meanwhile. */
static int grow_locked(struct fdtable *t, unsigned fd)
{
	/*
	 * Allocating may sleep, so without the lock; whoever comes back first enlarges, the other
	 * frees its copy.
	 */
	while (fd >= t->size) {
		unsigned size = t->size;
		struct fd_slot *bigger;

		if (fd >= SIZE_LIMIT)
			return -EMFILE;
		while (size <= fd)
			size *= 2;
		spin_unlock(&t->lock);
		bigger = kcalloc_charged(size, sizeof(*bigger));
		spin_lock(&t->lock);
		if (!bigger)
			return -ENOMEM;
		if (size > t->size) {
			struct fd_slot *old = t->slot;

			/*
			 * Slots are only reached under the lock, so the old array has no readers.
			 */
			memcpy(bigger, t->slot, t->size * sizeof(*bigger));
			t->slot = bigger;
			t->size = size;
			bigger = old;
		}
		spin_unlock(&t->lock);
		kfree(bigger);
		spin_lock(&t->lock);
	}
	return 0;
}

int fdtable_clone(struct fdtable *t, struct fdtable **out)
{
	struct fdtable *n;
	int err = fdtable_create(&n);

	if (err)
		return err;
	spin_lock(&t->lock);
	for (;;) {
		/* t may grow while n grows: only sizes that fit under t's lock end the loop. */
		unsigned want = t->size;

		if (n->size >= want)
			break;
		spin_unlock(&t->lock);
		spin_lock(&n->lock);
		err = grow_locked(n, want - 1);
		spin_unlock(&n->lock);
		if (err) {
			fdtable_put(n);
			return err;
		}
		spin_lock(&t->lock);
	}
	for (unsigned i = 0; i < t->size; i++) {
		n->slot[i] = t->slot[i];
		if (n->slot[i].file)
			file_get(n->slot[i].file);
	}
	n->low = t->low;
	spin_unlock(&t->lock);
	*out = n;
	return 0;
}

struct fdtable *fdtable_get(struct fdtable *t)
{
	__atomic_fetch_add(&t->refs, 1, __ATOMIC_RELAXED);
	return t;
}

/* A descriptor of t is gone: its POSIX locks go, then its reference. */
static void drop(struct fdtable *t, struct file *f)
{
	if (f)
		/*
		 * fcntl(2): closing any descriptor of a file ends all of the process's record locks
		 * on it.
		 */
		lock_release_owner(f->inode, t);
	file_put(f);
}

void fdtable_put(struct fdtable *t)
{
	if (!t || __atomic_sub_fetch(&t->refs, 1, __ATOMIC_ACQ_REL))
		return;
	/* The last user: no lock is needed, and files are put one by one, which may sleep. */
	for (unsigned i = 0; i < t->size; i++)
		drop(t, t->slot[i].file);
	kfree(t->slot);
	kfree(t);
}

void fdtable_close_on_exec(struct fdtable *t)
{
	for (unsigned i = 0; i < t->size; i++) {
		bool close;

		spin_lock(&t->lock);
		close = t->slot[i].file && t->slot[i].cloexec;
		spin_unlock(&t->lock);
		if (close)
			fdtable_close(t, (int)i);
	}
}

struct file *fdtable_file(struct fdtable *t, int fd)
{
	struct file *f = NULL;

	spin_lock(&t->lock);
	if (fd >= 0 && (unsigned)fd < t->size && t->slot[fd].file)
		f = file_get(t->slot[fd].file);
	spin_unlock(&t->lock);
	return f;
}

int fdtable_install(struct fdtable *t, struct file *f, int min, bool cloexec, unsigned limit)
{
	unsigned fd;
	int err;

	spin_lock(&t->lock);
	/*
	 * POSIX 2.14: always the lowest free descriptor, also after the table grew without the
	 * lock.
	 */
	do {
		fd = MAX((unsigned)min, t->low);
		while (fd < t->size && t->slot[fd].file)
			fd++;
		err = fd >= limit ? -EMFILE : grow_locked(t, fd);
	} while (!err && t->slot[fd].file); /* somebody took it while the table grew */
	if (!err) {
		t->slot[fd] = (struct fd_slot){ f, cloexec };
		if ((unsigned)min <= t->low)
			t->low = fd + 1;
	}
	spin_unlock(&t->lock);
	if (err)
		file_put(f);
	return err ? err : (int)fd;
}

int fdtable_replace(struct fdtable *t, int fd, struct file *f, bool cloexec, unsigned limit)
{
	struct file *old = NULL;
	int err = fd < 0 || (unsigned)fd >= limit ? -EBADF : 0;

	spin_lock(&t->lock);
	if (!err)
		err = grow_locked(t, (unsigned)fd);
	if (!err) {
		old = t->slot[fd].file;
		t->slot[fd] = (struct fd_slot){ f, cloexec };
		if (t->low == (unsigned)fd)
			t->low++;
	}
	spin_unlock(&t->lock);
	if (err)
		file_put(f);
	/* After the lock: dup2 closes silently what was there, and that may sleep. */
	drop(t, old);
	return err ? err : fd;
}

int fdtable_close(struct fdtable *t, int fd)
{
	struct file *f = NULL;

	spin_lock(&t->lock);
	if (fd >= 0 && (unsigned)fd < t->size) {
		f = t->slot[fd].file;
		t->slot[fd].file = NULL;
		if (f && (unsigned)fd < t->low)
			t->low = (unsigned)fd;
	}
	spin_unlock(&t->lock);
	if (!f)
		return -EBADF;
	drop(t, f);
	return 0;
}

int fdtable_next(struct fdtable *t, int fd)
{
	int err = -1;

	spin_lock(&t->lock);
	for (unsigned i = fd < 0 ? 0 : (unsigned)fd; i < t->size && err < 0; i++)
		if (t->slot[i].file)
			err = (int)i;
	spin_unlock(&t->lock);
	return err;
}

int fdtable_cloexec(struct fdtable *t, int fd, int set)
{
	int err = -EBADF;

	spin_lock(&t->lock);
	if (fd >= 0 && (unsigned)fd < t->size && t->slot[fd].file) {
		if (set >= 0)
			t->slot[fd].cloexec = set;
		err = t->slot[fd].cloexec;
	}
	spin_unlock(&t->lock);
	return err;
}

struct file *fd_get(int fd)
{
	return fdtable_file(proc_fdtable(proc_current()), fd);
}

int fd_install(struct file *f, bool cloexec)
{
	return fdtable_install(proc_fdtable(proc_current()), f, 0, cloexec,
	                       (unsigned)MIN(proc_rlimit(RLIMIT_NOFILE), (uint64_t)SIZE_LIMIT));
}
