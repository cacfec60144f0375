// SPDX-License-Identifier: Apache-2.0
/*
 * Uplinks of a switch: the first in order that has a link carries all traffic, the others stand by.
 * Links change in a driver's context; a work world then chooses anew under net_config.
 */
#include "net.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/string.h"
#include "vmk/work.h"

#define LOG_MODULE "net"

static struct work rechoose;
void (*team_notify)(void);
static bool started, take_all; /* the fresh host's vSwitch0 takes every NIC that appears */

static void link_changed(struct uplink *u)
{
	(void)u;
	work_queue(&rechoose);
}

/* Chooses anew which uplink carries the traffic. net_config is held. */
static void team_update(struct vswitch *vs)
{
	struct uplink *best = NULL;

	for (unsigned i = 0; i < vs->uplinks && !best; i++) {
		struct uplink *u = vs->uplink[i].nic;

		if (u && u->admin_up && READ_ONCE(u->link_up))
			best = u;
	}
	if (best == vs->active)
		return;
	log_info("%s: uplink %s", vs->name, best ? best->name : "none");
	store_release(&vs->active, best);
	/* After it no CPU still sends through the old uplink. */
	net_synchronize();
	if (best && team_notify)
		/*
		 * The vmk NICs announce their addresses, so that the outside learns the new path.
		 */
		team_notify();
}

static void rechoose_all(struct work *w)
{
	(void)w;
	struct vswitch *vs;

	mutex_lock(&net_config);
	list_for_each(vs, &vswitches, link)
		team_update(vs);
	mutex_unlock(&net_config);
}

int team_claim(struct vswitch *vs, unsigned slot)
{
	struct uplink *u = uplink_find(vs->uplink[slot].name);

	if (!u)
		return 0; /* it may come later */
	if (u->owner)
		return -EBUSY;
	store_release(&u->owner, (void *)vs);
	u->rx = vswitch_receive;
	u->link_changed = link_changed;
	vs->uplink[slot].nic = u;
	/* Guests' MACs are not the NIC's: it must let everything pass. */
	int err = u->ops->set_mode ? u->ops->set_mode(u, true, true) : 0;

	if (!err && u->ops->set_mtu && u->mtu != vs->mtu)
		err = vs->mtu > u->mtu_max ? -EINVAL : u->ops->set_mtu(u, vs->mtu);
	if (!err)
		err = u->ops->set_up(u, true);
	if (err)
		log_warn("%s: cannot set up for %s: error %d", u->name, vs->name, -err);
	else
		u->admin_up = true;
	team_update(vs);
	return 0;
}

void team_release(struct vswitch *vs, unsigned slot)
{
	struct uplink *u = vs->uplink[slot].nic;

	if (!u)
		return;
	vs->uplink[slot].nic = NULL;
	u->admin_up = false;
	/* The standby takes over before the NIC goes down. */
	team_update(vs);
	(void)u->ops->set_up(u, false); /* a NIC that went away cannot answer, and need not */
	store_release(&u->owner, NULL);
	/* Receivers that saw the owner are done after this. */
	net_synchronize();
}

void team_take_all(bool on)
{
	take_all = on;
}

/*
 * A NIC has its name: the switch that names it takes over rx, link_changed and owner, and sets it
 * up.
 */
static void nic_added(struct uplink *u)
{
	struct vswitch *vs;

	if (!started)
		return; /* team_init() looks at all that are there by then */
	mutex_lock(&net_config);
	/* A switch that names it has the first claim. */
	list_for_each(vs, &vswitches, link)
		for (unsigned i = 0; i < vs->uplinks; i++)
			if (strcmp(vs->uplink[i].name, u->name) == 0 && !vs->uplink[i].nic)
				(void)team_claim(vs, i);
	vs = list_first(&vswitches, struct vswitch, link);
	if (!u->owner && take_all && vs && vs->uplinks < VSWITCH_UPLINKS_MAX) {
		str_copy(vs->uplink[vs->uplinks].name, u->name, sizeof(vs->uplink[0].name));
		(void)team_claim(vs, vs->uplinks++);
	}
	mutex_unlock(&net_config);
}

/* The NIC goes: when this returns, no xmit of ours runs. */
static void nic_removed(struct uplink *u)
{
	if (!started)
		return;
	mutex_lock(&net_config);
	struct vswitch *vs = u->owner;

	for (unsigned i = 0; vs && i < vs->uplinks; i++)
		if (vs->uplink[i].nic == u)
			team_release(vs, i);
	capture_forget(u);
	mutex_unlock(&net_config);
	net_synchronize();
}

static void claim_present(struct uplink *u, void *arg)
{
	(void)arg;
	nic_added(u);
}

void team_init(void)
{
	work_init(&rechoose, rechoose_all);
	started = true;
	uplink_watch(nic_added, nic_removed);
	uplink_for_each(claim_present, NULL);
}
