// SPDX-License-Identifier: Apache-2.0
/*
 * Packets and uplinks. A packet is a header area and a scatter list of pages that somebody owns (a
 * guest's transmit buffers, a driver's receive pages, lwIP's pbufs); whoever holds the packet calls
 * pkt_done once. Everything runs in bottom halves or in the sender's context; nothing sleeps.
 */
#ifndef VMK_PKT_H
#define VMK_PKT_H
#include "abi/net.h"
#include "vmk/dma.h"
#include "vmk/list.h"

enum { PKT_SG_MAX = 20, PKT_LEN_MAX = 65536 + 64, ETH_HLEN = 14, ETH_MIN = 60, ETH_ALEN = 6 };

enum pkt_flags {
	PKT_CSUM_PARTIAL = 1 << 0, /* checksum to be filled at csum_start + csum_offset */
	PKT_CSUM_VALID = 1 << 1,   /* receive: verified */
	PKT_VLAN = 1 << 2,         /* vlan_tci is set, the tag is not in the frame */
	PKT_TSO4 = 1 << 3,         /* gso_size, hdr_len valid */
	PKT_TSO6 = 1 << 4,
	PKT_BROADCAST = 1 << 5,
	PKT_MULTICAST = 1 << 6,
};

struct pkt {
	struct list link;
	uint32_t len;
	uint16_t flags, sg_count;
	uint16_t csum_start, csum_offset, gso_size, hdr_len, vlan_tci;
	uint16_t port; /* source port of the vSwitch, 0 none */
	uint32_t refs;
	void (*release)(struct pkt *p); /* when the last reference goes; any context, no sleep */
	void *arg;
	struct sg sg[PKT_SG_MAX];
};

/* Frames that it becomes on a wire: what a budget counts. */
static inline unsigned pkt_segments(const struct pkt *p)
{
	return (p->flags & (PKT_TSO4 | PKT_TSO6)) && p->gso_size ? DIV_UP(p->len, p->gso_size) : 1;
}

/* A packet with one page (len <= PAGE_SIZE) or more of its own memory; NULL when empty. */
struct pkt *__must_check pkt_alloc(uint32_t len);
/*
 * A packet without memory, and a frame (4 KiB) that becomes its own: freed with it. false: no room
 * for a piece.
 */
struct pkt *__must_check pkt_new(void);
bool __must_check pkt_add_page(struct pkt *p, pa_t page, uint32_t offset, uint32_t len);
void pkt_get(struct pkt *p);
void pkt_done(struct pkt *p);
/* Copies bytes out of and into the frame; false when it is shorter. */
bool pkt_read(const struct pkt *p, uint32_t off, void *dst, uint32_t len);
bool pkt_write(struct pkt *p, uint32_t off, const void *src, uint32_t len);

struct uplink;
struct uplink_ops {
	/* Takes the packet; 0 or -EBUSY (ring full: the caller drops). Any CPU; q < tx_queues. */
	int (*xmit)(struct uplink *u, unsigned q, struct pkt *p);
	int (*set_mode)(struct uplink *u, bool promisc, bool allmulti);
	int (*set_multicast)(struct uplink *u, const uint8_t (*mac)[ETH_ALEN], unsigned n);
	int (*set_mtu)(struct uplink *u, unsigned mtu);
	int (*set_up)(struct uplink *u, bool up);
};
enum uplink_caps {
	UPLINK_TX_CSUM = 1,
	UPLINK_RX_CSUM = 2,
	UPLINK_TSO4 = 4,
	UPLINK_TSO6 = 8,
	UPLINK_VLAN = 16
};

/* What the hardware or the driver refused; none of it is in the counters. */
struct uplink_errors {
	uint64_t rx, rx_length, rx_crc, rx_no_buffer, tx;
};

struct uplink {
	char name[16]; /* vmnic0 */
	uint8_t mac[ETH_ALEN];
	uint16_t mtu, mtu_max;
	uint32_t caps;
	uint16_t tx_queues, rx_queues;
	uint32_t speed_mbps; /* 0: unknown */
	bool link_up, full_duplex, admin_up;
	const char *driver;
	struct device *device;
	const struct uplink_ops *ops;
	void *drvdata;
	struct ctl_net_counters stats;
	struct uplink_errors errors;
	/* Set by the owner (net/uplink.c) before set_up: receive, in the driver's bottom half. */
	void (*rx)(struct uplink *u, struct pkt *p); /* takes the packet */
	void (*link_changed)(struct uplink *u);
	void *owner;
	struct list link;
};
/* Drivers, in a world. register offers it to the watcher, which may set it up at once. */
int __must_check uplink_register(struct uplink *u);
void uplink_unregister(struct uplink *u); /* waits until no rx or xmit runs */
/*
 * The virtual switches, once: told of each NIC added from now on, and of each removed. In worlds.
 */
void uplink_watch(void (*added)(struct uplink *u), void (*removed)(struct uplink *u));
void uplink_for_each(void (*fn)(struct uplink *u, void *arg), void *arg); /* fn may sleep */
struct uplink *uplink_find(const char *name); /* stays until it is unregistered */
/* Drivers: what came in goes to the owner, counted; without an owner it is dropped. Takes p. */
void uplink_receive(struct uplink *u, struct pkt *p);
/* Counts a frame that was sent. */
void uplink_sent(struct uplink *u, const struct pkt *p);
void uplink_link(struct uplink *u, bool up, uint32_t speed_mbps, bool full_duplex);
#endif
