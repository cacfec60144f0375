// SPDX-License-Identifier: Apache-2.0
/* The bytes of TCP sockets: send, receive, shutdown. Spec: Linux's tcp(7), send(2), recv(2). */
#include "conn.h"
#include "guard.h"
#include "vmk/errno.h"
#include "vmk/mm.h"

enum { CHUNK = 16384 };

static ssize_t send_some(struct conn *c, struct uio *u, uint8_t *buf)
{
	/* In the order of Linux: a pending error first, then what the state allows. */
	if (c->s->error)
		return conn_take_error(c);
	if (c->state == TCP_IDLE || c->state == TCP_LISTENING)
		return -ENOTCONN;
	if (c->state == TCP_CONNECTING)
		return -EAGAIN;
	if (c->shut_wr || !c->pcb)
		return -EPIPE;
	size_t n = MIN(MIN(u->left, (size_t)CHUNK), (size_t)conn_room(c));

	/*
	 * Room for the segments of one piece even at the smallest MSS (536): or tcp_write fails in
	 * the middle.
	 */
	if (n == 0 || tcp_sndqueuelen(c->pcb) >= TCP_SND_QUEUELEN - CHUNK / 536)
		return -EAGAIN;
	if (uio_read(u, buf, n))
		return -EFAULT;
	err_t e = ip_tcp_write(c->pcb, buf, (u16_t)n,
	                       TCP_WRITE_FLAG_COPY | (u->left ? TCP_WRITE_FLAG_MORE : 0));

	if (e != ERR_OK)
		return ip_errno(e);
	c->answered = true;
	return (ssize_t)n;
}

ssize_t tcp_sock_send(struct socket *s, struct sock_msg *m)
{
	struct conn *c = s->priv;
	ssize_t done = 0, n = 0;
	ns_t deadline = socket_deadline(s->snd_timeout);
	uint8_t *buf = kmalloc(MIN(MAX(m->u->left, (size_t)1), (size_t)CHUNK));

	if (!buf)
		return -ENOBUFS;
	while (m->u->left) {
		mutex_lock(&ip_lock);
		n = send_some(c, m->u, buf);
		if (n > 0)
			done += n;
		/*
		 * Sent when the caller has no more, or must wait for acknowledgements; MSG_MORE
		 * holds back.
		 */
		if (c->pcb && c->state == TCP_UP && (n < 0 || !m->u->left) &&
		    !(m->flags & MSG_MORE))
			(void)ip_tcp_output(c->pcb);
		(void)loop_poll(LOOP_BATCH);
		conn_refresh(c);
		mutex_unlock(&ip_lock);
		if (n >= 0)
			continue;
		if (n != -EAGAIN || (m->flags & MSG_DONTWAIT))
			break;
		n = wait_event_intr_until(
			&s->wait, load_acquire(&c->events) & (FPOLLOUT | FPOLLERR | FPOLLHUP),
			deadline);
		if (n) {
			n = n == -ETIMEDOUT ? -EAGAIN : n;
			break;
		}
	}
	kfree(buf);
	return done ? done : n < 0 ? n : 0;
}

/*
 * All is read. A peer that only sends may have filled its buffer and wait for the acknowledgement;
 * one that is answered gets it with the answer.
 */
static void acknowledge(struct conn *c)
{
	if (c->pcb && (c->pcb->flags & TF_ACK_DELAY) && !c->answered) {
		tcp_set_flags(c->pcb, TF_ACK_NOW);
		(void)ip_tcp_output(c->pcb);
	}
	c->answered = false;
}

/* Copies what is there; with peek nothing is taken away. 0: nothing there. */
static ssize_t recv_some(struct conn *c, struct uio *u, bool peek)
{
	size_t done = 0;
	uint32_t skip = c->rx_skip;
	bool fault = false;

	for (struct pbuf *p = c->rx; p && u->left;) {
		size_t n = MIN((size_t)p->len - skip, u->left);

		/*
		 * ip_lock is held over a fault on user memory: pages come from memory objects,
		 * which never need it.
		 */
		fault = uio_write(u, (uint8_t *)p->payload + skip, n);
		if (fault)
			break;
		done += n;
		skip += (uint32_t)n;
		if (skip < p->len)
			break;
		skip = 0;
		struct pbuf *next = p->next;

		if (!peek) {
			c->rx = next;
			p->next = NULL;
			/* Cut from the chain: pbuf_free would go on to what follows. */
			p->tot_len = p->len;
			pbuf_free(p);
		}
		p = next;
	}
	if (!peek) {
		c->rx_skip = skip;
		c->unread -= (uint32_t)done;
		conn_open_window(c);
		if (!c->rx && done)
			acknowledge(c);
	}
	return fault && !done ? -EFAULT : (ssize_t)done;
}

ssize_t tcp_sock_recv(struct socket *s, struct sock_msg *m)
{
	struct conn *c = s->priv;
	ssize_t done = 0, n;
	bool peek = m->flags & MSG_PEEK;
	ns_t deadline = socket_deadline(s->rcv_timeout);

	if (m->flags & (MSG_OOB | MSG_ERRQUEUE))
		return m->flags & MSG_OOB ? -EINVAL : -EAGAIN;
	for (;;) {
		mutex_lock(&ip_lock);
		/* Taken before the data: what has come before the end is still read first. */
		bool end = c->eof || c->shut_rd || c->state == TCP_DOWN;

		n = c->rx                                               ? recv_some(c, m->u, peek)
		    : c->s->error                                       ? conn_take_error(c)
		    : c->state == TCP_IDLE || c->state == TCP_LISTENING ? -ENOTCONN
		                                                        : 0;
		conn_refresh(c);
		mutex_unlock(&ip_lock);
		if (n < 0)
			break;
		done += n;
		/*
		 * MSG_WAITALL goes on until the buffer is full; otherwise any bytes end the call.
		 */
		if (m->u->left == 0 || (end && n == 0) || (done && !(m->flags & MSG_WAITALL)) ||
		    (peek && done))
			break;
		if (n)
			continue;
		n = -EAGAIN;
		if (m->flags & MSG_DONTWAIT)
			break;
		n = wait_event_intr_until(&s->wait,
		                          load_acquire(&c->events) &
		                                  (FPOLLIN | FPOLLERR | FPOLLHUP | FPOLLRDHUP),
		                          deadline);
		if (n) {
			n = n == -ETIMEDOUT ? -EAGAIN : n;
			break;
		}
	}
	return done ? done : n;
}

int tcp_sock_shutdown(struct socket *s, int how)
{
	struct conn *c = s->priv;
	int err = 0;

	mutex_lock(&ip_lock);
	if (c->state == TCP_LISTENING && how != SHUT_WR) {
		/* Sleepers in accept see that it no longer listens. */
		struct tcp_pcb *pcb = conn_detach(c);

		c->state = TCP_DOWN;
		if (pcb)
			ip_tcp_close(pcb);
	} else if (c->state != TCP_UP) {
		err = -ENOTCONN;
	} else {
		if (how != SHUT_WR) {
			c->shut_rd = true;
			/*
			 * What has come and what still comes is dropped, and the window opened: the
			 * peer is not blocked.
			 */
			conn_free_rx(c);
			conn_open_window(c);
		}
		if (how != SHUT_RD && !c->shut_wr) {
			c->shut_wr = true;
			if (c->pcb)
				err = ip_errno(ip_tcp_shutdown(c->pcb, 0, 1));
		}
	}
	(void)loop_poll(LOOP_BATCH);
	conn_refresh(c);
	mutex_unlock(&ip_lock);
	return err;
}
