// SPDX-License-Identifier: Apache-2.0
/*
 * vmk NICs: a port of a virtual switch on one side, a lwIP interface on the other. Received packets
 * wait in one ring for the net world (ring_lock); everything else is under ip_lock.
 */
#include "ip.h"
#include "guard.h"
#include "lwip/dhcp.h"
#include "lwip/dns.h"
#include "lwip/etharp.h"
#include "lwip/ethip6.h"
#include "net/net.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/random.h"
#include "vmk/stat.h"

#define LOG_MODULE "ip"

STAT(rx_full, "ip.rx.full", "packets for vmk NICs dropped because the net world was behind");
STAT(rx_memory, "ip.rx.memory", "packets for vmk NICs dropped because memory was short");
STAT(rx_abandoned, "ip.rx.abandoned", "packets that a failed assertion of lwIP dropped");

enum { RING = 2048, VMKNICS_MAX = 32, MAC_TRIES = 8 };

struct list vmknics = LIST_INIT(vmknics);
static struct received {
	struct vmknic *nic;
	struct pkt *pkt;
} ring[RING];
static unsigned head, tail;
static struct spinlock ring_lock;
static bool team_changed;

static int deliver(void *arg, struct pkt *p)
{
	uint64_t flags = spin_lock_irq(&ring_lock);
	bool room = tail - head < RING;

	if (room)
		ring[tail++ % RING] = (struct received){ arg, p };
	spin_unlock_irq(&ring_lock, flags);
	if (room)
		return 0;
	stat_inc(rx_full);
	pkt_done(p);
	return -ENOBUFS;
}

static void flush(void *arg)
{
	(void)arg;
	ip_wake();
}

static const struct port_ops port_ops = { .deliver = deliver, .flush = flush };

struct feeding {
	struct netif *netif;
	struct pbuf *p;
};

static void feed(void *arg)
{
	struct feeding *f = arg;

	if (f->netif->input(f->p, f->netif) != ERR_OK)
		pbuf_free(f->p);
}

static void receive(struct vmknic *nic, struct pkt *pkt)
{
	/*
	 * lwIP reads an ARP packet without a look at its length: a guest's may lack Ethernet's
	 * padding.
	 */
	uint32_t len = MAX(pkt->len, (uint32_t)ETH_MIN);
	struct feeding f = { &nic->netif, pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM) };

	if (f.p)
		memset(f.p->payload, 0, ETH_MIN);
	if (!f.p || !pkt_read(pkt, 0, f.p->payload, pkt->len)) {
		stat_inc(rx_memory);
		nic->rx_dropped++;
		return;
	}
	nic->rx_packets++;
	nic->rx_bytes += pkt->len;
	bool checked = pkt->flags & (PKT_CSUM_VALID | PKT_CSUM_PARTIAL);

	/*
	 * Checked by the NIC, or still to be filled in by a sender on this host: then there is
	 * nothing to check.
	 */
	NETIF_SET_CHECKSUM_CTRL(&nic->netif,
	                        checked ? NETIF_CHECKSUM_ENABLE_ALL & ~(NETIF_CHECKSUM_CHECK_TCP |
	                                                                NETIF_CHECKSUM_CHECK_UDP)
	                                : NETIF_CHECKSUM_ENABLE_ALL);
	if (!ip_guarded(feed, &f))
		stat_inc(rx_abandoned);
}

/* The switch drops what is longer than its MTU, which may have been set since. */
static void follow_mtu(struct vmknic *nic)
{
	u16_t mtu = (u16_t)port_mtu(nic->port);

	if (nic->netif.mtu != mtu)
		nic->netif.mtu = nic->netif.mtu6 = mtu;
}

unsigned vmknic_poll(unsigned budget)
{
	/* Called in the net world with ip_lock held. */
	unsigned n = 0;
	struct vmknic *nic;

	if (__atomic_exchange_n(&team_changed, false, __ATOMIC_ACQ_REL)) {
		list_for_each(nic, &vmknics, link) {
			/* Renews the lease and tells the new segment where we are. */
			netif_set_link_down(&nic->netif);
			netif_set_link_up(&nic->netif);
		}
	}
	list_for_each(nic, &vmknics, link)
		follow_mtu(nic);
	for (; n < budget; n++) {
		struct received r = { 0 };
		uint64_t flags = spin_lock_irq(&ring_lock);

		if (head != tail)
			r = ring[head++ % RING];
		spin_unlock_irq(&ring_lock, flags);
		if (!r.pkt)
			break;
		if (r.nic) {
			/* Longer than lwIP's 16-bit lengths, it cannot be for us. */
			if (r.pkt->len <= MTU_MAX + ETH_HLEN)
				receive(r.nic, r.pkt);
			else
				r.nic->rx_dropped++;
		}
		pkt_done(r.pkt);
	}
	return n;
}

