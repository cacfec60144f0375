// SPDX-License-Identifier: Apache-2.0
/* System calls on sockets. Spec: Linux man pages, section 2; cmsg(3). */
#include "linux/sock.h"
#include "fs/socket.h"
#include "linux/path.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/syscall.h"

enum { OPT_MAX = 1024, SOCK_TYPE_MASK = 15 };

int sockaddr_from_user(uva_t p, uint32_t len, struct sockaddr_any *a)
{
	memset(a, 0, sizeof(*a));
	if ((int32_t)len < 0 || len > sizeof(a->bytes))
		return -EINVAL;
	if (copy_from_user(a->bytes, p, len))
		return -EFAULT;
	a->len = len;
	return 0;
}

int sockaddr_to_user(const struct sockaddr_any *a, uva_t p, uva_t len_p)
{
	uint32_t room;

	if (!p)
		return 0;
	if (copy_from_user(&room, len_p, sizeof(room)))
		return -EFAULT;
	if ((int32_t)room < 0)
		return -EINVAL;
	/* The address is cut to the room, the length tells the whole: getsockname(2). */
	if (copy_to_user(p, a->bytes, MIN(room, MIN(a->len, (uint32_t)sizeof(a->bytes)))))
		return -EFAULT;
	return copy_to_user(len_p, &a->len, sizeof(a->len));
}

bool file_nonblock(const struct file *f)
{
	return f->flags & O_NONBLOCK;
}

