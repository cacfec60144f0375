// SPDX-License-Identifier: Apache-2.0
/*
 * Control of the host's TCP/IP: vmk NICs, routes, name servers; lists of connections and
 * neighbours.
 */
#include "abi/net.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/priv/nd6_priv.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/udp.h"
#include "ip/ip.h"
#include "ip/route.h"
#include "ctl/page.h"
#include "vmk/string.h"

static bool named(const char *name, size_t size)
{
	size_t n = strnlen(name, size);

	return n > 0 && n < size;
}

static void put_ip(uint8_t out[16], const ip_addr_t *a)
{
	if (IP_IS_V6_VAL(*a))
		memcpy(out, ip_2_ip6(a)->addr, 16);
	else
		memcpy(out, &ip_2_ip4(a)->addr, 4);
}

static void fill_vmknic(struct ctl_vmknic *o, const struct vmknic *nic)
{
	const struct netif *n = &nic->netif;

	str_copy(o->name, nic->name, sizeof(o->name));
	str_copy(o->portgroup, nic->group, sizeof(o->portgroup));
	memcpy(o->mac, nic->mac, sizeof(o->mac));
	o->dhcp = nic->dhcp;
	o->up = netif_is_up(n);
	o->mtu = n->mtu;
	o->port = port_id(nic->port);
	memcpy(o->ipv4, &netif_ip4_addr(n)->addr, 4);
	memcpy(o->mask, &netif_ip4_netmask(n)->addr, 4);
	memcpy(o->gateway, &netif_ip4_gw(n)->addr, 4);
	for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
		u8_t state = netif_ip6_addr_state(n, i);

		if (ip6_addr_isinvalid(state))
			continue;
		memcpy(o->ipv6[o->ipv6_count], netif_ip6_addr(n, i)->addr, 16);
		bool by_hand = i > 0 && netif_ip6_addr_isstatic(n, i); /* 0 is the link's own */
		uint8_t shown = ip6_addr_ispreferred(state)    ? 2
		                : ip6_addr_isduplicated(state) ? 3
		                : ip6_addr_isvalid(state)      ? 1
		                                               : 0;

		o->ipv6_state[o->ipv6_count++] = by_hand ? shown | 4 : shown;
	}
	/* What the port let through and the stack had no room for is dropped too. */
	port_stats_get(nic->port, &o->counters);
	o->counters.rx_dropped += nic->rx_dropped;
	o->counters.tx_dropped += nic->tx_dropped;
}

CTL_LIST(CTL_NET_VMKNICS, net_vmknics, struct ctl_net_vmknics, vmknic)
{
	struct vmknic *nic;

	/* lwIP's lists and the NICs change under this lock alone. */
	mutex_lock(&ip_lock);
	list_for_each(nic, &vmknics, link) {
		struct ctl_vmknic *o = page_next(page);

		if (o)
			fill_vmknic(o, nic);
	}
	mutex_unlock(&ip_lock);
}

CTL_OP(CTL_NET_VMKNIC_ADD, net_vmknic_add, sizeof(struct ctl_net_vmknic_add), 0, CTL_ADMIN)
{
	const struct ctl_net_vmknic_add *r = c->req;
	static const uint8_t none[6];

	if (!named(r->name, sizeof(r->name)) || !named(r->portgroup, sizeof(r->portgroup)))
		return -EINVAL;
	/* A MAC of zeroes cannot exist, so it means "make one up". */
	return vmknic_add(r->name, r->portgroup, memcmp(r->mac, none, 6) == 0 ? NULL : r->mac);
}

CTL_OP(CTL_NET_VMKNIC_REMOVE, net_vmknic_remove, sizeof(struct ctl_net_name), 0, CTL_ADMIN)
{
	const struct ctl_net_name *r = c->req;

	return named(r->name, sizeof(r->name)) ? vmknic_remove(r->name) : -EINVAL;
}

