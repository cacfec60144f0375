// SPDX-License-Identifier: Apache-2.0
/*
 * AF_UNIX: connections. A stream is two usocks that hold a reference to each other; each end's
 * messages wait in its own queue. A client's connect makes the server's end at once and puts it
 * into the listener's queue, so that the client may send before anybody accepts. A datagram socket
 * has a peer without the peer knowing. Locks and lifetimes: unix.h. Spec: Linux unix(7).
 */
#include "fs/unix.h"
#include "fs/socket.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum { BACKLOG_MAX = 4096 };

static struct usock *unix_new(uint16_t type)
{
	struct usock *u = kzalloc_charged(sizeof(*u));

	if (!u)
		return NULL;
	mutex_init(&u->lock, "unix");
	u->refs = 1;
	u->type = type;
	u->addr.len = 2;
	u->addr.family = AF_UNIX;
	list_init(&u->queue);
	list_init(&u->pending);
	list_init(&u->in_pending);
	list_init(&u->by_name);
	list_init(&u->carried);
	list_init(&u->in_carriers);
	list_init(&u->embryos);
	list_init(&u->in_embryos);
	list_init(&u->gc_link);
	return u;
}

struct usock *unix_get(struct usock *u)
{
	__atomic_fetch_add(&u->refs, 1, __ATOMIC_RELAXED);
	return u;
}

void unix_put(struct usock *u)
{
	if (!u || __atomic_sub_fetch(&u->refs, 1, __ATOMIC_ACQ_REL))
		return;
	ASSERT(list_empty(
		&u->queue)); /* unix_close emptied it, and deliver() adds nothing after that */
	kfree(u);
}

void unix_wake(struct usock *u)
{
	mutex_lock(&u->lock);
	/*
	 * Under the lock: unix_close clears s before the socket, which holds the queue, is freed.
	 */
	if (u->s)
		waitq_wake_all(&u->s->wait);
	mutex_unlock(&u->lock);
}

struct ucred unix_cred(void)
{
	const struct cred *c = cred_current();
	struct proc *p = proc_current();

	return (struct ucred){ .pid = p ? proc_pid(p) : 0, .uid = c->euid, .gid = c->egid };
}

struct usock *unix_peer(struct usock *u)
{
	struct usock *p;

	mutex_lock(&u->lock);
	p = u->peer ? unix_get(u->peer) : NULL;
	mutex_unlock(&u->lock);
	return p;
}

/* u is closed or was never accepted: its peer hears of it. */
static void unix_close(struct usock *u)
{
	struct usock *peer, *waiting;
	struct list queue;

	list_init(&queue);
	mutex_lock(&u->lock);
	u->s = NULL;
	u->closed = true;
	peer = u->peer;
	u->peer = NULL;
	/* Freed below: releasing a file may close a socket, which takes locks of other ends. */
	list_splice_back(&queue, &u->queue);
	u->queued = u->charged = 0;
	ufiles_leave_all(u);
	mutex_unlock(&u->lock);
	unix_unbind(u);
	if (peer && u->type != SOCK_DGRAM) {
		mutex_lock(&peer->lock);
		peer->peer_gone = true;
		/* As on Linux, unread bytes turn the peer's end of file into a reset. */
		if (!list_empty(&queue) && peer->s)
			peer->s->error = ECONNRESET;
		mutex_unlock(&peer->lock);
	}
	if (peer)
		unix_wake(peer);
	unix_put(peer);
	unix_free_queue(&queue);
	/* Connections that nobody accepted end here; their clients see a closed peer. */
	for (;;) {
		mutex_lock(&u->lock);
		waiting = list_first(&u->pending, struct usock, in_pending);
		if (waiting)
			list_remove(&waiting->in_pending);
		mutex_unlock(&u->lock);
		if (!waiting)
			break;
		unix_embryo(waiting, NULL);
		unix_close(waiting);
		unix_put(waiting);
	}
	/* Senders of datagrams and clients that wait for room in a backlog sleep there. */
	waitq_wake_all(&unix_changed);
}

static void un_release(struct socket *s)
{
	unix_close(s->priv);
	unix_put(s->priv);
	/* What only this socket led to may now be garbage; the world that drops files asks once. */
	if (!ufiles_dropping())
		unix_collect(false);
}

static int un_bind(struct socket *s, const struct sockaddr_any *a)
{
	return unix_bind(s->priv, a, 0777 & ~fsctx_umask(-1));
}

static int un_listen(struct socket *s, unsigned backlog)
{
	struct usock *u = s->priv;
	int err = 0;

	if (s->type == SOCK_DGRAM)
		return -EOPNOTSUPP;
	mutex_lock(&u->lock);
	/* unix(7): listen needs a name; on a socket that listens already it changes the backlog. */
	if (u->peer || u->connecting || (u->addr.len <= 2 && !s->listening)) {
		err = -EINVAL;
	} else {
		u->backlog = MIN(backlog, (unsigned)BACKLOG_MAX) + 1;
		u->cred = unix_cred();
		s->listening = true;
	}
	mutex_unlock(&u->lock);
	return err;
}

