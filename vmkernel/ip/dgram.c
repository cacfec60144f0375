// SPDX-License-Identifier: Apache-2.0
/*
 * UDP, UDP-Lite and raw sockets over lwIP's raw API. Received datagrams wait in a queue bounded by
 * SO_RCVBUF; ip_lock guards it, and `events` is what pollers and sleepers read. Spec: Linux's
 * udp(7), udplite(7), raw(7).
 */
#include "inet.h"
#include "guard.h"
#include "lwip/inet_chksum.h"
#include "lwip/prot/ip4.h"
#include "lwip/raw.h"
#include "lwip/udp.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"

STAT(overrun, "ip.dgram.overrun", "datagrams dropped because a socket's buffer was full");
STAT(memory, "ip.dgram.memory", "datagrams dropped because memory was short");

enum {
	DGRAM_MAX = 65507,
	PORT_TRIES = 64,
	ICMP6_CHECKSUM_AT = 2,
	ICMP_FILTER_ = 1,
	ICMP6_FILTER_ = 1,
	IPV6_CHECKSUM_ = 7
};

struct datagram {
	struct list link;
	struct pbuf *p;
	ip_addr_t from;
	uint16_t port;
	struct inet_arrival at;
};

struct dgram {
	struct socket *s;
	struct udp_pcb *udp; /* one of the two */
	struct raw_pcb *raw;
	struct list queue;
	uint32_t queued; /* bytes, with overhead */
	bool shut_rd, shut_wr, connected;
	struct inet_opts opts;
	unsigned events;
};

static void refresh(struct dgram *d)
{
	unsigned ev = list_empty(&d->queue) ? 0 : FPOLLIN;

	if (d->shut_rd)
		ev |= FPOLLIN | FPOLLRDHUP;
	if (d->shut_rd && d->shut_wr)
		ev |= FPOLLHUP;
	ev |= FPOLLOUT;
	if (__atomic_exchange_n(&d->events, ev, __ATOMIC_ACQ_REL) != ev)
		waitq_wake_all(&d->s->wait);
}

/* Takes p, always. */
static void enqueue(struct dgram *d, struct pbuf *p, const ip_addr_t *from, uint16_t port)
{
	uint32_t cost = p->tot_len + (uint32_t)sizeof(struct datagram);

	if (d->shut_rd || d->queued + cost > MAX(d->s->rcvbuf, 4096u)) {
		stat_inc(overrun);
		goto drop;
	}
	struct datagram *g = kmalloc(sizeof(*g));

	if (!g) {
		stat_inc(memory);
		goto drop;
	}
	*g = (struct datagram){ .p = p, .from = *from, .port = port };
	/* Asked now: these belong to the packet that lwIP is working on. */
	g->at.to = *ip_current_dest_addr();
	g->at.iface = netif_get_index(ip_current_input_netif());
	g->at.ttl = ip_current_is_v6() ? IP6H_HOPLIM(ip6_current_header())
	                               : IPH_TTL(ip4_current_header());
	g->at.tos = (uint8_t)(ip_current_is_v6() ? IP6H_TC(ip6_current_header())
	                                         : IPH_TOS(ip4_current_header()));
	list_push_back(&d->queue, &g->link);
	d->queued += cost;
	refresh(d);
	waitq_wake_all(&d->s->wait); /* also when bits stay: edge-triggered pollers */
	return;
drop:
	pbuf_free(p);
}

static void on_udp(void *arg, struct udp_pcb *pcb, struct pbuf *p, const ip_addr_t *from,
                   u16_t port)
{
	/* lwIP has one space of ports for both protocols. */
	if ((ip_current_header_proto() == IP_PROTO_UDPLITE) == !!(pcb->flags & UDP_FLAGS_UDPLITE))
		enqueue(arg, p, from, port);
	else
		pbuf_free(p);
}

void dgram_refused(const ip_addr_t *to, uint16_t port, uint16_t own)
{
	for (struct udp_pcb *u = udp_pcbs; u; u = u->next) {
		struct dgram *d = u->recv_arg;

		if (u->recv != on_udp || !d->connected || u->local_port != own ||
		    u->remote_port != port || !ip_addr_zoneless_eq(&u->remote_ip, to))
			continue;
		d->s->error = ECONNREFUSED;
		waitq_wake_all(&d->s->wait);
	}
}

/* The error that pends, once: 0 or -errno. */
static int take_error(struct dgram *d)
{
	return -__atomic_exchange_n(&d->s->error, 0, __ATOMIC_RELAXED);
}

