// SPDX-License-Identifier: Apache-2.0
/*
 * Pipes and FIFOs: a ring of bytes between readers and writers. p->lock guards all of a pipe; user
 * memory is copied under it (faults take only locks of address spaces and memory objects, which
 * never lead here).
 * Spec: POSIX.1-2017 pipe, write (PIPE_BUF); Linux pipe(7), fifo(7).
 */
#include "fs/vfs.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum { PIPE_BUF = 4096, FIRST_SIZE = 4096, NORMAL_SIZE = 65536, SIZE_MAX_PIPE = 1 << 20 };

struct pipe {
	struct mutex lock;
	struct waitq wait; /* every change of fill, readers, writers */
	uint8_t *buf;      /* buf_size bytes; grows to size when needed */
	size_t buf_size, size;
	uint64_t head, tail; /* bytes ever written and read */
	uint32_t readers, writers, refs;
	bool unnamed;                /* no FIFO: pipe_create made it */
	bool peeked;                 /* between pipe_peek and pipe_consume: other readers wait */
	uint32_t opened_r, opened_w; /* opens so far: a FIFO's open waits for the other side's */
};

static size_t fill(const struct pipe *p)
{
	return (size_t)(READ_ONCE(p->head) - READ_ONCE(p->tail));
}

static struct pipe *pipe_new(bool unnamed)
{
	struct pipe *p = kzalloc_charged(sizeof(*p));

	if (!p)
		return NULL;
	mutex_init(&p->lock, "pipe");
	waitq_init(&p->wait, "pipe");
	p->size = NORMAL_SIZE;
	p->unnamed = unnamed;
	return p;
}

/* Gives the ring another size; what is in it moves to the front. */
static int resize(struct pipe *p, size_t size)
{
	size_t n = fill(p), at = p->buf ? p->tail % p->buf_size : 0,
	       first = MIN(n, p->buf_size - at);
	uint8_t *b = kmalloc_charged(size);

	if (!b)
		return -ENOMEM;
	if (n) {
		memcpy(b, p->buf + at, first);
		memcpy(b + first, p->buf, n - first);
	}
	/* Positions begin anew: fill and the place in the ring only depend on their difference. */
	kfree(p->buf);
	p->buf = b;
	p->buf_size = size;
	p->tail = 0;
	p->head = n;
	return 0;
}

/* Copies up to n bytes in or out at the ring's position pos; bytes or -EFAULT. */
static ssize_t ring_copy(struct pipe *p, struct uio *u, uint64_t pos, size_t n, bool in)
{
	size_t done = 0;

	while (done < n) {
		size_t at = (pos + done) % p->buf_size, piece = MIN(n - done, p->buf_size - at);
		int err = in ? uio_read(u, p->buf + at, piece) : uio_write(u, p->buf + at, piece);

		if (err)
			return done ? (ssize_t)done : err;
		done += piece;
	}
	return (ssize_t)done;
}

/* Waits for bytes to take, with p->lock held before and after: 1, 0 at the end, -errno. */
static int wait_fill(struct pipe *p, bool nonblock)
{
	while (p->peeked || !fill(p)) {
		int err;

		/* While a splice holds peeked bytes it is not known whether the end is reached. */
		if (!p->peeked && !p->writers)
			return 0;
		if (nonblock)
			return -EAGAIN;
		/* Not under the lock: writers need it to bring the bytes that end the wait. */
		mutex_unlock(&p->lock);
		err = wait_event_interruptible(
			&p->wait, !READ_ONCE(p->peeked) && (fill(p) || !READ_ONCE(p->writers)));
		mutex_lock(&p->lock);
		if (err)
			return -ERESTARTSYS;
	}
	return 1;
}

static ssize_t pipe_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct pipe *p = f->priv;
	ssize_t got;

	if (!u->left)
		return 0;
	mutex_lock(&p->lock);
	got = wait_fill(p, f->flags & O_NONBLOCK);
	if (got > 0)
		got = ring_copy(p, u, p->tail, MIN(u->left, fill(p)), false);
	if (got > 0)
		WRITE_ONCE(p->tail, p->tail + (uint64_t)got);
	mutex_unlock(&p->lock);
	if (got > 0)
		waitq_wake_all(&p->wait);
	return got;
}

/* What may be written now of n bytes: all or nothing up to PIPE_BUF. */
static size_t room(const struct pipe *p, size_t n)
{
	/* POSIX write: up to PIPE_BUF bytes are atomic, more may go in pieces. */
	size_t free = p->size - MIN(fill(p), p->size);

	return n <= PIPE_BUF ? (free >= n ? n : 0) : MIN(n, free);
}

