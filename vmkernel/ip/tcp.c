// SPDX-License-Identifier: Apache-2.0
/* TCP sockets: from creation to connection, and release. Spec: Linux's tcp(7), socket(7). */
#include "conn.h"
#include "guard.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/time.h"

enum { BACKLOG_MAX = 255, PORT_TRIES = 64 };

int tcp_need_pcb(struct socket *s)
{
	struct conn *c = s->priv;

	if (c->pcb)
		return 0;
	if (c->state != TCP_IDLE)
		return -EINVAL;
	struct tcp_pcb *pcb = ip_tcp_new_ip_type(inet_pcb_type(s));

	if (!pcb)
		return -ENOBUFS;
	conn_attach(c, pcb);
	return 0;
}

static int bind_locked(struct conn *c, const ip_addr_t *ip, uint16_t port)
{
	conn_options(c);
	if (port)
		return ip_errno(ip_tcp_bind(c->pcb, ip, port));
	/* A free port at random (RFC 6056); lwIP counts upwards, which others can predict. */
	err_t e = ERR_USE;

	for (int i = 0; i < PORT_TRIES && e == ERR_USE; i++)
		e = ip_tcp_bind(c->pcb, ip, inet_random_port());
	return ip_errno(e);
}

static int tcp_sock_bind(struct socket *s, const struct sockaddr_any *a)
{
	struct conn *c = s->priv;
	ip_addr_t ip;
	uint16_t port;

	mutex_lock(&ip_lock);
	int err = inet_get_addr(s, a, &ip, &port);

	if (!err && !inet_may_bind(port))
		err = -EACCES;
	/* Only what is ours, or any, can be bound to. */
	if (!err && !ip_addr_isany(&ip) && !ip_addr_ismulticast(&ip) && !ip_is_own(&ip))
		err = -EADDRNOTAVAIL;
	if (!err)
		err = c->state != TCP_IDLE || (c->pcb && c->pcb->local_port) ? -EINVAL
		                                                             : tcp_need_pcb(s);
	if (!err) {
		inet_bind_any(s, &ip);
		err = bind_locked(c, &ip, port);
		conn_remember(c);
	}
	mutex_unlock(&ip_lock);
	return err;
}

static int tcp_sock_listen(struct socket *s, unsigned backlog)
{
	struct conn *c = s->priv;
	err_t e = ERR_ABRT;

	mutex_lock(&ip_lock);
	u8_t most = (u8_t)MIN(MAX(backlog, 1u), (unsigned)BACKLOG_MAX);
	int err = 0;

	if (c->state == TCP_LISTENING) {
		tcp_backlog_set(c->pcb, most);
	} else {
		err = c->state == TCP_IDLE ? tcp_need_pcb(s) : -EINVAL;
		if (!err && !c->pcb->local_port) {
			ip_addr_t any = *(s->family == AF_INET ? IP4_ADDR_ANY
			                  : s->v6only          ? IP6_ADDR_ANY
			                                       : IP_ANY_TYPE);

			err = bind_locked(c, &any, 0);
		}
		if (!err) {
			conn_options(c);
			/*
			 * lwIP replaces the block by a smaller one; on failure the old one stays.
			 */
			struct tcp_pcb *l = ip_tcp_listen_with_backlog_and_err(c->pcb, most, &e);

			err = l ? 0 : ip_errno(e);
			if (l) {
				c->pcb = l;
				c->state = TCP_LISTENING;
				s->listening = true;
				tcp_arg(l, c);
				tcp_accept(l, conn_accepted);
			}
		}
	}
	conn_remember(c);
	conn_refresh(c);
	mutex_unlock(&ip_lock);
	return err;
}

static int connect_locked(struct socket *s, const struct sockaddr_any *a)
{
	struct conn *c = s->priv;
	ip_addr_t ip;
	uint16_t port;

	/* An error that came since the last call is this call's answer: connect(2). */
	if (s->error)
		return conn_take_error(c);
	if (c->state == TCP_CONNECTING)
		return -EALREADY;
	if (c->state != TCP_IDLE)
		return c->state == TCP_LISTENING ? -EINVAL : -EISCONN;
	int err = inet_get_addr(s, a, &ip, &port);

	if (!err)
		err = tcp_need_pcb(s);
	if (err)
		return err;
	if (ip_addr_isany(&ip)) {
		/* As on Linux, "any" means this host. */
		if (IP_IS_V6(&ip))
			ip_addr_copy_from_ip6(ip, *netif_ip6_addr(&ip_loop, 0));
		else
			ip_addr_set_ip4_u32_val(ip, PP_HTONL(IPADDR_LOOPBACK));
	}
	if (!c->pcb->local_port) {
		/* To ourselves, from the same address; otherwise the route decides. */
		ip_addr_t from = *(IP_IS_V6(&ip) ? IP6_ADDR_ANY : IP4_ADDR_ANY);

		err = bind_locked(c, ip_is_own(&ip) ? &ip : &from, 0);
		if (err)
			return err;
	}
	conn_options(c);
	c->state = TCP_CONNECTING;
	err = ip_errno(ip_tcp_connect(c->pcb, &ip, port, conn_connected));
	if (err)
		c->state = TCP_IDLE;
	conn_remember(c);
	conn_refresh(c);
	return err;
}