/* Puts a fresh server end into the listener's queue. -EAGAIN: full. */
static int enqueue(struct usock *l, struct usock *server)
{
	int err = 0;

	mutex_lock(&l->lock);
	if (!l->s || !l->s->listening || l->rd_shut) {
		err = -ECONNREFUSED;
	} else if (l->waiting >= l->backlog) {
		err = -EAGAIN;
	} else {
		list_push_back(&l->pending, &unix_get(server)->in_pending);
		l->waiting++;
		unix_embryo(server, l);
		/* getpeername() of the client and SO_PEERCRED give what the listener had. */
		server->addr = l->addr;
		server->cred = l->cred;
		waitq_wake_all(&l->s->wait);
	}
	mutex_unlock(&l->lock);
	return err;
}

/* Read without the lock: enqueue() decides again under it. */
static bool may_retry(struct usock *l)
{
	return READ_ONCE(l->waiting) < l->backlog || READ_ONCE(l->closed);
}

static int connect_stream(struct socket *s, struct usock *l, bool nonblock)
{
	struct usock *u = s->priv, *server = unix_new(s->type);
	int err = server ? 0 : -ENOMEM;

	if (err)
		return err;
	/*
	 * The server's end knows its client before it can be accepted; the client learns of it
	 * last.
	 */
	server->peer = unix_get(u);
	mutex_lock(&u->lock);
	/* Waiting for room in the backlog sleeps: until it is over no other call may connect u. */
	err = s->listening ? -EINVAL : u->peer ? -EISCONN : u->connecting ? -EALREADY : 0;
	if (!err) {
		u->cred = unix_cred();
		u->connecting = true;
	}
	mutex_unlock(&u->lock);
	if (err)
		goto out;
	/* A full backlog blocks the client until somebody accepts, as on Linux. */
	while (!err && (err = enqueue(l, server)) == -EAGAIN && !nonblock) {
		ns_t deadline = socket_deadline(s->snd_timeout);

		err = wait_event_intr_until(&unix_changed, may_retry(l), deadline);
		if (err)
			err = err == -ETIMEDOUT ? -EAGAIN : s->snd_timeout ? -EINTR : -ERESTARTSYS;
		if (err)
			break;
	}
	mutex_lock(&u->lock);
	u->connecting = false;
	if (err) {
		mutex_unlock(&u->lock);
		goto out;
	}
	/* The queue holds a reference of its own; this one is now the client's. */
	u->peer = server;
	s->peer = server->cred;
	mutex_unlock(&u->lock);
	waitq_wake_all(&s->wait);
	return 0;
out:
	/* server is in no queue: nobody else refers to it. */
	unix_put(server->peer);
	server->peer = NULL;
	unix_put(server);
	return err;
}

static int un_connect(struct socket *s, const struct sockaddr_any *a, bool nonblock)
{
	struct usock *u = s->priv, *to = NULL, *old;
	int err;

	/* connect(2): AF_UNSPEC takes a datagram socket's peer away. */
	if (s->type == SOCK_DGRAM && a->family == AF_UNSPEC) {
		err = 0;
	} else {
		err = unix_find(a, s->type, &to);
		if (err)
			return err;
	}
	if (s->type != SOCK_DGRAM) {
		err = connect_stream(s, to, nonblock);
		unix_put(to);
		return err;
	}
	mutex_lock(&u->lock);
	old = u->peer;
	u->peer = to;
	mutex_unlock(&u->lock);
	unix_put(old);
	return 0;
}

static struct usock *take_pending(struct usock *l)
{
	struct usock *c;

	mutex_lock(&l->lock);
	c = list_first(&l->pending, struct usock, in_pending);
	if (c) {
		list_remove(&c->in_pending);
		l->waiting--;
	}
	mutex_unlock(&l->lock);
	return c;
}

static int un_accept(struct socket *s, struct socket *fresh, bool nonblock)
{
	struct usock *l = s->priv, *c = take_pending(l), *peer;
	ns_t deadline = socket_deadline(s->rcv_timeout);
	int err;

	while (!c) {
		if (l->rd_shut)
			return -EINVAL;
		if (nonblock)
			return -EAGAIN;
		err = wait_event_intr_until(&s->wait, !list_empty(&l->pending) || l->rd_shut,
		                            deadline);
		if (err)
			return err == -ETIMEDOUT ? -EAGAIN : s->rcv_timeout ? -EINTR : -ERESTARTSYS;
		c = take_pending(l);
	}
	unix_embryo(c, NULL);
	/* A client may wait for the room in the backlog. */
	waitq_wake_all(&unix_changed);
	/*
	 * From here the client's wakes reach the fresh socket: what came earlier it finds in the
	 * queue.
	 */
	mutex_lock(&c->lock);
	c->s = fresh;
	peer = c->peer;
	if (peer)
		fresh->peer = peer->cred;
	mutex_unlock(&c->lock);
	fresh->priv = c;
	return 0;
}

