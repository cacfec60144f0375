// SPDX-License-Identifier: Apache-2.0
/*
 * Virtual standard switches, their port groups and uplinks, and capture (vmkernel/net/). A switch
 * forwards by the MACs of its own ports: what it does not know goes to the uplink, and what comes
 * from the uplink for nobody is dropped. Configuration calls are for worlds and may sleep; names
 * are unique and < 64 bytes.
 */
#ifndef VMK_VSWITCH_H
#define VMK_VSWITCH_H
#include "vmk/port.h"

struct waitq;

enum {
	NET_NAME_MAX = 64,
	VSWITCHES_MAX = 64,
	VSWITCH_UPLINKS_MAX = 8,
	VLAN_NONE = 0,
	VLAN_TRUNK = 4095
};

struct net_policy {
	bool promiscuous;  /* ports may see everything of their VLAN */
	bool mac_changes;  /* a port with another MAC than it was made with receives */
	bool forged;       /* a port may send from another MAC than its current one */
	bool inherited[3]; /* a port group: which of them come from its switch */
};

/*
 * vSwitch0 with all uplinks, "VM Network", "Management Network": the configuration of a fresh host.
 */
void net_init(void);

/* 0, -EEXIST, -ENOENT, -EBUSY (something is still connected), -EINVAL, -ENOSPC, -ENOMEM. */
int __must_check vswitch_add(const char *name, unsigned ports, unsigned mtu);
int __must_check vswitch_remove(const char *name);
int __must_check vswitch_set(const char *name, unsigned mtu);
int __must_check vswitch_policy_set(const char *name, const struct net_policy *p);
/*
 * An uplink may be named before it exists; the first one in order whose link is up carries the
 * traffic.
 */
int __must_check vswitch_uplink_add(const char *name, const char *uplink);
int __must_check vswitch_uplink_remove(const char *name, const char *uplink);
int __must_check portgroup_add(const char *vswitch, const char *name);
int __must_check portgroup_remove(const char *vswitch, const char *name);
int __must_check portgroup_set_vlan(const char *name, unsigned vlan);
int __must_check portgroup_policy_set(const char *name, const struct net_policy *p);

/*
 * Frames that pass a port ("port:ID") or an uplink (its name), as a pcap stream in a ring with one
 * reader. snap: bytes kept of a frame, 0 all. What the reader is too slow for is dropped and
 * counted. start and stop: worlds. -ENOENT: no such port or uplink.
 */
struct capture;
int __must_check capture_start(const char *what, unsigned snap, struct capture **out);
void capture_stop(struct capture *c);
/* The oldest bytes that lie in one piece, 0 when there are none; consume gives their room back. */
size_t capture_peek(struct capture *c, const uint8_t **data);
void capture_consume(struct capture *c, size_t n);
bool capture_live(const struct capture *c); /* false: its port or uplink is gone */
/* Woken when bytes come and when the port or uplink goes. */
struct waitq *capture_waitq(struct capture *c);
#endif