static u8_t on_raw(void *arg, struct raw_pcb *pcb, struct pbuf *p, const ip_addr_t *from)
{
	(void)pcb;
	struct dgram *d = arg;
	/* A copy: the stack goes on with the original (it answers pings itself). */
	struct pbuf *copy = pbuf_clone(PBUF_RAW, PBUF_RAM, p);

	/* Linux hands out the header of IPv4, not of IPv6. */
	if (copy && d->s->family == AF_INET6)
		copy = pbuf_free_header(copy, ip_current_header_tot_len());
	if (copy)
		enqueue(d, copy, from, 0);
	else
		stat_inc(memory);
	return 0;
}

static void apply_options(struct dgram *d, const struct inet_opts *o)
{
	const struct socket *s = d->s;
	uint8_t set = (uint8_t)((s->reuse_addr || s->reuse_port ? SOF_REUSEADDR : 0) |
	                        (s->broadcast ? SOF_BROADCAST : 0));

	if (d->udp) {
		d->udp->so_options = set;
		d->udp->ttl = o->ttl;
		d->udp->tos = o->tos;
		udp_set_multicast_ttl(d->udp, o->mcast_ttl);
		if (o->mcast_loop)
			udp_set_flags(d->udp, UDP_FLAGS_MULTICAST_LOOP);
		else
			udp_clear_flags(d->udp, UDP_FLAGS_MULTICAST_LOOP);
	} else {
		d->raw->so_options = set;
		d->raw->ttl = o->ttl;
		d->raw->tos = o->tos;
	}
}

static int bind_locked(struct dgram *d, const ip_addr_t *ip, uint16_t port)
{
	apply_options(d, &d->opts);
	if (d->raw)
		return ip_errno(ip_raw_bind(d->raw, ip));
	if (port)
		return ip_errno(ip_udp_bind(d->udp, ip, port));
	/* A free port at random (RFC 6056), against off-path spoofing of answers. */
	err_t e = ERR_USE;

	for (int i = 0; i < PORT_TRIES && e == ERR_USE; i++)
		e = ip_udp_bind(d->udp, ip, inet_random_port());
	return ip_errno(e);
}

static int bind_any(struct dgram *d)
{
	ip_addr_t any = *(d->s->family == AF_INET ? IP4_ADDR_ANY
	                  : d->s->v6only          ? IP6_ADDR_ANY
	                                          : IP_ANY_TYPE);

	return d->udp && !d->udp->local_port ? bind_locked(d, &any, 0) : 0;
}

static int dgram_bind(struct socket *s, const struct sockaddr_any *a)
{
	struct dgram *d = s->priv;
	ip_addr_t ip;
	uint16_t port;

	mutex_lock(&ip_lock);
	int err = inet_get_addr(s, a, &ip, &port);

	if (!err && d->udp && !inet_may_bind(port))
		err = -EACCES;
	if (!err && d->udp && d->udp->local_port)
		err = -EINVAL;
	/* Also a group or the broadcast address: then only what is sent there arrives. */
	if (!err && !ip_addr_isany(&ip) && !ip_is_own(&ip) && !ip_addr_ismulticast(&ip) &&
	    !(IP_IS_V4(&ip) && ip_2_ip4(&ip)->addr == IPADDR_BROADCAST))
		err = -EADDRNOTAVAIL;
	if (!err) {
		inet_bind_any(s, &ip);
		err = bind_locked(d, &ip, port);
	}
	mutex_unlock(&ip_lock);
	return err;
}

static int dgram_connect(struct socket *s, const struct sockaddr_any *a, bool nonblock)
{
	struct dgram *d = s->priv;
	ip_addr_t ip;
	uint16_t port;
	int err;

	(void)nonblock;
	mutex_lock(&ip_lock);
	if (a->len >= 2 && a->family == AF_UNSPEC) {
		err = 0;
		d->connected = false;
		if (d->udp)
			ip_udp_disconnect(d->udp);
		else
			ip_raw_disconnect(d->raw);
	} else {
		err = inet_get_addr(s, a, &ip, &port);
		if (!err)
			err = bind_any(d);
		if (!err && d->udp && !ip_route(&d->udp->local_ip, &ip))
			err = -ENETUNREACH;
		if (!err)
			err = ip_errno(d->udp ? ip_udp_connect(d->udp, &ip, port)
			                      : ip_raw_connect(d->raw, &ip));
		if (!err && d->udp && ip_addr_isany(&d->udp->local_ip)) {
			/* getsockname tells from where: resolvers order addresses by that. */
			struct netif *n = ip_route(&d->udp->local_ip, &ip);
			const ip_addr_t *from = n ? ip_netif_get_local_ip(n, &ip) : NULL;

			if (ip_is_own(&ip))
				from = &ip;
			if (from)
				ip_addr_copy(d->udp->local_ip, *from);
		}
		d->connected = !err;
	}
	mutex_unlock(&ip_lock);
	return err;
}

