// SPDX-License-Identifier: Apache-2.0
/*
 * Routes beyond lwIP's own (each interface's network and gateway): what is ours goes to the
 * loopback, and a static route goes to its gateway. Linear: there are few. ip_lock guards them.
 */
#include "ip.h"
#include "lwip/ip6.h"
#include "lwip/nd6.h"
#include "route.h"
#include "vmk/errno.h"

static struct ip_route routes[IP_ROUTES_MAX];
static unsigned count;

static bool matches(const uint8_t *a, const uint8_t *b, unsigned prefix)
{
	unsigned bytes = prefix / 8, bits = prefix % 8;

	return memcmp(a, b, bytes) == 0 && (!bits || ((a[bytes] ^ b[bytes]) >> (8 - bits)) == 0);
}

/* The most specific static route that is more so than an interface's network. */
static const struct ip_route *find(bool v6, const void *dest)
{
	const struct ip_route *best = NULL;

	for (unsigned i = 0; i < count; i++)
		if (routes[i].v6 == v6 && matches(routes[i].dest, dest, routes[i].prefix) &&
		    (!best || routes[i].prefix > best->prefix))
			best = &routes[i];
	return best;
}

static struct netif *on_link4(const ip4_addr_t *a)
{
	struct netif *n;

	NETIF_FOREACH(n)
	if (n != &ip_loop && !ip4_addr_isany(netif_ip4_addr(n)) &&
	    ip4_addr_net_eq(a, netif_ip4_addr(n), netif_ip4_netmask(n)))
		return n;
	return NULL;
}

static struct netif *on_link6(const ip6_addr_t *a)
{
	struct netif *n;

	NETIF_FOREACH(n)
	for (int i = 0; n != &ip_loop && i < LWIP_IPV6_NUM_ADDRESSES; i++)
		if (ip6_addr_isvalid(netif_ip6_addr_state(n, i)) &&
		    ip6_addr_net_eq(a, netif_ip6_addr(n, i)))
			return n;
	return NULL;
}

static bool own4(const ip4_addr_t *a)
{
	struct netif *n;

	if (ip4_addr_isloopback(a))
		return true;
	NETIF_FOREACH(n)
	if (!ip4_addr_isany(a) && ip4_addr_eq(a, netif_ip4_addr(n)))
		return true;
	return false;
}

static bool own6(const ip6_addr_t *a)
{
	struct netif *n;

	NETIF_FOREACH(n)
	if (netif_get_ip6_addr_match(n, a) >= 0)
		return true;
	return false;
}

bool ip_is_own(const ip_addr_t *a)
{
	return IP_IS_V6(a) ? own6(ip_2_ip6(a)) : own4(ip_2_ip4(a));
}

struct netif *ip_hook_route4(const ip4_addr_t *src, const ip4_addr_t *dest)
{
	(void)src;
	if (own4(dest))
		return &ip_loop;
	const struct ip_route *r = on_link4(dest) ? NULL : find(false, dest);
	ip4_addr_t gw;

	if (!r)
		return NULL;
	memcpy(&gw, r->gw, 4);
	return on_link4(&gw);
}

const ip4_addr_t *ip_hook_gateway4(struct netif *n, const ip4_addr_t *dest)
{
	(void)n;
	static ip4_addr_t gw;
	const struct ip_route *r = find(false, dest);

	if (!r)
		return NULL;
	memcpy(&gw, r->gw, 4);
	return &gw;
}

struct netif *ip_hook_route6(const ip6_addr_t *src, const ip6_addr_t *dest)
{
	(void)src;
	if (own6(dest))
		return &ip_loop;
	const struct ip_route *r = on_link6(dest) ? NULL : find(true, dest->addr);
	ip6_addr_t gw = { 0 };

	if (!r)
		return NULL;
	memcpy(gw.addr, r->gw, 16);
	return on_link6(&gw);
}

const ip6_addr_t *ip_hook_gateway6(struct netif *n, const ip6_addr_t *dest)
{
	static ip6_addr_t gw;
	const struct ip_route *r = find(true, dest->addr);

	if (!r)
		return NULL;
	memset(&gw, 0, sizeof(gw));
	memcpy(gw.addr, r->gw, 16);
	ip6_addr_assign_zone(&gw, IP6_UNICAST, n);
	return &gw;
}

int ip_route_add(bool v6, const uint8_t *dest, unsigned prefix, const uint8_t *gw)
{
	unsigned size = v6 ? 16 : 4;

	if (prefix > size * 8)
		return -EINVAL;
	struct ip_route r = { .v6 = v6, .prefix = (uint8_t)prefix };

	memcpy(r.dest, dest, size);
	memcpy(r.gw, gw, size);
	mutex_lock(&ip_lock);
	ip4_addr_t g4;
	ip6_addr_t g6 = { 0 };

	memcpy(&g4, gw, 4);
	if (v6)
		memcpy(g6.addr, gw, 16);
	/*
	 * As on Linux: a gateway must be on a network of ours. The hooks look for its interface at
	 * each packet.
	 */
	int err = !(v6 ? on_link6(&g6) : on_link4(&g4)) ? -ENETUNREACH
	          : count == IP_ROUTES_MAX              ? -ENOSPC
	                                                : 0;

	for (unsigned i = 0; !err && i < count; i++)
		if (memcmp(&routes[i], &r, sizeof(r)) == 0)
			err = -EEXIST;
	if (!err)
		routes[count++] = r;
	mutex_unlock(&ip_lock);
	return err;
}

int ip_route_remove(bool v6, const uint8_t *dest, unsigned prefix, const uint8_t *gw)
{
	unsigned size = v6 ? 16 : 4;
	struct ip_route r = { .v6 = v6, .prefix = (uint8_t)prefix };

	memcpy(r.dest, dest, size);
	memcpy(r.gw, gw, size);
	int err = -ENOENT;

	mutex_lock(&ip_lock);
	for (unsigned i = 0; err && i < count; i++)
		if (memcmp(&routes[i], &r, sizeof(r)) == 0) {
			routes[i] = routes[--count];
			err = 0;
		}
	mutex_unlock(&ip_lock);
	return err;
}

const struct ip_route *ip_route_at(unsigned i)
{
	return i < count ? &routes[i] : NULL;
}