int unix_pair(struct socket *a, struct socket *b)
{
	struct usock *x = a->priv, *y = b->priv;

	x->cred = y->cred = a->peer = b->peer = unix_cred();
	x->peer = unix_get(y);
	y->peer = unix_get(x);
	return 0;
}

static int un_getname(struct socket *s, struct sockaddr_any *a, bool peer)
{
	struct usock *u = s->priv, *p = peer ? unix_peer(u) : unix_get(u);

	if (!p)
		return -ENOTCONN;
	mutex_lock(&p->lock);
	/* An end that connected without a name has only the family. */
	*a = p->addr;
	mutex_unlock(&p->lock);
	unix_put(p);
	return 0;
}

static int un_shutdown(struct socket *s, int how)
{
	struct usock *u = s->priv, *p = unix_peer(u);

	if (!p && !s->listening)
		return -ENOTCONN;
	mutex_lock(&u->lock);
	u->rd_shut |= how != SHUT_WR;
	u->wr_shut |= how != SHUT_RD;
	mutex_unlock(&u->lock);
	/* Each direction ends on both sides: the peer's writes then fail with EPIPE. */
	if (p && u->type != SOCK_DGRAM) {
		mutex_lock(&p->lock);
		p->rd_shut |= how != SHUT_RD; /* it reads what is there, then the end */
		p->wr_shut |= how != SHUT_WR;
		mutex_unlock(&p->lock);
	}
	waitq_wake_all(&s->wait);
	if (p)
		unix_wake(p);
	unix_put(p);
	return 0;
}

static unsigned un_poll(struct socket *s)
{
	struct usock *u = s->priv;
	unsigned bits = 0;

	mutex_lock(&u->lock);
	if (s->listening) {
		bits = list_empty(&u->pending) ? 0 : FPOLLIN;
	} else {
		bool eof = u->rd_shut || u->peer_gone, stream = u->type != SOCK_DGRAM;

		if (!list_empty(&u->queue) || eof)
			bits |= FPOLLIN;
		if (eof && stream)
			bits |= FPOLLRDHUP;
		if (stream &&
		    (u->peer_gone || (u->rd_shut && u->wr_shut) || (!u->peer && !u->peer_gone)))
			bits |= FPOLLHUP;
		/*
		 * The peer's queue is read without its lock: two locks are never held, and its
		 * changes wake us.
		 */
		if (!u->peer ? !stream || !u->peer_gone : unix_room(u->peer, u) > 0)
			bits |= FPOLLOUT;
		if (u->peer_gone)
			bits |= FPOLLOUT;
	}
	mutex_unlock(&u->lock);
	return bits;
}

static long un_ioctl(struct socket *s, unsigned cmd, uva_t arg)
{
	struct usock *u = s->priv;
	struct umsg *first;
	int32_t n;

	if (cmd != FIONREAD && cmd != TIOCOUTQ)
		return -ENOTTY;
	mutex_lock(&u->lock);
	first = list_first(&u->queue, struct umsg, link);
	/* FIONREAD: a stream counts all bytes, the others the next message. */
	n = cmd == TIOCOUTQ          ? (u->peer ? (int32_t)READ_ONCE(u->peer->queued) : 0)
	    : u->type == SOCK_STREAM ? (int32_t)u->queued
	    : first                  ? (int32_t)first->len
	                             : 0;
	mutex_unlock(&u->lock);
	return copy_to_user(arg, &n, sizeof(n));
}

static const struct sock_ops unix_ops = {
	.bind = un_bind,
	.connect = un_connect,
	.listen = un_listen,
	.accept = un_accept,
	.getname = un_getname,
	.send = unix_send,
	.recv = unix_recv,
	.shutdown = un_shutdown,
	.poll = un_poll,
	.ioctl = un_ioctl,
	.release = un_release,
};

static int un_create(struct socket *s)
{
	struct usock *u;

	/* Linux makes it a datagram socket too. */
	if (s->type == SOCK_RAW)
		s->type = SOCK_DGRAM;
	if (s->type != SOCK_STREAM && s->type != SOCK_DGRAM && s->type != SOCK_SEQPACKET)
		return -ESOCKTNOSUPPORT;
	if (s->protocol && s->protocol != AF_UNIX)
		return -EPROTONOSUPPORT;
	s->protocol = 0;
	u = unix_new(s->type);
	if (!u)
		return -ENOMEM;
	u->s = s;
	s->priv = u;
	s->ops = &unix_ops;
	return 0;
}

void unix_init(void)
{
	unix_name_init();
	unix_gc_init();
	if (socket_register(AF_UNIX, un_create))
		panic("AF_UNIX is registered twice");
}
