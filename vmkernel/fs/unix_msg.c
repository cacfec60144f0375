// SPDX-License-Identifier: Apache-2.0
/*
 * Messages of AF_UNIX: a queue at the receiver. Streams are cut into pieces of at most PIECE; a
 * read joins pieces, but stops at one that carries files or comes from somebody else.
 */
#include "fs/unix.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum {
	/* Bytes of a stream in one allocation: with its header, a full one takes 32 KiB. */
	PIECE = 32768 - 256,
	DGRAM_MAX = 1 << 20, /* bytes of a message that must stay in one */
};
STATIC_ASSERT(sizeof(struct umsg) <= 256);

struct waitq unix_changed;

void unix_free_queue(struct list *queue)
{
	struct umsg *m;

	while ((m = list_first(queue, struct umsg, link)) != NULL) {
		list_remove(&m->link);
		ufiles_drop(m->files);
		kfree(m);
	}
}

void unix_take_files(struct usock *u, struct list *files)
{
	struct umsg *m;

	mutex_lock(&u->lock);
	ufiles_leave_all(u);
	list_for_each(m, &u->queue, link)
		if (m->files) {
			list_push_back(files, &m->files->link);
			m->files = NULL;
		}
	mutex_unlock(&u->lock);
}

size_t unix_room(const struct usock *to, const struct usock *from)
{
	/* As on Linux the sender's SO_SNDBUF is the bound, not the receiver's. */
	size_t limit = from->s ? from->s->sndbuf : PIECE, used = READ_ONCE(to->charged);

	return used < limit ? limit - used : 0;
}

/* A message with n bytes of u and, if first, the files and credentials of m. */
static int umsg_new(struct sock_msg *m, size_t n, bool first, struct usock *from, struct umsg **out)
{
	struct umsg *um = kmalloc_charged(sizeof(*um) + n);

	if (!um)
		return -ENOBUFS;
	memset(um, 0, sizeof(*um));
	list_init(&um->link);
	um->len = n;
	um->size = kmalloc_size(um);
	/*
	 * SCM_CREDENTIALS was checked by the caller; without it the kernel vouches for the sender.
	 */
	um->cred = m->has_cred ? m->cred : unix_cred();
	mutex_lock(&from->lock);
	um->from = from->addr;
	mutex_unlock(&from->lock);
	if (uio_read(m->u, um->data, n)) {
		kfree(um);
		return -EFAULT;
	}
	/* Files travel with the first byte, so the first piece alone carries them. */
	if (first && m->nfds) {
		int err = ufiles_new(m->fds, m->nfds, &um->files);

		if (err) {
			kfree(um);
			return err;
		}
	}
	*out = um;
	return 0;
}

/* Gives um to the receiver. -EAGAIN: no room. */
static int deliver(struct usock *to, struct usock *from, struct umsg *um)
{
	bool stream = to->type == SOCK_STREAM;
	int err = 0;

	mutex_lock(&to->lock);
	if (to->closed)
		err = to->type == SOCK_DGRAM ? -ECONNREFUSED : -EPIPE;
	else if (to->rd_shut)
		err = -EPIPE;
	/*
	 * A stream piece goes in when there is any room; a message only as a whole, or into an
	 * empty queue.
	 */
	else if (stream ? !unix_room(to, from) : to->charged && unix_room(to, from) < um->size)
		err = -EAGAIN;
	if (!err) {
		if (um->files)
			ufiles_enter(um->files, to);
		list_push_back(&to->queue, &um->link);
		to->queued += um->len;
		to->charged += um->size;
		if (to->s)
			waitq_wake_all(&to->s->wait);
	}
	mutex_unlock(&to->lock);
	return err;
}

/*
 * The condition of a sleeping sender, without locks: deliver() decides again. A receiver that is
 * gone ends the wait too.
 */
static bool can_send(struct usock *to, const struct usock *from, size_t size)
{
	return READ_ONCE(to->closed) || READ_ONCE(to->rd_shut) || READ_ONCE(from->wr_shut) ||
	       !READ_ONCE(to->charged) ||
	       unix_room(to, from) >= (to->type == SOCK_STREAM ? 1 : size);
}

