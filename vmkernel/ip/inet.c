// SPDX-License-Identifier: Apache-2.0
/* The families AF_INET and AF_INET6: creation, addresses, options of the IP levels. */
#include "inet.h"
#include "guard.h"
#include "lwip/igmp.h"
#include "lwip/mld6.h"
#include "vmk/errno.h"
#include "vmk/random.h"
#include "vmk/user.h"

struct sockaddr_in {
	uint16_t family, port;
	uint32_t addr;
	uint8_t zero[8];
};
struct sockaddr_in6 {
	uint16_t family, port;
	uint32_t flowinfo;
	uint8_t addr[16];
	uint32_t scope;
};

enum { PROTO_TCP = 6, PROTO_UDP = 17, PROTO_UDPLITE = 136, PROTO_RAW = 255 };
enum { PORT_FIRST = 32768, PORT_LAST = 60999 };
enum {
	IP_TOS = 1,
	IP_TTL = 2,
	IP_PKTINFO = 8,
	IP_MTU_DISCOVER = 10,
	IP_RECVERR = 11,
	IP_RECVTTL = 12,
	IP_RECVTOS = 13,
	IP_FREEBIND = 15,
	IP_BIND_ADDRESS_NO_PORT = 24,
	IP_MULTICAST_IF = 32,
	IP_MULTICAST_TTL = 33,
	IP_MULTICAST_LOOP = 34,
	IP_ADD_MEMBERSHIP = 35,
	IP_DROP_MEMBERSHIP = 36
};
enum {
	IPV6_UNICAST_HOPS = 16,
	IPV6_MULTICAST_IF = 17,
	IPV6_MULTICAST_HOPS = 18,
	IPV6_MULTICAST_LOOP = 19,
	IPV6_JOIN_GROUP = 20,
	IPV6_LEAVE_GROUP = 21,
	IPV6_MTU_DISCOVER = 23,
	IPV6_RECVERR = 25,
	IPV6_V6ONLY = 26,
	IPV6_RECVPKTINFO = 49,
	IPV6_RECVHOPLIMIT = 51,
	IPV6_RECVTCLASS = 66,
	IPV6_TCLASS = 67
};

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

int inet_get_addr(const struct socket *s, const struct sockaddr_any *a, ip_addr_t *ip,
                  uint16_t *port)
{
	if (a->len < sizeof(struct sockaddr_in))
		return -EINVAL;
	if (a->family == AF_INET) {
		const struct sockaddr_in *in = (const void *)a->bytes;

		if (s->family == AF_INET6)
			return -EAFNOSUPPORT;
		ip_addr_set_ip4_u32_val(*ip, in->addr);
		*port = lwip_ntohs(in->port);
		return 0;
	}
	if (a->family != AF_INET6 || s->family != AF_INET6)
		return -EAFNOSUPPORT;
	/* The scope is missing from RFC 2133's shape, which Linux takes too. */
	if (a->len < offsetof(struct sockaddr_in6, scope))
		return -EINVAL;
	const struct sockaddr_in6 *in6 = (const void *)a->bytes;

	*port = lwip_ntohs(in6->port);
	if (memcmp(in6->addr, mapped, sizeof(mapped)) == 0) {
		uint32_t v4;

		if (s->v6only)
			return -ENETUNREACH;
		memcpy(&v4, in6->addr + 12, 4);
		ip_addr_set_ip4_u32_val(*ip, v4);
		return 0;
	}
	memset(ip, 0, sizeof(*ip));
	IP_SET_TYPE_VAL(*ip, IPADDR_TYPE_V6);
	memcpy(ip_2_ip6(ip)->addr, in6->addr, 16);
	if (ip6_addr_has_scope(ip_2_ip6(ip), IP6_UNKNOWN)) {
		struct netif *n = a->len >= sizeof(*in6) && in6->scope
		                          ? ip_netif_by_index(in6->scope)
		                          : netif_default;

		if (!n)
			return -EINVAL;
		ip6_addr_set_zone(ip_2_ip6(ip), netif_get_index(n));
	}
	return 0;
}

void inet_put_addr(const struct socket *s, struct sockaddr_any *a, const ip_addr_t *ip,
                   uint16_t port)
{
	memset(a, 0, sizeof(*a));
	if (s->family == AF_INET) {
		struct sockaddr_in *in = (void *)a->bytes;

		*in = (struct sockaddr_in){ AF_INET, lwip_htons(port), 0, { 0 } };
		in->addr = IP_IS_V4(ip) ? ip_2_ip4(ip)->addr : 0;
		a->len = sizeof(*in);
		return;
	}
	struct sockaddr_in6 *in6 = (void *)a->bytes;

	/* An IPv4 address on an IPv6 socket is shown mapped (RFC 4291, 2.5.5.2). */
	in6->family = AF_INET6;
	in6->port = lwip_htons(port);
	if (IP_IS_V6_VAL(*ip)) {
		memcpy(in6->addr, ip_2_ip6(ip)->addr, 16);
		struct netif *n = netif_get_by_index(ip6_addr_zone(ip_2_ip6(ip)));

		in6->scope = ip6_addr_has_zone(ip_2_ip6(ip)) && n ? ip_netif_index(n) : 0;
	} else if (IP_GET_TYPE(ip) == IPADDR_TYPE_V4) {
		memcpy(in6->addr, mapped, sizeof(mapped));
		memcpy(in6->addr + 12, &ip_2_ip4(ip)->addr, 4);
	}
	a->len = sizeof(*in6);
}

