// SPDX-License-Identifier: Apache-2.0
/*
 * eventfd, timerfd, signalfd: counters as files. Each one's lock guards it. Spec: their man pages,
 * section 2.
 */
#include "fs/eventfd.h"
#include "vmk/mm.h"

#define COUNT_MAX (UINT64_MAX - 1)

struct eventfd {
	struct spinlock lock;
	struct waitq wait;
	uint64_t count;
	bool semaphore;
};

static bool event_take(struct eventfd *e, uint64_t *v)
{
	spin_lock(&e->lock);
	*v = e->semaphore ? MIN(e->count, 1ull) : e->count;
	e->count -= *v;
	spin_unlock(&e->lock);
	return *v;
}

static bool event_add(struct eventfd *e, uint64_t v)
{
	bool fits;

	spin_lock(&e->lock);
	fits = v <= COUNT_MAX - e->count;
	if (fits)
		e->count += v;
	spin_unlock(&e->lock);
	return fits;
}

static ssize_t event_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct eventfd *e = f->priv;
	uint64_t v;

	if (u->left < sizeof(v))
		return -EINVAL;
	if (!event_take(e, &v)) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(&e->wait, event_take(e, &v)))
			return -ERESTARTSYS;
	}
	/* Writers may wait for the count to fall. */
	waitq_wake_all(&e->wait);
	return uio_write(u, &v, sizeof(v)) ? -EFAULT : (ssize_t)sizeof(v);
}

static ssize_t event_write(struct file *f, struct uio *u, uint64_t *pos)
{
	struct eventfd *e = f->priv;
	uint64_t v;

	if (u->left < sizeof(v))
		return -EINVAL;
	if (uio_read(u, &v, sizeof(v)))
		return -EFAULT;
	/* eventfd(2): the greatest count is one less. */
	if (v == UINT64_MAX)
		return -EINVAL;
	if (!event_add(e, v)) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(&e->wait, event_add(e, v)))
			return -ERESTARTSYS;
	}
	waitq_wake_all(&e->wait);
	return sizeof(v);
}

static unsigned event_poll(struct file *f, struct waitq **q)
{
	struct eventfd *e = f->priv;
	uint64_t n = READ_ONCE(e->count);

	*q = &e->wait;
	return (n ? FPOLLIN : 0) | (n < COUNT_MAX ? FPOLLOUT : 0);
}

static void priv_release(struct file *f)
{
	kfree(f->priv);
}

static const struct file_ops event_ops = { .name = "eventfd",
	                                   .read = event_read,
	                                   .write = event_write,
	                                   .poll = event_poll,
	                                   .release = priv_release };

int eventfd_file(uint64_t count, bool semaphore, uint32_t flags, struct file **out)
{
	struct eventfd *e = kzalloc_charged(sizeof(*e));
	int err;

	if (!e)
		return -ENOMEM;
	spin_init(&e->lock, "eventfd", RANK_FILE);
	waitq_init(&e->wait, "eventfd");
	e->count = count;
	e->semaphore = semaphore;
	err = file_alloc(&event_ops, e, O_RDWR | flags, out);
	if (err)
		kfree(e);
	return err;
}

/* Timers. clock: its offset from the monotonic clock is taken when the timer is set. */
struct timerfd {
	struct spinlock lock; /* also taken in the bottom half */
	struct waitq wait;
	struct timer timer;
	bool realtime;
	ns_t deadline, interval; /* monotonic; deadline 0: disarmed */
	uint64_t ticks;
};

static void timer_fires(struct timer *timer)
{
	struct timerfd *t = container_of(timer, struct timerfd, timer);
	uint64_t flags = spin_lock_irq(&t->lock);
	ns_t now = time_now();

	if (t->deadline && now >= t->deadline) {
		/*
		 * Periods that passed while the bottom half was late count as ticks, and the grid
		 * stays.
		 */
		uint64_t n = t->interval ? 1 + (now - t->deadline) / t->interval : 1;

		t->ticks += n;
		t->deadline = t->interval ? t->deadline + n * t->interval : 0;
	}
	if (t->deadline)
		timer_set(timer, t->deadline);
	spin_unlock_irq(&t->lock, flags);
	waitq_wake_all(&t->wait);
}

static bool timer_take(struct timerfd *t, uint64_t *v)
{
	uint64_t flags = spin_lock_irq(&t->lock);

	*v = t->ticks;
	t->ticks = 0;
	spin_unlock_irq(&t->lock, flags);
	return *v;
}

