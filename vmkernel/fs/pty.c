// SPDX-License-Identifier: Apache-2.0
/*
 * Pseudo-terminals: the master's file writes what is typed and reads what the slave shows. The
 * slave's tty lock guards a pty too; index_lock guards which numbers are in use. Spec: Linux
 * pty(7), pts(4), tty_ioctl(4).
 */
#include "fs/tty.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum { PTY_MAX = 256, OUT_SIZE = 8192 };

struct pty {
	struct tty tty; /* the slave */
	unsigned index;
	bool locked;   /* TIOCSPTLCK: the slave cannot be opened */
	bool was_open; /* by somebody but the master */
	uint8_t out[OUT_SIZE];
	uint64_t head, tail;
};

static struct spinlock index_lock = SPINLOCK_INIT("pty", RANK_FS);
static uint64_t used[PTY_MAX / 64];

static int index_take(void)
{
	int n = -ENOSPC;

	spin_lock(&index_lock);
	for (int i = 0; i < PTY_MAX && n < 0; i++)
		if (!(used[i / 64] & BIT(i % 64))) {
			used[i / 64] |= BIT(i % 64);
			n = i;
		}
	spin_unlock(&index_lock);
	return n;
}

static void index_free(unsigned i)
{
	spin_lock(&index_lock);
	used[i / 64] &= ~BIT(i % 64);
	spin_unlock(&index_lock);
}

static size_t pty_room(struct tty *t)
{
	struct pty *p = t->priv;

	return OUT_SIZE - (size_t)(p->head - p->tail);
}

static void pty_output(struct tty *t, const char *s, size_t n)
{
	struct pty *p = t->priv;

	/*
	 * Writers have waited for room; an echo has nobody to wait, so what does not fit is lost.
	 */
	for (size_t i = 0; i < n && p->head - p->tail < OUT_SIZE; i++)
		p->out[p->head++ % OUT_SIZE] = (uint8_t)s[i];
	waitq_wake_all(&t->wait);
}

static void pty_input_taken(struct tty *t)
{
	waitq_wake_all(&t->wait);
}

static void pty_free(struct tty *t)
{
	struct pty *p = t->priv;

	index_free(p->index);
	kfree(p);
}

static const struct tty_end pty_end = {
	.room = pty_room, .output = pty_output, .input_taken = pty_input_taken, .free = pty_free
};

/* Nobody has the slave open any more, and somebody had. */
static bool slave_gone(const struct pty *p)
{
	return p->was_open && !READ_ONCE(p->tty.opens);
}

static ssize_t master_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct pty *p = f->priv;
	ssize_t done = 0;
	int err = 0;

	while (u->left && !done && !err) {
		mutex_lock(&p->tty.lock);
		while (u->left && p->head != p->tail && !err) {
			size_t at = p->tail % OUT_SIZE;
			size_t n = MIN(MIN(u->left, (size_t)(p->head - p->tail)), OUT_SIZE - at);

			err = uio_write(u, p->out + at, n);
			if (!err) {
				p->tail += n;
				done += (ssize_t)n;
			}
		}
		mutex_unlock(&p->tty.lock);
		if (done || err)
			break;
		err = slave_gone(p)           ? -EIO
		      : f->flags & O_NONBLOCK ? -EAGAIN
		      : wait_event_interruptible(&p->tty.wait,
		                                 READ_ONCE(p->head) != READ_ONCE(p->tail) ||
		                                         slave_gone(p))
		              ? -ERESTARTSYS
		              : 0;
	}
	/* Room for the slave's writers. */
	if (done)
		waitq_wake_all(&p->tty.wait);
	return done ? done : err;
}

static ssize_t master_write(struct file *f, struct uio *u, uint64_t *pos)
{
	struct pty *p = f->priv;
	struct tty *t = &p->tty;
	uint8_t buf[128];
	ssize_t done = 0;
	int err = 0;

	while (u->left && !err) {
		size_t n = MIN(u->left, sizeof(buf));

		/* Without this wait a paste would lose what the line discipline has no room for. */
		if (ldisc_input_full(&t->ld)) {
			err = f->flags & O_NONBLOCK ? -EAGAIN
			      : wait_event_interruptible(&t->wait, !ldisc_input_full(&t->ld))
			              ? -ERESTARTSYS
			              : 0;
			continue;
		}
		n = MIN(n, MAX((size_t)(LDISC_BUF - (t->ld.head - t->ld.tail)), (size_t)1));
		err = uio_read(u, buf, n);
		if (err)
			break;
		mutex_lock(&t->lock);
		tty_input_locked(t, buf, n);
		mutex_unlock(&t->lock);
		waitq_wake_all(&t->wait);
		done += (ssize_t)n;
	}
	return done ? done : err;
}

