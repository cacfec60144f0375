// SPDX-License-Identifier: Apache-2.0
/*
 * Inside the virtual switch. Frames are forwarded without a lock, between net_enter and net_leave:
 * whoever takes something out of the tables (a port, an uplink, a group's settings) waits with
 * net_synchronize until no CPU can still see it. net_config serializes configuration; vs->lock
 * guards changes of the forwarding tables.
 */
#ifndef NET_NET_H
#define NET_NET_H
#include "vmk/lock.h"
#include "vmk/vswitch.h"
#include "vmk/wait.h"

enum {
	MAC_BUCKETS = 256,
	PORT_QUEUE = 512, /* packets that wait for a port's bottom half; more are dropped; 2^n */
	PORTS_DEFAULT = 128,
	PORTS_MAX = 4096,
	MTU_MIN = 1280,
	MTU_MAX = 9000,
};

struct portgroup {
	struct list link; /* of vs->groups; net_config */
	struct vswitch *vs;
	char name[NET_NAME_MAX];
	uint16_t vlan;
	struct net_policy own,
		policy; /* as configured; what holds with the switch's for inherited ones */
	unsigned ports;
};

struct vswitch {
	struct list link; /* of vswitches; net_config */
	struct list groups;
	char name[NET_NAME_MAX];
	struct net_policy policy;
	unsigned mtu, ports_max, ports;
	unsigned uplinks;
	struct vswitch_uplink {
		char name[16];
		struct uplink *nic; /* NULL: not there */
	} uplink[VSWITCH_UPLINKS_MAX];
	/* Read without a lock. */
	struct uplink *active; /* first with a link, or NULL */
	struct port *by_mac[MAC_BUCKETS], *all;
	unsigned promiscuous; /* ports that see everything now */
	struct spinlock lock;
};

struct port {
	struct port *mac_next, *next; /* by_mac chain, all */
	struct list link;             /* of ports; net_config */
	struct portgroup *group;
	struct vswitch *vs;
	uint32_t id, caps, world;
	uint8_t mac[ETH_ALEN], initial_mac[ETH_ALEN];
	bool connected, wants_promisc;
	/* What group and policy make of it; changed under vs->lock. */
	uint16_t vlan;
	bool receives, promisc, forged_ok, hashed;
	uint8_t source[ETH_ALEN]; /* the only address it may send from unless forged_ok */
	unsigned taps;            /* captures that watch it */
	char client[NET_NAME_MAX];
	const struct port_ops *ops;
	void *arg;
	struct ctl_net_counters stats; /* added to atomically, read without a lock */
	/* Packets on their way to the client; lock guards them and scheduled. */
	struct spinlock lock;
	struct pkt **queue; /* ring of PORT_QUEUE references: a packet may be in several */
	uint32_t head, tail;
	bool scheduled; /* on a CPU's list, or being drained */
	struct list sched;
	struct waitq idle;
};

extern struct mutex net_config;
extern struct list vswitches, ports;

static inline void count(uint64_t *v, uint64_t n)
{
	__atomic_fetch_add(v, n, __ATOMIC_RELAXED);
}

/* Two loads each: memcmp goes byte by byte, and this is asked for every port of a chain. */
static inline bool mac_same(const uint8_t a[ETH_ALEN], const uint8_t b[ETH_ALEN])
{
	uint32_t high_a, high_b;
	uint16_t low_a, low_b;

	__builtin_memcpy(&high_a, a, 4);
	__builtin_memcpy(&high_b, b, 4);
	__builtin_memcpy(&low_a, a + 4, 2);
	__builtin_memcpy(&low_b, b + 4, 2);
	return high_a == high_b && low_a == low_b;
}

/* deliver.c */
void deliver_init(void);
void net_enter(void); /* no sleeping until net_leave; nests */
void net_leave(void);
void net_synchronize(void);                         /* a world */
void port_enqueue(struct port *p, struct pkt *pkt); /* adds a reference */
void port_drain(
	/* of a port that nobody can find any more: waits until its queue is done */
	struct port *p);

/* port.c */
void port_refresh(struct port *p);   /* policy, VLAN or group changed: takes vs->lock */
struct port *port_find(uint32_t id); /* net_config is held */
/* Who receives frames for mac and (if pkt is given) its VLAN; between net_enter and net_leave. */
struct port *port_lookup(const struct vswitch *vs, const uint8_t mac[ETH_ALEN],
                         const struct pkt *pkt);

/*
 * vswitch.c: the packet is consumed. src NULL: from the uplink. eth: its first 12 bytes. Between
 * enter and leave.
 */
void vswitch_forward(struct vswitch *vs, struct port *src, struct pkt *p,
                     const uint8_t eth[2 * ETH_ALEN]);
void vswitch_receive(struct uplink *u, struct pkt *p); /* uplink->rx */

/* config.c; net_config is held */
struct portgroup *portgroup_find(const char *name);
/* uplink side of a switch; team.c, net_config is held */
void team_release(struct vswitch *vs, unsigned slot);
int team_claim(struct vswitch *vs, unsigned slot);
void team_init(void);
extern void (*team_notify)(void); /* some switch has another active uplink; net_config is held */
void team_take_all(bool on);      /* the first switch takes every NIC that nobody has */

/*
 * vlan.c. Tags are metadata while a frame is inside (PKT_VLAN, vlan_tci with a VID that is not 0).
 * Both consume p and return the packet to go on with, or NULL when it was dropped.
 */
struct pkt *__must_check vlan_ingress(struct pkt *p, unsigned vlan);
struct pkt *__must_check vlan_insert(struct pkt *p);
static inline unsigned pkt_vid(const struct pkt *p)
{
	return p->flags & PKT_VLAN ? p->vlan_tci & 0xfff : 0;
}
static inline bool vlan_admits(unsigned vlan, const struct pkt *p)
{
	return vlan == VLAN_TRUNK || vlan == pkt_vid(p);
}

/* offload.c */
enum { PKT_HEAD_MAX = 192 };
void offload_init(void);
/*
 * A packet with its own copy of the first `head` bytes (<= PKT_HEAD_MAX) followed by bytes [off,
 * off + len) of p, which it shares; metadata is copied. NULL without memory. p keeps its owner.
 */
struct pkt *__must_check pkt_split(struct pkt *p, unsigned head, uint32_t off, uint32_t len);
uint8_t *pkt_head(struct pkt *p); /* the own bytes of what pkt_split made */
/* Checks what the metadata says against the headers; sets hdr_len. false: drop. */
bool __must_check offload_check(struct pkt *p);
/*
 * Hands p on to fn in the form that caps (PORT_*) allow, tags included unless `tags` is false, in
 * one or more pieces; consumes p. fn consumes what it is given. Returns fn's last error, or
 * -ENOBUFS.
 */
int offload_finish(struct pkt *p, uint32_t caps, bool tags, int (*fn)(void *arg, struct pkt *p),
                   void *arg);

/* capture.c */
enum capture_dir { CAPTURE_IN, CAPTURE_OUT };
void capture_frame(const void *what, const struct pkt *p, enum capture_dir dir);
void capture_init(void);
extern unsigned capture_uplinks;       /* captures on uplinks, to skip the search */
void capture_forget(const void *what); /* the port or uplink goes */

#endif
