// SPDX-License-Identifier: Apache-2.0
/*
 * Boot option nictest=NAME|all: every frame that a NIC receives goes back where it came from, the same pages, with the
 * addresses exchanged. The peer on the wire checks them. The switches leave such a NIC alone.
 */
#include "boot/devtest.h"
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/pkt.h"
#include "vmk/string.h"

#define LOG_MODULE "nictest"
#include "vmk/log.h"

static void echo(struct uplink *u, struct pkt *p)
{
	uint8_t mac[2 * ETH_ALEN];
	bool whole = pkt_read(p, 0, mac, sizeof(mac)) &&
	             pkt_write(p, 0, mac + ETH_ALEN, ETH_ALEN) &&
	             pkt_write(p, ETH_ALEN, mac, ETH_ALEN);
	/* On arrival checksums may be left to be filled: the sender's side does it, as it would for a guest. */
	p->flags &= PKT_CSUM_PARTIAL | PKT_VLAN | PKT_TSO4 | PKT_TSO6;
	if (!whole || u->ops->xmit(u, cpu_id() % u->tx_queues, p))
		pkt_done(p);
}

static void link_changed(struct uplink *u)
{
	log_info("%s: link %s", u->name, u->link_up ? "up" : "down");
}

static void take(struct uplink *u, void *which)
{
	if (u->owner || (strcmp(which, "all") && strcmp(which, u->name)))
		return;
	u->rx = echo;
	u->link_changed = link_changed;
	store_release(&u->owner, (void *)echo);
	int rc = u->ops->set_mode ? u->ops->set_mode(u, true, true) : 0;
	if (!rc)
		rc = u->ops->set_up(u, true);
	log_info("%s: %s, error %d", u->name, rc ? "failed" : "echoing", -rc);
}

void nictest_run(void)
{
	char which[16];
	if (boot_option("nictest", which, sizeof(which)))
		uplink_for_each(take, which);
}
