// SPDX-License-Identifier: Apache-2.0
/*
 * IEEE 802.1Q tags. Inside the switch a tag is metadata, so that one packet can go to an access
 * port and to a trunk. Spec: IEEE 802.1Q-2018, 9.6.
 */
#include "net.h"
#include "vmk/stat.h"
#include "vmk/string.h"

enum { TPID_8021Q = 0x8100, TAG_AT = 2 * ETH_ALEN, TAG_LEN = 4 };

STAT(vlan_drops, "net.drop.vlan", "frames whose tag their port group does not allow");
STAT(vlan_memory, "net.drop.vlan_memory", "frames dropped because there was no memory for a tag");

/* A view of p with `cut` bytes gone from, or (cut < 0) opened in, the headers after the MACs. */
static struct pkt *move_headers(struct pkt *p, int cut)
{
	unsigned head = MIN(p->len, (uint32_t)PKT_HEAD_MAX - TAG_LEN);
	struct pkt *q = pkt_split(p, head, head, p->len - head);

	if (!q) {
		stat_inc(vlan_memory);
		pkt_done(p);
		return NULL;
	}
	/* The view's own headers: PKT_HEAD_MAX leaves room for the tag. */
	uint8_t *h = pkt_head(q);

	if (cut > 0)
		memmove(h + TAG_AT, h + TAG_AT + cut, head - TAG_AT - (unsigned)cut);
	else
		memmove(h + TAG_AT - cut, h + TAG_AT, head - TAG_AT);
	q->sg[0].len -= (uint32_t)cut;
	q->len -= (uint32_t)cut;
	/*
	 * Offsets into the frame move with the headers; without an offload they mean nothing and
	 * may wrap.
	 */
	q->csum_start -= (uint16_t)cut;
	q->hdr_len -= (uint16_t)cut;
	pkt_done(p);
	return q;
}

struct pkt *vlan_ingress(struct pkt *p, unsigned vlan)
{
	uint8_t tag[TAG_LEN];

	if (!(p->flags & PKT_VLAN) && pkt_read(p, TAG_AT, tag, sizeof(tag)) &&
	    (tag[0] << 8 | tag[1]) == TPID_8021Q) {
		if (p->len < ETH_HLEN + TAG_LEN)
			goto drop;
		p = move_headers(p, TAG_LEN);
		if (!p)
			return NULL;
		p->vlan_tci = (uint16_t)(tag[2] << 8 | tag[3]);
		p->flags |= PKT_VLAN;
	}
	unsigned vid = pkt_vid(p);

	if (vid == VLAN_NONE)
		p->flags &= ~PKT_VLAN; /* a priority tag: the frame belongs to no VLAN */
	/* VID 4095 is reserved, and an access port's client may not choose a VLAN. */
	if (vid == VLAN_TRUNK || (vid != VLAN_NONE && vlan != VLAN_TRUNK))
		goto drop;
	/* Untagged on an access port: the group's VLAN from here on. */
	if (vlan != VLAN_NONE && vlan != VLAN_TRUNK) {
		p->vlan_tci = (uint16_t)vlan;
		p->flags |= PKT_VLAN;
	}
	return p;
drop:
	stat_inc(vlan_drops);
	pkt_done(p);
	return NULL;
}

struct pkt *vlan_insert(struct pkt *p)
{
	uint16_t tci = p->vlan_tci;

	p = move_headers(p, -TAG_LEN);
	if (!p)
		return NULL;
	uint8_t *h = pkt_head(p) + TAG_AT;

	h[0] = TPID_8021Q >> 8;
	h[1] = TPID_8021Q & 0xff;
	h[2] = (uint8_t)(tci >> 8);
	h[3] = (uint8_t)tci;
	p->flags &= ~PKT_VLAN;
	return p;
}