static unsigned master_poll(struct file *f, struct waitq **q)
{
	struct pty *p = f->priv;
	unsigned bits;

	*q = &p->tty.wait;
	mutex_lock(&p->tty.lock);
	bits = (p->head != p->tail ? FPOLLIN : 0) | (ldisc_input_full(&p->tty.ld) ? 0 : FPOLLOUT) |
	       (slave_gone(p) ? FPOLLHUP : 0);
	mutex_unlock(&p->tty.lock);
	return bits;
}

static int open_slave(struct pty *p, uint32_t flags, struct file **out)
{
	char path[32];

	vmk_snprintf(path, sizeof(path), "/dev/pts/%u", p->index);
	return vfs_open(path, flags, 0, out);
}

static long master_ioctl(struct file *f, unsigned cmd, uva_t arg)
{
	struct pty *p = f->priv;
	int32_t n = (int32_t)p->index;
	struct file *slave;

	switch (cmd) {
	case TIOCGPTN: return copy_to_user(arg, &n, sizeof(n));
	case TIOCSPTLCK:
		if (copy_from_user(&n, arg, sizeof(n)))
			return -EFAULT;
		p->locked = n != 0;
		return 0;
	case TIOCGPTLCK: n = p->locked; return copy_to_user(arg, &n, sizeof(n));
	case TIOCGPTPEER:
		n = open_slave(p, (uint32_t)arg & ~(uint32_t)O_CLOEXEC, &slave);
		return n ? n : fd_install(slave, arg & O_CLOEXEC);
	case FIONREAD: n = (int32_t)(p->head - p->tail); return copy_to_user(arg, &n, sizeof(n));
	}
	return tty_ioctl(&p->tty, cmd, arg, true);
}

static void master_release(struct file *f)
{
	struct pty *p = f->priv;
	char name[16];

	/* The node goes first: no new open, then those who have it are hung up. */
	vmk_snprintf(name, sizeof(name), "pts/%u", p->index);
	devfs_remove(name);
	tty_hangup(&p->tty);
	tty_put(&p->tty);
}

static const struct file_ops master_ops = {
	.name = "ptmx",
	.read = master_read,
	.write = master_write,
	.poll = master_poll,
	.ioctl = master_ioctl,
	.release = master_release,
};

static int slave_open(struct inode *i, struct file *f)
{
	/*
	 * Not by the node's own pointer: the master may be closing, and only a reference keeps the
	 * pty.
	 */
	struct tty *t = tty_find(i->st.rdev);
	struct pty *p = t ? t->priv : NULL;
	int err = !p || p->locked ? -EIO : tty_open(t, f);

	if (!err)
		p->was_open = true;
	if (t)
		tty_put(t);
	return err;
}

static int master_open(struct inode *i, struct file *f)
{
	struct pty *p = kzalloc_charged(sizeof(*p));
	char name[16];
	int err = index_take();

	if (err < 0 || !p) {
		/* Neither alone is of use. */
		kfree(p);
		if (err >= 0)
			index_free((unsigned)err);
		return err < 0 ? err : -ENOMEM;
	}
	p->index = (unsigned)err;
	/* Until unlockpt(3): grantpt may have to set the node's owner first. */
	p->locked = true;
	tty_setup(&p->tty, &pty_end, p, DEV_MAKE(136, p->index));
	vmk_snprintf(name, sizeof(name), "pts/%u", p->index);
	err = devfs_add(name, INODE_CHAR, 0620, p->tty.rdev, slave_open, p);
	if (err) {
		/* Frees p and its number. */
		tty_put(&p->tty);
		return err;
	}
	f->ops = &master_ops;
	f->priv = p;
	f->seekable = false;
	return 0;
}

int pty_init(void)
{
	int err = vfs_mkdir("/dev/pts", 0755);

	if (!err)
		err = devfs_add("ptmx", INODE_CHAR, 0666, DEV_MAKE(5, 2), master_open, NULL);
	return err ? err : vfs_symlink("../ptmx", "/dev/pts/ptmx");
}
