// SPDX-License-Identifier: Apache-2.0
/* AF_UNIX for the kernel itself: the control socket. */
#include "fs/socket.h"
#include "fs/unix.h"
#include "vmk/mm.h"
#include "vmk/string.h"

int unix_listen_kernel(const char *path, uint32_t mode, unsigned backlog, struct file **out)
{
	struct sockaddr_any a = { .len = 2 };
	struct socket *s;
	size_t n = strlen(path);
	int err;

	/* sun_path has 108 bytes with its 0. */
	if (n + 3 > sizeof(a.bytes) || n > 107)
		return -ENAMETOOLONG;
	a.family = AF_UNIX;
	memcpy(a.bytes + 2, path, n + 1);
	a.len = 2 + (uint32_t)n + 1;
	err = socket_create(AF_UNIX, SOCK_STREAM, 0, &s);
	if (!err)
		err = socket_file(s, 0, out);
	/* socket_file owns the socket, failure included. */
	if (err)
		return err;
	err = unix_bind(s->priv, &a, mode);
	if (!err)
		err = s->ops->listen(s, backlog);
	if (err)
		file_put(*out);
	return err;
}

int unix_accept_kernel(struct file *listener, struct file **out, struct ucred *peer)
{
	struct socket *s = socket_of(listener);
	int err = s ? socket_accept(s, false, 0, out) : -ENOTSOCK;

	if (!err && peer)
		*peer = socket_of(*out)->peer;
	return err == -ERESTARTSYS ? -EINTR : err;
}

int socket_send_kernel(struct file *f, const void *buf, size_t n, struct file **fds, unsigned nfds)
{
	struct socket *s = socket_of(f);
	struct sock_msg m = { .fds = fds, .nfds = nfds, .flags = MSG_NOSIGNAL };
	size_t done = 0;

	while (s && done < n) {
		struct uio u;
		ssize_t sent;

		uio_init_kernel(&u, (char *)(uintptr_t)buf + done, n - done);
		m.u = &u;
		/* The files go with the first piece: after it m.nfds is 0. */
		sent = s->ops->send(s, &m);
		if (sent < 0)
			return sent == -ERESTARTSYS ? -EINTR : (int)sent;
		done += (size_t)sent;
	}
	return s ? 0 : -ENOTSOCK;
}

ssize_t socket_recv_kernel(struct file *f, void *buf, size_t n, bool wait)
{
	struct socket *s = socket_of(f);
	struct uio u;
	struct sock_msg m = { .u = &u, .flags = wait ? 0 : MSG_DONTWAIT };
	ssize_t got;

	if (!s)
		return -ENOTSOCK;
	uio_init_kernel(&u, buf, n);
	got = s->ops->recv(s, &m);
	return got == -ERESTARTSYS ? -EINTR : got;
}

int socket_shutdown_kernel(struct file *f, int how)
{
	struct socket *s = socket_of(f);

	return s ? s->ops->shutdown(s, how) : -ENOTSOCK;
}
