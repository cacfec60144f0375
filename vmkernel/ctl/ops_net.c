// SPDX-License-Identifier: Apache-2.0
/* Control of the virtual network: NICs, switches, port groups, ports, capture. */
#include "abi/net.h"
#include "ctl/capture_file.h"
#include "net/net.h"
#include "vmk/ctl.h"
#include "vmk/driver.h"
#include "vmk/string.h"

/* Collects one page of a list: entries before `first` are only counted. */
struct pager {
	struct ctl_page *page;
	uint32_t first, room;
	void *entries;
	size_t size;
};

static struct pager pager(struct ctl_call *c, void *entries, size_t size, uint32_t room)
{
	const struct ctl_page_req *req = c->req;

	return (struct pager){ c->reply, req->first, room, entries, size };
}

static void *next(struct pager *p)
{
	uint32_t at = p->page->total++;

	if (at < p->first || p->page->count == p->room)
		return NULL;
	return (char *)p->entries + p->size * p->page->count++;
}

#define PAGED(op, id, reply_type, member)                                                          \
	static void fill_##id(struct pager *p);                                                    \
	CTL_OP(op, id, sizeof(struct ctl_page_req), sizeof(struct reply_type), CTL_READ)           \
	{                                                                                          \
		struct reply_type *r = c->reply;                                                   \
		STATIC_ASSERT(sizeof(*r) <= CTL_PAYLOAD_MAX);                                      \
		struct pager p = pager(c, r->member, sizeof(r->member[0]), ARRAY_SIZE(r->member)); \
		mutex_lock(&net_config);                                                           \
		fill_##id(&p);                                                                     \
		mutex_unlock(&net_config);                                                         \
		return 0;                                                                          \
	}                                                                                          \
	static void fill_##id(struct pager *p)

static bool named(const char *name, size_t size)
{
	size_t n = strnlen(name, size);

	return n > 0 && n < size;
}

static void add_nic(struct uplink *u, void *arg)
{
	struct ctl_nic *n = next(arg);

	if (!n)
		return;
	const struct uplink_stats *s = &u->stats;

	str_copy(n->name, u->name, sizeof(n->name));
	str_copy(n->driver, u->driver ? u->driver : "", sizeof(n->driver));
	if (u->device) {
		str_copy(n->pci, u->device->name, sizeof(n->pci));
		if (u->device->match)
			str_copy(n->desc, u->device->match->name, sizeof(n->desc));
	}
	memcpy(n->mac, u->mac, sizeof(n->mac));
	n->admin_up = u->admin_up;
	n->link_up = u->link_up;
	n->full_duplex = u->full_duplex;
	n->speed_mbps = u->speed_mbps;
	n->mtu = u->mtu;
	n->caps = u->caps;
	n->counters = (struct ctl_net_counters){
		s->rx_packets, s->rx_bytes, s->rx_multicast, s->rx_broadcast, s->rx_dropped,
		s->tx_packets, s->tx_bytes, s->tx_multicast, s->tx_broadcast, s->tx_dropped,
	};
	n->rx_errors = s->rx_errors;
	n->rx_length_errors = s->rx_length_errors;
	n->rx_crc_errors = s->rx_crc_errors;
	n->rx_no_buffer = s->rx_no_buffer;
	n->tx_errors = s->tx_errors;
}

PAGED(CTL_NET_NICS, net_nics, ctl_net_nics, nic)
{
	uplink_for_each(add_nic, p);
}

static struct ctl_net_policy policy_out(const struct net_policy *p)
{
	return (struct ctl_net_policy){
		p->promiscuous,  p->mac_changes,  p->forged, p->inherited[0],
		p->inherited[1], p->inherited[2], { 0 }
	};
}

PAGED(CTL_NET_VSWITCHES, net_vswitches, ctl_net_vswitches, vswitch)
{
	struct vswitch *vs;

	list_for_each(vs, &vswitches, link) {
		struct ctl_vswitch *v = next(p);

		if (!v)
			continue;
		str_copy(v->name, vs->name, sizeof(v->name));
		v->ports_max = vs->ports_max;
		v->ports = vs->ports;
		v->mtu = vs->mtu;
		v->uplinks = vs->uplinks;
		for (unsigned i = 0; i < vs->uplinks; i++)
			str_copy(v->uplink[i], vs->uplink[i].name, sizeof(v->uplink[i]));
		if (vs->active)
			str_copy(v->active, vs->active->name, sizeof(v->active));
		v->policy = policy_out(&vs->policy);
	}
}

PAGED(CTL_NET_PORTGROUPS, net_portgroups, ctl_net_portgroups, portgroup)
{
	struct vswitch *vs;
	struct portgroup *g;

	list_for_each(vs, &vswitches, link)
		list_for_each(g, &vs->groups, link) {
			struct ctl_portgroup *o = next(p);

			if (!o)
				continue;
			str_copy(o->name, g->name, sizeof(o->name));
			str_copy(o->vswitch, vs->name, sizeof(o->vswitch));
			o->vlan = g->vlan;
			o->clients = g->ports;
			o->policy = policy_out(&g->own);
		}
}

