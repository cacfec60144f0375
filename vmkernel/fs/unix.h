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

/* The files of one message, from the sender's call to the receiver's: unix_gc.c. */
struct ufiles {
	struct list link; /* to->carried while in a queue; a list of those to be dropped */
	struct usock *in; /* whose queue carries it */
	uint32_t uid;     /* of the sender, who is charged for them */
	unsigned count;
	struct file *file[]; /* with references */
};

struct umsg {
	struct list link;
	struct ufiles *files; /* or NULL */
	struct ucred cred;
	struct sockaddr_any from; /* datagrams */
	size_t off, len;          /* off: already read (streams) */
	size_t size;              /* that it takes in memory: what counts against the queue */
	uint8_t data[];
};

struct usock {
	struct mutex lock;
	uint32_t refs; /* atomic */
	uint16_t type;
	struct socket *s;         /* NULL: not accepted yet, or closed */
	struct usock *peer;       /* connected to, with a reference */
	bool rd_shut, wr_shut;    /* shutdown, by either end */
	bool peer_gone;           /* streams: the other end was closed */
	bool closed;              /* its own socket is gone; lives on in references */
	bool binding, connecting; /* a call is at it, which may sleep: another one is refused */
	struct list queue;        /* umsg */
	size_t queued;            /* bytes in queue, as FIONREAD tells them */
	size_t charged;           /* umsg.size of all in queue: the bound is a sender's SO_SNDBUF */
	/* Listening. */
	struct list pending; /* usock.in_pending, with a reference each */
	struct list in_pending;
	unsigned backlog, waiting;
	struct ucred cred; /* of who bound, connected or listened */
	/* Its name; written under names_lock too, so either lock serves to read it. */
	struct sockaddr_any addr;
	struct inode *inode; /* bound in the file system; with a reference */
	struct list by_name; /* abstract names */
	/* Files in flight; unix_gc.c and its lock. */
	struct list carried;     /* ufiles of the messages in queue */
	struct list in_carriers; /* while carried is not empty */
	unsigned inflight;       /* references to its file that messages hold */
	struct usock *listener;  /* that it waits at to be accepted */
	struct list embryos, in_embryos;
	struct list gc_link;
	uint32_t mark;
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
/* Frees the messages of a queue that was taken off its socket; no lock is held. */
void unix_free_queue(struct list *queue);
/* Takes all files out of u's queue; the messages stay, without them. */
void unix_take_files(struct usock *u, struct list *files);
extern struct waitq unix_changed; /* somebody's queue has room, or a listener accepted or went */

/*
 * unix_gc.c. Copies the references, which pass over on success. -ETOOMANYREFS: too many in flight.
 */
int __must_check ufiles_new(struct file *const *fds, unsigned n, struct ufiles **out);
void ufiles_cancel(struct ufiles *f); /* not sent: the references are the caller's again */
/* Into and out of to's queue; to->lock is held. */
void ufiles_enter(struct ufiles *f, struct usock *to);
void ufiles_leave(struct ufiles *f);
void ufiles_leave_all(struct usock *u);
void ufiles_copy(const struct ufiles *f, struct file **out, unsigned n); /* with references */
void ufiles_drop(struct ufiles *f); /* out of any queue: puts its files; no lock is held */
bool ufiles_dropping(void);         /* the current world is within ufiles_drop */
/* server waits at the listener (its lock is held), or NULL: no longer. */
void unix_embryo(struct usock *server, struct usock *listener);
/* Frees what nobody can reach. wait: also when another world is at it. No lock is held. */
void unix_collect(bool wait);
void unix_gc_init(void);
#endif
