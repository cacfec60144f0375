// SPDX-License-Identifier: Apache-2.0
/* System calls on sockets. Spec: Linux man pages, section 2; cmsg(3). */
#include "linux/sock.h"
#include "fs/socket.h"
#include "linux/path.h"
#include "vmk/mm.h"
#include "vmk/string.h"

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
	if (copy_to_user(p, a->bytes, MIN(room, MIN(a->len, (uint32_t)sizeof(a->bytes)))))
		return -EFAULT;
	return copy_to_user(len_p, &a->len, sizeof(a->len));
}

bool file_nonblock(const struct file *f)
{
	return f->flags & O_NONBLOCK;
}

static int new_socket(const uint64_t a[6], struct file **out)
{
	unsigned flags = (unsigned)a[1] & ~(unsigned)SOCK_TYPE_MASK;
	struct socket *s;
	int err;

	if (flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	err = socket_create((unsigned)a[0], (unsigned)a[1] & SOCK_TYPE_MASK, (unsigned)a[2], &s);
	return err ? err : socket_file(s, flags, out);
}

SYSCALL(41, socket)
{
	struct file *f;
	int err = new_socket(a, &f);

	return err ? err : fd_install(f, a[1] & O_CLOEXEC);
}

SYSCALL(53, socketpair)
{
	struct file *one, *two;
	int err;

	if (a[0] != AF_UNIX)
		return a[0] < AF_MAX ? -EOPNOTSUPP : -EAFNOSUPPORT;
	err = new_socket(a, &one);
	if (err)
		return err;
	err = new_socket(a, &two);
	if (!err)
		err = unix_pair(socket_of(one), socket_of(two));
	if (err) {
		file_put(one);
		return err;
	}
	return fd_install_pair(one, two, a[1] & O_CLOEXEC, a[3]);
}

static long do_bind(struct file *f, struct socket *s, const uint64_t a[6])
{
	struct sockaddr_any addr;
	int err = sockaddr_from_user(a[1], (uint32_t)a[2], &addr);

	if (!err && addr.len < sizeof(addr.family))
		err = -EINVAL;
	return err ? err : s->ops->bind ? s->ops->bind(s, &addr) : -EOPNOTSUPP;
}

SYSCALL(49, bind)
{
	return WITH_SOCKET((int)a[0], f, s, do_bind(f, s, a));
}

static long do_connect(struct file *f, struct socket *s, const uint64_t a[6])
{
	struct sockaddr_any addr;
	int err = sockaddr_from_user(a[1], (uint32_t)a[2], &addr);

	if (!err && addr.len < sizeof(addr.family))
		err = -EINVAL;
	return err               ? err
	       : s->ops->connect ? s->ops->connect(s, &addr, file_nonblock(f))
	                         : -EOPNOTSUPP;
}

SYSCALL(42, connect)
{
	return WITH_SOCKET((int)a[0], f, s, do_connect(f, s, a));
}

SYSCALL(50, listen)
{
	return WITH_SOCKET((int)a[0], f, s,
	                   s->ops->listen ? s->ops->listen(s, MIN((unsigned)a[1], 4096u))
	                                  : -EOPNOTSUPP);
}

static long do_accept(struct file *f, struct socket *s, uva_t addr, uva_t len, unsigned flags)
{
	struct sockaddr_any peer;
	struct file *fresh;
	int err;

	if (flags & ~(unsigned)(O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
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

SYSCALL(43, accept)
{
	return WITH_SOCKET((int)a[0], f, s, do_accept(f, s, a[1], a[2], 0));
}

SYSCALL(288, accept4)
{
	return WITH_SOCKET((int)a[0], f, s, do_accept(f, s, a[1], a[2], (unsigned)a[3]));
}

static long do_getname(struct socket *s, uva_t addr, uva_t len, bool peer)
{
	struct sockaddr_any n;
	int err = s->ops->getname ? s->ops->getname(s, &n, peer) : -EOPNOTSUPP;

	return err ? err : sockaddr_to_user(&n, addr, len);
}

SYSCALL(51, getsockname)
{
	return WITH_SOCKET((int)a[0], f, s, do_getname(s, a[1], a[2], false));
}

SYSCALL(52, getpeername)
{
	return WITH_SOCKET((int)a[0], f, s, do_getname(s, a[1], a[2], true));
}

SYSCALL(48, shutdown)
{
	if ((int)a[1] < SHUT_RD || (int)a[1] > SHUT_RDWR)
		return -EINVAL;
	return WITH_SOCKET((int)a[0], f, s,
	                   s->ops->shutdown ? s->ops->shutdown(s, (int)a[1]) : -EOPNOTSUPP);
}

static long do_setsockopt(struct socket *s, const uint64_t a[6])
{
	uint32_t len = (uint32_t)a[4];
	uint8_t *val;
	int err;

	if ((int32_t)len < 0 || len > OPT_MAX)
		return -EINVAL;
	val = kzalloc(OPT_MAX);
	if (!val)
		return -ENOMEM;
	err = copy_from_user(val, a[3], len) ? -EFAULT
	                                     : socket_setopt(s, (int)a[1], (int)a[2], val, len);
	kfree(val);
	return err;
}

SYSCALL(54, setsockopt)
{
	return WITH_SOCKET((int)a[0], f, s, do_setsockopt(s, a));
}

static long do_getsockopt(struct socket *s, const uint64_t a[6])
{
	uint32_t len;
	uint8_t *val;
	int err;

	if (copy_from_user(&len, a[4], sizeof(len)))
		return -EFAULT;
	if ((int32_t)len < 0)
		return -EINVAL;
	len = MIN(len, (uint32_t)OPT_MAX);
	val = kzalloc(OPT_MAX);
	if (!val)
		return -ENOMEM;
	err = socket_getopt(s, (int)a[1], (int)a[2], val, &len);
	if (!err && (copy_to_user(a[3], val, len) || copy_to_user(a[4], &len, sizeof(len))))
		err = -EFAULT;
	kfree(val);
	return err;
}

SYSCALL(55, getsockopt)
{
	return WITH_SOCKET((int)a[0], f, s, do_getsockopt(s, a));
}