static ssize_t timer_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct timerfd *t = f->priv;
	uint64_t v;

	if (u->left < sizeof(v))
		return -EINVAL;
	if (!timer_take(t, &v)) {
		if (f->flags & O_NONBLOCK)
			return -EAGAIN;
		if (wait_event_interruptible(&t->wait, timer_take(t, &v)))
			return -ERESTARTSYS;
	}
	return uio_write(u, &v, sizeof(v)) ? -EFAULT : (ssize_t)sizeof(v);
}

static unsigned timer_poll(struct file *f, struct waitq **q)
{
	struct timerfd *t = f->priv;

	*q = &t->wait;
	return READ_ONCE(t->ticks) ? FPOLLIN : 0;
}

static void timer_release(struct file *f)
{
	struct timerfd *t = f->priv;

	timer_cancel_sync(&t->timer);
	kfree(t);
}

static const struct file_ops timer_ops = {
	.name = "timerfd", .read = timer_read, .poll = timer_poll, .release = timer_release
};

int timerfd_file(bool realtime, uint32_t flags, struct file **out)
{
	struct timerfd *t = kzalloc_charged(sizeof(*t));
	int err;

	if (!t)
		return -ENOMEM;
	spin_init(&t->lock, "timerfd", RANK_FILE);
	waitq_init(&t->wait, "timerfd");
	timer_init(&t->timer, timer_fires);
	t->realtime = realtime;
	err = file_alloc(&timer_ops, t, O_RDWR | flags, out);
	if (err)
		kfree(t);
	return err;
}

int timerfd_get(struct file *f, ns_t *left, ns_t *interval)
{
	struct timerfd *t = f->priv;
	uint64_t flags;
	ns_t now = time_now();

	if (f->ops != &timer_ops)
		return -EINVAL;
	flags = spin_lock_irq(&t->lock);
	/* An armed timer never shows 0, which would mean disarmed. */
	*left = t->deadline ? (t->deadline > now ? t->deadline - now : 1) : 0;
	*interval = t->interval;
	spin_unlock_irq(&t->lock, flags);
	return 0;
}

int timerfd_set(struct file *f, bool absolute, ns_t value, ns_t interval)
{
	struct timerfd *t = f->priv;
	ns_t now = time_now(), deadline = 0;
	uint64_t flags;

	if (f->ops != &timer_ops)
		return -EINVAL;
	if (value && absolute && t->realtime) {
		/* The offset of now: a later change of the clock does not move the timer. */
		ns_t offset = time_realtime() - now;

		deadline = value > offset ? value - offset : 1;
	} else if (value) {
		deadline = absolute                              ? value
		           : add_overflow(now, value, &deadline) ? NS_NEVER - 1
		                                                 : deadline;
	}
	flags = spin_lock_irq(&t->lock);
	t->deadline = deadline;
	t->interval = interval;
	t->ticks = 0;
	if (deadline)
		timer_set(&t->timer, deadline);
	else
		(void)timer_cancel(&t->timer); /* a run that has begun finds no deadline */
	spin_unlock_irq(&t->lock, flags);
	return 0;
}

/* signalfd: the signals are the reader's own, whoever made the file. */
struct signalfd {
	uint64_t mask;
};

static ssize_t signal_read(struct file *f, struct uio *u, uint64_t *pos)
{
	enum { INFO_SIZE = 128 };
	struct signalfd *s = f->priv;
	uint8_t info[INFO_SIZE];
	ssize_t done = 0;

	if (u->left < INFO_SIZE)
		return -EINVAL;
	while (u->left >= INFO_SIZE) {
		if (!signal_take(s->mask, info)) {
			if (done)
				break;
			if (f->flags & O_NONBLOCK)
				return -EAGAIN;
			if (wait_event_interruptible(signal_waitq(), signal_pending(s->mask)))
				return -ERESTARTSYS;
			continue;
		}
		if (uio_write(u, info, INFO_SIZE))
			return done ? done : -EFAULT;
		done += INFO_SIZE;
	}
	return done;
}

static unsigned signal_poll(struct file *f, struct waitq **q)
{
	*q = signal_waitq();
	return signal_pending(((struct signalfd *)f->priv)->mask) ? FPOLLIN : 0;
}

static const struct file_ops signal_ops = {
	.name = "signalfd", .read = signal_read, .poll = signal_poll, .release = priv_release
};

int signalfd_file(uint64_t mask, uint32_t flags, struct file **out)
{
	struct signalfd *s = kzalloc_charged(sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->mask = mask;
	err = file_alloc(&signal_ops, s, O_RDWR | flags, out);
	if (err)
		kfree(s);
	return err;
}

int signalfd_set(struct file *f, uint64_t mask)
{
	if (f->ops != &signal_ops)
		return -EINVAL;
	WRITE_ONCE(((struct signalfd *)f->priv)->mask, mask);
	return 0;
}