CTL_OP(CTL_NET_VMKNIC_IPV4, net_vmknic_ipv4, sizeof(struct ctl_net_ipv4), 0, CTL_ADMIN)
{
	const struct ctl_net_ipv4 *r = c->req;

	if (!named(r->name, sizeof(r->name)))
		return -EINVAL;
	return r->dhcp ? vmknic_set_dhcp(r->name)
	               : vmknic_set_ipv4(r->name, r->addr, r->mask, r->gateway);
}

CTL_OP(CTL_NET_VMKNIC_IPV6_ADD, net_vmknic_ipv6_add, sizeof(struct ctl_net_ipv6), 0, CTL_ADMIN)
{
	const struct ctl_net_ipv6 *r = c->req;

	return named(r->name, sizeof(r->name)) ? vmknic_add_ipv6(r->name, r->addr) : -EINVAL;
}

CTL_OP(CTL_NET_VMKNIC_IPV6_REMOVE, net_vmknic_ipv6_remove, sizeof(struct ctl_net_ipv6), 0,
       CTL_ADMIN)
{
	const struct ctl_net_ipv6 *r = c->req;

	return named(r->name, sizeof(r->name)) ? vmknic_remove_ipv6(r->name, r->addr) : -EINVAL;
}

static void put_route4(struct ctl_net_route *o, const struct vmknic *nic, uint32_t dest,
                       uint32_t mask, uint32_t gw, enum ctl_route_source source)
{
	if (!o)
		return;
	o->prefix = ip_prefix(mask);
	memcpy(o->dest, &dest, 4);
	memcpy(o->gateway, &gw, 4);
	str_copy(o->vmknic, nic->name, sizeof(o->vmknic));
	o->source = source;
}

CTL_LIST(CTL_NET_ROUTES, net_routes, struct ctl_net_routes, route)
{
	const struct ip_route *route;
	struct vmknic *nic;

	mutex_lock(&ip_lock);
	list_for_each(nic, &vmknics, link) {
		const struct netif *n = &nic->netif;
		uint32_t a = netif_ip4_addr(n)->addr, m = netif_ip4_netmask(n)->addr,
			 g = netif_ip4_gw(n)->addr;

		/* lwIP keeps one default route, the default interface's gateway. */
		if (g && n == netif_default)
			put_route4(page_next(page), nic, 0, 0, g,
			           nic->dhcp ? CTL_ROUTE_DHCP : CTL_ROUTE_STATIC);
		if (a)
			put_route4(page_next(page), nic, a & m, m, 0, CTL_ROUTE_INTERFACE);
	}
	/*
	 * Routes by hand come after those that interfaces give; the list has an order of its own,
	 * not of priority.
	 */
	for (unsigned i = 0; (route = ip_route_at(i)); i++) {
		struct ctl_net_route *o = page_next(page);

		if (!o)
			continue;
		o->v6 = route->v6;
		o->prefix = route->prefix;
		memcpy(o->dest, route->dest, 16);
		memcpy(o->gateway, route->gw, 16);
		o->source = CTL_ROUTE_STATIC;
	}
	mutex_unlock(&ip_lock);
}

CTL_OP(CTL_NET_ROUTE_ADD, net_route_add, sizeof(struct ctl_net_route), 0, CTL_ADMIN)
{
	const struct ctl_net_route *r = c->req;

	return ip_route_add(r->v6, r->dest, r->prefix, r->gateway);
}

CTL_OP(CTL_NET_ROUTE_REMOVE, net_route_remove, sizeof(struct ctl_net_route), 0, CTL_ADMIN)
{
	const struct ctl_net_route *r = c->req;

	return ip_route_remove(r->v6, r->dest, r->prefix, r->gateway);
}

CTL_OP(CTL_NET_DNS, net_dns, 0, sizeof(struct ctl_net_dns), CTL_READ)
{
	struct ctl_net_dns *r = c->reply;

	mutex_lock(&ip_lock);
	for (u8_t i = 0; i < DNS_MAX_SERVERS; i++) {
		const ip_addr_t *a = dns_getserver(i);

		if (IP_IS_V4(a) && !ip_addr_isany(a))
			memcpy(r->ipv4[r->count++], &ip_2_ip4(a)->addr, 4);
	}
	mutex_unlock(&ip_lock);
	return 0;
}

