// SPDX-License-Identifier: Apache-2.0
/*
 * The data of tmpfs files: pages of a memory object, which mappings and reads share. User memory is
 * touched with no lock of the object held, since a fault on it may need the same lock; a pin keeps
 * the page meanwhile. The inode's lock makes writes one after the other.
 */
#include "fs/tmpfs.h"
#include "mm/aspace_priv.h"
#include "proc/proc.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum { CHUNK = PAGE_SIZE / sizeof(pa_t) };
#define SIZE_MAX_FILE (1ull << 46)

/* The slot of a page, made when grow; NULL when it is not there. */
static pa_t *slot_of(struct tdata *d, uint64_t index, bool grow)
{
	uint64_t c = index / CHUNK;

	/*
	 * Doubling, but by at most 1024 chunks (2 GiB) ahead: a big sparse file does not take twice
	 * its index.
	 */
	if (c >= d->chunks) {
		uint64_t n = MAX(c + 1, MIN(d->chunks * 2, c + 1024));
		pa_t **bigger = grow ? kcalloc_charged(n, sizeof(*bigger)) : NULL;

		if (!bigger)
			return NULL;
		if (d->chunks)
			memcpy(bigger, d->chunk, d->chunks * sizeof(*bigger));
		kfree(d->chunk);
		d->chunk = bigger;
		d->chunks = n;
	}
	if (!d->chunk[c] && grow)
		d->chunk[c] = kzalloc_charged(PAGE_SIZE);
	return d->chunk[c] ? &d->chunk[c][index % CHUNK] : NULL;
}

/* The backing's page when it can be used in place, PA_NONE otherwise. */
static pa_t backing_page(const struct tdata *d, uint64_t index)
{
	uint64_t at = index << PAGE_SHIFT;

	if (!d->backing || at + PAGE_SIZE > d->backing_len ||
	    !IS_ALIGNED((uintptr_t)d->backing, PAGE_SIZE))
		return PA_NONE;
	return va_to_pa(d->backing + at);
}

static pa_t new_page(struct tdata *d, uint64_t index)
{
	uint64_t at = index << PAGE_SHIFT;
	pa_t pa;

	/*
	 * Counted before the page is taken, so that writers at once cannot pass the limit together.
	 */
	if (__atomic_add_fetch(&d->tmpfs->used, 1, __ATOMIC_RELAXED) > d->tmpfs->limit)
		goto full;
	pa = user_page_new(FRAME_MEMOBJ, true);
	if (pa == PA_NONE)
		goto full;
	/* Copy on write from the boot module; behind its end the page stays zero. */
	if (d->backing && at < d->backing_len)
		memcpy(pa_to_va(pa), d->backing + at,
		       MIN(d->backing_len - at, (uint64_t)PAGE_SIZE));
	d->pages_used++;
	return pa;
full:
	__atomic_fetch_sub(&d->tmpfs->used, 1, __ATOMIC_RELAXED);
	return PA_NONE;
}

/* struct memobj_ops.page; obj.lock is held. */
static pa_t tdata_page(struct memobj *o, uint64_t index, bool write)
{
	struct tdata *d = o->priv;
	pa_t *slot = slot_of(d, index, false), pa;

	if (slot && *slot) {
		frame_pin(*slot);
		return *slot;
	}
	pa = backing_page(d, index);
	if (pa != PA_NONE && !write) {
		frame_pin(pa);
		return pa;
	}
	/* A read of a hole makes the page too: a mapping must later see what is written. */
	slot = slot_of(d, index, true);
	if (!slot)
		return PA_NONE;
	if (pa != PA_NONE) /* others have the backing's page mapped: they shall see ours */
		memobj_unmap(o, index, 1);
	pa = new_page(d, index);
	if (pa == PA_NONE)
		return pa;
	*slot = pa;
	frame_pin(pa);
	return pa;
}

/* Frees the pages from index first on. obj.lock is held, or nobody else has the object. */
static void free_from(struct tdata *d, uint64_t first)
{
	for (uint64_t c = first / CHUNK; c < d->chunks; c++) {
		for (unsigned i = 0; d->chunk[c] && i < CHUNK; i++) {
			pa_t *slot = &d->chunk[c][i];

			if (!*slot || c * CHUNK + i < first)
				continue;
			page_free(*slot, ORDER_4K);
			*slot = 0;
			d->pages_used--;
			__atomic_fetch_sub(&d->tmpfs->used, 1, __ATOMIC_RELAXED);
		}
	}
}

