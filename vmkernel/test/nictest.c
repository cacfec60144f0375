// SPDX-License-Identifier: Apache-2.0
/*
 * Boot option nictest=NAME|all: every frame that a NIC receives goes back where it came from, the
 * same pages, with the addresses exchanged. The peer on the wire checks them. The switches leave
 * such a NIC alone.
 */
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/pkt.h"
#include "vmk/string.h"

#include "vmk/log.h"

#define LOG_MODULE "nictest"

/*
 * A frame of type ASK asks for one that the NIC has to cut: behind its Ethernet header stand the 54
 * bytes of headers, the size of a segment and the length of the payload (big endian, 16 bits each),
 * whose byte N is N * 7 + N / 256.
 */
enum { ASK = 0x88b6, HEADERS = 54 };

static void send_large(struct uplink *u, const struct pkt *asked)
{
	uint8_t ask[HEADERS + 4];

	if (!pkt_read(asked, ETH_HLEN, ask, sizeof(ask)))
		return;
	uint32_t size = (uint32_t)ask[HEADERS] << 8 | ask[HEADERS + 1];
	uint32_t length = (uint32_t)ask[HEADERS + 2] << 8 | ask[HEADERS + 3];
	struct pkt *p = pkt_alloc(HEADERS + length);

	if (!p)
		return;
	bool whole = pkt_write(p, 0, ask, HEADERS);

	for (uint32_t i = 0; i < length; i++)
		whole &= pkt_write(p, HEADERS + i, &(uint8_t){ (uint8_t)(i * 7 + i / 256) }, 1);
	p->flags = PKT_CSUM_PARTIAL | PKT_TSO4;
	p->csum_start = ETH_HLEN + 20;
	p->csum_offset = 16;
	p->hdr_len = HEADERS;
	p->gso_size = (uint16_t)size;
	if (!whole || !(u->caps & UPLINK_TSO4) || u->ops->xmit(u, 0, p))
		pkt_done(p);
}

static void echo(struct uplink *u, struct pkt *p)
{
	uint8_t type[2];

	if (pkt_read(p, 2 * ETH_ALEN, type, 2) && (type[0] << 8 | type[1]) == ASK) {
		send_large(u, p);
		pkt_done(p);
		return;
	}
	uint8_t mac[2 * ETH_ALEN];
	bool whole = pkt_read(p, 0, mac, sizeof(mac)) &&
	             pkt_write(p, 0, mac + ETH_ALEN, ETH_ALEN) &&
	             pkt_write(p, ETH_ALEN, mac, ETH_ALEN);

	/*
	 * On arrival checksums may be left to be filled: the sender's side does it, as it would for
	 * a guest.
	 */
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
	int err = u->ops->set_mode ? u->ops->set_mode(u, true, true) : 0;

	if (!err)
		err = u->ops->set_up(u, true);
	log_info("%s: %s, error %d", u->name, err ? "failed" : "echoing", -err);
}

static void nictest_run(void)
{
	char which[16];

	if (boot_option("nictest", which, sizeof(which)))
		uplink_for_each(take, which);
}

BOOT_HOOK(BOOT_DEVICES, nictest_run);
