// SPDX-License-Identifier: Apache-2.0
/*
 * Switches and port groups: made, changed, removed. Contract: vmk/vswitch.h. net_config guards all
 * lists here.
 */
#include "net.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"

#define LOG_MODULE "net"

struct mutex net_config;
struct list vswitches = LIST_INIT(vswitches);

/* As on ESXi: nothing of it is allowed. */
static const struct net_policy strict;

static struct vswitch *vswitch_find(const char *name)
{
	struct vswitch *vs;

	list_for_each(vs, &vswitches, link)
		if (strcmp(vs->name, name) == 0)
			return vs;
	return NULL;
}

struct portgroup *portgroup_find(const char *name)
{
	struct vswitch *vs;
	struct portgroup *g;

	list_for_each(vs, &vswitches, link)
		list_for_each(g, &vs->groups, link)
			if (strcmp(g->name, name) == 0)
				return g;
	return NULL;
}

static bool name_ok(const char *name)
{
	size_t n = strnlen(name, NET_NAME_MAX);

	return n > 0 && n < NET_NAME_MAX;
}

int vswitch_add(const char *name, unsigned ports_max, unsigned mtu)
{
	if (!name_ok(name) || mtu < MTU_MIN || mtu > MTU_MAX || ports_max == 0 ||
	    ports_max > PORTS_MAX)
		return -EINVAL;
	struct vswitch *vs = kzalloc(sizeof(*vs));

	if (!vs)
		return -ENOMEM;
	str_copy(vs->name, name, sizeof(vs->name));
	vs->mtu = mtu;
	vs->ports_max = ports_max;
	vs->policy = strict;
	list_init(&vs->groups);
	spin_init(&vs->lock, "vswitch", RANK_NET);
	mutex_lock(&net_config);
	unsigned n = 0;
	struct vswitch *it;

	list_for_each(it, &vswitches, link)
		n++;
	/*
	 * Counted and inserted under one hold of net_config: the bound holds with several callers.
	 */
	int err = vswitch_find(name) ? -EEXIST : n >= VSWITCHES_MAX ? -ENOSPC : 0;

	if (!err)
		list_push_back(&vswitches, &vs->link);
	mutex_unlock(&net_config);
	if (err)
		kfree(vs);
	return err;
}

int vswitch_remove(const char *name)
{
	mutex_lock(&net_config);
	struct vswitch *vs = vswitch_find(name);
	int err = !vs ? -ENOENT : vs->ports ? -EBUSY : 0;

	if (!err) {
		for (unsigned i = 0; i < vs->uplinks; i++)
			team_release(vs, i);
		struct portgroup *g, *next;

		list_for_each_safe(g, next, &vs->groups, link) {
			list_remove(&g->link);
			kfree(g);
		}
		list_remove(&vs->link);
		/*
		 * A CPU may still be forwarding for it: it found the switch before the uplink was
		 * released.
		 */
		net_synchronize();
		kfree(vs);
	}
	mutex_unlock(&net_config);
	return err;
}

int vswitch_set(const char *name, unsigned mtu)
{
	if (mtu < MTU_MIN || mtu > MTU_MAX)
		return -EINVAL;
	mutex_lock(&net_config);
	struct vswitch *vs = vswitch_find(name);
	int err = vs ? 0 : -ENOENT;

	for (unsigned i = 0; !err && i < vs->uplinks; i++) {
		struct uplink *u = vs->uplink[i].nic;

		if (u && u->mtu != mtu)
			err = !u->ops->set_mtu || mtu > u->mtu_max ? -EINVAL
			                                           : u->ops->set_mtu(u, mtu);
	}
	if (!err)
		WRITE_ONCE(vs->mtu, mtu);
	mutex_unlock(&net_config);
	return err;
}

static void group_refresh(struct portgroup *g)
{
	const struct net_policy *up = &g->vs->policy;

	g->policy.promiscuous = g->own.inherited[0] ? up->promiscuous : g->own.promiscuous;
	g->policy.mac_changes = g->own.inherited[1] ? up->mac_changes : g->own.mac_changes;
	g->policy.forged = g->own.inherited[2] ? up->forged : g->own.forged;
	struct port *p;

	/* Ports carry the outcome themselves, so that forwarding looks at one structure. */
	list_for_each(p, &ports, link)
		if (p->group == g)
			port_refresh(p);
}

int vswitch_policy_set(const char *name, const struct net_policy *pol)
{
	mutex_lock(&net_config);
	struct vswitch *vs = vswitch_find(name);

	if (vs) {
		vs->policy = *pol;
		struct portgroup *g;

		list_for_each(g, &vs->groups, link)
			group_refresh(g);
	}
	mutex_unlock(&net_config);
	return vs ? 0 : -ENOENT;
}

