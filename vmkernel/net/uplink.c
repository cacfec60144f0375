// SPDX-License-Identifier: Apache-2.0
/*
 * The registry of physical NICs, and what every one of them does with a frame. The lock guards the
 * slots; whoever walks them is counted, and unregistering waits until nobody does. Drivers update
 * an uplink's receive counters from one bottom half at a time and its send counters under their
 * queue's lock.
 */
#include "vmk/errno.h"
#include "vmk/lock.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/pkt.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/wait.h"

#define LOG_MODULE "net"

STAT(unowned, "net.uplink.unowned", "frames that arrived at a NIC no switch uses");

enum { UPLINKS_MAX = 32 };
static struct uplink *slot[UPLINKS_MAX];
static struct spinlock slot_lock = SPINLOCK_INIT("uplinks", RANK_NET);
static unsigned walkers;
static void (*watch_added)(struct uplink *u), (*watch_removed)(struct uplink *u);
static struct waitq walked = { SPINLOCK_INIT("uplinks walked", RANK_WAIT),
	                       LIST_INIT(walked.waiters) };

static bool slot_exchange(struct uplink *from, struct uplink *to)
{
	bool found = false;
	uint64_t flags = spin_lock_irq(&slot_lock);

	for (unsigned i = 0; i < UPLINKS_MAX && !found; i++) {
		if (slot[i] != from)
			continue;
		slot[i] = to;
		found = true;
	}
	spin_unlock_irq(&slot_lock, flags);
	return found;
}

int uplink_register(struct uplink *u)
{
	const uint8_t *m = u->mac;

	list_init(&u->link);
	if (!slot_exchange(NULL, u))
		return -ENFILE;
	log_info(
		"%s: %s, %02x:%02x:%02x:%02x:%02x:%02x, %u send and %u receive queues, offloads %02x",
		u->name, u->driver, m[0], m[1], m[2], m[3], m[4], m[5], u->tx_queues, u->rx_queues,
		u->caps);
	if (watch_added)
		watch_added(u);
	return 0;
}

void uplink_unregister(struct uplink *u)
{
	/*
	 * Not found any more, then given up by its switch, then left by those who walk the slots.
	 */
	(void)slot_exchange(u, NULL);
	if (watch_removed)
		watch_removed(u);
	wait_event(&walked, !load_acquire(&walkers));
	log_info("%s: removed", u->name);
}

void uplink_watch(void (*added)(struct uplink *u), void (*removed)(struct uplink *u))
{
	watch_added = added;
	watch_removed = removed;
}

static struct uplink *slot_get(unsigned i)
{
	uint64_t flags = spin_lock_irq(&slot_lock);
	struct uplink *u = slot[i];

	spin_unlock_irq(&slot_lock, flags);
	return u;
}

void uplink_for_each(void (*fn)(struct uplink *u, void *arg), void *arg)
{
	(void)__atomic_fetch_add(&walkers, 1, __ATOMIC_ACQ_REL);
	for (unsigned i = 0; i < UPLINKS_MAX; i++) {
		struct uplink *u = slot_get(i);

		if (u)
			/* Without the lock, for fn may sleep; `walkers` keeps u from going. */
			fn(u, arg);
	}
	(void)__atomic_fetch_sub(&walkers, 1, __ATOMIC_ACQ_REL);
	waitq_wake_all(&walked);
}

struct uplink *uplink_find(const char *name)
{
	for (unsigned i = 0; i < UPLINKS_MAX; i++) {
		struct uplink *u = slot_get(i);

		if (u && !strcmp(u->name, name))
			return u;
	}
	return NULL;
}

/* The destination's kind, as flags: 802.3 3.2.3. */
static unsigned kind_of(const struct pkt *p)
{
	const uint8_t *mac = pa_to_va(p->sg[0].pa);

	if (p->sg[0].len < ETH_ALEN || !(mac[0] & 1))
		return 0;
	for (unsigned i = 0; i < ETH_ALEN; i++)
		if (mac[i] != 0xff)
			return PKT_MULTICAST;
	return PKT_BROADCAST;
}

void uplink_receive(struct uplink *u, struct pkt *p)
{
	unsigned kind = kind_of(p);

	p->flags |= (uint16_t)kind;
	u->stats.rx_packets++;
	u->stats.rx_bytes += p->len;
	u->stats.rx_multicast += kind == PKT_MULTICAST;
	u->stats.rx_broadcast += kind == PKT_BROADCAST;
	void (*rx)(struct uplink *, struct pkt *) = READ_ONCE(u->rx);

	if (likely(load_acquire(&u->owner) && rx)) {
		rx(u, p);
		return;
	}
	stat_inc(unowned);
	u->stats.rx_dropped++;
	pkt_done(p);
}

void uplink_sent(struct uplink *u, const struct pkt *p)
{
	unsigned kind = kind_of(p);

	u->stats.tx_packets++;
	u->stats.tx_bytes += p->len;
	u->stats.tx_multicast += kind == PKT_MULTICAST;
	u->stats.tx_broadcast += kind == PKT_BROADCAST;
}

void uplink_link(struct uplink *u, bool up, uint32_t speed_mbps, bool full_duplex)
{
	if (u->link_up == up && u->speed_mbps == speed_mbps && u->full_duplex == full_duplex)
		return;
	u->link_up = up;
	u->speed_mbps = up ? speed_mbps : 0;
	u->full_duplex = full_duplex;
	if (up)
		log_info("%s: link up, %u Mb/s, %s duplex", u->name, speed_mbps,
		         full_duplex ? "full" : "half");
	else
		log_info("%s: link down", u->name);
	if (load_acquire(&u->owner) && u->link_changed)
		u->link_changed(u);
}
