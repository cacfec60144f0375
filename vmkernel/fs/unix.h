// SPDX-License-Identifier: Apache-2.0
/*
 * AF_UNIX: ends of connections (unix.c), names (unix_name.c), messages (unix_msg.c).
 *
 * A usock lives as long as its socket or a peer refers to it. u->lock guards its members; two are
 * never held at once. A reader or writer that finds nothing to do sleeps in its own socket's queue,
 * and the other end wakes that through unix_wake(). Spec: Linux unix(7).
 */
#ifndef FS_UNIX_H
#define FS_UNIX_H
#include "fs/vfs.h"
#include "vmk/socket.h"

struct umsg {
	struct list link;
	struct file **fds; /* with references */
	unsigned nfds;
	struct ucred cred;
	struct sockaddr_any from; /* datagrams */
	size_t off, len;          /* off: already read (streams) */
	uint8_t data[];
};

struct usock {
	struct mutex lock;
	uint32_t refs; /* atomic */
	uint16_t type;
	struct socket *s;      /* NULL: not accepted yet, or closed */
	struct usock *peer;    /* connected to, with a reference */
	bool rd_shut, wr_shut; /* shutdown, by either end */
	bool peer_gone;        /* streams: the other end was closed */
	bool closed;           /* its own socket is gone; lives on in references */
	struct list queue;     /* umsg */
	size_t queued;         /* bytes in queue */
	/* Listening. */
	struct list pending; /* usock.in_pending, with a reference each */
	struct list in_pending;
	unsigned backlog, waiting;
	struct ucred cred; /* of who bound, connected or listened */
	/* Its name. */
	struct sockaddr_any addr;
	struct inode *inode; /* bound in the file system; with a reference */
	struct list by_name; /* abstract names */
};

struct usock *unix_get(struct usock *u);
void unix_put(struct usock *u);
void unix_wake(struct usock *u);
struct ucred unix_cred(void);             /* of the current process */
struct usock *unix_peer(struct usock *u); /* with a reference, or NULL */
size_t unix_room(const struct usock *to,
                 const struct usock *from); /* bytes that still fit into to's queue */

/* unix_name.c */
int __must_check unix_bind(struct usock *u, const struct sockaddr_any *a, uint32_t mode);
void unix_unbind(struct usock *u);
int __must_check unix_find(const struct sockaddr_any *a, uint16_t type, struct usock **out);
void unix_name_init(void);

/* unix_msg.c */
ssize_t unix_send(struct socket *s, struct sock_msg *m);
ssize_t unix_recv(struct socket *s, struct sock_msg *m);
void umsg_free(struct umsg *m);
extern struct waitq unix_changed; /* somebody's queue has room, or a listener accepted or went */
#endif
