// SPDX-License-Identifier: Apache-2.0
/* Control messages of datagrams. Spec: Linux's ip(7), ipv6(7); RFC 3542 section 6. */
#include "inet.h"
#include "vmk/errno.h"

enum {
	IP_TOS = 1,
	IP_TTL = 2,
	IP_PKTINFO = 8,
	IPV6_PKTINFO = 50,
	IPV6_HOPLIMIT = 52,
	IPV6_TCLASS = 67
};

/* For IPv4 datagrams, on AF_INET6 sockets too. */
static void put4(const struct inet_opts *o, const struct inet_arrival *a, uint32_t index,
                 struct sock_msg *m)
{
	uint32_t info[3] = { index, ip_2_ip4(&a->to)->addr, ip_2_ip4(&a->to)->addr };
	int32_t ttl = a->ttl;

	if (o->pktinfo)
		socket_put_cmsg(m, SOL_IP, IP_PKTINFO, info, sizeof(info));
	if (o->recv_ttl)
		socket_put_cmsg(m, SOL_IP, IP_TTL, &ttl, sizeof(ttl));
	if (o->recv_tos)
		socket_put_cmsg(m, SOL_IP, IP_TOS, &a->tos, sizeof(a->tos));
}

void inet_put_control(const struct socket *s, const struct inet_opts *o,
                      const struct inet_arrival *a, struct sock_msg *m)
{
	struct netif *n = netif_get_by_index(a->iface);
	uint32_t index = n ? ip_netif_index(n) : 0;
	int32_t hops = a->ttl, tclass = a->tos;
	struct sockaddr_any name;
	uint8_t info[20];

	if (!IP_IS_V6_VAL(a->to))
		put4(o, a, index, m);
	if (s->family != AF_INET6)
		return;
	if (o->pktinfo6) {
		inet_put_addr(s, &name, &a->to, 0);
		memcpy(info, name.bytes + 8, 16);
		memcpy(info + 16, &index, 4);
		socket_put_cmsg(m, SOL_IPV6, IPV6_PKTINFO, info, sizeof(info));
	}
	/* An IPv4 datagram on an AF_INET6 socket has no hop limit or traffic class of IPv6. */
	if (!IP_IS_V6_VAL(a->to))
		return;
	if (o->recv_hops)
		socket_put_cmsg(m, SOL_IPV6, IPV6_HOPLIMIT, &hops, sizeof(hops));
	if (o->recv_class)
		socket_put_cmsg(m, SOL_IPV6, IPV6_TCLASS, &tclass, sizeof(tclass));
}

static int take_one(struct inet_opts *o, const struct cmsghdr *h, const void *data)
{
	bool v6 = h->level == SOL_IPV6;
	int32_t v;

	if (h->type == (v6 ? IPV6_PKTINFO : IP_PKTINFO))
		return 0; /* there is one route to a place */
	if (h->len != sizeof(*h) + sizeof(v) ||
	    (h->type != (v6 ? IPV6_HOPLIMIT : IP_TTL) && h->type != (v6 ? IPV6_TCLASS : IP_TOS)))
		return -EINVAL;
	memcpy(&v, data, sizeof(v));
	if (v < (v6 ? -1 : 0) || v > 255 || (h->type == IP_TTL && v == 0))
		return -EINVAL;
	if (v < 0)
		return 0; /* as the socket has it */
	if (h->type == (v6 ? IPV6_HOPLIMIT : IP_TTL))
		o->ttl = o->mcast_ttl = (uint8_t)v;
	else
		o->tos = (uint8_t)v;
	return 0;
}

int inet_take_control(const struct socket *s, struct inet_opts *o, const struct sock_msg *m)
{
	struct cmsghdr h;
	int err = 0;

	/* The socket calls have checked the lengths. */
	for (uint32_t at = 0; !err && at + sizeof(h) <= m->control_len;
	     at += (uint32_t)CMSG_ALIGN(h.len)) {
		memcpy(&h, m->control + at, sizeof(h));
		if (h.level == (s->family == AF_INET6 ? SOL_IPV6 : SOL_IP))
			err = take_one(o, &h, m->control + at + sizeof(h));
	}
	return err;
}
