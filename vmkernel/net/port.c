// SPDX-License-Identifier: Apache-2.0
/* Ports: their life, their place in the forwarding tables, and sending. Contract: vmk/port.h. */
#include "net.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"

#define LOG_MODULE "net"

STAT(bad_length, "net.drop.length", "frames shorter than a header or longer than the MTU");
STAT(bad_offload, "net.drop.offload", "frames whose checksum or segmentation request is not valid");
STAT(forged, "net.drop.forged", "frames refused because of their source MAC (forged transmits)");
STAT(no_memory, "net.drop.memory", "frames dropped because memory was short");

struct list ports = LIST_INIT(ports);
static uint32_t last_id = 0x2000000; /* as ESXi counts: never 0, never used again */

static unsigned bucket(const uint8_t mac[ETH_ALEN])
{
	/* The low bytes differ between NICs of one vendor. */
	uint32_t low = (uint32_t)mac[3] << 16 | mac[4] << 8 | mac[5];

	return (low * 0x9e3779b1u ^ mac[2]) >> 24 & (MAC_BUCKETS - 1);
}

static bool mac_is_unicast(const uint8_t mac[ETH_ALEN])
{
	static const uint8_t zero[ETH_ALEN];

	return !(mac[0] & 1) && memcmp(mac, zero, ETH_ALEN) != 0;
}

struct port *port_lookup(const struct vswitch *vs, const uint8_t mac[ETH_ALEN],
                         const struct pkt *pkt)
{
	struct port *p = load_acquire(&vs->by_mac[bucket(mac)]);

	while (p && (!mac_same(p->mac, mac) || (pkt && !vlan_admits(p->vlan, pkt))))
		p = load_acquire(&p->mac_next);
	return p;
}

/* vs->lock is held. Readers that walk a chain while a port moves may miss others, never loop. */
static void unhash(struct port *p)
{
	struct port **at = &p->vs->by_mac[bucket(p->mac)];

	while (*at != p)
		at = &(*at)->mac_next;
	/* p keeps its own mac_next: a reader that stands on p goes on from there. */
	store_release(at, p->mac_next);
	p->hashed = false;
}

static void hash(struct port *p)
{
	struct port **at = &p->vs->by_mac[bucket(p->mac)];

	p->mac_next = *at;
	/* Release: a reader that finds p sees its MAC and VLAN. */
	store_release(at, p);
	p->hashed = true;
}

static void refresh_locked(struct port *p)
{
	const struct net_policy *pol = &p->group->policy;
	bool same_mac = mac_same(p->mac, p->initial_mac);

	/*
	 * Another MAC than the configured one takes part only where the policy lets it (MAC
	 * changes).
	 */
	p->receives = p->connected && (same_mac || pol->mac_changes);
	bool promisc = p->receives && p->wants_promisc && pol->promiscuous;

	p->vs->promiscuous += promisc - p->promisc;
	p->promisc = promisc;
	p->vlan = p->group->vlan;
	p->forged_ok = pol->forged;
	/* A guest that may not change its address cannot make another's its own by setting it. */
	memcpy(p->source, pol->mac_changes ? p->mac : p->initial_mac, ETH_ALEN);
	if (p->receives && !p->hashed)
		hash(p);
	else if (!p->receives && p->hashed)
		unhash(p);
}

void port_refresh(struct port *p)
{
	uint64_t flags = spin_lock_irq(&p->vs->lock);

	refresh_locked(p);
	spin_unlock_irq(&p->vs->lock, flags);
}

int port_open(const struct port_attr *a, struct port **out)
{
	if (!mac_is_unicast(a->mac))
		return -EINVAL;
	struct port *p = kzalloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->queue = kcalloc(PORT_QUEUE, sizeof(p->queue[0]));
	if (!p->queue) {
		kfree(p);
		return -ENOMEM;
	}
	mutex_lock(&net_config);
	struct portgroup *g = portgroup_find(a->group);
	int err = !g ? -ENOENT : g->vs->ports >= g->vs->ports_max ? -ENOSPC : 0;

	if (err) {
		mutex_unlock(&net_config);
		kfree(p->queue);
		kfree(p);
		return err;
	}
	p->group = g;
	p->vs = g->vs;
	p->id = ++last_id;
	p->caps = a->caps;
	p->world = a->world;
	p->ops = a->ops;
	p->arg = a->arg;
	p->connected = true;
	memcpy(p->mac, a->mac, ETH_ALEN);
	memcpy(p->initial_mac, a->mac, ETH_ALEN);
	str_copy(p->client, a->client, sizeof(p->client));
	spin_init(&p->lock, "port", RANK_NET);
	waitq_init(&p->idle, "port");
	g->ports++;
	g->vs->ports++;
	list_push_back(&ports, &p->link);
	/* Set before the port can be found: from then on the client may be called with it. */
	*out = p;
	uint64_t flags = spin_lock_irq(&p->vs->lock);

	refresh_locked(p);
	p->next = p->vs->all;
	store_release(&p->vs->all, p);
	spin_unlock_irq(&p->vs->lock, flags);
	mutex_unlock(&net_config);
	log_info("port %u: %s on %s, MAC %02x:%02x:%02x:%02x:%02x:%02x", p->id, p->client, g->name,
	         p->mac[0], p->mac[1], p->mac[2], p->mac[3], p->mac[4], p->mac[5]);
	return 0;
}