/* One message; *sent files are the receiver's from then on. */
static int send_one(struct socket *s, struct usock *to, struct sock_msg *m, size_t n, bool first,
                    ns_t deadline)
{
	struct usock *u = s->priv;
	struct umsg *um;
	int err = umsg_new(m, n, first, u, &um);

	if (err)
		return err;
	while ((err = u->wr_shut ? -EPIPE : deliver(to, u, um)) == -EAGAIN &&
	       !(m->flags & MSG_DONTWAIT)) {
		/*
		 * A stream's reader wakes its peer; a datagram's receiver does not know its
		 * senders.
		 */
		struct waitq *q = to->type == SOCK_DGRAM ? &unix_changed : &s->wait;

		err = wait_event_intr_until(q, can_send(to, u, um->size), deadline);
		if (err) {
			err = err == -ETIMEDOUT ? -EAGAIN : s->snd_timeout ? -EINTR : -ERESTARTSYS;
			break;
		}
	}
	if (err) {
		ufiles_cancel(um->files);
		kfree(um);
	} else if (first) {
		m->nfds = 0;
	}
	return err;
}

static ssize_t send_stream(struct socket *s, struct usock *to, struct sock_msg *m)
{
	ns_t deadline = socket_deadline(s->snd_timeout);
	ssize_t done = 0;

	while (m->u->left) {
		size_t n = MIN(m->u->left, (size_t)PIECE);
		/* One deadline for all pieces: SO_SNDTIMEO bounds the call. */
		int err = send_one(s, to, m, n, done == 0, deadline);

		if (err)
			return done ? done : err;
		done += (ssize_t)n;
	}
	return done;
}

ssize_t unix_send(struct socket *s, struct sock_msg *m)
{
	struct usock *u = s->priv, *to = NULL;
	ssize_t sent = 0;
	size_t n = m->u->left;

	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (m->addr.len && s->type == SOCK_DGRAM)
		sent = unix_find(&m->addr, s->type, &to);
	else if (m->addr.len && s->type == SOCK_STREAM)
		sent = u->peer ? -EISCONN : -EOPNOTSUPP;
	else
		to = unix_peer(u);
	if (!sent && !to)
		sent = u->peer_gone ? -EPIPE : -ENOTCONN;
	if (!sent && (u->wr_shut || (u->peer_gone && s->type != SOCK_DGRAM)))
		sent = -EPIPE;
	if (!sent && s->type == SOCK_STREAM)
		sent = send_stream(s, to, m);
	/* It could never fit, however long the sender waits. */
	else if (!sent && n > MIN((size_t)DGRAM_MAX, (size_t)s->sndbuf))
		sent = -EMSGSIZE;
	else if (!sent)
		sent = send_one(s, to, m, n, true, socket_deadline(s->snd_timeout));
	if (!sent && s->type != SOCK_STREAM)
		sent = (ssize_t)n;
	unix_put(to);
	return sent;
}

/*
 * Hands the message's files and credentials to the reader. Files that find no room in the reader's
 * control buffer are closed, as unix(7) says: the result, which is dropped without u->lock, since
 * one of them may be u's own peer.
 */
static struct ufiles *give_extras(struct socket *s, struct sock_msg *m, struct umsg *um, bool peek)
{
	struct ufiles *f = um->files;
	unsigned take = MIN(f ? f->count : 0, m->fds_max);

	m->has_cred = s->pass_cred;
	m->cred = um->cred;
	m->nfds = take;
	if (!f)
		return NULL;
	if (take < f->count)
		m->flags_out |= MSG_CTRUNC;
	if (peek) {
		/* References of its own: the message keeps its files for the next reader. */
		ufiles_copy(f, m->fds, take);
		return NULL;
	}
	ufiles_leave(f);
	um->files = NULL;
	for (unsigned i = 0; i < take; i++)
		m->fds[i] = f->file[i];
	f->count -= take;
	memmove(f->file, f->file + take, f->count * sizeof(f->file[0]));
	return f;
}

/* May the piece be joined to what the reader already has from `first`? */
static bool joins(struct socket *s, const struct umsg *um, const struct ucred *first)
{
	return !um->files && (!s->pass_cred || memcmp(&um->cred, first, sizeof(*first)) == 0);
}

/* Under u->lock; the queue is not empty. Bytes or -EFAULT. */
static ssize_t recv_stream(struct socket *s, struct usock *u, struct sock_msg *m, bool fresh,
                           struct ufiles **rest)
{
	bool peek = m->flags & MSG_PEEK;
	struct umsg *um, *next;
	ssize_t done = 0;

