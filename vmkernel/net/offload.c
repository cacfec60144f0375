// SPDX-License-Identifier: Apache-2.0
/*
 * What a guest's driver leaves to its NIC and the receiver cannot take, done in software: checksums
 * (RFC 1071), TCP segmentation, tags. A piece is a view: its own headers, and a share of the
 * original's payload, which is not copied.
 */
#include "net.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/stat.h"
#include "vmk/string.h"

STAT(no_view, "net.offload.no_memory", "views of packets that found no memory");
STAT(copies, "net.offload.copies",
     "packets copied whole because their scatter list was too long to view");
STAT(soft_csum, "net.offload.checksums", "checksums computed in software");
STAT(soft_tso, "net.offload.segments", "TCP segments cut in software");

enum { ETH_IP = 0x0800, ETH_IP6 = 0x86dd, IP_TCP = 6, UDP_CSUM = 6 };
enum { TCP_FIN = 1, TCP_PSH = 8, TCP_CWR = 0x80 };

struct view {
	struct pkt pkt;
	struct pkt *parent;
	uint8_t head[PKT_HEAD_MAX];
};
static struct slab_cache *views;

static uint16_t be16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}
static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)be16(p) << 16 | be16(p + 2);
}
static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static void view_release(struct pkt *p)
{
	struct view *v = container_of(p, struct view, pkt);

	pkt_done(v->parent);
	slab_free(views, v);
}

uint8_t *pkt_head(struct pkt *p)
{
	return container_of(p, struct view, pkt)->head;
}

static struct pkt *copy_whole(struct pkt *p)
{
	struct pkt *c = pkt_alloc(p->len);

	if (!c)
		return NULL;
	stat_inc(copies);
	uint32_t off = 0;

	for (unsigned i = 0; i < p->sg_count; off += p->sg[i++].len)
		(void)pkt_write(c, off, pa_to_va(p->sg[i].pa), p->sg[i].len);
	c->flags = p->flags;
	return c;
}

static bool share(struct pkt *q, const struct pkt *p, uint32_t off, uint32_t len)
{
	for (unsigned i = 0; i < p->sg_count && len; i++) {
		const struct sg *s = &p->sg[i];

		if (off >= s->len) {
			off -= s->len;
			continue;
		}
		/*
		 * One entry went to the headers: a full list may not fit. The caller copies then.
		 */
		if (q->sg_count == PKT_SG_MAX)
			return false;
		uint32_t n = MIN(len, s->len - off);

		q->sg[q->sg_count++] = (struct sg){ .pa = s->pa + off, .len = n };
		q->len += n;
		len -= n;
		off = 0;
	}
	return len == 0;
}

struct pkt *pkt_split(struct pkt *p, unsigned head, uint32_t off, uint32_t len)
{
	struct view *v = slab_alloc(views);

	if (!v || !pkt_read(p, 0, v->head, head))
		goto fail;
	struct pkt *q = &v->pkt;

	/* All but the scatter list, which is long and filled below. */
	memset(q, 0, offsetof(struct pkt, sg));
	list_init(&q->link);
	q->refs = 1;
	q->release = view_release;
	q->flags = p->flags;
	q->csum_start = p->csum_start;
	q->csum_offset = p->csum_offset;
	q->gso_size = p->gso_size;
	q->hdr_len = p->hdr_len;
	q->vlan_tci = p->vlan_tci;
	q->port = p->port;
	q->sg[0] = (struct sg){ .pa = va_to_pa(v->head), .len = head };
	q->sg_count = 1;
	q->len = head;
	v->parent = p;
	/*
	 * The view holds its parent, whose owner takes the memory back only when all views are
	 * gone.
	 */
	if (share(q, p, off, len)) {
		pkt_get(p);
		return q;
	}
	/* Scatter list too long: one copy of the whole packet, whose pieces are pages. */
	v->parent = copy_whole(p);
	q->sg_count = 1;
	q->len = head;
	if (v->parent && share(q, v->parent, off, len))
		return q;
	if (v->parent)
		pkt_done(v->parent);
fail:
	if (v)
		slab_free(views, v);
	stat_inc(no_view);
	return NULL;
}