/* One step of a write: bytes, 0 when the pipe is full, -errno. */
static ssize_t write_some(struct pipe *p, struct uio *u)
{
	size_t n;
	ssize_t done = 0;

	mutex_lock(&p->lock);
	n = room(p, u->left);
	if (!p->readers)
		done = -EPIPE;
	else if (n && fill(p) + n > p->buf_size)
		/*
		 * Most pipes carry little: one page until more is written, then the full size at
		 * once.
		 */
		done = resize(p, fill(p) + n <= FIRST_SIZE ? FIRST_SIZE : p->size);
	if (!done && n) {
		done = ring_copy(p, u, p->head, n, true);
		if (done > 0)
			WRITE_ONCE(p->head, p->head + (uint64_t)done);
	}
	mutex_unlock(&p->lock);
	if (done > 0)
		waitq_wake_all(&p->wait);
	return done;
}

static ssize_t pipe_write(struct file *f, struct uio *u, uint64_t *pos)
{
	struct pipe *p = f->priv;
	ssize_t done = 0;

	while (u->left) {
		ssize_t put = write_some(p, u);

		/* A further round: the rest may have room, or the wait below begins. */
		if (put > 0) {
			done += put;
			continue;
		}
		if (!put && (f->flags & O_NONBLOCK))
			put = -EAGAIN;
		if (!put &&
		    wait_event_interruptible(&p->wait, room(p, u->left) || !READ_ONCE(p->readers)))
			put = -ERESTARTSYS;
		if (put)
			return done ? done : put;
	}
	return done;
}

static unsigned pipe_poll(struct file *f, struct waitq **q)
{
	struct pipe *p = f->priv;
	unsigned acc = f->flags & O_ACCMODE, bits = 0;

	*q = &p->wait;
	/* A FIFO that never had a writer is not at its end: poll waits for the first one. */
	if (acc != O_WRONLY)
		bits |= (fill(p) ? FPOLLIN : 0) | (!p->writers && p->opened_w ? FPOLLHUP : 0);
	if (acc != O_RDONLY)
		bits |= (p->size - MIN(fill(p), p->size) >= PIPE_BUF ? FPOLLOUT : 0) |
		        (!p->readers ? FPOLLERR : 0);
	return bits;
}

static long pipe_ioctl(struct file *f, unsigned cmd, uva_t arg)
{
	int32_t n = (int32_t)fill(f->priv);

	return cmd == FIONREAD ? copy_to_user(arg, &n, sizeof(n)) : -ENOTTY;
}

static struct mutex fifo_lock; /* the pipe of a FIFO comes and goes under it */

static void pipe_release(struct file *f)
{
	struct pipe *p = f->priv;
	unsigned acc = f->flags & O_ACCMODE;
	bool last;

	mutex_lock(&fifo_lock);
	mutex_lock(&p->lock);
	p->readers -= acc != O_WRONLY;
	p->writers -= acc != O_RDONLY;
	mutex_unlock(&p->lock);
	/* Before the reference goes: whoever drops the last one frees the pipe at once. */
	waitq_wake_all(&p->wait);
	last = --p->refs == 0;
	if (last)
		f->inode->special = NULL;
	mutex_unlock(&fifo_lock);
	if (last) {
		kfree(p->buf);
		kfree(p);
	}
}

static const struct file_ops pipe_ops = {
	.name = "pipe",
	.read = pipe_read,
	.write = pipe_write,
	.poll = pipe_poll,
	.ioctl = pipe_ioctl,
	.release = pipe_release,
};

static void attach(struct pipe *p, unsigned acc)
{
	p->refs++;
	mutex_lock(&p->lock);
	p->readers += acc != O_WRONLY;
	p->writers += acc != O_RDONLY;
	p->opened_r += acc != O_WRONLY;
	p->opened_w += acc != O_RDONLY;
	mutex_unlock(&p->lock);
	waitq_wake_all(&p->wait);
}

/*
 * Waits until the other side has been opened; fifo(7). A pipe's end is opened again (/proc/self/fd)
 * without.
 */