	list_for_each_safe(um, next, &u->queue, link) {
		size_t n = MIN(um->len - um->off, m->u->left);

		/*
		 * Control data belongs to one read: a piece with files, or of another sender under
		 * SO_PASSCRED, begins the next.
		 */
		if ((done || !fresh) && !joins(s, um, &m->cred))
			break;
		if (uio_write(m->u, um->data + um->off, n))
			return done ? done : -EFAULT;
		/* Only a read's first piece: its files came with its first byte. */
		if (!done && fresh)
			*rest = give_extras(s, m, um, peek);
		done += (ssize_t)n;
		if (!peek) {
			/* A sender that waits is woken by recv_some, outside of this lock. */
			um->off += n;
			u->queued -= n;
			if (um->off == um->len) {
				list_remove(&um->link);
				u->charged -= um->size;
				kfree(um);
			}
		}
		if (!m->u->left)
			break;
	}
	return done;
}

static ssize_t recv_message(struct socket *s, struct usock *u, struct sock_msg *m,
                            struct ufiles **rest)
{
	struct umsg *um = list_first(&u->queue, struct umsg, link);
	size_t n = MIN(um->len, m->u->left);

	if (uio_write(m->u, um->data, n))
		return -EFAULT;
	m->addr = um->from;
	if (n < um->len)
		m->flags_out |= MSG_TRUNC;
	if (u->type == SOCK_SEQPACKET)
		m->flags_out |= MSG_EOR;
	*rest = give_extras(s, m, um, m->flags & MSG_PEEK);
	/*
	 * recv(2): with MSG_TRUNC asked for, the whole length; the rest of the message is lost
	 * either way.
	 */
	ssize_t got = (ssize_t)(m->flags & MSG_TRUNC ? um->len : n);

	if (!(m->flags & MSG_PEEK)) {
		list_remove(&um->link);
		u->queued -= um->len;
		u->charged -= um->size;
		kfree(um);
	}
	return got;
}

/* One try: bytes; 0 with *end at the end; -EAGAIN when there is nothing. */
static ssize_t recv_some(struct socket *s, struct sock_msg *m, bool fresh, bool *end)
{
	struct usock *u = s->priv, *peer = NULL;
	struct ufiles *rest = NULL;
	ssize_t got;

	mutex_lock(&u->lock);
	if (!list_empty(&u->queue)) {
		got = u->type == SOCK_STREAM ? recv_stream(s, u, m, fresh, &rest)
		                             : recv_message(s, u, m, &rest);
		/* Woken after u->lock is released: two ends' locks are never held together. */
		peer = u->peer ? unix_get(u->peer) : NULL;
	} else if (s->error) {
		got = -__atomic_exchange_n(&s->error, 0, __ATOMIC_RELAXED);
	} else if (u->rd_shut || u->peer_gone) {
		got = 0;
		*end = true;
	} else if (u->type != SOCK_DGRAM && !u->peer) {
		got = s->type == SOCK_STREAM ? -EINVAL : -ENOTCONN;
	} else {
		got = -EAGAIN;
	}
	mutex_unlock(&u->lock);
	ufiles_drop(rest);
	if (peer) {
		unix_wake(peer);
		unix_put(peer);
	}
	/* Its senders are not known: all who wait for any queue look again. */
	if (u->type == SOCK_DGRAM)
		waitq_wake_all(&unix_changed);
	return got;
}

ssize_t unix_recv(struct socket *s, struct sock_msg *m)
{
	struct usock *u = s->priv;
	ns_t deadline = socket_deadline(s->rcv_timeout);
	ssize_t done = 0, got;
	bool end = false;

	if (m->flags & MSG_OOB)
		return -EOPNOTSUPP;
	if (s->listening)
		return -EINVAL;
	if (!m->u->left && s->type == SOCK_STREAM)
		return 0;
	for (;;) {
		/*
		 * After the first bytes only MSG_WAITALL goes round again, and then pieces must
		 * join.
		 */
		got = recv_some(s, m, done == 0, &end);
		if (got > 0)
			done += got;
		if (end || (got < 0 && got != -EAGAIN) || (got >= 0 && s->type != SOCK_STREAM))
			break;
		/* got == 0 after bytes: what waits does not join them (a file, another sender). */
		if (done &&
		    (!(m->flags & MSG_WAITALL) || !m->u->left || (m->flags & MSG_PEEK) || got == 0))
			break;
		if (got == -EAGAIN && (m->flags & MSG_DONTWAIT))
			break;
		if (got != -EAGAIN)
			continue;
		got = wait_event_intr_until(
			&s->wait, !list_empty(&u->queue) || u->rd_shut || u->peer_gone || s->error,
			deadline);
		if (got) {
			got = got == -ETIMEDOUT ? -EAGAIN : s->rcv_timeout ? -EINTR : -ERESTARTSYS;
			break;
		}
	}
	return done ? done : got;
}
