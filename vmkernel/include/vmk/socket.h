// SPDX-License-Identifier: Apache-2.0
/*
 * Sockets. fs/socket.c owns what all families share (descriptors, blocking rules, SOL_SOCKET
 * options) and hands the rest to the family that registered for the address family. A family's
 * functions run in the calling world, may sleep, and do their own locking; two may run at once on
 * one socket.
 */
#ifndef VMK_SOCKET_H
#define VMK_SOCKET_H
#include "vmk/file.h"

enum {
	AF_UNSPEC = 0,
	AF_UNIX = 1,
	AF_INET = 2,
	AF_INET6 = 10,
	AF_NETLINK = 16,
	AF_PACKET = 17,
	AF_MAX = 46
};
enum { SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3, SOCK_SEQPACKET = 5 };
enum {
	MSG_OOB = 1,
	MSG_PEEK = 2,
	MSG_CTRUNC = 8,
	MSG_TRUNC = 0x20,
	MSG_DONTWAIT = 0x40,
	MSG_EOR = 0x80,
	MSG_WAITALL = 0x100,
	MSG_ERRQUEUE = 0x2000,
	MSG_NOSIGNAL = 0x4000,
	MSG_MORE = 0x8000,
	MSG_CMSG_CLOEXEC = 0x40000000
};
enum { SHUT_RD, SHUT_WR, SHUT_RDWR };
enum { SOL_SOCKET = 1 };
enum { SOCK_FDS_MAX = 253 };
enum { SOCK_BUF_DEFAULT = 212992 }; /* SO_SNDBUF and SO_RCVBUF that nobody has set */

struct sockaddr_any {
	uint32_t len; /* bytes used of the below, with the family */
	union {
		uint16_t family;
		uint8_t bytes[128];
	};
};

struct ucred {
	int32_t pid;
	uint32_t uid, gid;
};

/* One message on its way in or out. */
struct sock_msg {
	struct uio *u;            /* data */
	struct sockaddr_any addr; /* send: destination (len 0: none); receive: the source */
	unsigned flags;           /* MSG_* asked for; MSG_DONTWAIT is set for O_NONBLOCK files */
	unsigned flags_out;       /* receive: MSG_TRUNC, MSG_CTRUNC, MSG_EOR */
	/*
	 * AF_UNIX: files that travel. send: nfds is 0 once the reader has them; receive: to the
	 * caller.
	 */
	struct file **fds;
	unsigned nfds, fds_max;
	bool has_cred;
	struct ucred cred;
	/*
	 * Control messages (cmsghdr ...), zeroed kernel memory. send: the other families' ones.
	 * receive: what socket_put_cmsg has put there.
	 */
	uint8_t *control;
	uint32_t control_len, control_max;
};

struct cmsghdr {
	uint64_t len; /* with this header */
	int32_t level, type;
};
#define CMSG_ALIGN(n) ALIGN_UP((uint64_t)(n), 8ull)

struct socket;
struct sock_ops {
	int (*bind)(struct socket *s, const struct sockaddr_any *a);
	int (*connect)(struct socket *s, const struct sockaddr_any *a, bool nonblock);
	int (*listen)(struct socket *s, unsigned backlog);
	/* Fills fresh, which the core made with the listener's family, type and ops. */
	int (*accept)(struct socket *s, struct socket *fresh, bool nonblock);
	int (*getname)(struct socket *s, struct sockaddr_any *a, bool peer);
	ssize_t (*send)(struct socket *s, struct sock_msg *m); /* -EPIPE: the core raises SIGPIPE */
	ssize_t (*recv)(struct socket *s,
	                struct sock_msg *m); /* SOCK_DGRAM with MSG_TRUNC: whole length */
	int (*shutdown)(struct socket *s, int how);
	/* Levels and options that the core does not know; value in kernel memory. -ENOPROTOOPT. */
	int (*setsockopt)(struct socket *s, int level, int opt, const void *val, uint32_t len);
	int (*getsockopt)(struct socket *s, int level, int opt, void *val, uint32_t *len);
	unsigned (*poll)(struct socket *s);                       /* sleepers wait on s->wait */
	long (*ioctl)(struct socket *s, unsigned cmd, uva_t arg); /* -ENOTTY for the unknown */
	void (*release)(struct socket *s);
};

struct socket {
	const struct sock_ops *ops;
	void *priv; /* the family's */
	uint16_t family, type;
	uint32_t protocol;
	struct waitq wait; /* the family wakes all of it on every change that poll shows */
	struct file *file; /* without a reference; NULL before accept returns */
	/* SOL_SOCKET, as set; families read them. Timeouts in ns, 0 = none. */
	ns_t rcv_timeout, snd_timeout;
	uint32_t rcvbuf, sndbuf;
	int32_t linger; /* seconds, -1 off */
	int32_t error;  /* SO_ERROR: positive errno, reading clears it */
	bool listening, reuse_addr, reuse_port, keep_alive, broadcast, oob_inline, pass_cred,
		v6only;
	char device[16]; /* SO_BINDTODEVICE */
	uint32_t priority, mark;
	struct ucred peer; /* SO_PEERCRED */
};

/* create: sets ops and priv, checks type and protocol. One table, filled at boot. */
int __must_check socket_register(unsigned family, int (*create)(struct socket *s));
int __must_check socket_create(unsigned family, unsigned type, unsigned protocol,
                               struct socket **out);
/* A file over the socket; the socket belongs to the file from then on, failure included. */
int __must_check socket_file(struct socket *s, uint32_t flags, struct file **out);
struct socket *socket_of(struct file *f); /* NULL when it is not one: -ENOTSOCK */
/* Appends a control message; MSG_CTRUNC if there is no room for all of it. */
void socket_put_cmsg(struct sock_msg *m, int level, int type, const void *data, uint32_t n);
/*
 * Requests about interfaces and routes (SIOCGIFCONF, SIOCADDRT ...), which as on Linux a socket of
 * any family serves for: libc takes one of AF_UNIX. The stack registers its answer once at boot;
 * fs/socket.c asks it for what the family's own ioctl does not know.
 */
void socket_register_ioctl(long (*interfaces)(unsigned cmd, uva_t arg));
/* Absolute deadline of a blocking call that starts now, from rcv_timeout or snd_timeout. */
ns_t socket_deadline(ns_t timeout);

/*
 * The kernel's own use of AF_UNIX (the control socket): a listening stream socket bound to path in
 * the file system, blocking accept (-EINTR when the world is interrupted), whole messages with
 * files.
 */
int __must_check unix_listen_kernel(const char *path, uint32_t mode, unsigned backlog,
                                    struct file **out);
int __must_check unix_accept_kernel(struct file *listener, struct file **out, struct ucred *peer);
/* All n bytes or -errno. fds: references pass over on success; they travel with the first byte. */
int __must_check socket_send_kernel(struct file *f, const void *buf, size_t n, struct file **fds,
                                    unsigned nfds);
/* Up to n bytes; 0 at the end; waits when wait. */
ssize_t __must_check socket_recv_kernel(struct file *f, void *buf, size_t n, bool wait);
int socket_shutdown_kernel(struct file *f, int how);
#endif