static int fifo_wait(struct pipe *p, unsigned flags)
{
	unsigned acc = flags & O_ACCMODE;
	uint32_t had = acc == O_RDONLY ? p->opened_w : p->opened_r;

	if (p->unnamed || acc == O_RDWR || (acc == O_RDONLY && p->writers) ||
	    (acc == O_WRONLY && p->readers))
		return 0;
	if (flags & O_NONBLOCK)
		return acc == O_RDONLY ? 0 : -ENXIO;
	return wait_event_interruptible(
		       &p->wait, READ_ONCE(*(acc == O_RDONLY ? &p->opened_w : &p->opened_r)) != had)
	               ? -ERESTARTSYS
	               : 0;
}

int fifo_open(struct inode *i, struct file *f)
{
	struct pipe *p;
	int err;

	mutex_lock(&fifo_lock);
	/* Under fifo_lock the pipe cannot go between being found and being attached to. */
	p = i->special;
	if (!p)
		i->special = p = pipe_new(false);
	if (p)
		attach(p, f->flags & O_ACCMODE);
	mutex_unlock(&fifo_lock);
	if (!p)
		return -ENOMEM;
	/* Attached before the wait: that is what the other side's open waits for. */
	f->priv = p;
	f->seekable = false;
	err = fifo_wait(p, f->flags);
	if (err)
		pipe_release(f);
	else
		f->ops = &pipe_ops;
	return err;
}

int pipe_create(uint32_t flags, struct file *out[2])
{
	struct inode *i;
	int err = anon_inode(S_IFIFO | 0600, &i);

	if (err)
		return err;
	out[0] = out[1] = NULL;
	/*
	 * Both ends share the inode, whose `special` is the pipe; each attaches as an opener of a
	 * FIFO does.
	 */
	for (unsigned n = 0; !err && n < 2; n++) {
		err = file_alloc_inode(i, (flags & O_NONBLOCK) | (n ? O_WRONLY : O_RDONLY),
		                       &out[n]);
		if (err)
			break;
		mutex_lock(&fifo_lock);
		if (!i->special)
			i->special = pipe_new(true);
		if (i->special) {
			attach(i->special, out[n]->flags & O_ACCMODE);
			out[n]->priv = i->special;
			out[n]->ops = &pipe_ops;
		} else {
			err = -ENOMEM;
		}
		mutex_unlock(&fifo_lock);
	}
	inode_put(i);
	/* An end without ops was not attached: file_put releases only what was. */
	for (unsigned n = 0; err && n < 2; n++)
		file_put(out[n]);
	return err;
}

bool is_pipe(const struct file *f)
{
	return f->ops == &pipe_ops;
}

ssize_t pipe_peek(struct file *f, struct uio *u, bool nonblock)
{
	struct pipe *p = f->priv;
	ssize_t got;

	mutex_lock(&p->lock);
	got = wait_fill(p, nonblock);
	if (got > 0)
		got = ring_copy(p, u, p->tail, MIN(u->left, fill(p)), false);
	/* The bytes stay until pipe_consume, so a splice whose output fails loses nothing. */
	p->peeked = p->peeked || got > 0;
	mutex_unlock(&p->lock);
	return got;
}

void pipe_consume(struct file *f, size_t n)
{
	struct pipe *p = f->priv;

	mutex_lock(&p->lock);
	WRITE_ONCE(p->tail, p->tail + n);
	WRITE_ONCE(p->peeked, false);
	mutex_unlock(&p->lock);
	waitq_wake_all(&p->wait);
}

ssize_t pipe_room(struct file *f, bool nonblock)
{
	struct pipe *p = f->priv;

	if (!nonblock &&
	    wait_event_interruptible(&p->wait, room(p, SIZE_MAX) || !READ_ONCE(p->readers)))
		return -ERESTARTSYS;
	return !READ_ONCE(p->readers) ? -EPIPE : (ssize_t)room(p, SIZE_MAX) ?: -EAGAIN;
}

long pipe_size(struct file *f, long set)
{
	struct pipe *p = f->priv;
	long err = 0;

	if (f->ops != &pipe_ops)
		return -EBADF;
	mutex_lock(&p->lock);
	if (set) {
		/*
		 * fcntl(2): rounded up to a power of two of at least a page; not below what is in
		 * it.
		 */
		size_t size = MAX((size_t)1 << log2_ceil((uint64_t)set), (size_t)PAGE_SIZE);

		err = size > SIZE_MAX_PIPE ? -EPERM : size < fill(p) ? -EBUSY : resize(p, size);
		if (!err)
			p->size = size;
	}
	if (!err)
		err = (long)p->size;
	mutex_unlock(&p->lock);
	return err;
}

void pipe_init(void)
{
	mutex_init(&fifo_lock, "fifo");
}