void inet_bind_any(const struct socket *s, ip_addr_t *ip)
{
	if (IP_IS_V6_VAL(*ip) && ip6_addr_isany(ip_2_ip6(ip)) && !s->v6only)
		*ip = *IP_ANY_TYPE;
}

bool inet_may_bind(uint16_t port)
{
	return port == 0 || port >= 1024 || cred_current()->euid == 0;
}

uint16_t inet_random_port(void)
{
	return (uint16_t)(PORT_FIRST + random_u64() % (PORT_LAST - PORT_FIRST + 1));
}

uint8_t inet_pcb_type(const struct socket *s)
{
	return s->family == AF_INET ? IPADDR_TYPE_V4 : s->v6only ? IPADDR_TYPE_V6 : IPADDR_TYPE_ANY;
}

int inet_opt_int(const void *val, uint32_t len, int *out)
{
	if (len >= sizeof(int))
		memcpy(out, val, sizeof(int));
	else if (len >= 1)
		*out = *(const uint8_t *)val;
	else
		return -EINVAL;
	return 0;
}

void inet_put_int(void *val, uint32_t *len, int v)
{
	*len = MIN(*len, (uint32_t)sizeof(v));
	memcpy(val, &v, *len);
}

/* struct ip_mreq, ip_mreqn: group, interface address, index; struct ipv6_mreq: group, index. */
static int membership(const uint8_t *val, uint32_t len, bool v6, bool join)
{
	ip4_addr_t group4, local;
	uint32_t index = 0;

	if (len < (v6 ? 20u : 8u))
		return -EINVAL;
	err_t e;

	mutex_lock(&ip_lock);
	/* The group is joined for the interface, not for the socket: lwIP counts members there. */
	if (v6) {
		ip6_addr_t group6 = { 0 };

		memcpy(group6.addr, val, 16);
		memcpy(&index, val + 16, 4);
		struct netif *n = index ? ip_netif_by_index(index) : netif_default;

		if (n)
			ip6_addr_assign_zone(&group6, IP6_MULTICAST, n);
		e = !n     ? ERR_IF
		    : join ? ip_mld6_joingroup_netif(n, &group6)
		           : ip_mld6_leavegroup_netif(n, &group6);
	} else {
		memcpy(&group4, val, 4);
		memcpy(&local, val + 4, 4);
		if (len >= 12)
			memcpy(&index, val + 8, 4);
		struct netif *n = index ? ip_netif_by_index(index) : netif_default;

		if (index || ip4_addr_isany_val(local))
			e = !n     ? ERR_IF
			    : join ? ip_igmp_joingroup_netif(n, &group4)
			           : ip_igmp_leavegroup_netif(n, &group4);
		else
			e = join ? ip_igmp_joingroup(&local, &group4)
			         : ip_igmp_leavegroup(&local, &group4);
	}
	mutex_unlock(&ip_lock);
	return e == ERR_OK    ? 0
	       : e == ERR_IF  ? -ENODEV
	       : e == ERR_VAL ? -EADDRNOTAVAIL
	                      : ip_errno(e);
}

static int set_ip(struct inet_opts *o, int opt, const void *val, uint32_t len)
{
	int v;

	if (opt == IP_ADD_MEMBERSHIP || opt == IP_DROP_MEMBERSHIP)
		return membership(val, len, false, opt == IP_ADD_MEMBERSHIP);
	int err = inet_opt_int(val, len, &v);

	if (err)
		return err;
	switch (opt) {
	case IP_TOS: o->tos = (uint8_t)v; return 0;
	case IP_TTL:
		if (v != -1 && (v < 1 || v > 255))
			return -EINVAL;
		o->ttl = v == -1 ? 64 : (uint8_t)v;
		return 0;
	case IP_MULTICAST_TTL: o->mcast_ttl = v == -1 ? 1 : (uint8_t)v; return 0;
	case IP_MULTICAST_LOOP: o->mcast_loop = v; return 0;
	case IP_PKTINFO: o->pktinfo = v; return 0;
	case IP_RECVTTL: o->recv_ttl = v; return 0;
	case IP_RECVTOS: o->recv_tos = v; return 0;
	/* Nothing here depends on them: errors come as SO_ERROR, there is one route to a place. */
	case IP_RECVERR:
	case IP_MTU_DISCOVER:
	case IP_FREEBIND:
	case IP_BIND_ADDRESS_NO_PORT:
	case IP_MULTICAST_IF: return 0;
	}
	return -ENOPROTOOPT;
}

