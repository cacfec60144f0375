// SPDX-License-Identifier: Apache-2.0
/*
 * System calls that wait for files: poll, select, epoll; and eventfd, timerfd, signalfd.
 * Spec: Linux man pages, section 2.
 */
#include "fs/epoll.h"
#include "fs/eventfd.h"
#include "fs/poll.h"
#include "linux/path.h"
#include "linux/signal.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/syscall.h"

struct pollfd {
	int32_t fd;
	int16_t events, revents;
};

enum { POLLNVAL = 0x20, POLLRDNORM = 0x40, POLLWRNORM = 0x100, SELECT_FDS = 1024 };

/* The absolute deadline for a time from now. */
static ns_t from_now(ns_t t)
{
	ns_t d;

	return add_overflow(time_now(), t, &d) ? NS_NEVER : d;
}

/* A timespec (unit 1) or timeval (unit 1000) at p; NULL: never. */
static int deadline_of(uva_t p, int64_t unit, ns_t *out)
{
	struct linux_timespec t;

	*out = NS_NEVER;
	if (!p)
		return 0;
	if (copy_from_user(&t, p, sizeof(t)))
		return -EFAULT;
	if (t.sec < 0 || t.nsec < 0 || t.nsec >= (int64_t)NS_PER_S / unit)
		return -EINVAL;
	if (!t.sec && !t.nsec)
		*out = 0;
	else if (t.sec < INT32_MAX)
		*out = from_now((ns_t)t.sec * NS_PER_S + (ns_t)(t.nsec * unit));
	return 0;
}

/* What is left until the deadline goes back to p, as Linux does for select and ppoll. */
static void time_left(uva_t p, int64_t unit, ns_t deadline)
{
	ns_t now = time_now(), left = deadline > now && deadline != NS_NEVER ? deadline - now : 0;
	struct linux_timespec t = { .sec = (int64_t)(left / NS_PER_S),
		                    .nsec = (int64_t)(left % NS_PER_S) / unit };

	if (p && deadline && deadline != NS_NEVER && copy_to_user(p, &t, sizeof(t)))
		return; /* Linux ignores it too: the time may lie in read-only memory */
}

static void items_put(struct poll_item *items, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		file_put(items[i].f);
	kfree(items);
}

/* RDNORM and WRNORM say the same as IN and OUT. */
static unsigned asked_bits(int16_t events)
{
	unsigned e = (uint16_t)events;

	return e | (e & POLLRDNORM ? FPOLLIN : 0) | (e & POLLWRNORM ? FPOLLOUT : 0);
}

static int16_t result_bits(const struct poll_item *it, int16_t events)
{
	unsigned r = it->ready;

	r |= (r & FPOLLIN ? POLLRDNORM : 0) | (r & FPOLLOUT ? POLLWRNORM : 0);
	return (int16_t)(r & ((uint16_t)events | FPOLLERR | FPOLLHUP));
}

static long poll_fds(uva_t ufds, uint64_t n, ns_t deadline)
{
	struct pollfd *fds;
	struct poll_item *items;
	long bad = 0, err;

	/* Linux's bound, and ours on the kernel memory that a call takes. */
	if (n > proc_rlimit(RLIMIT_NOFILE))
		return -EINVAL;
	fds = kcalloc(MAX(n, 1ull), sizeof(*fds));
	items = kcalloc(MAX(n, 1ull), sizeof(*items));
	err = !fds || !items ? -ENOMEM : copy_from_user(fds, ufds, n * sizeof(*fds));
	for (uint64_t i = 0; !err && i < n; i++) {
		items[i].f = fds[i].fd >= 0 ? fd_get(fds[i].fd) : NULL;
		items[i].want = asked_bits(fds[i].events);
		fds[i].revents = fds[i].fd >= 0 && !items[i].f ? POLLNVAL : 0;
		bad += fds[i].revents != 0;
	}
	/* References are held while it waits: a descriptor that is closed meanwhile stays valid. */
	if (!err)
		err = poll_wait(items, (unsigned)n, bad ? 0 : deadline);
	/*
	 * revents is written for all, also after a timeout, and not when a signal ended the wait.
	 */
	if (err >= 0) {
		err += bad;
		for (uint64_t i = 0; i < n; i++)
			if (items[i].f)
				fds[i].revents = result_bits(&items[i], fds[i].events);
		if (copy_to_user(ufds, fds, n * sizeof(*fds)))
			err = -EFAULT;
	}
	if (items)
		items_put(items, (unsigned)n);
	kfree(fds);
	return err;
}

