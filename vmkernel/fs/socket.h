// SPDX-License-Identifier: Apache-2.0
/* The socket layer for the system calls (linux/sock.c). */
#ifndef FS_SOCKET_H
#define FS_SOCKET_H
#include "vmk/socket.h"

int __must_check socket_accept(struct socket *s, bool nonblock, uint32_t flags, struct file **out);
int __must_check socket_setopt(struct socket *s, int level, int opt, const void *val, uint32_t len);
int __must_check socket_getopt(struct socket *s, int level, int opt, void *val, uint32_t *len);
/* Two connected AF_UNIX sockets. */
int __must_check unix_pair(struct socket *a, struct socket *b);
#endif
