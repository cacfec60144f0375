// SPDX-License-Identifier: Apache-2.0
/*
 * What all socket families share: the table of families, sockets as files, SOL_SOCKET options.
 * Spec: POSIX.1-2017 2.10 Sockets; Linux socket(7).
 */
#include "vmk/socket.h"
#include "fs/socket.h"
#include "fs/vfs.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum { BUF_MIN = 2304, BUF_MAX = 8 << 20 };

static int (*families[AF_MAX])(struct socket *s);
static long (*interface_ioctl)(unsigned cmd, uva_t arg);

int socket_register(unsigned family, int (*create)(struct socket *s))
{
	if (family >= AF_MAX || families[family])
		return -EINVAL;
	families[family] = create;
	return 0;
}

void socket_register_ioctl(long (*interfaces)(unsigned cmd, uva_t arg))
{
	interface_ioctl = interfaces;
}

static struct socket *socket_new(unsigned family, unsigned type, unsigned protocol)
{
	struct socket *s = kzalloc_charged(sizeof(*s));

	if (!s)
		return NULL;
	*s = (struct socket){ .family = (uint16_t)family,
		              .type = (uint16_t)type,
		              .protocol = protocol,
		              .rcvbuf = SOCK_BUF_DEFAULT,
		              .sndbuf = SOCK_BUF_DEFAULT,
		              .linger = -1 };
	waitq_init(&s->wait, "socket");
	return s;
}

int socket_create(unsigned family, unsigned type, unsigned protocol, struct socket **out)
{
	struct socket *s;
	int err;

	if (family >= AF_MAX || !families[family])
		return -EAFNOSUPPORT;
	s = socket_new(family, type, protocol);
	if (!s)
		return -ENOMEM;
	err = families[family](s);
	if (err)
		kfree(s);
	else
		*out = s;
	return err;
}

static void socket_free(struct socket *s)
{
	if (s->ops && s->ops->release)
		s->ops->release(s);
	kfree(s);
}

ns_t socket_deadline(ns_t timeout)
{
	ns_t d;

	return !timeout || add_overflow(time_now(), timeout, &d) ? NS_NEVER : d;
}

static ssize_t sock_read(struct file *f, struct uio *u, uint64_t *pos)
{
	struct socket *s = f->priv;
	struct sock_msg m = { .u = u, .flags = f->flags & O_NONBLOCK ? MSG_DONTWAIT : 0 };

	return s->ops->recv ? s->ops->recv(s, &m) : -EOPNOTSUPP;
}

static ssize_t sock_write(struct file *f, struct uio *u, uint64_t *pos)
{
	struct socket *s = f->priv;
	struct sock_msg m = { .u = u, .flags = f->flags & O_NONBLOCK ? MSG_DONTWAIT : 0 };

	return s->ops->send ? s->ops->send(s, &m) : -EOPNOTSUPP;
}

static unsigned sock_poll(struct file *f, struct waitq **q)
{
	struct socket *s = f->priv;

	*q = &s->wait;
	/* A pending error shows whatever the family says. */
	return s->ops->poll(s) | (s->error ? FPOLLERR : 0);
}

static long sock_ioctl(struct file *f, unsigned cmd, uva_t arg)
{
	struct socket *s = f->priv;
	long err = s->ops->ioctl ? s->ops->ioctl(s, cmd, arg) : -ENOTTY;

	return err == -ENOTTY && interface_ioctl ? interface_ioctl(cmd, arg) : err;
}

static void sock_release(struct file *f)
{
	socket_free(f->priv);
}

static const struct file_ops socket_ops = {
	.name = "socket",
	.read = sock_read,
	.write = sock_write,
	.poll = sock_poll,
	.ioctl = sock_ioctl,
	.release = sock_release,
};

int socket_file(struct socket *s, uint32_t flags, struct file **out)
{
	int err = file_alloc_mode(&socket_ops, s, O_RDWR | (flags & O_NONBLOCK), S_IFSOCK | 0777,
	                          out);

	if (err)
		socket_free(s);
	else
		s->file = *out;
	return err;
}

struct socket *socket_of(struct file *f)
{
	return f->ops == &socket_ops ? f->priv : NULL;
}