SYSCALL3(poll, uva_t, fds, unsigned, count, int, ms)
{
	return poll_fds(fds, count, ms < 0 ? NS_NEVER : ms ? from_now((ns_t)ms * NS_PER_MS) : 0);
}

SYSCALL5(ppoll, uva_t, fds, unsigned, count, uva_t, timeout, uva_t, mask, size_t, size)
{
	ns_t deadline;
	long err = deadline_of(timeout, 1, &deadline);

	if (!err)
		err = signal_mask_temporarily(mask, size);
	if (err)
		return err;
	err = poll_fds(fds, count, deadline);
	time_left(timeout, 1, deadline);
	return err;
}

struct fd_sets { /* in, out, except: as the caller gave them, then the results */
	uint64_t in[3][SELECT_FDS / 64];
};

static bool is_set(const uint64_t *set, unsigned fd)
{
	return set[fd / 64] >> (fd % 64) & 1;
}

static int select_items(struct fd_sets *s, unsigned n, struct poll_item *items)
{
	for (unsigned fd = 0; fd < n; fd++) {
		unsigned want = (is_set(s->in[0], fd) ? FPOLLIN : 0) |
		                (is_set(s->in[1], fd) ? FPOLLOUT : 0) |
		                (is_set(s->in[2], fd) ? FPOLLPRI : 0);

		items[fd].want = want;
		if (want && !(items[fd].f = fd_get((int)fd)))
			return -EBADF;
	}
	return 0;
}

/* Bits that count for each of the three sets. */
static long select_results(struct fd_sets *s, unsigned n, const struct poll_item *items)
{
	static const unsigned counts[3] = { FPOLLIN | FPOLLHUP | FPOLLERR, FPOLLOUT | FPOLLERR,
		                            FPOLLPRI };
	long ready = 0;

	for (unsigned k = 0; k < 3; k++)
		for (unsigned fd = 0; fd < n; fd++)
			if (is_set(s->in[k], fd)) {
				if (items[fd].ready & counts[k])
					ready++;
				else
					s->in[k][fd / 64] &= ~BIT(fd % 64);
			}
	return ready;
}

static long do_select(int nfds, const uva_t set[3], ns_t deadline)
{
	unsigned n = (unsigned)MIN(nfds, (int)SELECT_FDS);
	size_t bytes = DIV_UP(n, 64u) * 8;
	struct poll_item *items;
	struct fd_sets *s;
	long err = 0;

	if (nfds < 0)
		return -EINVAL;
	s = kzalloc(sizeof(*s));
	items = kcalloc(MAX(n, 1u), sizeof(*items));
	if (!s || !items)
		err = -ENOMEM;
	for (unsigned k = 0; !err && k < 3; k++)
		if (set[k] && copy_from_user(s->in[k], set[k], bytes))
			err = -EFAULT;
	if (!err)
		err = select_items(s, n, items);
	while (!err) { /* HUP alone makes poll ready but no set: then wait on */
		err = poll_wait(items, n, deadline);
		if (err <= 0)
			break;
		struct fd_sets before = *s;

		/*
		 * An exceptional state makes poll return at once for ever. Files that are ready but
		 * in none of the sets asked for are dropped, and the rest waits on.
		 */
		err = select_results(s, n, items);
		if (err || !deadline)
			break;
		*s = before;
		for (unsigned fd = 0; fd < n; fd++)
			if (items[fd].ready) {
				file_put(items[fd].f);
				items[fd].f = NULL;
			}
	}
	if (err == 0)
		memset(s->in, 0, sizeof(s->in));
	for (unsigned k = 0; err >= 0 && k < 3; k++)
		if (set[k] && copy_to_user(set[k], s->in[k], bytes))
			err = -EFAULT;
	if (items)
		items_put(items, n);
	kfree(s);
	return err;
}

