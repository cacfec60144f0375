// SPDX-License-Identifier: Apache-2.0
/* Control of the virtual network: NICs, switches, port groups, ports, capture. */
#include "abi/net.h"
#include "ctl/capture_file.h"
#include "ctl/page.h"
#include "net/net.h"
#include "vmk/driver.h"
#include "vmk/string.h"

static bool named(const char *name, size_t size)
{
	size_t n = strnlen(name, size);

	return n > 0 && n < size;
}

static void add_nic(struct uplink *u, void *arg)
{
	struct ctl_nic *n = page_next(arg);

	if (!n)
		return;
	str_copy(n->name, u->name, sizeof(n->name));
	str_copy(n->driver, u->driver ? u->driver : "", sizeof(n->driver));
	/* A NIC of a test or of software has no device. */
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
	n->counters = u->stats;
	n->rx_errors = u->errors.rx;
	n->rx_length_errors = u->errors.rx_length;
	n->rx_crc_errors = u->errors.rx_crc;
	n->rx_no_buffer = u->errors.rx_no_buffer;
	n->tx_errors = u->errors.tx;
}

CTL_LIST(CTL_NET_NICS, net_nics, struct ctl_net_nics, nic)
{
	uplink_for_each(add_nic, page);
}

static struct ctl_net_policy policy_out(const struct net_policy *p)
{
	return (struct ctl_net_policy){
		p->promiscuous,  p->mac_changes,  p->forged, p->inherited[0],
		p->inherited[1], p->inherited[2], { 0 }
	};
}

CTL_LIST(CTL_NET_VSWITCHES, net_vswitches, struct ctl_net_vswitches, vswitch)
{
	struct vswitch *vs;

	mutex_lock(&net_config);
	list_for_each(vs, &vswitches, link) {
		struct ctl_vswitch *v = page_next(page);

		if (!v)
			continue;
		str_copy(v->name, vs->name, sizeof(v->name));
		v->ports_max = vs->ports_max;
		v->ports = vs->ports;
		v->mtu = vs->mtu;
		v->uplinks = vs->uplinks;
		/*
		 * Configured names, whether the NIC is there or not; `active` is what carries the
		 * traffic.
		 */
		for (unsigned i = 0; i < vs->uplinks; i++)
			str_copy(v->uplink[i], vs->uplink[i].name, sizeof(v->uplink[i]));
		if (vs->active)
			str_copy(v->active, vs->active->name, sizeof(v->active));
		v->policy = policy_out(&vs->policy);
	}
	mutex_unlock(&net_config);
}

CTL_LIST(CTL_NET_PORTGROUPS, net_portgroups, struct ctl_net_portgroups, portgroup)
{
	struct vswitch *vs;
	struct portgroup *g;

	mutex_lock(&net_config);
	list_for_each(vs, &vswitches, link)
		list_for_each(g, &vs->groups, link) {
			struct ctl_portgroup *o = page_next(page);

			if (!o)
				continue;
			str_copy(o->name, g->name, sizeof(o->name));
			str_copy(o->vswitch, vs->name, sizeof(o->vswitch));
			o->vlan = g->vlan;
			o->clients = g->ports;
			o->policy = policy_out(&g->own);
		}
	mutex_unlock(&net_config);
}

CTL_LIST(CTL_NET_PORTS, net_ports, struct ctl_net_ports, port)
{
	struct port *t;

	/* Ports come, go and change group under this lock. */
	mutex_lock(&net_config);
	list_for_each(t, &ports, link) {
		struct ctl_port *o = page_next(page);

		if (!o)
			continue;
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
		port_stats_get(t, &o->counters);
	}
	mutex_unlock(&net_config);
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
	/* Inheritance means nothing for a switch, whose own values are taken as they are. */
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