void port_close(struct port *p)
{
	struct vswitch *vs = p->vs;

	mutex_lock(&net_config);
	uint64_t flags = spin_lock_irq(&vs->lock);

	p->connected = false;
	/* Disconnected ports are in no MAC chain: nothing new is delivered by address. */
	refresh_locked(p);
	struct port **at = &vs->all;

	while (*at != p)
		at = &(*at)->next;
	store_release(at, p->next);
	spin_unlock_irq(&vs->lock, flags);
	list_remove(&p->link);
	p->group->ports--;
	vs->ports--;
	capture_forget(p);
	mutex_unlock(&net_config);
	/*
	 * First wait for those who may still find it, then for what they queued; then nobody has
	 * it.
	 */
	net_synchronize();
	port_drain(p);
	kfree(p->queue);
	kfree(p);
}

/* The frame's headers as the client meant them, where the client cannot change them, or NULL. */
static struct pkt *take_in(struct port *p, struct pkt *pkt)
{
	bool gso = pkt->flags & (PKT_TSO4 | PKT_TSO6);

	if (pkt->len < ETH_HLEN || pkt->len > PKT_LEN_MAX ||
	    (!gso && pkt->len > p->vs->mtu + ETH_HLEN + 4u)) {
		stat_inc(bad_length);
		goto drop;
	}
	/*
	 * A guest may change its buffers while we look: the headers that are judged are the ones
	 * that are sent.
	 */
	if (p->caps & PORT_VOLATILE) {
		unsigned head = MIN(pkt->len, (uint32_t)PKT_HEAD_MAX);
		struct pkt *own = pkt_split(pkt, head, head, pkt->len - head);

		if (!own) {
			stat_inc(no_memory);
			goto drop;
		}
		pkt_done(pkt);
		pkt = own;
	}
	/* The client does not say what kind of destination it is: port_send looks itself. */
	pkt->flags &= ~(PKT_BROADCAST | PKT_MULTICAST);
	pkt = vlan_ingress(pkt, p->vlan);
	/* A segment with its headers is a frame like any other: the MTU holds for it. */
	if (pkt && (!offload_check(pkt) ||
	            (gso && pkt->hdr_len + pkt->gso_size > p->vs->mtu + (unsigned)ETH_HLEN))) {
		stat_inc(bad_offload);
		goto drop;
	}
	return pkt;
drop:
	pkt_done(pkt);
	return NULL;
}

void port_send(struct port *p, struct pkt *pkt)
{
	uint8_t eth[2 * ETH_ALEN];

	net_enter();
	count(&p->stats.tx_packets, 1);
	count(&p->stats.tx_bytes, pkt->len);
	if (!READ_ONCE(p->connected)) {
		pkt_done(pkt);
		goto dropped;
	}
	pkt = take_in(p, pkt);
	if (!pkt || !pkt_read(pkt, 0, eth, sizeof(eth)))
		goto dropped;
	const uint8_t *src = eth + ETH_ALEN;

	/*
	 * A group address is never a source (802.3); another's only where forged transmits are
	 * allowed.
	 */
	if ((src[0] & 1) || (!p->forged_ok && !mac_same(src, p->source))) {
		stat_inc(forged);
		pkt_done(pkt);
		goto dropped;
	}
	pkt->port = (uint16_t)p->id;
	if (unlikely(p->taps))
		capture_frame(p, pkt, CAPTURE_IN);
	if (eth[0] & 1) {
		static const uint8_t all[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
		bool broadcast = memcmp(eth, all, ETH_ALEN) == 0;

		pkt->flags |= broadcast ? PKT_BROADCAST : PKT_MULTICAST;
		count(broadcast ? &p->stats.tx_broadcast : &p->stats.tx_multicast, 1);
	}
	vswitch_forward(p->vs, p, pkt, eth);
	net_leave();
	return;
dropped:
	count(&p->stats.tx_dropped, 1);
	net_leave();
}

void port_set_mac(struct port *p, const uint8_t mac[ETH_ALEN])
{
	if (!mac_is_unicast(mac))
		return;
	uint64_t flags = spin_lock_irq(&p->vs->lock);

	if (p->hashed)
		unhash(p);
	memcpy(p->mac, mac, ETH_ALEN);
	refresh_locked(p);
	spin_unlock_irq(&p->vs->lock, flags);
}

void port_set_promisc(struct port *p, bool on)
{
	p->wants_promisc = on;
	port_refresh(p);
}

void port_set_caps(struct port *p, uint32_t caps)
{
	WRITE_ONCE(p->caps, caps);
}

void port_set_connected(struct port *p, bool on)
{
	p->connected = on;
	port_refresh(p);
	if (p->ops->link_changed)
		p->ops->link_changed(p->arg, on);
}

bool port_link_up(const struct port *p)
{
	return READ_ONCE(p->connected);
}

unsigned port_mtu(const struct port *p)
{
	return p->vs->mtu;
}

uint32_t port_id(const struct port *p)
{
	return p->id;
}

void port_stats_get(const struct port *p, struct ctl_net_counters *s)
{
	*s = p->stats;
}

struct port *port_find(uint32_t id)
{
	struct port *p;

	list_for_each(p, &ports, link)
		if (p->id == id)
			return p;
	return NULL;
}