static void tdata_release(struct memobj *o)
{
	struct tdata *d = o->priv;

	free_from(d, 0);
	for (uint64_t c = 0; c < d->chunks; c++)
		kfree(d->chunk[c]);
	kfree(d->chunk);
	kfree(d);
}

static const struct memobj_ops tdata_ops = { .page = tdata_page, .release = tdata_release };

int tdata_create(struct tmpfs *fs, struct tdata **out)
{
	struct tdata *d = kzalloc_charged(sizeof(*d));

	if (!d)
		return -ENOMEM;
	memobj_init(&d->obj, &tdata_ops, 0);
	d->obj.priv = d;
	d->tmpfs = fs;
	*out = d;
	return 0;
}

/* Zeroes [from, to) within one page, if it has content. obj.lock is held. */
static int zero_part(struct tdata *d, uint64_t from, uint64_t to)
{
	uint64_t index = from >> PAGE_SHIFT;
	pa_t *slot = slot_of(d, index, false), pa;

	/* Without a page and behind the backing it reads as zeroes already. */
	if (from == to || ((!slot || !*slot) && from >= d->backing_len))
		return 0;
	pa = tdata_page(&d->obj, index, true);
	if (pa == PA_NONE)
		return -ENOSPC;
	memset((char *)pa_to_va(pa) + from % PAGE_SIZE, 0, to - from);
	frame_unpin(pa);
	return 0;
}

int tdata_resize(struct tnode *t, uint64_t size)
{
	struct tdata *d = t->data;
	uint64_t old = t->i.st.size, pages = DIV_UP(size, (uint64_t)PAGE_SIZE);
	int err = 0;

	if (size > SIZE_MAX_FILE)
		return -EFBIG;
	if ((size < old && (t->seals & F_SEAL_SHRINK)) || (size > old && (t->seals & F_SEAL_GROW)))
		return -EPERM;
	mutex_lock(&d->obj.lock);
	/*
	 * The rest of the last page is zeroed, for a later growth must show zeroes; mappings lose
	 * the pages before they are freed.
	 */
	if (size < old) {
		err = zero_part(d, size, MIN(ALIGN_UP(size, (uint64_t)PAGE_SIZE), old));
		if (!err) {
			memobj_unmap(&d->obj, pages, d->obj.pages - pages);
			free_from(d, pages);
			d->backing_len = MIN(d->backing_len, size);
		}
	}
	if (!err) {
		d->obj.pages = pages;
		t->i.st.size = size;
	}
	mutex_unlock(&d->obj.lock);
	return err;
}

int tdata_punch(struct tnode *t, uint64_t from, uint64_t to)
{
	struct tdata *d = t->data;
	int err = 0;

	mutex_lock(&d->obj.lock);
	for (to = MIN(to, t->i.st.size); from < to && !err;) {
		uint64_t end = MIN(to, ALIGN_DOWN(from, (uint64_t)PAGE_SIZE) + PAGE_SIZE);

		err = zero_part(d, from, end);
		from = end;
	}
	mutex_unlock(&d->obj.lock);
	return err;
}

/* Copies within one page between the file and u. Bytes or -errno. */
static ssize_t copy_page(struct tdata *d, struct uio *u, uint64_t pos, size_t n, bool write)
{
	pa_t pa = PA_NONE;
	char *p;
	int err;

	mutex_lock(&d->obj.lock);
	if (pos >> PAGE_SHIFT < d->obj.pages)
		pa = tdata_page(&d->obj, pos >> PAGE_SHIFT, write);
	mutex_unlock(&d->obj.lock);
	if (pa == PA_NONE)
		return -ENOSPC;
	p = (char *)pa_to_va(pa) + pos % PAGE_SIZE;
	err = write ? uio_read(u, p, n) : uio_write(u, p, n);
	/* The pin kept the page while user memory was copied without the lock. */
	frame_unpin(pa);
	return err ? err : (ssize_t)n;
}

static bool is_hole(struct tdata *d, uint64_t index)
{
	pa_t *slot;
	bool hole;

	mutex_lock(&d->obj.lock);
	slot = slot_of(d, index, false);
	hole = (!slot || !*slot) && index << PAGE_SHIFT >= d->backing_len;
	mutex_unlock(&d->obj.lock);
	return hole;
}

