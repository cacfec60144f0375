// SPDX-License-Identifier: Apache-2.0
/* Connections: what lwIP tells about them, and what pollers see. Contract: conn.h. */
#include "conn.h"
#include "guard.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"

STAT(accept_memory, "ip.tcp.accept_memory", "connections refused because memory was short");

static int *error_of(struct conn *c)
{
	return c->s ? &c->s->error : &c->error;
}

static const struct socket *options_of(const struct conn *c)
{
	return c->s ? c->s : c->listener ? c->listener->s : NULL;
}

/* The window of a socket with SO_RCVBUF; it is not below what a SYN announces without scaling. */
static uint32_t window_most(const struct conn *c)
{
	const struct socket *s = options_of(c);
	uint32_t most = s && s->rcvbuf != SOCK_BUF_DEFAULT ? MAX(s->rcvbuf, 0xffffu) : TCP_WND;

	return MIN(most, TCP_WND_MAX(c->pcb));
}

static void start_window(struct conn *c)
{
	uint32_t most = window_most(c);

	/*
	 * lwIP opens a connection with its greatest window; a smaller SO_RCVBUF takes the rest back
	 * before the peer can use it.
	 */
	if (c->pcb->rcv_wnd <= most)
		return;
	c->pcb->rcv_wnd = c->pcb->rcv_ann_wnd = most;
	c->pcb->rcv_ann_right_edge = c->pcb->rcv_nxt + most;
}

void conn_open_window(struct conn *c)
{
	if (!c->pcb)
		return;
	/* What is unread and what the peer may still send together fill the buffer. */
	uint32_t most = window_most(c), used = c->unread + c->pcb->rcv_wnd;

	for (uint32_t left = most > used ? most - used : 0; left;) {
		u16_t n = (u16_t)MIN(left, 0xffffu);

		ip_tcp_recved(c->pcb, n);
		left -= n;
	}
}

uint32_t conn_room(const struct conn *c)
{
	const struct socket *s = options_of(c);
	/* The smaller of lwIP's buffer and what SO_SNDBUF leaves. */
	uint32_t room = c->pcb->snd_buf, queued = TCP_SND_BUF - room;

	if (!s || s->sndbuf == SOCK_BUF_DEFAULT)
		return room;
	return s->sndbuf > queued ? MIN(room, s->sndbuf - queued) : 0;
}

static void wake(struct conn *c)
{
	if (c->s)
		waitq_wake_all(&c->s->wait);
}

void conn_refresh(struct conn *c)
{
	unsigned ev = 0;

	/*
	 * Recomputed as a whole after every change under ip_lock; readers see one consistent set of
	 * bits.
	 */
	if (c->state == TCP_LISTENING) {
		ev = list_empty(&c->ready) ? 0 : FPOLLIN;
	} else {
		const struct socket *s = options_of(c);
		/*
		 * Writable only with some room, as on Linux: or a writer would wake for every
		 * acknowledged segment.
		 */
		uint32_t low = MIN(s ? s->sndbuf / 2 : TCP_SNDLOWAT, (uint32_t)TCP_SNDLOWAT);
		bool sends = c->pcb && c->state == TCP_UP && !c->shut_wr;

		if (c->rx || c->eof || c->shut_rd)
			ev |= FPOLLIN;
		if (c->eof || c->shut_rd)
			ev |= FPOLLRDHUP;
		if (sends && conn_room(c) >= low && tcp_sndqueuelen(c->pcb) < TCP_SNDQUEUELOWAT)
			ev |= FPOLLOUT;
		if (c->state == TCP_DOWN || c->state == TCP_IDLE ||
		    ((c->eof || c->shut_rd) && c->shut_wr))
			ev |= FPOLLHUP | FPOLLOUT;
		if (c->state == TCP_DOWN)
			ev |= FPOLLIN | FPOLLRDHUP;
		if (*error_of(c))
			ev |= FPOLLERR;
		c->drained = !c->pcb || (!c->pcb->unsent && !c->pcb->unacked);
	}
	if (__atomic_exchange_n(&c->events, ev, __ATOMIC_ACQ_REL) != ev)
		wake(c);
}

/* Takes the error that pends, once. */
int conn_take_error(struct conn *c)
{
	return -__atomic_exchange_n(error_of(c), 0, __ATOMIC_RELAXED);
}

void conn_remember(struct conn *c)
{
	if (!c->pcb)
		return;
	c->local = c->pcb->local_ip;
	c->local_port = c->pcb->local_port;
	if (c->state != TCP_LISTENING && c->state != TCP_IDLE) {
		c->remote = c->pcb->remote_ip;
		c->remote_port = c->pcb->remote_port;
	}
}

/* From here on lwIP finishes, or has freed, the control block by itself. */
struct tcp_pcb *conn_detach(struct conn *c)
{
	struct tcp_pcb *pcb = c->pcb;

	conn_remember(c);
	c->pcb = NULL;
	if (pcb) {
		/*
		 * lwIP may call back until it has freed the block: no callback may find the
		 * connection.
		 */
		tcp_arg(pcb, NULL);
		if (c->state == TCP_LISTENING) {
			tcp_accept(pcb, NULL);
		} else {
			tcp_recv(pcb, NULL);
			tcp_sent(pcb, NULL);
			tcp_err(pcb, NULL);
		}
	}
	return pcb;
}

