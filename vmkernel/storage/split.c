// SPDX-License-Identifier: Apache-2.0
/*
 * Requests that fit no single command of their device: longer than its maximum, in too many or
 * badly aligned pieces, zeroes for a device that cannot write them, FUA for one that lacks it. They
 * are carried out as a window of smaller requests; a block that lies across misaligned pieces goes
 * through a page of ours. The split's lock guards its cursor and counts; the smaller requests are
 * submitted without it.
 */
#include "storage/blk_impl.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"

enum { SPLIT_WINDOW = 4, SPLIT_SG_MAX = 256 };

/* A place in a scatter list. */
struct cursor {
	const struct sg *sg;
	uint32_t skip; /* bytes of *sg already passed */
};

struct split;
struct child {
	struct blk_req req;
	struct split *split;
	struct cursor at; /* bounced reads: where the data belongs */
	pa_t bounce;      /* PA_NONE: none */
	bool busy;
	struct sg *sg;
};

struct split {
	struct blk_req *parent;
	struct blk_queue *q;
	struct spinlock lock;
	struct cursor at;
	uint64_t left, pos;
	unsigned outstanding, sg_max;
	int status;
	bool flush; /* still to be done, after all data */
	struct child child[SPLIT_WINDOW];
};

static const uint8_t zero_page[PAGE_SIZE] __aligned(PAGE_SIZE);

static void cursor_advance(struct cursor *c, uint64_t n)
{
	while (n) {
		uint32_t step = (uint32_t)MIN(n, (uint64_t)(c->sg->len - c->skip));

		c->skip += step;
		n -= step;
		if (c->skip == c->sg->len) {
			c->sg++;
			c->skip = 0;
		}
	}
}

/* Copies between a page of ours and the pieces at the cursor. */
static void cursor_copy(struct cursor c, uint8_t *buf, uint32_t n, bool to_pieces)
{
	while (n) {
		uint32_t step = MIN(n, c.sg->len - c.skip);
		void *piece = pa_to_va(c.sg->pa + c.skip);

		memcpy(to_pieces ? piece : buf, to_pieces ? buf : piece, step);
		buf += step;
		n -= step;
		cursor_advance(&c, step);
	}
}

/*
 * The longest run of whole blocks from the cursor that one command can carry; 0: the next block
 * needs a copy.
 */
static uint32_t gather(const struct split *s, struct sg *out, uint16_t *count)
{
	const struct blk_limits *l = &s->q->dev->limits;
	uint64_t align = l->sg_align - 1, base = l->sg_base_align ? l->sg_base_align - 1 : 0;
	uint32_t len = 0, most = (uint32_t)MIN(s->left, (uint64_t)l->max_bytes);
	struct cursor c = s->at;
	unsigned n = 0;

	while (n < s->sg_max && len < most) {
		uint32_t part = MIN(c.sg->len - c.skip, most - len);
		pa_t pa = c.sg->pa + c.skip;

		if (!part) {
			c = (struct cursor){ c.sg + 1, 0 };
			continue;
		}
		/*
		 * The command ends in front of a piece that would put an unaligned boundary inside
		 * it.
		 */
		if ((pa & base) || (n && ((pa | (out[n - 1].pa + out[n - 1].len)) & align)))
			break;
		out[n++] = (struct sg){ .pa = pa, .len = part };
		len += part;
		cursor_advance(&c, part);
	}
	uint32_t excess = len & (l->block_size - 1);

	/*
	 * A command moves whole blocks: what does not fill one is left for the next, which starts
	 * in the middle of the last piece.
	 */
	len -= excess;
	while (excess) {
		uint32_t cut = MIN(excess, out[n - 1].len);

		out[n - 1].len -= cut;
		excess -= cut;
		n -= out[n - 1].len == 0;
	}
	*count = (uint16_t)n;
	return len;
}

static int bounce(struct split *s, struct child *c)
{
	struct blk_req *r = &c->req;

	c->bounce = page_alloc(ORDER_4K, FRAME_DMA, ALLOC_RESERVE);
	if (c->bounce == PA_NONE)
		return -ENOMEM;
	/*
	 * Not a single block could be gathered: one lies across misaligned pieces. A page through
	 * ours, then the gathering goes on behind it.
	 */
	r->len = MIN(s->left, (uint64_t)PAGE_SIZE);
	c->at = s->at;
	c->sg[0] = (struct sg){ .pa = c->bounce, .len = (uint32_t)r->len };
	r->sg_count = 1;
	if (r->op == BLK_WRITE)
		cursor_copy(s->at, pa_to_va(c->bounce), (uint32_t)r->len, false);
	s->q->stats.bounces++;
	return 0;
}

static void zeroes_by_write(struct split *s, struct child *c)
{
	const struct blk_limits *l = &s->q->dev->limits;
	struct blk_req *r = &c->req;

	r->op = BLK_WRITE;
	r->len = MIN(MIN(s->left, (uint64_t)l->max_bytes), s->sg_max * (uint64_t)PAGE_SIZE);
	for (uint64_t done = 0; done < r->len; done += PAGE_SIZE)
		c->sg[r->sg_count++] = (struct sg){ .pa = va_to_pa(zero_page),
			                            .len = (uint32_t)MIN(r->len - done,
			                                                 (uint64_t)PAGE_SIZE) };
}