static int new_socket(unsigned family, unsigned type, unsigned protocol, struct file **out)
{
	unsigned flags = type & ~(unsigned)SOCK_TYPE_MASK;
	struct socket *s;
	int err;

	if (flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	err = socket_create(family, type & SOCK_TYPE_MASK, protocol, &s);
	return err ? err : socket_file(s, flags, out);
}

SYSCALL3(socket, unsigned, family, unsigned, type, unsigned, protocol)
{
	struct file *f;
	int err = new_socket(family, type, protocol, &f);

	return err ? err : fd_install(f, type & O_CLOEXEC);
}

SYSCALL4(socketpair, unsigned, family, unsigned, type, unsigned, protocol, uva_t, fds)
{
	struct file *one, *two;
	int err;

	if (family != AF_UNIX)
		return family < AF_MAX ? -EOPNOTSUPP : -EAFNOSUPPORT;
	err = new_socket(family, type, protocol, &one);
	if (err)
		return err;
	err = new_socket(family, type, protocol, &two);
	if (!err)
		err = unix_pair(socket_of(one), socket_of(two));
	if (err) {
		file_put(one);
		return err;
	}
	return fd_install_pair(one, two, type & O_CLOEXEC, fds);
}

static long do_bind(struct socket *s, uva_t name, uint32_t len)
{
	struct sockaddr_any addr;
	int err = sockaddr_from_user(name, len, &addr);

	if (!err && addr.len < sizeof(addr.family))
		err = -EINVAL;
	return err ? err : s->ops->bind ? s->ops->bind(s, &addr) : -EOPNOTSUPP;
}

SYSCALL3(bind, int, fd, uva_t, addr, uint32_t, len)
{
	return WITH_SOCKET(fd, f, s, do_bind(s, addr, len));
}

static long do_connect(struct file *f, struct socket *s, uva_t name, uint32_t len)
{
	struct sockaddr_any addr;
	int err = sockaddr_from_user(name, len, &addr);

	if (!err && addr.len < sizeof(addr.family))
		err = -EINVAL;
	return err               ? err
	       : s->ops->connect ? s->ops->connect(s, &addr, file_nonblock(f))
	                         : -EOPNOTSUPP;
}

SYSCALL3(connect, int, fd, uva_t, addr, uint32_t, len)
{
	return WITH_SOCKET(fd, f, s, do_connect(f, s, addr, len));
}

SYSCALL2(listen, int, fd, unsigned, backlog)
{
	return WITH_SOCKET(fd, f, s,
	                   s->ops->listen ? s->ops->listen(s, MIN(backlog, 4096u)) : -EOPNOTSUPP);
}

static long do_accept(struct file *f, struct socket *s, uva_t addr, uva_t len, unsigned flags)
{
	struct sockaddr_any peer;
	struct file *fresh;
	int err;

	if (flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	/* A connection that is taken and then fails to be delivered is closed, as on Linux. */
	err = socket_accept(s, file_nonblock(f), flags & O_NONBLOCK, &fresh);
	if (err)
		return err;
	if (addr) {
		struct socket *n = socket_of(fresh);

		if (n->ops->getname(n, &peer, true)) /* it may have gone already */
			peer = (struct sockaddr_any){ .len = sizeof(peer.family),
				                      .family = n->family };
		err = sockaddr_to_user(&peer, addr, len);
		if (err) {
			file_put(fresh);
			return err;
		}
	}
	return fd_install(fresh, flags & O_CLOEXEC);
}

SYSCALL3(accept, int, fd, uva_t, addr, uva_t, len)
{
	return WITH_SOCKET(fd, f, s, do_accept(f, s, addr, len, 0));
}

SYSCALL4(accept4, int, fd, uva_t, addr, uva_t, len, unsigned, flags)
{
	return WITH_SOCKET(fd, f, s, do_accept(f, s, addr, len, flags));
}

static long do_getname(struct socket *s, uva_t addr, uva_t len, bool peer)
{
	struct sockaddr_any n;
	int err = s->ops->getname ? s->ops->getname(s, &n, peer) : -EOPNOTSUPP;

	return err ? err : sockaddr_to_user(&n, addr, len);
}

SYSCALL3(getsockname, int, fd, uva_t, addr, uva_t, len)
{
	return WITH_SOCKET(fd, f, s, do_getname(s, addr, len, false));
}

SYSCALL3(getpeername, int, fd, uva_t, addr, uva_t, len)
{
	return WITH_SOCKET(fd, f, s, do_getname(s, addr, len, true));
}

SYSCALL2(shutdown, int, fd, int, how)
{
	if (how < SHUT_RD || how > SHUT_RDWR)
		return -EINVAL;
	return WITH_SOCKET(fd, f, s, s->ops->shutdown ? s->ops->shutdown(s, how) : -EOPNOTSUPP);
}

static long do_setsockopt(struct socket *s, int level, int name, uva_t from, uint32_t len)
{
	uint8_t *val;
	int err;

	if ((int32_t)len < 0 || len > OPT_MAX)
		return -EINVAL;
	val = kzalloc(OPT_MAX);
	if (!val)
		return -ENOMEM;
	err = copy_from_user(val, from, len) ? -EFAULT : socket_setopt(s, level, name, val, len);
	kfree(val);
	return err;
}

SYSCALL5(setsockopt, int, fd, int, level, int, name, uva_t, val, uint32_t, len)
{
	return WITH_SOCKET(fd, f, s, do_setsockopt(s, level, name, val, len));
}

static long do_getsockopt(struct socket *s, int level, int name, uva_t to, uva_t to_len)
{
	uint32_t len;
	uint8_t *val;
	int err;

	if (copy_from_user(&len, to_len, sizeof(len)))
		return -EFAULT;
	if ((int32_t)len < 0)
		return -EINVAL;
	len = MIN(len, (uint32_t)OPT_MAX); /* no option is longer; len is also the result's */
	val = kzalloc(OPT_MAX);
	if (!val)
		return -ENOMEM;
	err = socket_getopt(s, level, name, val, &len);
	if (!err && (copy_to_user(to, val, len) || copy_to_user(to_len, &len, sizeof(len))))
		err = -EFAULT;
	kfree(val);
	return err;
}

SYSCALL5(getsockopt, int, fd, int, level, int, name, uva_t, val, uva_t, len)
{
	return WITH_SOCKET(fd, f, s, do_getsockopt(s, level, name, val, len));
}