static err_t on_recv(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t e)
{
	struct conn *c = arg;

	(void)e;
	if (!p) {
		c->eof = true;
		/* Both directions are done: nobody would tell us when lwIP frees it. */
		if (c->shut_wr)
			(void)conn_detach(c);
	} else if (c->shut_rd) {
		pbuf_free(p);
		conn_open_window(c);
	} else if (c->rx) {
		c->rx_last->next = p;
	} else {
		c->rx = p;
	}
	/* rx_last is the end of the chain; what lwIP hands over may itself be a chain. */
	if (p && c->rx) {
		c->unread += p->tot_len;
		for (c->rx_last = c->rx_last && c->rx != p ? c->rx_last : p; c->rx_last->next;)
			c->rx_last = c->rx_last->next;
	}
	conn_refresh(c);
	wake(c); /* also when bits stay: edge-triggered pollers */
	return ERR_OK;
}

static err_t on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
	(void)pcb;
	(void)len;
	conn_refresh(arg);
	return ERR_OK;
}

static void on_err(void *arg, err_t e)
{
	struct conn *c = arg;

	if (!c)
		return;
	/* By the contract of tcp_err, lwIP has freed the control block already. */
	c->pcb = NULL;
	bool done = c->eof && c->shut_wr;

	if (!done)
		*error_of(c) = c->state == TCP_CONNECTING
		                       ? (e == ERR_RST ? ECONNREFUSED : ETIMEDOUT)
		               : e == ERR_RST  ? ECONNRESET
		               : e == ERR_ABRT ? ETIMEDOUT
		                               : 0;
	/* A failed attempt may be followed by another. */
	c->state = c->state == TCP_CONNECTING ? TCP_IDLE : TCP_DOWN;
	conn_refresh(c);
}

err_t conn_connected(void *arg, struct tcp_pcb *pcb, err_t e)
{
	struct conn *c = arg;

	(void)pcb;
	(void)e;
	c->state = TCP_UP;
	start_window(c);
	conn_remember(c);
	conn_refresh(c);
	return ERR_OK;
}

void conn_attach(struct conn *c, struct tcp_pcb *pcb)
{
	c->pcb = pcb;
	tcp_arg(pcb, c);
	tcp_recv(pcb, on_recv);
	tcp_sent(pcb, on_sent);
	tcp_err(pcb, on_err);
}

struct conn *conn_alloc(struct socket *s)
{
	struct conn *c = kzalloc_charged(sizeof(*c));

	if (c) {
		c->s = s;
		c->opts = (struct inet_opts){ .ttl = 64, .mcast_ttl = 1, .mcast_loop = true };
		list_init(&c->ready);
	}
	return c;
}

err_t conn_accepted(void *arg, struct tcp_pcb *pcb, err_t e)
{
	struct conn *l = arg, *c = e == ERR_OK && l ? conn_alloc(NULL) : NULL;

	if (!c) {
		stat_inc(accept_memory);
		return ERR_MEM; /* lwIP aborts it */
	}
	c->state = TCP_UP;
	/*
	 * Not accepted yet: its options and its errors are the listener's until there is a socket.
	 */
	c->listener = l;
	conn_attach(c, pcb);
	start_window(c);
	conn_remember(c);
	/* Counts against the backlog until accept(), not only until the handshake is over. */
	tcp_backlog_delayed(pcb);
	list_push_back(&l->ready, &c->ready);
	conn_refresh(c);
	conn_refresh(l);
	wake(l);
	return ERR_OK;
}

void conn_free_rx(struct conn *c)
{
	while (c->rx) {
		struct pbuf *p = c->rx;

		c->rx = p->next;
		p->next = NULL;
		p->tot_len = p->len;
		pbuf_free(p);
	}
	c->rx_skip = c->unread = 0;
}

void conn_drop(struct conn *c)
{
	bool unread = c->rx != NULL;
	struct tcp_pcb *pcb = conn_detach(c);

	if (pcb && c->state == TCP_UP) /* a window that is not whole means unread data to lwIP */
		pcb->rcv_wnd = TCP_WND_MAX(pcb);
	bool listens = c->state == TCP_LISTENING; /* lwIP aborts no listener */

	/*
	 * RFC 2525 2.17: closing with unread data resets, so that the peer learns of the loss; so
	 * does a linger time of 0.
	 */
	if (pcb && !listens && (unread || (c->s && c->s->linger == 0)))
		ip_tcp_abort(pcb);
	else if (pcb && ip_tcp_close(pcb) != ERR_OK)
		ip_tcp_abort(pcb);
	conn_free_rx(c);
	kfree(c);
}

void conn_options(struct conn *c)
{
	struct tcp_pcb *pcb = c->pcb;
	const struct socket *s = c->s;

	if (!pcb || !s)
		return;
	pcb->so_options &= (u8_t) ~(SOF_REUSEADDR | SOF_KEEPALIVE);
	/* lwIP knows one option for both. */
	if (s->reuse_addr || s->reuse_port)
		ip_set_option(pcb, SOF_REUSEADDR);
	if (s->keep_alive)
		ip_set_option(pcb, SOF_KEEPALIVE);
	pcb->ttl = c->opts.ttl;
	pcb->tos = c->opts.tos;
	if (c->state != TCP_LISTENING) {
		if (c->nodelay)
			tcp_nagle_disable(pcb);
		else
			tcp_nagle_enable(pcb);
	}
}
