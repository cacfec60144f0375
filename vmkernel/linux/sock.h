// SPDX-License-Identifier: Apache-2.0
/* What the socket system calls share. */
#ifndef LINUX_SOCK_H
#define LINUX_SOCK_H
#include "vmk/socket.h"

int __must_check sockaddr_from_user(uva_t p, uint32_t len, struct sockaddr_any *a);
/* p 0: not wanted. *len_p holds the room and gets the whole length. */
int __must_check sockaddr_to_user(const struct sockaddr_any *a, uva_t p, uva_t len_p);
bool file_nonblock(const struct file *f);

/* Runs call with `f`, the file of fd, and `s`, its socket. */
#define WITH_SOCKET(fd, f, s, call)                                       \
	({                                                                \
		struct file *f = fd_get(fd);                              \
		struct socket *s = f ? socket_of(f) : NULL;               \
		long with_r_ = s ? (long)(call) : f ? -ENOTSOCK : -EBADF; \
		file_put(f);                                              \
		with_r_;                                                  \
	})
#endif