static int dgram_getname(struct socket *s, struct sockaddr_any *a, bool peer)
{
	struct dgram *d = s->priv;

	mutex_lock(&ip_lock);
	int err = peer && !d->connected ? -ENOTCONN : 0;

	if (!err && d->udp)
		inet_put_addr(s, a, peer ? &d->udp->remote_ip : &d->udp->local_ip,
		              peer ? d->udp->remote_port : d->udp->local_port);
	else if (!err)
		inet_put_addr(s, a, peer ? &d->raw->remote_ip : &d->raw->local_ip,
		              d->raw->protocol);
	mutex_unlock(&ip_lock);
	return err;
}

static int send_locked(struct dgram *d, struct pbuf *p, const struct sock_msg *m)
{
	ip_addr_t ip;
	uint16_t port = 0;
	struct inet_opts o = d->opts;
	int err = take_error(d);

	if (!err)
		err = inet_take_control(d->s, &o, m);
	if (!err)
		err = bind_any(d);
	/* lwIP writes the checksum into the message, which must have the place for it. */
	if (!err && d->raw && d->raw->chksum_reqd && p->len < d->raw->chksum_offset + 2u)
		err = -EINVAL;
	if (err)
		return err;
	/* For this datagram alone: the next call sets the socket's own again. */
	apply_options(d, &o);
	if (m->addr.len == 0) {
		if (!d->connected)
			return -EDESTADDRREQ;
		return ip_errno(d->udp ? ip_udp_send(d->udp, p) : ip_raw_send(d->raw, p));
	}
	err = inet_get_addr(d->s, &m->addr, &ip, &port);
	if (err)
		return err;
	if (d->udp && port == 0)
		return -EINVAL;
	err_t e = d->udp ? ip_udp_sendto(d->udp, p, &ip, port) : ip_raw_sendto(d->raw, p, &ip);

	/* lwIP's word for a broadcast without SO_BROADCAST. */
	return e == ERR_VAL ? -EACCES : ip_errno(e);
}

static ssize_t dgram_send(struct socket *s, struct sock_msg *m)
{
	struct dgram *d = s->priv;
	size_t n = m->u->left;

	if (n > DGRAM_MAX)
		return -EMSGSIZE;
	if (d->shut_wr)
		return -EPIPE;
	mutex_lock(&ip_lock);
	struct pbuf *p = pbuf_alloc(d->raw ? PBUF_IP : PBUF_TRANSPORT, (u16_t)n, PBUF_RAM);
	int err = !p ? -ENOBUFS : n ? uio_read(m->u, p->payload, n) : 0;

	if (!err)
		err = send_locked(d, p, m);
	if (p)
		pbuf_free(p);
	/* What was sent to ourselves can be read when the call returns, as on Linux. */
	(void)loop_poll(LOOP_BATCH);
	mutex_unlock(&ip_lock);
	return err ? err : (ssize_t)n;
}

/* Copies the first datagram out; without peek it is gone then. */
static ssize_t take_locked(struct dgram *d, struct sock_msg *m)
{
	struct datagram *g = list_first(&d->queue, struct datagram, link);
	size_t whole = g->p->tot_len;

	for (struct pbuf *q = g->p; q && m->u->left; q = q->next) {
		size_t n = MIN((size_t)q->len, m->u->left);

		if (n && uio_write(m->u, q->payload, n))
			return -EFAULT;
		if (n < q->len) {
			m->flags_out |= MSG_TRUNC;
			break;
		}
		whole -= q->len;
	}
	ssize_t len = g->p->tot_len;

	if (whole)
		m->flags_out |= MSG_TRUNC;
	inet_put_addr(d->s, &m->addr, &g->from, g->port);
	inet_put_control(d->s, &d->opts, &g->at, m);
	if (m->flags & MSG_PEEK)
		return len;
	list_remove(&g->link);
	d->queued -= g->p->tot_len + (uint32_t)sizeof(*g);
	pbuf_free(g->p);
	kfree(g);
	return len;
}

static ssize_t dgram_recv(struct socket *s, struct sock_msg *m)
{
	struct dgram *d = s->priv;
	ns_t deadline = socket_deadline(s->rcv_timeout);

	if (m->flags & MSG_ERRQUEUE)
		return -EAGAIN;
	for (;;) {
		/* recv(2): the bytes copied, or with MSG_TRUNC the datagram's whole length. */
		size_t room = m->u->left;

		mutex_lock(&ip_lock);
		ssize_t n = take_error(d);

		if (!n)
			n = !list_empty(&d->queue) ? take_locked(d, m) : d->shut_rd ? 0 : -EAGAIN;
		refresh(d);
		mutex_unlock(&ip_lock);
		if (n >= 0)
			return m->flags & MSG_TRUNC ? n : MIN(n, (ssize_t)room);
		if (n != -EAGAIN || (m->flags & MSG_DONTWAIT))
			return n;
		int err = wait_event_intr_until(
			&s->wait, load_acquire(&d->events) & FPOLLIN || READ_ONCE(s->error),
			deadline);

		if (err)
			return err == -ETIMEDOUT ? -EAGAIN : err;
	}
}