static err_t link_output(struct netif *n, struct pbuf *p)
{
	struct vmknic *nic = n->state;
	struct pkt *pkt = pkt_alloc(MAX((uint32_t)p->tot_len, (uint32_t)ETH_MIN));

	if (!pkt) {
		nic->tx_dropped++;
		return ERR_MEM;
	}
	static const uint8_t padding[ETH_MIN];
	uint32_t off = 0;
	bool ok = true;

	/* A copy: lwIP may resend or change its pbufs while the packet waits in a ring. */
	for (struct pbuf *q = p; q && ok; off += q->len, q = q->next)
		ok = pkt_write(pkt, off, q->payload, q->len);
	if (ok && off < ETH_MIN)
		ok = pkt_write(pkt, off, padding, ETH_MIN - off);
	ASSERT(ok);
	nic->tx_packets++;
	nic->tx_bytes += p->tot_len;
	port_send(nic->port, pkt);
	return ERR_OK;
}

static err_t netif_setup(struct netif *n)
{
	struct vmknic *nic = n->state;

	n->name[0] = 'v';
	n->name[1] = 'k';
	n->mtu = (u16_t)port_mtu(nic->port);
	n->hwaddr_len = ETH_ALEN;
	memcpy(n->hwaddr, nic->mac, ETH_ALEN);
	n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET |
	           NETIF_FLAG_IGMP | NETIF_FLAG_MLD6;
	n->output = etharp_output;
	n->output_ip6 = ethip6_output;
	n->linkoutput = link_output;
	return ERR_OK;
}

static void status_changed(struct netif *n)
{
	struct vmknic *nic = n->state;
	const ip4_addr_t *a = netif_ip4_addr(n), *g = netif_ip4_gw(n);
	/* Called for every change of IPv6 addresses too. */
	bool changed = a->addr != nic->logged;

	nic->logged = a->addr;
	if (changed && !ip4_addr_isany(a))
		log_info("%s: %u.%u.%u.%u/%u gateway %u.%u.%u.%u%s", nic->name, ip4_addr1(a),
		         ip4_addr2(a), ip4_addr3(a), ip4_addr4(a),
		         ip_prefix(ip4_addr_get_u32(netif_ip4_netmask(n))), ip4_addr1(g),
		         ip4_addr2(g), ip4_addr3(g), ip4_addr4(g), nic->dhcp ? " (DHCP)" : "");
}

struct vmknic *vmknic_of(const struct netif *n)
{
	return n && n != &ip_loop ? n->state : NULL;
}

struct vmknic *vmknic_find(const char *name)
{
	struct vmknic *nic;

	list_for_each(nic, &vmknics, link)
		if (strcmp(nic->name, name) == 0)
			return nic;
	return NULL;
}

/* The number in "vmkN", or -EINVAL. */
static int number_of(const char *name)
{
	uint64_t n;

	if (strncmp(name, "vmk", 3) != 0 || name[3] < '0' || name[3] > '9' ||
	    str_to_u64(name + 3, &n) || n >= VMKNICS_MAX)
		return -EINVAL;
	return (int)n;
}

int vmknic_add(const char *name, const char *group, const uint8_t mac[6])
{
	int number = number_of(name);

	if (number < 0)
		return number;
	struct vmknic *nic = kzalloc(sizeof(*nic));

	if (!nic)
		return -ENOMEM;
	str_copy(nic->name, name, sizeof(nic->name));
	str_copy(nic->group, group, sizeof(nic->group));
	nic->index = (unsigned)number + 2;
	if (mac) {
		memcpy(nic->mac, mac, ETH_ALEN);
	} else {
		/* The range in which ESXi makes up addresses of its vmk NICs. */
		random_bytes(nic->mac, ETH_ALEN);
		memcpy(nic->mac, "\x00\x50\x56", 3);
		nic->mac[3] = 0x60 | (nic->mac[3] & 0xf);
	}
	mutex_lock(&ip_lock);
	int err = vmknic_find(name) ? -EEXIST : 0;
	const struct port_attr attr = {
		.client = nic->name, .group = group, .ops = &port_ops, .arg = nic
	};
	struct port_attr a = attr;

	memcpy(a.mac, nic->mac, ETH_ALEN);
	if (!err)
		err = port_open(&a, &nic->port);
	if (err) {
		mutex_unlock(&ip_lock);
		kfree(nic);
		return err;
	}
	struct netif *n = &nic->netif;

	/*
	 * The port is open, and packets may already wait in the ring: they are fed after ip_lock is
	 * released.
	 */
	netif_add_noaddr(n, nic, netif_setup, netif_input);
	netif_set_status_callback(n, status_changed);
	netif_create_ip6_linklocal_address(n, 1);
	netif_set_ip6_autoconfig_enabled(n, 1);
	list_push_back(&vmknics, &nic->link);
	if (!netif_default)
		netif_set_default(n);
	netif_set_link_up(n);
	ip_netif_set_up(n);
	mutex_unlock(&ip_lock);
	return 0;
}