int vswitch_uplink_add(const char *name, const char *uplink)
{
	if (uplink[0] == 0 || strnlen(uplink, 16) == 16)
		return -EINVAL;
	mutex_lock(&net_config);
	struct vswitch *vs = vswitch_find(name), *it;
	int err = !vs ? -ENOENT : vs->uplinks == VSWITCH_UPLINKS_MAX ? -ENOSPC : 0;

	/* A NIC belongs to one switch at most, whether it exists yet or not. */
	list_for_each(it, &vswitches, link)
		for (unsigned i = 0; !err && i < it->uplinks; i++)
			if (strcmp(it->uplink[i].name, uplink) == 0)
				err = it == vs ? -EEXIST : -EBUSY;
	if (!err) {
		unsigned slot = vs->uplinks;

		vs->uplink[slot].nic = NULL;
		str_copy(vs->uplink[slot].name, uplink, sizeof(vs->uplink[slot].name));
		vs->uplinks++;
		/* It counts before it is claimed: team_update looks at all slots of the switch. */
		err = team_claim(vs, slot);
		if (err)
			vs->uplinks--;
	}
	mutex_unlock(&net_config);
	return err;
}

int vswitch_uplink_remove(const char *name, const char *uplink)
{
	mutex_lock(&net_config);
	struct vswitch *vs = vswitch_find(name);
	int err = -ENOENT;

	for (unsigned i = 0; vs && i < vs->uplinks; i++) {
		if (strcmp(vs->uplink[i].name, uplink) != 0)
			continue;
		/* Before the slots move: it waits until no CPU sends through the NIC. */
		team_release(vs, i);
		memmove(&vs->uplink[i], &vs->uplink[i + 1],
		        (vs->uplinks - i - 1) * sizeof(vs->uplink[0]));
		vs->uplinks--;
		/*
		 * Someone has decided which NICs are used: a NIC that appears is no longer taken by
		 * itself.
		 */
		team_take_all(false);
		err = 0;
		break;
	}
	mutex_unlock(&net_config);
	return err;
}

int portgroup_add(const char *vswitch, const char *name)
{
	if (!name_ok(name))
		return -EINVAL;
	struct portgroup *g = kzalloc(sizeof(*g));

	if (!g)
		return -ENOMEM;
	str_copy(g->name, name, sizeof(g->name));
	/* As on ESXi a fresh group has no policy of its own. */
	g->own = (struct net_policy){ .inherited = { true, true, true } };
	mutex_lock(&net_config);
	struct vswitch *vs = vswitch_find(vswitch);
	int err = !vs ? -ENOENT : portgroup_find(name) ? -EEXIST : 0;

	if (!err) {
		g->vs = vs;
		list_push_back(&vs->groups, &g->link);
		group_refresh(g);
	}
	mutex_unlock(&net_config);
	if (err)
		kfree(g);
	return err;
}

int portgroup_remove(const char *vswitch, const char *name)
{
	mutex_lock(&net_config);
	struct portgroup *g = portgroup_find(name);
	int err = !g || strcmp(g->vs->name, vswitch) != 0 ? -ENOENT : g->ports ? -EBUSY : 0;

	if (!err) {
		list_remove(&g->link);
		/* No port is in it, so forwarding cannot reach it. */
		kfree(g);
	}
	mutex_unlock(&net_config);
	return err;
}

int portgroup_set_vlan(const char *name, unsigned vlan)
{
	if (vlan > VLAN_TRUNK)
		return -EINVAL;
	mutex_lock(&net_config);
	struct portgroup *g = portgroup_find(name);

	if (g) {
		g->vlan = (uint16_t)vlan;
		group_refresh(g);
	}
	mutex_unlock(&net_config);
	return g ? 0 : -ENOENT;
}

int portgroup_policy_set(const char *name, const struct net_policy *pol)
{
	mutex_lock(&net_config);
	struct portgroup *g = portgroup_find(name);

	if (g) {
		g->own = *pol;
		group_refresh(g);
	}
	mutex_unlock(&net_config);
	return g ? 0 : -ENOENT;
}

static void must(int err, const char *what)
{
	if (err)
		log_err("default configuration: %s: error %d", what, -err);
}

void net_init(void)
{
	mutex_init(&net_config, "net-config");
	deliver_init();
	offload_init();
	capture_init();
	must(vswitch_add("vSwitch0", PORTS_DEFAULT, 1500), "vSwitch0");
	must(portgroup_add("vSwitch0", "VM Network"), "VM Network");
	must(portgroup_add("vSwitch0", "Management Network"), "Management Network");
	team_take_all(true);
	team_init();
}
