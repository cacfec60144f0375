// SPDX-License-Identifier: Apache-2.0
/*
 * Terminals: reading, writing, sessions and job control. Locks: tty.h.
 * Spec: POSIX.1-2017 chapter 11, Linux tty_ioctl(4), credentials(7).
 */
#include "fs/tty.h"
#include "vmk/mm.h"
#include "vmk/string.h"

static struct spinlock list_lock = SPINLOCK_INIT("ttys", RANK_FS);
static struct list ttys = LIST_INIT(ttys);

static void ld_output(void *arg, const char *s, size_t n)
{
	struct tty *t = arg;

	t->end->output(t, s, n);
}

static void ld_signal(void *arg, int sig)
{
	struct tty *t = arg;

	/* t->lock is held; signal_pgrp takes only locks of processes, which never lead to a tty. */
	if (t->pgrp > 0)
		(void)signal_pgrp(t->pgrp, sig); /* the group may be gone */
}

void tty_setup(struct tty *t, const struct tty_end *end, void *priv, uint64_t rdev)
{
	static const struct ldisc_ops ops = { .output = ld_output, .signal = ld_signal };

	mutex_init(&t->lock, "tty");
	waitq_init(&t->wait, "tty");
	ldisc_init(&t->ld, &ops, t);
	t->end = end;
	t->priv = priv;
	t->rdev = rdev;
	t->refs = 1;
	spin_lock(&list_lock);
	list_push_back(&ttys, &t->link);
	spin_unlock(&list_lock);
}

static void tty_get(struct tty *t)
{
	spin_lock(&list_lock);
	t->refs++;
	spin_unlock(&list_lock);
}

void tty_put(struct tty *t)
{
	bool last;

	spin_lock(&list_lock);
	/*
	 * Counted under list_lock: find() cannot take a reference of a tty that is on its way out.
	 */
	last = --t->refs == 0;
	if (last)
		list_remove(&t->link);
	spin_unlock(&list_lock);
	if (last)
		t->end->free(t);
}

/* The tty of the session, or with sid 0 the one with the device number; with a reference. */
static struct tty *find(int sid, uint64_t rdev)
{
	struct tty *t, *found = NULL;

	spin_lock(&list_lock);
	list_for_each(t, &ttys, link)
		if (!found && (sid ? t->sid == sid : t->rdev == rdev)) {
			found = t;
			t->refs++;
		}
	spin_unlock(&list_lock);
	return found;
}

struct tty *tty_of_session(int sid)
{
	return sid > 0 ? find(sid, 0) : NULL;
}

struct tty *tty_find(uint64_t rdev)
{
	return find(0, rdev);
}

int tty_take(struct tty *t, bool force)
{
	struct proc *p = proc_current();
	int sid = proc_sid(p), pgid = proc_pgid(p), err = 0;
	struct tty *other;

	if (t->sid == sid)
		return 0;
	/*
	 * Only a session leader without a terminal takes one, and only a terminal without a
	 * session: tty_ioctl(4), TIOCSCTTY.
	 */
	if (proc_pid(p) != sid)
		return -EPERM;
	other = tty_of_session(sid);
	if (other) {
		tty_put(other);
		return -EPERM;
	}
	spin_lock(&list_lock);
	if (t->sid && !(force && cred_current()->euid == 0)) {
		err = -EPERM;
	} else {
		t->sid = sid;
		t->pgrp = pgid;
	}
	spin_unlock(&list_lock);
	return err;
}

void tty_session_info(int sid, uint64_t *rdev, int *pgrp)
{
	struct tty *t = tty_of_session(sid);

	*rdev = t ? t->rdev : 0;
	*pgrp = t ? t->pgrp : -1;
	if (t)
		tty_put(t);
}

/* Nobody's terminal any more; the foreground group hears of it. */
static void detach(struct tty *t)
{
	int pgrp;

	spin_lock(&list_lock);
	pgrp = t->pgrp;
	/* Free before the signals: a new session may take it at once. */
	t->sid = t->pgrp = 0;
	spin_unlock(&list_lock);
	if (pgrp > 0) {
		(void)signal_pgrp(pgrp, SIGHUP);
		(void)signal_pgrp(pgrp, SIGCONT);
	}
}