static int dgram_shutdown(struct socket *s, int how)
{
	struct dgram *d = s->priv;

	mutex_lock(&ip_lock);
	int err = d->connected ? 0 : -ENOTCONN;

	d->shut_rd |= how != SHUT_WR;
	d->shut_wr |= how != SHUT_RD;
	refresh(d);
	mutex_unlock(&ip_lock);
	return err;
}

static int dgram_setsockopt(struct socket *s, int level, int opt, const void *val, uint32_t len)
{
	struct dgram *d = s->priv;

	/*
	 * Filters of ICMP only spare a program work that it does anyway; lwIP checksums by itself.
	 */
	if (d->raw &&
	    ((level == SOL_RAW_ && opt == ICMP_FILTER_) || (level == 58 && opt == ICMP6_FILTER_) ||
	     ((level == SOL_RAW_ || level == SOL_IPV6) && opt == IPV6_CHECKSUM_)))
		return 0;
	int err = inet_setsockopt(s, &d->opts, level, opt, val, len);

	mutex_lock(&ip_lock);
	apply_options(d, &d->opts);
	mutex_unlock(&ip_lock);
	return err;
}

static int dgram_getsockopt(struct socket *s, int level, int opt, void *val, uint32_t *len)
{
	struct dgram *d = s->priv;

	return inet_getsockopt(s, &d->opts, level, opt, val, len);
}

static unsigned dgram_poll(struct socket *s)
{
	return load_acquire(&((struct dgram *)s->priv)->events) |
	       (READ_ONCE(s->error) ? FPOLLERR : 0u);
}

static long dgram_ioctl(struct socket *s, unsigned cmd, uva_t arg)
{
	enum { FIONREAD_ = 0x541b };
	struct dgram *d = s->priv;

	if (cmd != FIONREAD_)
		return -ENOTTY;
	mutex_lock(&ip_lock);
	const struct datagram *g = list_first(&d->queue, struct datagram, link);
	int n = g ? g->p->tot_len : 0;

	mutex_unlock(&ip_lock);
	return copy_to_user(arg, &n, sizeof(n));
}

static void dgram_release(struct socket *s)
{
	struct dgram *d = s->priv;
	struct datagram *g, *next;

	if (!d)
		return;
	/* udp_remove under the lock: the net world may be delivering to it. */
	mutex_lock(&ip_lock);
	if (d->udp)
		ip_udp_remove(d->udp);
	else
		ip_raw_remove(d->raw);
	list_for_each_safe(g, next, &d->queue, link) {
		pbuf_free(g->p);
		kfree(g);
	}
	mutex_unlock(&ip_lock);
	kfree(d);
}

static const struct sock_ops dgram_ops = {
	.bind = dgram_bind,
	.connect = dgram_connect,
	.getname = dgram_getname,
	.send = dgram_send,
	.recv = dgram_recv,
	.shutdown = dgram_shutdown,
	.setsockopt = dgram_setsockopt,
	.getsockopt = dgram_getsockopt,
	.poll = dgram_poll,
	.ioctl = dgram_ioctl,
	.release = dgram_release,
};

int dgram_create(struct socket *s, uint8_t protocol, bool raw)
{
	struct dgram *d = kzalloc_charged(sizeof(*d));

	if (!d)
		return -ENOBUFS;
	d->s = s;
	d->opts = (struct inet_opts){ .ttl = 64, .mcast_ttl = 1, .mcast_loop = true };
	list_init(&d->queue);
	mutex_lock(&ip_lock);
	if (raw) {
		d->raw = ip_raw_new_ip_type(s->family == AF_INET ? IPADDR_TYPE_V4 : IPADDR_TYPE_V6,
		                            protocol);
		if (d->raw) {
			raw_recv(d->raw, on_raw, d);
			/*
			 * RFC 3542 3.1: the kernel computes the checksum of ICMPv6, which covers
			 * addresses that the sender may not know.
			 */
			if (protocol == IP6_NEXTH_ICMP6) {
				d->raw->chksum_reqd = 1;
				d->raw->chksum_offset = ICMP6_CHECKSUM_AT;
			}
		}
	} else {
		d->udp = ip_udp_new_ip_type(inet_pcb_type(s));
		if (d->udp) {
			udp_recv(d->udp, on_udp, d);
			if (protocol == IP_PROTO_UDPLITE)
				udp_set_flags(d->udp, UDP_FLAGS_UDPLITE);
		}
	}
	mutex_unlock(&ip_lock);
	if (!d->udp && !d->raw) {
		kfree(d);
		return -ENOBUFS;
	}
	s->priv = d;
	s->ops = &dgram_ops;
	refresh(d);
	return 0;
}