SYSCALL5(select, int, nfds, uva_t, in, uva_t, out, uva_t, except, uva_t, timeout)
{
	ns_t deadline;
	long err = deadline_of(timeout, 1000, &deadline);

	if (err)
		return err;
	err = do_select(nfds, (const uva_t[]){ in, out, except }, deadline);
	time_left(timeout, 1000, deadline);
	return err;
}

SYSCALL6(pselect6, int, nfds, uva_t, in, uva_t, out, uva_t, except, uva_t, timeout, uva_t, sigmask)
{
	struct {
		uint64_t mask, size;
	} m = { 0 };
	ns_t deadline;
	long err = deadline_of(timeout, 1, &deadline);

	/* Six registers are not enough: the last one points to the mask and its size. */
	if (!err && sigmask && copy_from_user(&m, sigmask, sizeof(m)))
		err = -EFAULT;
	if (!err)
		err = signal_mask_temporarily(m.mask, m.size);
	if (err)
		return err;
	err = do_select(nfds, (const uva_t[]){ in, out, except }, deadline);
	time_left(timeout, 1, deadline);
	return err;
}

static long new_fd(int err, struct file *f, unsigned flags)
{
	return err ? err : fd_install(f, flags & O_CLOEXEC);
}

SYSCALL1(epoll_create, int, size)
{
	struct file *f = NULL;

	return size <= 0 ? -EINVAL : new_fd(epoll_create_file(0, &f), f, 0);
}

SYSCALL1(epoll_create1, unsigned, flags)
{
	struct file *f = NULL;
	int err = flags & ~(unsigned)O_CLOEXEC ? -EINVAL : epoll_create_file(0, &f);

	return new_fd(err, f, flags);
}

SYSCALL4(epoll_ctl, int, epfd, int, op, int, fd, uva_t, event)
{
	struct epoll_event ev = { 0 };
	struct file *ep, *f;
	long err;

	/* DEL takes no event, its pointer may be NULL. */
	if (op != EPOLL_CTL_DEL && copy_from_user(&ev, event, sizeof(ev)))
		return -EFAULT;
	ep = fd_get(epfd);
	f = fd_get(fd);
	err = ep && f ? epoll_control(ep, op, f, fd, &ev) : -EBADF;
	file_put(ep);
	file_put(f);
	return err;
}

static long do_epoll_wait(int fd, uva_t out, int max, ns_t deadline)
{
	enum { AT_ONCE = 32768 };
	struct epoll_event *ev;
	long err;

	if (max <= 0 || max > INT32_MAX / (int)sizeof(*ev))
		return -EINVAL;
	max = MIN(max, (int)AT_ONCE); /* as much kernel memory as one call may take */
	ev = kmalloc((size_t)max * sizeof(*ev));
	if (!ev)
		return -ENOMEM;
	err = WITH_FILE(fd, f, epoll_collect(f, ev, max, deadline));
	if (err > 0 && copy_to_user(out, ev, (size_t)err * sizeof(*ev)))
		err = -EFAULT;
	kfree(ev);
	return err;
}

static ns_t ms_deadline(int ms)
{
	return ms < 0 ? NS_NEVER : ms ? from_now((ns_t)ms * NS_PER_MS) : 0;
}

SYSCALL4(epoll_wait, int, epfd, uva_t, events, int, max, int, ms)
{
	return do_epoll_wait(epfd, events, max, ms_deadline(ms));
}

SYSCALL6(epoll_pwait, int, epfd, uva_t, events, int, max, int, ms, uva_t, mask, size_t, size)
{
	int err = signal_mask_temporarily(mask, size);

	return err ? err : do_epoll_wait(epfd, events, max, ms_deadline(ms));
}

SYSCALL6(epoll_pwait2, int, epfd, uva_t, events, int, max, uva_t, timeout, uva_t, mask, size_t,
         size)
{
	ns_t deadline;
	int err = deadline_of(timeout, 1, &deadline);

	if (!err)
		err = signal_mask_temporarily(mask, size);
	return err ? err : do_epoll_wait(epfd, events, max, deadline);
}