static int tcp_sock_connect(struct socket *s, const struct sockaddr_any *a, bool nonblock)
{
	struct conn *c = s->priv;

	mutex_lock(&ip_lock);
	int err = connect_locked(s, a);

	mutex_unlock(&ip_lock);
	if (nonblock)
		return err ? err : -EINPROGRESS;
	if (err && err != -EALREADY)
		return err;
	/* A second blocking connect waits for the first one's outcome too. */
	err = wait_event_intr_until(&s->wait, READ_ONCE(c->state) != TCP_CONNECTING,
	                            socket_deadline(s->snd_timeout));
	if (err)
		return err == -ETIMEDOUT ? -EINPROGRESS : err;
	mutex_lock(&ip_lock);
	err = conn_take_error(c);
	conn_refresh(c);
	mutex_unlock(&ip_lock);
	return err;
}

static int tcp_sock_accept(struct socket *s, struct socket *fresh, bool nonblock)
{
	struct conn *l = s->priv;

	for (;;) {
		mutex_lock(&ip_lock);
		struct conn *c = list_first(&l->ready, struct conn, ready);
		int err = l->state != TCP_LISTENING ? -EINVAL : c ? 0 : -EAGAIN;

		/*
		 * All in one under ip_lock: a reset finds either the listener's error or the
		 * socket's.
		 */
		if (!err) {
			list_remove(&c->ready);
			c->listener = NULL;
			if (c->pcb)
				ip_tcp_backlog_accepted(c->pcb);
			c->s = fresh;
			fresh->error = c->error;
			c->nodelay = l->nodelay;
			c->opts = l->opts;
			fresh->priv = c;
			fresh->keep_alive = s->keep_alive;
			conn_options(c);
			conn_refresh(c);
			conn_refresh(l);
		}
		mutex_unlock(&ip_lock);
		if (err != -EAGAIN || nonblock)
			return err;
		err = wait_event_intr_until(&s->wait,
		                            load_acquire(&l->events) || l->state != TCP_LISTENING,
		                            socket_deadline(s->rcv_timeout));
		if (err)
			return err == -ETIMEDOUT ? -EAGAIN : err;
	}
}

static int tcp_sock_getname(struct socket *s, struct sockaddr_any *a, bool peer)
{
	struct conn *c = s->priv;

	mutex_lock(&ip_lock);
	/*
	 * The control block may be gone when the name is asked: then the remembered one is given.
	 */
	conn_remember(c);
	int err = peer && (c->state != TCP_UP || !c->remote_port) ? -ENOTCONN : 0;
	ip_addr_t any = *(s->family == AF_INET ? IP4_ADDR_ANY : IP6_ADDR_ANY);

	if (!err && peer)
		inet_put_addr(s, a, &c->remote, c->remote_port);
	else if (!err)
		inet_put_addr(s, a, c->local_port ? &c->local : &any, c->local_port);
	mutex_unlock(&ip_lock);
	return err;
}

static unsigned tcp_sock_poll(struct socket *s)
{
	return load_acquire(&((struct conn *)s->priv)->events);
}

static void tcp_sock_release(struct socket *s)
{
	struct conn *c = s->priv, *w, *next;

	if (!c)
		return;
	/*
	 * socket(7), SO_LINGER: close waits until all is acknowledged, but for no longer than
	 * asked.
	 */
	if (s->linger > 0 && c->state == TCP_UP) {
		(void)tcp_sock_shutdown(s, SHUT_WR);
		(void)wait_event_until(&s->wait, READ_ONCE(c->drained),
		                       time_now() + (ns_t)s->linger * NS_PER_S);
	}
	mutex_lock(&ip_lock);
	/* Connections that nobody accepted go with their listener. */
	list_for_each_safe(w, next, &c->ready, ready) {
		if (w->listener != c)
			continue;
		list_remove(&w->ready);
		conn_drop(w);
	}
	conn_drop(c);
	(void)loop_poll(LOOP_BATCH);
	mutex_unlock(&ip_lock);
}

static const struct sock_ops tcp_ops = {
	.bind = tcp_sock_bind,
	.connect = tcp_sock_connect,
	.listen = tcp_sock_listen,
	.accept = tcp_sock_accept,
	.getname = tcp_sock_getname,
	.send = tcp_sock_send,
	.recv = tcp_sock_recv,
	.shutdown = tcp_sock_shutdown,
	.setsockopt = tcp_sock_setsockopt,
	.getsockopt = tcp_sock_getsockopt,
	.poll = tcp_sock_poll,
	.release = tcp_sock_release,
};

int tcp_create(struct socket *s)
{
	struct conn *c = conn_alloc(s);

	if (!c)
		return -ENOBUFS;
	s->priv = c;
	s->ops = &tcp_ops;
	conn_refresh(c);
	return 0;
}