/* Adds n bytes to a one's complement sum; `odd`: the first byte is the low half of a word. */
static uint64_t sum_bytes(uint64_t sum, const uint8_t *b, size_t n, bool odd)
{
	uint64_t s = 0;

	if (odd && n) {
		sum += *b++;
		n--;
	}
	/* Words are added as they lie and swapped at the end (RFC 1071, 2 B). */
	for (; n >= 4; b += 4, n -= 4) {
		uint32_t w;

		memcpy(&w, b, 4);
		s += w;
	}
	for (; n >= 2; b += 2, n -= 2) {
		uint16_t w;

		memcpy(&w, b, 2);
		s += w;
	}
	if (n)
		s += *b;
	/*
	 * Folded before the swap: the carries must end up in the same half as their words (RFC
	 * 1071, 2 A).
	 */
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return sum + (uint64_t)((s & 0xff) << 8 | s >> 8);
}

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint64_t sum_pkt(const struct pkt *p, uint32_t off)
{
	uint64_t sum = 0;
	bool odd = false;

	for (unsigned i = 0; i < p->sg_count; i++) {
		const struct sg *s = &p->sg[i];
		uint32_t skip = MIN(off, s->len);

		off -= skip;
		sum = sum_bytes(sum, (uint8_t *)pa_to_va(s->pa) + skip, s->len - skip, odd);
		/* A piece of odd length makes the next one begin in the middle of a word. */
		odd ^= (s->len - skip) & 1;
	}
	return sum;
}

/* Fills in the checksum at csum_start + csum_offset of a view; the pseudo-header's sum is there. */
static void complete(struct pkt *p)
{
	uint16_t sum = (uint16_t)~fold(sum_pkt(p, p->csum_start));

	/* 0 means "none" to UDP alone (RFC 768); 0xffff is no checksum that TCP can have. */
	if (!sum && p->csum_offset == UDP_CSUM)
		sum = 0xffff;
	put16(pkt_head(p) + p->csum_start + p->csum_offset, sum);
	p->flags = (uint16_t)((p->flags & ~PKT_CSUM_PARTIAL) | PKT_CSUM_VALID);
	stat_inc(soft_csum);
}

bool offload_check(struct pkt *p)
{
	uint8_t h[PKT_HEAD_MAX];
	unsigned gso = p->flags & (PKT_TSO4 | PKT_TSO6);

	if (!(p->flags & PKT_CSUM_PARTIAL))
		return gso == 0;
	uint32_t field = (uint32_t)p->csum_start + p->csum_offset;

	/*
	 * Everything here was chosen by a guest: the field must lie in the headers that a view
	 * owns, so that filling it in writes no shared payload.
	 */
	if (p->csum_start < ETH_HLEN || p->csum_start >= p->len ||
	    field + 2 > MIN(p->len, PKT_HEAD_MAX - 4u))
		return false;
	if (!gso)
		return true;
	unsigned n = MIN(p->len, (uint32_t)sizeof(h)), l4 = p->csum_start;

	if (!pkt_read(p, 0, h, n) || p->csum_offset != 16 || l4 + 20u > n)
		return false;
	/*
	 * Headers and at least one byte of payload; a segment of under 64 bytes would multiply
	 * packets.
	 */
	unsigned hdr = l4 + (h[l4 + 12] >> 4) * 4u;

	if (hdr < l4 + 20u || hdr > PKT_HEAD_MAX - 4 || hdr >= p->len || p->gso_size < 64)
		return false;
	/* The headers must be what the metadata says: segment_headers writes at these places. */
	if (gso == PKT_TSO4) {
		if (be16(h + 12) != ETH_IP || h[ETH_HLEN + 9] != IP_TCP || h[ETH_HLEN] >> 4 != 4 ||
		    l4 != ETH_HLEN + (h[ETH_HLEN] & 15) * 4u || l4 < ETH_HLEN + 20u)
			return false;
	} else if (gso != PKT_TSO6 || be16(h + 12) != ETH_IP6 || h[ETH_HLEN] >> 4 != 6 ||
	           l4 < ETH_HLEN + 40u) {
		return false;
	}
	p->hdr_len = (uint16_t)hdr;
	return true;
}