void tty_session_end(int sid)
{
	struct tty *t = tty_of_session(sid);

	if (t) {
		detach(t);
		tty_put(t);
	}
}

void tty_hangup(struct tty *t)
{
	int sid = t->sid;

	mutex_lock(&t->lock);
	t->hung = true;
	mutex_unlock(&t->lock);
	/* Readers and writers find `hung` and return 0 and -EIO. */
	waitq_wake_all(&t->wait);
	if (sid > 0) {
		(void)signal_pid(sid, SIGHUP);
		detach(t);
	}
}

void tty_resize(struct tty *t, const struct winsize *w)
{
	bool changed;

	mutex_lock(&t->lock);
	changed = memcmp(&t->size, w, sizeof(*w)) != 0;
	t->size = *w;
	mutex_unlock(&t->lock);
	/* Outside of the lock, and only for a real change: programs redraw at SIGWINCH. */
	if (changed && t->pgrp > 0)
		(void)signal_pgrp(t->pgrp, SIGWINCH);
}

int tty_check_change(struct tty *t, int sig)
{
	struct proc *p = proc_current();
	int pgid;

	if (!p || t->sid != proc_sid(p))
		return 0;
	pgid = proc_pgid(p);
	/*
	 * POSIX 11.1.4: the rules for a process of the session that is not in the foreground group.
	 */
	if (t->pgrp == pgid || t->pgrp <= 0)
		return 0;
	if (signal_blocked_or_ignored(sig))
		return sig == SIGTTIN ? -EIO : 0;
	/* Nobody could continue a stopped orphan, so it gets an error instead. */
	if (pgrp_orphaned(pgid))
		return -EIO;
	(void)signal_pgrp(pgid, sig);
	return -ERESTARTSYS;
}

void tty_input_locked(struct tty *t, const uint8_t *s, size_t n)
{
	ldisc_input(&t->ld, s, n);
}

/* Enough for this read; VMIN and VTIME count in raw mode only. */
static bool read_ready(const struct tty *t, size_t want)
{
	size_t n = ldisc_readable(&t->ld);

	return t->hung || (t->ld.t.lflag & ICANON ? n > 0 : n >= want);
}

/* Waits for input. 0: look now; 1: VTIME is over; -errno. */
static int wait_input(struct tty *t, size_t n, bool nonblock)
{
	bool canon = t->ld.t.lflag & ICANON;
	uint8_t vmin = canon ? 1 : t->ld.t.cc[VMIN], vtime = canon ? 0 : t->ld.t.cc[VTIME];
	ns_t step = vtime * (NS_PER_S / 10);
	size_t want = vmin ? MIN((size_t)vmin, n) : 1, had;
	int err;

	/*
	 * POSIX 11.1.7, cases A (both), B (VMIN), C (VTIME) and D (neither) of a read in raw mode.
	 */
	if (read_ready(t, vtime && vmin ? 1 : want) && !vtime)
		return 0;
	if (nonblock)
		return ldisc_readable(&t->ld) ? 0 : -EAGAIN;
	if (!vmin && !vtime)
		return 1;
	/* with vmin and vtime the clock starts at the first byte and again at each further one */
	do {
		had = ldisc_readable(&t->ld);
		ns_t deadline = vtime && (!vmin || had) ? time_now() + step : NS_NEVER;

		err = read_ready(t, want) ? 0
		                          : wait_event_intr_until(
						    &t->wait,
						    read_ready(t, want) ||
							    (vtime && ldisc_readable(&t->ld) > had),
						    deadline);
	} while (!err && !read_ready(t, want));
	return err == -ETIMEDOUT ? 1 : err ? -ERESTARTSYS : 0;
}

static ssize_t tty_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct tty *t = f->priv;
	size_t n = MIN(u->left, (size_t)LDISC_BUF);
	ssize_t got;
	uint8_t *buf;

	if (!n)
		return 0;
	/* The line is taken under the lock and copied out after it: user memory may fault. */
	buf = kmalloc(n);
	if (!buf)
		return -ENOMEM;
	do {
		got = tty_check_change(t, SIGTTIN);
		if (!got)
			got = wait_input(t, n, f->flags & O_NONBLOCK);
		if (got < 0)
			break;
		mutex_lock(&t->lock);
		/* Time over, or hung up: then nothing to read is the end, not a reason to wait. */
		bool over = got == 1 || t->hung;

		got = ldisc_read(&t->ld, buf, n);
		if (got >= 0 && t->end->input_taken)
			t->end->input_taken(t);
		mutex_unlock(&t->lock);
		if (got < 0 && over)
			got = 0;
		if (got > 0 && uio_write(u, buf, (size_t)got))
			got = -EFAULT;
		else if (got == -1)
			continue; /* another reader was faster */
		break;
	} while (true);
	kfree(buf);
	return got;
}