CTL_OP(CTL_NET_DNS_SET, net_dns_set, sizeof(struct ctl_net_dns), 0, CTL_ADMIN)
{
	const struct ctl_net_dns *r = c->req;

	return ip_dns_set(r->ipv4, r->count);
}

CTL_LIST(CTL_NET_CONNECTIONS, net_connections, struct ctl_net_connections, connection)
{
	/* lwIP's states in Linux's numbers. */
	static const uint8_t states[] = { 7, 10, 2, 3, 1, 4, 5, 8, 11, 9, 6 };

	mutex_lock(&ip_lock);
	for (unsigned i = 0; i < NUM_TCP_PCB_LISTS; i++)
		for (const struct tcp_pcb *p = *tcp_pcb_lists[i]; p; p = p->next) {
			struct ctl_connection *o = page_next(page);

			if (!o)
				continue;
			o->proto = CTL_CONN_TCP;
			o->v6 = IP_GET_TYPE(&p->local_ip) != IPADDR_TYPE_V4;
			o->state = states[p->state];
			put_ip(o->local, &p->local_ip);
			o->local_port = p->local_port;
			/* A listener's control block is shorter: nothing below exists in it. */
			if (p->state == LISTEN)
				continue;
			put_ip(o->remote, &p->remote_ip);
			o->remote_port = p->remote_port;
			/*
			 * Bytes received and not yet read, as lwIP knows them: what its window
			 * lacks.
			 */
			o->recv_queue = (uint32_t)(TCP_WND_MAX(p) - p->rcv_wnd);
			o->send_queue = (uint32_t)(TCP_SND_BUF - p->snd_buf);
		}
	for (const struct udp_pcb *p = udp_pcbs; p; p = p->next) {
		struct ctl_connection *o = page_next(page);

		if (!o)
			continue;
		o->proto = CTL_CONN_UDP;
		o->v6 = IP_GET_TYPE(&p->local_ip) != IPADDR_TYPE_V4;
		put_ip(o->local, &p->local_ip);
		put_ip(o->remote, &p->remote_ip);
		o->local_port = p->local_port;
		o->remote_port = p->remote_port;
	}
	mutex_unlock(&ip_lock);
}

CTL_LIST(CTL_NET_NEIGHBORS, net_neighbors, struct ctl_net_neighbors, neighbor)
{
	mutex_lock(&ip_lock);
	for (size_t i = 0; i < ARP_TABLE_SIZE; i++) {
		ip4_addr_t *ip;
		struct netif *n;
		struct eth_addr *mac;
		/* etharp_get_entry gives stable entries only. */
		struct ctl_neighbor *o = etharp_get_entry(i, &ip, &n, &mac) ? page_next(page)
		                                                            : NULL;

		if (!o)
			continue;
		memcpy(o->addr, &ip->addr, 4);
		memcpy(o->mac, mac->addr, 6);
		o->state = 1;
		str_copy(o->vmknic, ip_netif_name(n), sizeof(o->vmknic));
	}
	for (int i = 0; i < LWIP_ND6_NUM_NEIGHBORS; i++) {
		const struct nd6_neighbor_cache_entry *e = &neighbor_cache[i];
		struct ctl_neighbor *o = e->state != ND6_NO_ENTRY && e->netif ? page_next(page)
		                                                              : NULL;

		if (!o)
			continue;
		memcpy(o->addr, e->next_hop_address.addr, 16);
		memcpy(o->mac, e->lladdr, 6);
		o->v6 = 1;
		o->state = e->state == ND6_REACHABLE || e->state == ND6_STALE;
		str_copy(o->vmknic, ip_netif_name(e->netif), sizeof(o->vmknic));
	}
	mutex_unlock(&ip_lock);
}