/* Makes the headers of segment number i, whose payload starts at off and has len bytes. */
static void segment_headers(struct pkt *s, const struct pkt *whole, unsigned i, uint32_t off,
                            uint32_t len)
{
	uint8_t *ip = pkt_head(s) + ETH_HLEN, *tcp = pkt_head(s) + s->csum_start;
	uint32_t tcp_len = s->len - s->csum_start;
	uint64_t pseudo = IP_TCP + tcp_len;

	if (whole->flags & PKT_TSO4) {
		/* IPv4: total length, an identification of its own, header checksum (RFC 791). */
		put16(ip + 2, s->len - ETH_HLEN);
		put16(ip + 4, be16(ip + 4) + i);
		put16(ip + 10, 0);
		put16(ip + 10, (uint16_t)~fold(sum_bytes(0, ip, (size_t)(tcp - ip), false)));
		pseudo = sum_bytes(pseudo, ip + 12, 8, false);
	} else {
		/*
		 * IPv6: the payload length leaves out the fixed header, but not extension headers.
		 */
		put16(ip + 4, s->len - ETH_HLEN - 40);
		pseudo = sum_bytes(pseudo, ip + 8, 32, false);
	}
	put32(tcp + 4, be32(tcp + 4) + (off - whole->hdr_len));
	/* FIN and PSH belong to the last segment, CWR to the first (RFC 3168, 6.1.2). */
	if (off + len < whole->len)
		tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
	if (i)
		tcp[13] &= (uint8_t)~TCP_CWR;
	/* The pseudo-header's sum, to which complete() or the NIC adds the segment. */
	put16(tcp + 16, fold(pseudo));
	s->flags &= (uint16_t) ~(PKT_TSO4 | PKT_TSO6);
	s->gso_size = 0;
}

/* Checksum and tag of one piece; consumes it. */
static int finish_one(struct pkt *p, uint32_t caps, bool tags, int (*fn)(void *, struct pkt *),
                      void *arg)
{
	if ((p->flags & PKT_CSUM_PARTIAL) && !(caps & PORT_CSUM)) {
		/* Only headers that nobody else sees may be written: others may hold p. */
		if (p->refs != 1 || p->release != view_release ||
		    p->sg[0].len < p->csum_start + p->csum_offset + 2u) {
			unsigned head = MIN(p->len, (uint32_t)PKT_HEAD_MAX - 4);
			struct pkt *own = pkt_split(p, head, head, p->len - head);

			pkt_done(p);
			if (!own)
				return -ENOBUFS;
			p = own;
		}
		complete(p);
	}
	if (tags && pkt_vid(p) && !(caps & PORT_VLAN)) {
		p = vlan_insert(p);
		if (!p)
			return -ENOBUFS;
	}
	return fn(arg, p);
}

int offload_finish(struct pkt *p, uint32_t caps, bool tags, int (*fn)(void *arg, struct pkt *p),
                   void *arg)
{
	unsigned gso = p->flags & (PKT_TSO4 | PKT_TSO6);
	bool can = (caps & PORT_CSUM) && (caps & (gso == PKT_TSO4 ? PORT_TSO4 : PORT_TSO6));

	if (likely(!gso || can))
		return finish_one(p, caps, tags, fn, arg);
	int err = 0;
	uint32_t len;

	/*
	 * Segments go out one by one; one that is lost does not keep the rest back, for TCP repairs
	 * it.
	 */
	for (uint32_t off = p->hdr_len, i = 0; off < p->len; off += len, i++) {
		len = MIN((uint32_t)p->gso_size, p->len - off);
		struct pkt *s = pkt_split(p, p->hdr_len, off, len);

		if (!s) {
			err = -ENOBUFS;
			break;
		}
		segment_headers(s, p, i, off, len);
		stat_inc(soft_tso);
		int failed = finish_one(s, caps, tags, fn, arg);

		if (failed)
			err = failed;
	}
	pkt_done(p);
	return err;
}

void offload_init(void)
{
	views = slab_create("pkt-view", sizeof(struct view), 16);
}