static ssize_t tmpfs_read(struct file *f, struct uio *u, uint64_t *pos)
{
	static const char zeroes[PAGE_SIZE];
	struct tnode *t = to_tnode(f->inode);
	uint64_t size = READ_ONCE(t->i.st.size);
	ssize_t done = 0;

	while (u->left && *pos < size) {
		size_t n = MIN(MIN(PAGE_SIZE - *pos % PAGE_SIZE, size - *pos), u->left);
		ssize_t got;

		/* A hole is read from zeroes: reading must not fill the limit with pages. */
		if (is_hole(t->data, *pos >> PAGE_SHIFT)) {
			got = uio_write(u, zeroes, n);
			got = got ? got : (ssize_t)n;
		} else {
			got = copy_page(t->data, u, *pos, n, false);
		}
		if (got < 0)
			return done ? done : got;
		done += got;
		*pos += (uint64_t)got;
	}
	if (!(f->flags & O_NOATIME) && done)
		t->i.st.atime = time_realtime();
	return done;
}

static ssize_t write_locked(struct tnode *t, struct uio *u, uint64_t *pos)
{
	uint64_t limit = MIN(proc_rlimit(RLIMIT_FSIZE), SIZE_MAX_FILE), old = t->i.st.size;
	ssize_t done = 0, put = 0;

	if (t->seals & F_SEAL_WRITE || ((t->seals & F_SEAL_GROW) && *pos + u->left > old))
		return -EPERM;
	if (*pos >= limit && u->left) {
		signal_current(SIGXFSZ);
		return -EFBIG;
	}
	while (u->left && *pos < limit) {
		size_t n = MIN(MIN(PAGE_SIZE - *pos % PAGE_SIZE, limit - *pos), u->left);

		/*
		 * Page by page, so that a fault in the middle leaves the size at what was written.
		 */
		if (*pos + n > t->i.st.size) {
			put = tdata_resize(t, *pos + n);
			if (put)
				break;
		}
		put = copy_page(t->data, u, *pos, n, true);
		if (put < 0)
			break;
		done += put;
		*pos += (uint64_t)put;
	}
	if (put < 0 && t->i.st.size > MAX(*pos, old))
		(void)!tdata_resize(t, MAX(*pos, old)); /* takes back what was not written */
	t->i.st.mtime = t->i.st.ctime = time_realtime();
	return done ? done : put < 0 ? put : 0;
}

static ssize_t tmpfs_write(struct file *f, struct uio *u, uint64_t *pos)
{
	struct tnode *t = to_tnode(f->inode);
	ssize_t done;

	mutex_lock(&t->i.lock);
	if (f->flags & O_APPEND)
		*pos = t->i.st.size;
	/* Size, position and data in one: O_APPEND is atomic against other writers. */
	done = write_locked(t, u, pos);
	/* POSIX write: a program that is written to by others loses its privileges. */
	if (done > 0 && (t->i.st.mode & (S_ISUID | S_ISGID)) && cred_current()->euid)
		t->i.st.mode &= ~(uint32_t)(S_ISUID | S_ISGID);
	mutex_unlock(&t->i.lock);
	return done;
}

static int tmpfs_mmap(struct file *f, uint64_t offset, uint64_t len, unsigned prot, bool shared,
                      struct memobj **obj, uint64_t *obj_offset)
{
	struct tnode *t = to_tnode(f->inode);
	enum { PROT_WRITE = 2 };

	if (shared && (prot & PROT_WRITE) && (t->seals & F_SEAL_WRITE))
		return -EPERM;
	*obj = &t->data->obj;
	*obj_offset = offset;
	return 0;
}

static int tmpfs_fsync(struct file *f, bool data_only)
{
	return 0; /* memory is all there is */
}

const struct file_ops tmpfs_file_ops = {
	.name = "tmpfs",
	.read = tmpfs_read,
	.write = tmpfs_write,
	.mmap = tmpfs_mmap,
	.fsync = tmpfs_fsync,
};

void tmpfs_set_backing(struct inode *i, const uint8_t *data, uint64_t len)
{
	struct tdata *d = to_tnode(i)->data;

	d->backing = data;
	d->backing_len = i->st.size = len;
	d->obj.pages = DIV_UP(len, (uint64_t)PAGE_SIZE);
}