PAGED(CTL_NET_PORTS, net_ports, ctl_net_ports, port)
{
	struct port *t;

	list_for_each(t, &ports, link) {
		struct ctl_port *o = next(p);
		struct port_stats s;

		if (!o)
			continue;
		port_stats_get(t, &s);
		o->id = t->id;
		o->world = t->world;
		str_copy(o->client, t->client, sizeof(o->client));
		str_copy(o->portgroup, t->group->name, sizeof(o->portgroup));
		str_copy(o->vswitch, t->vs->name, sizeof(o->vswitch));
		if (t->vs->active)
			str_copy(o->uplink, t->vs->active->name, sizeof(o->uplink));
		memcpy(o->mac, t->mac, sizeof(o->mac));
		o->connected = t->connected;
		o->promiscuous = t->promisc;
		o->counters = (struct ctl_net_counters){
			s.rx_packets, s.rx_bytes, s.rx_multicast, s.rx_broadcast, s.rx_dropped,
			s.tx_packets, s.tx_bytes, s.tx_multicast, s.tx_broadcast, s.tx_dropped,
		};
	}
}

CTL_OP(CTL_NET_VSWITCH_ADD, net_vswitch_add, sizeof(struct ctl_net_vswitch_set), 0, CTL_ADMIN)
{
	const struct ctl_net_vswitch_set *r = c->req;

	return named(r->name, sizeof(r->name)) ? vswitch_add(r->name, r->ports_max, r->mtu)
	                                       : -EINVAL;
}

CTL_OP(CTL_NET_VSWITCH_REMOVE, net_vswitch_remove, sizeof(struct ctl_net_name), 0, CTL_ADMIN)
{
	const struct ctl_net_name *r = c->req;

	return named(r->name, sizeof(r->name)) ? vswitch_remove(r->name) : -EINVAL;
}

CTL_OP(CTL_NET_VSWITCH_SET, net_vswitch_set, sizeof(struct ctl_net_vswitch_set), 0, CTL_ADMIN)
{
	const struct ctl_net_vswitch_set *r = c->req;

	return named(r->name, sizeof(r->name)) ? vswitch_set(r->name, r->mtu) : -EINVAL;
}

/* fn(switch, member) of a request that names both. */
static int on_member(struct ctl_call *c, int (*fn)(const char *vswitch, const char *name))
{
	const struct ctl_net_member *r = c->req;

	if (!named(r->vswitch, sizeof(r->vswitch)) || !named(r->name, sizeof(r->name)))
		return -EINVAL;
	return fn(r->vswitch, r->name);
}

CTL_OP(CTL_NET_UPLINK_ADD, net_uplink_add, sizeof(struct ctl_net_member), 0, CTL_ADMIN)
{
	return on_member(c, vswitch_uplink_add);
}

CTL_OP(CTL_NET_UPLINK_REMOVE, net_uplink_remove, sizeof(struct ctl_net_member), 0, CTL_ADMIN)
{
	return on_member(c, vswitch_uplink_remove);
}

CTL_OP(CTL_NET_PORTGROUP_ADD, net_portgroup_add, sizeof(struct ctl_net_member), 0, CTL_ADMIN)
{
	return on_member(c, portgroup_add);
}

CTL_OP(CTL_NET_PORTGROUP_REMOVE, net_portgroup_remove, sizeof(struct ctl_net_member), 0, CTL_ADMIN)
{
	return on_member(c, portgroup_remove);
}

CTL_OP(CTL_NET_PORTGROUP_VLAN, net_portgroup_vlan, sizeof(struct ctl_net_vlan), 0, CTL_ADMIN)
{
	const struct ctl_net_vlan *r = c->req;

	return named(r->name, sizeof(r->name)) ? portgroup_set_vlan(r->name, r->vlan) : -EINVAL;
}

CTL_OP(CTL_NET_POLICY, net_policy, sizeof(struct ctl_net_policy_set), 0, CTL_ADMIN)
{
	const struct ctl_net_policy_set *r = c->req;
	const struct ctl_net_policy *p = &r->policy;
	const struct net_policy pol = {
		p->promiscuous,
		p->mac_changes,
		p->forged,
		{ p->inherit_promiscuous, p->inherit_mac_changes, p->inherit_forged },
	};

	if (!named(r->name, sizeof(r->name)))
		return -EINVAL;
	return r->portgroup ? portgroup_policy_set(r->name, &pol)
	                    : vswitch_policy_set(r->name, &pol);
}

CTL_OP(CTL_NET_CAPTURE, net_capture, sizeof(struct ctl_net_capture), 0, CTL_ADMIN)
{
	const struct ctl_net_capture *r = c->req;
	int err = named(r->what, sizeof(r->what)) ? capture_file(r->what, r->snap, &c->fds[0])
	                                          : -EINVAL;

	if (!err)
		c->nfds = 1;
	return err;
}