static void no_dhcp(struct vmknic *nic)
{
	if (nic->dhcp)
		ip_dhcp_release_and_stop(&nic->netif);
	if (netif_dhcp_data(&nic->netif))
		ip_dhcp_cleanup(&nic->netif);
	nic->dhcp = false;
}

int vmknic_remove(const char *name)
{
	mutex_lock(&ip_lock);
	struct vmknic *nic = vmknic_find(name);

	if (!nic) {
		mutex_unlock(&ip_lock);
		return -ENOENT;
	}
	no_dhcp(nic);
	list_remove(&nic->link);
	/* Out of lwIP first, then the port: nothing sends through a port that is closed. */
	ip_netif_remove(&nic->netif);
	if (!netif_default && !list_empty(&vmknics))
		netif_set_default(&list_first(&vmknics, struct vmknic, link)->netif);
	port_close(nic->port);
	uint64_t flags = spin_lock_irq(&ring_lock);

	for (unsigned i = head; i != tail; i++)
		/* The packets stay in the ring, without a receiver: vmknic_poll gives them back. */
		if (ring[i % RING].nic == nic)
			ring[i % RING].nic = NULL;
	spin_unlock_irq(&ring_lock, flags);
	mutex_unlock(&ip_lock);
	kfree(nic);
	return 0;
}

int vmknic_set_dhcp(const char *name)
{
	mutex_lock(&ip_lock);
	struct vmknic *nic = vmknic_find(name);
	int err = nic ? 0 : -ENOENT;

	if (nic && !nic->dhcp) {
		/* The address by hand goes: DHCP starts from none (RFC 2131, 4.4). */
		ip_netif_set_addr(&nic->netif, NULL, NULL, NULL);
		nic->dhcp = true;
		err = ip_errno(ip_dhcp_start(&nic->netif));
		nic->dhcp = !err;
	}
	mutex_unlock(&ip_lock);
	return err;
}

int vmknic_set_ipv4(const char *name, const uint8_t addr[4], const uint8_t mask[4],
                    const uint8_t gw[4])
{
	ip4_addr_t a, m, g;

	memcpy(&a, addr, 4);
	memcpy(&m, mask, 4);
	memcpy(&g, gw, 4);
	if (ip4_addr_isany_val(a) || ip4_addr_ismulticast(&a) || !ip4_addr_netmask_valid(m.addr))
		return -EINVAL;
	mutex_lock(&ip_lock);
	struct vmknic *nic = vmknic_find(name);

	if (nic) {
		no_dhcp(nic);
		ip_netif_set_addr(&nic->netif, &a, &m, &g);
	}
	mutex_unlock(&ip_lock);
	return nic ? 0 : -ENOENT;
}

int vmknic_add_ipv6(const char *name, const uint8_t addr[16])
{
	ip6_addr_t a = { 0 };
	s8_t slot;

	memcpy(a.addr, addr, 16);
	if (ip6_addr_isany(&a) || ip6_addr_ismulticast(&a) || ip6_addr_isloopback(&a))
		return -EINVAL;
	mutex_lock(&ip_lock);
	struct vmknic *nic = vmknic_find(name);
	int err = !nic ? -ENOENT : netif_get_ip6_addr_match(&nic->netif, &a) >= 0 ? -EEXIST : 0;

	if (!err)
		err = ip_netif_add_ip6_address(&nic->netif, &a, &slot) == ERR_OK ? 0 : -ENOSPC;
	mutex_unlock(&ip_lock);
	return err;
}

int vmknic_remove_ipv6(const char *name, const uint8_t addr[16])
{
	ip6_addr_t a = { 0 };

	memcpy(a.addr, addr, 16);
	mutex_lock(&ip_lock);
	struct vmknic *nic = vmknic_find(name);
	s8_t slot = nic ? netif_get_ip6_addr_match(&nic->netif, &a) : -1;

	if (slot >= 0)
		ip_netif_ip6_addr_set_state(&nic->netif, slot, IP6_ADDR_INVALID);
	mutex_unlock(&ip_lock);
	return slot >= 0 ? 0 : -ENOENT;
}

int ip_dns_set(const uint8_t (*v4)[4], unsigned n)
{
	if (n > IP_DNS_MAX)
		return -EINVAL;
	mutex_lock(&ip_lock);
	for (unsigned i = 0; i < IP_DNS_MAX; i++) {
		ip_addr_t a = IPADDR4_INIT(0);

		if (i < n)
			memcpy(&ip_2_ip4(&a)->addr, v4[i], 4);
		dns_setserver((u8_t)i, &a);
	}
	mutex_unlock(&ip_lock);
	return 0;
}

static void uplink_changed(void)
{
	store_release(&team_changed, true);
	ip_wake();
}

void vmknic_init(void)
{
	spin_init(&ring_lock, "ip-ring", RANK_NET);
	team_notify = uplink_changed;
}