/* Makes c the next part of the parent, moves the cursor. The split's lock is held. */
static int next_part(struct split *s, struct child *c)
{
	const struct blk_limits *l = &s->q->dev->limits;
	struct blk_req *r = &c->req;
	int err = 0;

	c->bounce = PA_NONE;
	*r = (struct blk_req){ .op = s->parent->op,
		               .sg = c->sg,
		               .done = r->done,
		               .dev = s->parent->dev,
		               .world = s->parent->world,
		               .owner = s->parent->owner,
		               .timeout = s->parent->timeout,
		               .pos = s->pos,
		               .submitted = time_now() };
	/* All data is done and nothing else outstanding: the flush that stands for FUA. */
	if (!s->left) {
		r->op = BLK_FLUSH;
		s->flush = false;
		return 0;
	}
	if (r->op == BLK_DISCARD) {
		r->len = MIN(s->left, (uint64_t)l->discard_max);
	} else if (r->op == BLK_WRITE_ZEROES && l->zeroes_max) {
		r->len = MIN(s->left, (uint64_t)l->zeroes_max);
	} else if (r->op == BLK_WRITE_ZEROES) {
		zeroes_by_write(s, c);
	} else {
		r->flags = (uint16_t)(s->parent->flags &
		                      (l->fua ? BLK_FUA | BLK_URGENT : BLK_URGENT));
		r->len = gather(s, c->sg, &r->sg_count);
		if (!r->len)
			err = bounce(s, c);
	}
	if (err)
		return err;
	if (s->parent->op == BLK_READ || s->parent->op == BLK_WRITE)
		cursor_advance(&s->at, r->len);
	s->pos += r->len;
	s->left -= r->len;
	return 0;
}

static struct child *idle_child(struct split *s)
{
	for (unsigned i = 0; i < SPLIT_WINDOW; i++)
		if (!s->child[i].busy)
			return &s->child[i];
	return NULL;
}

static void split_end(struct split *s)
{
	struct blk_req *parent = s->parent;
	struct blk_queue *q = s->q;
	int status = s->status;

	kfree(s);
	blk_refuse(parent, q, status);
}

/*
 * Starts as many parts as the window holds; ends the parent when nothing is left to do. The caller
 * holds a place in outstanding, so that s stays; it is given up in the same step that finds nothing
 * to start.
 */
static void split_run(struct split *s)
{
	for (;;) {
		uint64_t flags = spin_lock_irq(&s->lock);
		/* The flush waits for the data that it is to make durable. */
		bool ready = !s->status && (s->left || (s->flush && s->outstanding == 1));
		struct child *c = ready ? idle_child(s) : NULL;

		if (c && (s->status = next_part(s, c)))
			c = NULL;
		if (c) {
			c->busy = true;
			s->outstanding++;
		}
		/* Exactly one caller sees 0, and only when no part is busy: it frees s. */
		bool over = !c && !--s->outstanding;

		spin_unlock_irq(&s->lock, flags);
		if (over)
			split_end(s);
		if (!c)
			return;
		blk_enqueue(&c->req, s->q);
	}
}

static void child_done(struct blk_req *r)
{
	struct child *c = container_of(r, struct child, req);
	struct split *s = c->split;

	if (c->bounce != PA_NONE) {
		if (r->op == BLK_READ && !r->status)
			cursor_copy(c->at, pa_to_va(c->bounce), (uint32_t)r->len, true);
		page_free(c->bounce, ORDER_4K);
	}
	uint64_t flags = spin_lock_irq(&s->lock);

	/* The first error counts; parts that are under way still end, no new ones start. */
	if (r->status && !s->status)
		s->status = r->status;
	/*
	 * The place in outstanding that this child took is handed on to split_run, which gives it
	 * up or uses it.
	 */
	c->busy = false;
	spin_unlock_irq(&s->lock, flags);
	split_run(s);
}

void blk_split(struct blk_req *r, struct blk_queue *q)
{
	const struct blk_limits *l = &q->dev->limits;
	unsigned sg_max = MIN((unsigned)l->max_sg, (unsigned)SPLIT_SG_MAX);
	struct split *s = kzalloc(sizeof(*s) + SPLIT_WINDOW * sg_max * sizeof(struct sg));

	if (!s) {
		blk_refuse(r, q, -ENOMEM);
		return;
	}
	s->parent = r;
	s->q = q;
	/* A part may complete before the next is started. */
	s->outstanding = 1; /* this call */
	spin_init(&s->lock, "blk split", RANK_BLK);
	s->at = (struct cursor){ r->sg, 0 };
	s->left = r->len;
	s->pos = r->pos;
	s->sg_max = sg_max;
	s->flush = (r->flags & BLK_FUA) && !l->fua && l->write_cache;
	struct sg *sg = (struct sg *)(s + 1);

	for (unsigned i = 0; i < SPLIT_WINDOW; i++) {
		s->child[i].split = s;
		s->child[i].req.done = child_done;
		s->child[i].sg = sg + i * sg_max;
	}
	q->stats.splits++;
	split_run(s);
}
