// SPDX-License-Identifier: Apache-2.0
/*
 * /proc/net: dev, route, tcp, tcp6, udp, if_inet6, resolv.conf, in Linux's shapes (proc(5)), for
 * ifconfig, route and netstat.
 */
#include "inet.h"
#include "lwip/dns.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/udp.h"
#include "route.h"
#include "vmk/errno.h"
#include "vmk/file.h"
#include "vmk/log.h"

#define LOG_MODULE "ip"

static void dev(struct text_buf *t, void *arg)
{
	struct vmknic *n;

	(void)arg;
	text_printf(
		t,
		"Inter-|   Receive                                                |  Transmit\n"
		" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop"
		" fifo colls carrier compressed\n    lo: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	mutex_lock(&ip_lock);
	list_for_each(n, &vmknics, link)
		text_printf(t, "%6s: %llu %llu 0 %llu 0 0 0 0 %llu %llu 0 %llu 0 0 0 0\n", n->name,
		            (unsigned long long)n->rx_bytes, (unsigned long long)n->rx_packets,
		            (unsigned long long)n->rx_dropped, (unsigned long long)n->tx_bytes,
		            (unsigned long long)n->tx_packets, (unsigned long long)n->tx_dropped);
	mutex_unlock(&ip_lock);
}

static void route_line(struct text_buf *t, const char *name, uint32_t dest, uint32_t gw,
                       uint32_t mask)
{
	text_printf(t, "%s\t%08X\t%08X\t%04X\t0\t0\t0\t%08X\t0\t0\t0\n", name, dest, gw,
	            gw ? 3u : 1u, mask);
}

static void route(struct text_buf *t, void *arg)
{
	struct vmknic *n;
	const struct ip_route *r;

	(void)arg;
	text_printf(
		t,
		"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n");
	mutex_lock(&ip_lock);
	/* Flags: 1 up, 2 gateway; masks and addresses as in put_addr. */
	list_for_each(n, &vmknics, link) {
		uint32_t a = netif_ip4_addr(&n->netif)->addr,
			 m = netif_ip4_netmask(&n->netif)->addr;
		uint32_t gw = netif_ip4_gw(&n->netif)->addr;

		if (gw && &n->netif == netif_default)
			route_line(t, n->name, 0, gw, 0);
		if (a)
			route_line(t, n->name, a & m, 0, m);
	}
	for (unsigned i = 0; (r = ip_route_at(i)); i++) {
		ip4_addr_t dest, gw;

		memcpy(&dest, r->dest, 4);
		memcpy(&gw, r->gw, 4);
		struct netif *out = r->v6 ? NULL : ip_hook_route4(NULL, &dest);

		if (out)
			route_line(t, ip_netif_name(out), dest.addr, gw.addr,
			           r->prefix ? lwip_htonl(~0u << (32 - r->prefix)) : 0);
	}
	mutex_unlock(&ip_lock);
}

static void put_addr(struct text_buf *t, const ip_addr_t *a, uint16_t port, bool v6)
{
	/*
	 * Linux prints addresses as host-order words of the network-order bytes, ports as numbers.
	 */
	if (!v6)
		text_printf(t, " %08X", ip_2_ip4(a)->addr);
	else
		text_printf(t, " %08X%08X%08X%08X", ip_2_ip6(a)->addr[0], ip_2_ip6(a)->addr[1],
		            ip_2_ip6(a)->addr[2], ip_2_ip6(a)->addr[3]);
	text_printf(t, ":%04X", port);
}

static void tcp(struct text_buf *t, void *arg)
{
	bool v6 = arg;
	/* lwIP's states in Linux's numbers. */
	static const uint8_t states[] = { 7, 10, 2, 3, 1, 4, 5, 8, 11, 9, 6 };
	unsigned n = 0;

	text_printf(
		t,
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"
		" inode\n");
	mutex_lock(&ip_lock);
	for (unsigned i = 0; i < NUM_TCP_PCB_LISTS; i++)
		for (struct tcp_pcb *p = *tcp_pcb_lists[i]; p; p = p->next) {
			if (v6 == (IP_GET_TYPE(&p->local_ip) == IPADDR_TYPE_V4))
				continue;
			bool listens = p->state == LISTEN;
			static const ip_addr_t none;

			text_printf(t, "%4u:", n++);
			put_addr(t, &p->local_ip, p->local_port, v6);
			put_addr(t, listens ? &none : &p->remote_ip, listens ? 0 : p->remote_port,
			         v6);
			text_printf(t, " %02X %08X:%08X 00:00000000 00000000     0        0 0\n",
			            states[p->state],
			            listens ? 0 : TCP_SND_BUF - (unsigned)p->snd_buf,
			            listens ? 0 : TCP_WND_MAX(p) - (unsigned)p->rcv_wnd);
		}
	mutex_unlock(&ip_lock);
}

static void udp(struct text_buf *t, void *arg)
{
	bool v6 = arg;
	unsigned n = 0;

	text_printf(
		t,
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"
		" inode ref pointer drops\n");
	mutex_lock(&ip_lock);
	for (struct udp_pcb *p = udp_pcbs; p; p = p->next) {
		if (v6 == (IP_GET_TYPE(&p->local_ip) == IPADDR_TYPE_V4))
			continue;
		text_printf(t, "%4u:", n++);
		put_addr(t, &p->local_ip, p->local_port, v6);
		put_addr(t, &p->remote_ip, p->remote_port, v6);
		text_printf(t,
		            " 07 00000000:00000000 00:00000000 00000000     0        0 0 2 0 0\n");
	}
	mutex_unlock(&ip_lock);
}

static void if_inet6(struct text_buf *t, void *arg)
{
	struct netif *n;

	(void)arg;
	mutex_lock(&ip_lock);
	/* Address, index, prefix length, scope, flags (0x80 permanent), name: proc(5). */
	NETIF_FOREACH(n)
	for (int i = 0; i < LWIP_IPV6_NUM_ADDRESSES; i++) {
		const ip6_addr_t *a = netif_ip6_addr(n, i);

		if (!ip6_addr_isvalid(netif_ip6_addr_state(n, i)))
			continue;
		for (int k = 0; k < 4; k++)
			text_printf(t, "%08x", lwip_ntohl(a->addr[k]));
		text_printf(t, " %02x %02x %02x 80 %8s\n", ip_netif_index(n),
		            n == &ip_loop ? 128u : 64u,
		            n == &ip_loop             ? 0x10u
		            : ip6_addr_islinklocal(a) ? 0x20u
		                                      : 0u,
		            ip_netif_name(n));
	}
	mutex_unlock(&ip_lock);
}

static void resolv(struct text_buf *t, void *arg)
{
	(void)arg;
	mutex_lock(&ip_lock);
	for (u8_t i = 0; i < DNS_MAX_SERVERS; i++) {
		const ip_addr_t *a = dns_getserver(i);

		if (IP_IS_V4(a) && !ip_addr_isany(a))
			text_printf(t, "nameserver %u.%u.%u.%u\n", ip4_addr1(ip_2_ip4(a)),
			            ip4_addr2(ip_2_ip4(a)), ip4_addr3(ip_2_ip4(a)),
			            ip4_addr4(ip_2_ip4(a)));
	}
	mutex_unlock(&ip_lock);
}

void procnet_init(void)
{
	static const struct {
		const char *path;
		void (*fn)(struct text_buf *t, void *arg);
		void *arg;
	} files[] = {
		{ "net/dev", dev, NULL },           { "net/route", route, NULL },
		{ "net/tcp", tcp, NULL },           { "net/tcp6", tcp, (void *)1 },
		{ "net/udp", udp, NULL },           { "net/udp6", udp, (void *)1 },
		{ "net/if_inet6", if_inet6, NULL }, { "net/resolv.conf", resolv, NULL },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(files); i++)
		if (procfs_add(files[i].path, files[i].fn, files[i].arg))
			log_err("/proc/%s: not made", files[i].path);
	/* The image has a link there already, or nothing. */
	int err = vfs_symlink("/proc/net/resolv.conf", "/etc/resolv.conf");

	if (err && err != -EEXIST)
		log_warn("/etc/resolv.conf: error %d", -err);
}