static int set_ipv6(struct socket *s, struct inet_opts *o, int opt, const void *val, uint32_t len)
{
	int v;

	if (opt == IPV6_JOIN_GROUP || opt == IPV6_LEAVE_GROUP)
		return membership(val, len, true, opt == IPV6_JOIN_GROUP);
	int err = inet_opt_int(val, len, &v);

	if (err)
		return err;
	switch (opt) {
	case IPV6_V6ONLY: s->v6only = v; return 0;
	/* -1 is the default (RFC 3493, 5.1). */
	case IPV6_UNICAST_HOPS:
		if (v < -1 || v > 255)
			return -EINVAL;
		o->ttl = v == -1 ? 64 : (uint8_t)v;
		return 0;
	case IPV6_MULTICAST_HOPS: o->mcast_ttl = v == -1 ? 1 : (uint8_t)v; return 0;
	case IPV6_MULTICAST_LOOP: o->mcast_loop = v; return 0;
	case IPV6_RECVPKTINFO: o->pktinfo6 = v; return 0;
	case IPV6_RECVHOPLIMIT: o->recv_hops = v; return 0;
	case IPV6_RECVTCLASS: o->recv_class = v; return 0;
	case IPV6_TCLASS: o->tos = (uint8_t)v; return 0;
	case IPV6_RECVERR:
	case IPV6_MTU_DISCOVER:
	case IPV6_MULTICAST_IF: return 0;
	}
	return -ENOPROTOOPT;
}

int inet_setsockopt(struct socket *s, struct inet_opts *o, int level, int opt, const void *val,
                    uint32_t len)
{
	if (level == SOL_IP)
		return set_ip(o, opt, val, len);
	if (level == SOL_IPV6 && s->family == AF_INET6)
		return set_ipv6(s, o, opt, val, len);
	return -ENOPROTOOPT;
}

int inet_getsockopt(struct socket *s, const struct inet_opts *o, int level, int opt, void *val,
                    uint32_t *len)
{
	int v;

	/* As set, or the default: what has no effect reads as 0. */
	if (level == SOL_IP) {
		switch (opt) {
		case IP_TOS: v = o->tos; break;
		case IP_TTL: v = o->ttl; break;
		case IP_MULTICAST_TTL: v = o->mcast_ttl; break;
		case IP_MULTICAST_LOOP: v = o->mcast_loop; break;
		case IP_PKTINFO: v = o->pktinfo; break;
		case IP_RECVTTL: v = o->recv_ttl; break;
		case IP_RECVTOS: v = o->recv_tos; break;
		case IP_RECVERR:
		case IP_MTU_DISCOVER:
		case IP_FREEBIND: v = 0; break;
		default: return -ENOPROTOOPT;
		}
	} else if (level == SOL_IPV6 && s->family == AF_INET6) {
		switch (opt) {
		case IPV6_V6ONLY: v = s->v6only; break;
		case IPV6_UNICAST_HOPS: v = o->ttl; break;
		case IPV6_MULTICAST_HOPS: v = o->mcast_ttl; break;
		case IPV6_MULTICAST_LOOP: v = o->mcast_loop; break;
		case IPV6_TCLASS: v = o->tos; break;
		case IPV6_RECVPKTINFO: v = o->pktinfo6; break;
		case IPV6_RECVHOPLIMIT: v = o->recv_hops; break;
		case IPV6_RECVTCLASS: v = o->recv_class; break;
		default: return -ENOPROTOOPT;
		}
	} else {
		return -ENOPROTOOPT;
	}
	inet_put_int(val, len, v);
	return 0;
}

static int inet_create(struct socket *s)
{
	uint32_t p = s->protocol;

	switch (s->type) {
	case SOCK_STREAM: return p && p != PROTO_TCP ? -EPROTONOSUPPORT : tcp_create(s);
	case SOCK_DGRAM:
		return p && p != PROTO_UDP && p != PROTO_UDPLITE
		               ? -EPROTONOSUPPORT
		               : dgram_create(s, (uint8_t)p, false);
	case SOCK_RAW:
		/* raw(7): CAP_NET_RAW. */
		if (cred_current()->euid != 0)
			return -EPERM;
		return p == 0 || p >= PROTO_RAW ? -EPROTONOSUPPORT
		                                : dgram_create(s, (uint8_t)p, true);
	}
	return -ESOCKTNOSUPPORT;
}

int inet_register(void)
{
	int err = socket_register(AF_INET, inet_create);

	socket_register_ioctl(inet_ioctl);
	return err ? err : socket_register(AF_INET6, inet_create);
}