int socket_accept(struct socket *s, bool nonblock, uint32_t flags, struct file **out)
{
	struct socket *fresh;
	int err;

	if (!s->ops->accept || (s->type != SOCK_STREAM && s->type != SOCK_SEQPACKET))
		return -EOPNOTSUPP;
	if (!s->listening)
		return -EINVAL;
	fresh = socket_new(s->family, s->type, s->protocol);
	if (!fresh)
		return -ENOMEM;
	/* socket(7): what is set on a listener holds for what it accepts. */
	fresh->rcvbuf = s->rcvbuf;
	fresh->sndbuf = s->sndbuf;
	fresh->keep_alive = s->keep_alive;
	fresh->pass_cred = s->pass_cred;
	fresh->v6only = s->v6only;
	fresh->linger = s->linger;
	err = s->ops->accept(s, fresh, nonblock);
	if (err) {
		kfree(fresh);
		return err;
	}
	/* Only now: a socket without ops has nothing to release when accepting fails. */
	fresh->ops = s->ops;
	return socket_file(fresh, flags, out);
}

/* Options of SOL_SOCKET; Linux's numbers on x86. */
enum sock_opt {
	SO_DEBUG = 1,
	SO_REUSEADDR,
	SO_TYPE,
	SO_ERROR,
	SO_DONTROUTE,
	SO_BROADCAST,
	SO_SNDBUF,
	SO_RCVBUF,
	SO_KEEPALIVE,
	SO_OOBINLINE,
	SO_NO_CHECK,
	SO_PRIORITY,
	SO_LINGER,
	SO_BSDCOMPAT,
	SO_REUSEPORT,
	SO_PASSCRED,
	SO_PEERCRED,
	SO_RCVLOWAT,
	SO_SNDLOWAT,
	SO_RCVTIMEO,
	SO_SNDTIMEO,
	SO_BINDTODEVICE = 25,
	SO_TIMESTAMP = 29,
	SO_ACCEPTCONN = 30,
	SO_PEERSEC = 31,
	SO_SNDBUFFORCE,
	SO_RCVBUFFORCE,
	SO_MARK = 36,
	SO_PROTOCOL = 38,
	SO_DOMAIN,
	SO_INCOMING_CPU = 49,
};

/* The boolean options. */
static bool *bool_option(struct socket *s, int opt)
{
	switch (opt) {
	case SO_REUSEADDR: return &s->reuse_addr;
	case SO_REUSEPORT: return &s->reuse_port;
	case SO_KEEPALIVE: return &s->keep_alive;
	case SO_BROADCAST: return &s->broadcast;
	case SO_OOBINLINE: return &s->oob_inline;
	case SO_PASSCRED: return &s->pass_cred;
	}
	return NULL;
}

static int set_timeout(ns_t *to, const void *val, uint32_t len)
{
	struct {
		int64_t sec, usec;
	} tv;

	if (len < sizeof(tv))
		return -EINVAL;
	memcpy(&tv, val, sizeof(tv));
	if (tv.usec < 0 || tv.usec >= 1000000)
		return -EDOM;
	/* Seconds above INT32_MAX, and negative ones, mean no timeout. */
	*to = tv.sec < 0 || tv.sec > INT32_MAX
	              ? 0
	              : (ns_t)tv.sec * NS_PER_S + (ns_t)tv.usec * NS_PER_US;
	return 0;
}

static int set_other(struct socket *s, int opt, const void *val, uint32_t len, int32_t v)
{
	int32_t linger[2];

	switch (opt) {
	case SO_SNDBUF:
	case SO_SNDBUFFORCE:
		s->sndbuf = (uint32_t)MAX(2 * MIN((int64_t)(uint32_t)v, (int64_t)BUF_MAX / 2),
		                          (int64_t)BUF_MIN);
		return 0;
	case SO_RCVBUF:
	case SO_RCVBUFFORCE:
		s->rcvbuf = (uint32_t)MAX(2 * MIN((int64_t)(uint32_t)v, (int64_t)BUF_MAX / 2),
		                          (int64_t)BUF_MIN);
		return 0;
	case SO_PRIORITY: s->priority = (uint32_t)v; return 0;
	case SO_MARK: s->mark = (uint32_t)v; return 0;
	case SO_LINGER:
		if (len < sizeof(linger))
			return -EINVAL;
		memcpy(linger, val, sizeof(linger));
		s->linger = linger[0] ? linger[1] : -1;
		return 0;
	case SO_RCVTIMEO: return set_timeout(&s->rcv_timeout, val, len);
	case SO_SNDTIMEO: return set_timeout(&s->snd_timeout, val, len);
	case SO_BINDTODEVICE:
		memset(s->device, 0, sizeof(s->device));
		memcpy(s->device, val, MIN(len, (uint32_t)sizeof(s->device) - 1));
		return 0;
	case SO_DEBUG:
	case SO_DONTROUTE:
	case SO_NO_CHECK:
	case SO_RCVLOWAT:
	case SO_TIMESTAMP:
	case SO_INCOMING_CPU:
		/* accepted and without effect, as on Linux where nothing depends on them */
		return 0;
	}
	return -ENOPROTOOPT;
}