static long do_eventfd(uint32_t count, unsigned flags)
{
	enum { EFD_SEMAPHORE = 1 };
	struct file *f = NULL;
	int err = flags & ~(unsigned)(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK)
	                  ? -EINVAL
	                  : eventfd_file(count, flags & EFD_SEMAPHORE, flags & O_NONBLOCK, &f);

	return new_fd(err, f, flags);
}

SYSCALL1(eventfd, uint32_t, count)
{
	return do_eventfd(count, 0);
}

SYSCALL2(eventfd2, uint32_t, count, unsigned, flags)
{
	return do_eventfd(count, flags);
}

struct itimer {
	struct linux_timespec interval, value;
};

SYSCALL2(timerfd_create, int, clock, unsigned, flags)
{
	enum { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME = 7 };
	struct file *f = NULL;
	int err = (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC &&
	           clock != CLOCK_BOOTTIME) ||
	                          (flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK))
	                  ? -EINVAL
	                  : timerfd_file(clock == CLOCK_REALTIME, flags & O_NONBLOCK, &f);

	return new_fd(err, f, flags);
}

static bool to_ns(const struct linux_timespec *t, ns_t *out)
{
	if (t->sec < 0 || t->nsec < 0 || t->nsec >= (int64_t)NS_PER_S)
		return false;
	*out = (ns_t)MIN(t->sec, INT64_MAX / (int64_t)NS_PER_S - 1) * NS_PER_S + (ns_t)t->nsec;
	return true;
}

static long timerfd_out(struct file *f, uva_t p)
{
	struct itimer it;
	ns_t left, interval;
	int err = timerfd_get(f, &left, &interval);

	if (err || !p)
		return err;
	it.value = (struct linux_timespec){ (int64_t)(left / NS_PER_S),
		                            (int64_t)(left % NS_PER_S) };
	it.interval = (struct linux_timespec){ (int64_t)(interval / NS_PER_S),
		                               (int64_t)(interval % NS_PER_S) };
	return copy_to_user(p, &it, sizeof(it));
}

static long timerfd_change(struct file *f, unsigned flags, uva_t in, uva_t old)
{
	enum { TFD_TIMER_ABSTIME = 1, TFD_TIMER_CANCEL_ON_SET = 2 };
	struct itimer it;
	ns_t value, interval;
	long err;

	if (flags & ~(unsigned)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET))
		return -EINVAL;
	/* timerfd_settime(2): old and updated may be the same memory. */
	if (copy_from_user(&it, in, sizeof(it)))
		return -EFAULT;
	if (!to_ns(&it.value, &value) || !to_ns(&it.interval, &interval))
		return -EINVAL;
	err = timerfd_out(f, old);
	return err ? err : timerfd_set(f, flags & TFD_TIMER_ABSTIME, value, interval);
}

SYSCALL4(timerfd_settime, int, fd, unsigned, flags, uva_t, updated, uva_t, old)
{
	return WITH_FILE(fd, f, timerfd_change(f, flags, updated, old));
}

SYSCALL2(timerfd_gettime, int, fd, uva_t, now)
{
	return WITH_FILE(fd, f, timerfd_out(f, now));
}

static long do_signalfd(int fd, uva_t mask, size_t size, unsigned flags)
{
	uint64_t m;
	struct file *f = NULL;

	if (size != sizeof(m) || (flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK)))
		return -EINVAL;
	if (copy_from_user(&m, mask, sizeof(m)))
		return -EFAULT;
	/* These two cannot be taken, only obeyed. */
	m &= ~(sig_bit(SIGKILL) | sig_bit(SIGSTOP));
	if (fd != -1) {
		long err = WITH_FILE(fd, s, signalfd_set(s, m));

		return err ? err : fd;
	}
	int err = signalfd_file(m, flags & O_NONBLOCK, &f);

	return new_fd(err, f, flags);
}

SYSCALL3(signalfd, int, fd, uva_t, mask, size_t, size)
{
	return do_signalfd(fd, mask, size, 0);
}

SYSCALL4(signalfd4, int, fd, uva_t, mask, size_t, size, unsigned, flags)
{
	return do_signalfd(fd, mask, size, flags);
}