static bool can_write(struct tty *t)
{
	return t->hung || (!t->ld.stopped && t->end->room(t) >= TTY_ROOM_MIN);
}

static ssize_t tty_write(struct file *f, struct uio *u, uint64_t *pos)
{
	enum { PIECE = 256, GROWTH = 8 }; /* a tab may become 8 blanks */
	struct tty *t = f->priv;
	char buf[PIECE];
	ssize_t done = 0;
	/* TOSTOP: output from the background stops the writer. */
	int err = t->ld.t.lflag & TOSTOP ? tty_check_change(t, SIGTTOU) : 0;

	while (u->left && !err) {
		size_t n = MIN(u->left, sizeof(buf));

		mutex_lock(&t->lock);
		/*
		 * So much that even its longest form fits: the end takes all of what it is given.
		 */
		n = can_write(t) ? MIN(n, t->end->room(t) / GROWTH) : 0;
		err = t->hung ? -EIO : n ? uio_read(u, buf, n) : 0;
		if (!err && n)
			ldisc_write(&t->ld, buf, n);
		mutex_unlock(&t->lock);
		if (err)
			break;
		done += (ssize_t)n;
		if (!n)
			err = f->flags & O_NONBLOCK
			              ? -EAGAIN
			              : wait_event_interruptible(&t->wait, can_write(t));
		if (err == -EINTR)
			err = -ERESTARTSYS;
	}
	return done ? done : err;
}

static unsigned tty_poll(struct file *f, struct waitq **q)
{
	struct tty *t = f->priv;
	unsigned bits = 0;

	*q = &t->wait;
	mutex_lock(&t->lock);
	if (t->hung)
		bits = FPOLLIN | FPOLLOUT | FPOLLHUP | FPOLLERR;
	else
		bits = (read_ready(t, MAX(t->ld.t.cc[VTIME] ? 1 : t->ld.t.cc[VMIN], 1)) ? FPOLLIN
		                                                                        : 0) |
		       (can_write(t) ? FPOLLOUT : 0);
	mutex_unlock(&t->lock);
	return bits;
}

static long tty_file_ioctl(struct file *f, unsigned cmd, uva_t arg)
{
	return tty_ioctl(f->priv, cmd, arg, false);
}

static int tty_fsync(struct file *f, bool data_only)
{
	return -EINVAL;
}

static void tty_release(struct file *f)
{
	struct tty *t = f->priv;

	mutex_lock(&t->lock);
	if (--t->opens == 0)
		t->exclusive = false;
	mutex_unlock(&t->lock);
	waitq_wake_all(&t->wait);
	tty_put(t);
}

static const struct file_ops tty_ops = {
	.name = "tty",
	.read = tty_read,
	.write = tty_write,
	.poll = tty_poll,
	.ioctl = tty_file_ioctl,
	.fsync = tty_fsync,
	.release = tty_release,
};

int tty_open(struct tty *t, struct file *f)
{
	int err = 0;

	mutex_lock(&t->lock);
	/* A hung terminal is opened by nobody again; a pty's number comes back with a new tty. */
	if (t->hung)
		err = -EIO;
	else if (t->exclusive && cred_current()->euid)
		err = -EBUSY;
	else
		t->opens++;
	mutex_unlock(&t->lock);
	if (err)
		return err;
	tty_get(t);
	f->ops = &tty_ops;
	f->priv = t;
	f->seekable = false;
	if (!(f->flags & O_NOCTTY) && proc_current())
		(void)!tty_take(t, false); /* only a session leader without a terminal gets it */
	/* A pty's master waits for the first opener, and for the last to go. */
	waitq_wake_all(&t->wait);
	return 0;
}