int socket_setopt(struct socket *s, int level, int opt, const void *val, uint32_t len)
{
	bool *flag = level == SOL_SOCKET ? bool_option(s, opt) : NULL;
	int32_t v = 0;
	int err = -ENOPROTOOPT;

	if (level != SOL_SOCKET)
		return s->ops->setsockopt ? s->ops->setsockopt(s, level, opt, val, len)
		                          : -ENOPROTOOPT;
	if (opt != SO_BINDTODEVICE) {
		if (len < sizeof(v))
			return -EINVAL;
		memcpy(&v, val, sizeof(v));
	}
	if (flag)
		*flag = v != 0;
	else
		err = set_other(s, opt, val, len, v);
	/* The family may want to know of it too. */
	if ((flag || !err || err == -ENOPROTOOPT) && s->ops->setsockopt) {
		int own = s->ops->setsockopt(s, level, opt, val, len);

		if (own != -ENOPROTOOPT)
			return own;
	}
	return flag ? 0 : err;
}

static int int_option(struct socket *s, int opt, int32_t *v)
{
	bool *flag = bool_option(s, opt);

	if (flag)
		return *v = *flag, 0;
	switch (opt) {
	case SO_TYPE: return *v = s->type, 0;
	/* Reading takes it, so two readers do not report one error twice. */
	case SO_ERROR: return *v = __atomic_exchange_n(&s->error, 0, __ATOMIC_RELAXED), 0;
	case SO_SNDBUF: return *v = (int32_t)s->sndbuf, 0;
	case SO_RCVBUF: return *v = (int32_t)s->rcvbuf, 0;
	case SO_PRIORITY: return *v = (int32_t)s->priority, 0;
	case SO_MARK: return *v = (int32_t)s->mark, 0;
	case SO_ACCEPTCONN: return *v = s->listening, 0;
	case SO_DOMAIN: return *v = s->family, 0;
	case SO_PROTOCOL: return *v = (int32_t)s->protocol, 0;
	case SO_RCVLOWAT:
	case SO_SNDLOWAT: return *v = 1, 0;
	case SO_DEBUG:
	case SO_DONTROUTE:
	case SO_NO_CHECK:
	case SO_TIMESTAMP: return *v = 0, 0;
	}
	return -ENOPROTOOPT;
}

static int give(void *val, uint32_t *len, const void *from, uint32_t n)
{
	*len = MIN(*len, n);
	memcpy(val, from, *len);
	return 0;
}

int socket_getopt(struct socket *s, int level, int opt, void *val, uint32_t *len)
{
	int64_t tv[2];
	int32_t v[2], err;
	ns_t t;

	if (level != SOL_SOCKET)
		return s->ops->getsockopt ? s->ops->getsockopt(s, level, opt, val, len)
		                          : -ENOPROTOOPT;
	/* Values that are more than one int; the rest stands in int_option. */
	switch (opt) {
	case SO_LINGER:
		v[0] = s->linger >= 0;
		v[1] = MAX(s->linger, 0);
		return give(val, len, v, sizeof(v));
	case SO_RCVTIMEO:
	case SO_SNDTIMEO:
		t = opt == SO_RCVTIMEO ? s->rcv_timeout : s->snd_timeout;
		tv[0] = (int64_t)(t / NS_PER_S);
		tv[1] = (int64_t)(t % NS_PER_S / NS_PER_US);
		return give(val, len, tv, sizeof(tv));
	case SO_PEERCRED: return give(val, len, &s->peer, sizeof(s->peer));
	case SO_BINDTODEVICE:
		return give(val, len, s->device, (uint32_t)strlen(s->device) + (s->device[0] != 0));
	}
	err = int_option(s, opt, &v[0]);
	return err ? err : give(val, len, v, sizeof(v[0]));
}
