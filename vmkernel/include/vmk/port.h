// SPDX-License-Identifier: Apache-2.0
/*
 * Ports of a virtual switch: where a guest's NIC model or a vmk NIC plugs in (vmkernel/net/). A
 * port belongs to a port group, which gives it VLAN and policy. Sending may happen in any context,
 * below RANK_NET. Delivery is queued: it runs in a bottom half with no lock held, one packet of a
 * port at a time and in order, so a client may take its own locks and may send from within it.
 * Whatever the port's caps leave out (checksum, segmentation, tags) is done before delivery.
 */
#ifndef VMK_PORT_H
#define VMK_PORT_H
#include "vmk/pkt.h"

struct port;

/* The first five equal enum uplink_caps: what a client takes in unfinished form. */
enum port_caps {
	PORT_CSUM = UPLINK_TX_CSUM, /* PKT_CSUM_PARTIAL */
	/* PKT_TSO4: more than the MTU in one packet; with PORT_CSUM only */
	PORT_TSO4 = UPLINK_TSO4,
	PORT_TSO6 = UPLINK_TSO6,
	PORT_VLAN = UPLINK_VLAN, /* on a trunk: the tag as PKT_VLAN instead of in the frame */
	/*
	 * The client can change a packet's bytes while we hold it (guest memory): headers are
	 * copied before they are judged, the payload is not.
	 */
	PORT_VOLATILE = 1 << 8,
};

struct port_ops {
	/*
	 * Takes the packet, which others may share: sg, bytes and metadata are read only. PKT_VLAN
	 * means something on a trunk with PORT_VLAN only. 0, or -ENOBUFS (no room: dropped and
	 * counted, pkt_done was called by the client all the same).
	 */
	int (*deliver)(void *arg, struct pkt *p);
	/* After one or more deliver: raise the interrupt now. May be NULL. */
	void (*flush)(void *arg);
	/* port_link_up() changed; in the context of port_set_connected. May be NULL. */
	void (*link_changed)(void *arg, bool up);
};

struct port_attr {
	const char *client; /* the VM's or vmk NIC's name, for people */
	uint32_t world;     /* id of the client's world group leader, 0 for the vmkernel's own */
	const char *group;  /* name of the port group */
	uint8_t mac[ETH_ALEN];
	uint32_t caps; /* enum port_caps */
	const struct port_ops *ops;
	void *arg;
};

/* Worlds only. 0, -ENOENT (no such group), -EINVAL (MAC is zero or multicast), -ENOSPC, -ENOMEM. */
int __must_check port_open(const struct port_attr *attr, struct port **out);
/* When it returns, no op runs and none will. A world, no locks. */
void port_close(struct port *p);
/*
 * Takes the packet (pkt_done is called when it went wherever it goes). flags, checksum and GSO
 * fields are set.
 */
void port_send(struct port *p, struct pkt *pkt);

/* The guest's own wishes; policy decides whether they have effect. Any context below RANK_NET. */
void port_set_mac(struct port *p, const uint8_t mac[ETH_ALEN]);
void port_set_promisc(struct port *p, bool on);
void port_set_caps(struct port *p,
                   uint32_t caps); /* offloads as negotiated by the guest's driver */
/* Whether frames may flow; a guest's cable that is pulled. Starts connected. */
void port_set_connected(struct port *p, bool on);
/* Connected (an uplink is not needed: guests talk to each other without). */
bool port_link_up(const struct port *p);
unsigned port_mtu(const struct port *p); /* of its switch */
uint32_t port_id(const struct port *p);
/* From the client's side: rx is what it was given, tx what it sent. */
void port_stats_get(const struct port *p, struct ctl_net_counters *s);
#endif
