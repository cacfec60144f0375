// SPDX-License-Identifier: Apache-2.0
/*
 * Forwarding: where a frame that entered a switch goes. Runs between net_enter and net_leave, takes
 * no lock of a switch.
 */
#include "net.h"
#include "vmk/errno.h"
#include "vmk/stat.h"
#include "vmk/string.h"

STAT(oversize, "net.drop.oversize", "frames longer than the MTU of the switch");
STAT(nowhere, "net.drop.nowhere", "frames from the uplink for no port of ours");
STAT(no_uplink, "net.drop.no_uplink", "frames for the outside while no uplink had a link");
STAT(standby, "net.drop.standby", "frames received on an uplink that is not the active one");
STAT(reflected, "net.drop.reflected", "frames that came back from the outside");
STAT(rx_invalid, "net.drop.rx_invalid", "received frames with a bad length or offload request");
STAT(tx_busy, "net.uplink.tx_busy", "packets dropped because an uplink's ring was full");

static int xmit(void *arg, struct pkt *p)
{
	struct uplink *u = arg;
	/* A port keeps to one queue, so its packets stay in order. */
	int err = u->ops->xmit(u, p->port % MAX(u->tx_queues, 1u), p);

	if (err) {
		stat_inc(tx_busy);
		pkt_done(p);
	}
	return err;
}

static void to_uplink(struct vswitch *vs, struct pkt *p)
{
	struct uplink *u = load_acquire(&vs->active);

	if (!u) {
		stat_inc(no_uplink);
		return;
	}
	if (!(p->flags & (PKT_TSO4 | PKT_TSO6)) && p->len > u->mtu + (unsigned)ETH_HLEN) {
		stat_inc(oversize);
		return;
	}
	if (unlikely(READ_ONCE(capture_uplinks)))
		capture_frame(u, p, CAPTURE_OUT);
	/* offload_finish consumes one reference; the caller keeps its own. */
	pkt_get(p);
	offload_finish(p, u->caps, true, xmit, u);
}

/*
 * To every port that may see it besides the sender and `not`; promisc_only: not to those it is
 * addressed to.
 */
static void flood(struct vswitch *vs, const struct port *src, const struct port *except,
                  struct pkt *p, bool promisc_only)
{
	for (struct port *t = load_acquire(&vs->all); t; t = load_acquire(&t->next))
		if (t != src && t != except && t->receives && (!promisc_only || t->promisc) &&
		    vlan_admits(t->vlan, p))
			port_enqueue(t, p);
}

void vswitch_forward(struct vswitch *vs, struct port *src, struct pkt *p,
                     const uint8_t eth[2 * ETH_ALEN])
{
	/* Group addresses go to all ports and outside; what came from outside does not go back. */
	if (eth[0] & 1) {
		flood(vs, src, NULL, p, false);
		if (src)
			to_uplink(vs, p);
		pkt_done(p);
		return;
	}
	struct port *dst = port_lookup(vs, eth, p);

	/* A client that sends to itself hears nothing, as on a wire. */
	if (dst && dst != src)
		port_enqueue(dst, p);
	if (unlikely(READ_ONCE(vs->promiscuous)))
		flood(vs, src, dst, p, true);
	if (!dst && src)
		to_uplink(vs, p);
	else if (!dst)
		stat_inc(nowhere);
	pkt_done(p);
}

void vswitch_receive(struct uplink *u, struct pkt *p)
{
	uint8_t eth[2 * ETH_ALEN];

	net_enter();
	struct vswitch *vs = load_acquire((struct vswitch **)&u->owner);

	if (unlikely(READ_ONCE(capture_uplinks)))
		capture_frame(u, p, CAPTURE_IN);
	/* Standby uplinks see copies of what the active one delivers. */
	if (!vs || u != load_acquire(&vs->active)) {
		stat_inc(standby);
		goto drop;
	}
	p->port = 0;
	p->flags &= (uint16_t) ~(PKT_BROADCAST | PKT_MULTICAST);
	/* The NIC's driver is not trusted with lengths: headers are read below. */
	if (p->len < ETH_HLEN || p->len > PKT_LEN_MAX || !offload_check(p)) {
		stat_inc(rx_invalid);
		goto drop;
	}
	p = vlan_ingress(p, VLAN_TRUNK);
	if (!p || !pkt_read(p, 0, eth, sizeof(eth)))
		goto out;
	/* Another uplink of ours, or a loop outside, gave back what we sent. */
	if ((eth[ETH_ALEN] & 1) || port_lookup(vs, eth + ETH_ALEN, NULL)) {
		stat_inc(reflected);
		goto drop;
	}
	if (eth[0] & 1) {
		static const uint8_t all[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

		p->flags |= memcmp(eth, all, ETH_ALEN) == 0 ? PKT_BROADCAST : PKT_MULTICAST;
	}
	vswitch_forward(vs, NULL, p, eth);
	goto out;
drop:
	pkt_done(p);
out:
	net_leave();
}
