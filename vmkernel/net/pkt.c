// SPDX-License-Identifier: Apache-2.0
/*
 * Packets that own their pages. References are atomic; everything else belongs to whoever holds the
 * packet alone.
 */
#include "vmk/pkt.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"

static void pages_release(struct pkt *p)
{
	for (unsigned i = 0; i < p->sg_count; i++)
		page_free(ALIGN_DOWN(p->sg[i].pa, (pa_t)PAGE_SIZE), ORDER_4K);
	kfree(p);
}

struct pkt *pkt_new(void)
{
	struct pkt *p = kmalloc(sizeof(*p));

	if (!p)
		return NULL;
	/* Not the scatter list: it is long, and sg_count says how much of it counts. */
	memset(p, 0, offsetof(struct pkt, sg));
	list_init(&p->link);
	p->refs = 1;
	p->release = pages_release;
	return p;
}

bool pkt_add_page(struct pkt *p, pa_t page, uint32_t offset, uint32_t len)
{
	if (p->sg_count == PKT_SG_MAX)
		return false;
	p->sg[p->sg_count++] = (struct sg){ .pa = page + offset, .len = len };
	p->len += len;
	return true;
}

struct pkt *pkt_alloc(uint32_t len)
{
	if (len > PKT_LEN_MAX)
		return NULL;
	struct pkt *p = pkt_new();

	while (p && p->len < len) {
		pa_t page = page_alloc(ORDER_4K, FRAME_DMA, 0);

		if (page == PA_NONE ||
		    !pkt_add_page(p, page, 0, MIN(len - p->len, (uint32_t)PAGE_SIZE))) {
			pkt_done(p);
			return NULL;
		}
	}
	return p;
}

void pkt_get(struct pkt *p)
{
	(void)__atomic_fetch_add(&p->refs, 1, __ATOMIC_RELAXED);
}

void pkt_done(struct pkt *p)
{
	/* Release and acquire: the last holder sees all that others did with the packet. */
	uint32_t before = __atomic_fetch_sub(&p->refs, 1, __ATOMIC_ACQ_REL);

	ASSERT(before);
	if (before == 1)
		p->release(p);
}

/* The bytes of one copy that lie in one piece. */
struct span {
	uint8_t *at;
	uint32_t len;
};

/* The next span at *off of piece *i, at most len; moves on to the next piece. */
static struct span next_span(const struct pkt *p, unsigned *i, uint32_t *off, uint32_t len)
{
	while (*off >= p->sg[*i].len)
		*off -= p->sg[(*i)++].len;
	struct span s = { (uint8_t *)pa_to_va(p->sg[*i].pa) + *off,
		          MIN(len, p->sg[*i].len - *off) };

	*off += s.len;
	return s;
}

bool pkt_read(const struct pkt *p, uint32_t off, void *dst, uint32_t len)
{
	uint8_t *out = dst;

	/* Without overflow, whatever the caller computed. */
	if (off > p->len || len > p->len - off)
		return false;
	for (unsigned i = 0; len;) {
		struct span s = next_span(p, &i, &off, len);

		memcpy(out, s.at, s.len);
		out += s.len;
		len -= s.len;
	}
	return true;
}

bool pkt_write(struct pkt *p, uint32_t off, const void *src, uint32_t len)
{
	const uint8_t *in = src;

	if (off > p->len || len > p->len - off)
		return false;
	for (unsigned i = 0; len;) {
		struct span s = next_span(p, &i, &off, len);

		memcpy(s.at, in, s.len);
		in += s.len;
		len -= s.len;
	}
	return true;
}
