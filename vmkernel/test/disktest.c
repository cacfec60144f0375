// SPDX-License-Identifier: Apache-2.0
/*
 * Boot option disktest=ID|all: writes a pattern over whole disks that carry no partition table,
 * reads it back, and says so on serial, request sizes from one block to 4 MiB, at depth 1 to the
 * device's. Destroys what is on them. Every 8 bytes hold their byte offset in the disk,
 * exclusive-or the pass, so that the host can check the image.
 */
#include "vmk/blk.h"
#include "vmk/boot.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/wait.h"

#include "vmk/log.h"

#define LOG_MODULE "disktest"

enum { ORDER_MOST = 10, SLOTS = 128, DISKS_MAX = 16 };
#define SIZE_MOST ((uint32_t)PAGE_SIZE << ORDER_MOST)

struct slot {
	struct blk_req req;
	struct sg sg;
	unsigned order;
	bool busy;
};

struct pass {
	struct blk_dev *disk;
	uint32_t size;
	unsigned depth;
	uint64_t pattern, at;
	int status;
	unsigned busy;
	struct slot slot[SLOTS];
};

static struct waitq done_wait = { SPINLOCK_INIT("disktest", RANK_WAIT),
	                          LIST_INIT(done_wait.waiters) };

static void slot_done(struct blk_req *r)
{
	store_release(&((struct slot *)r->arg)->busy, false);
	waitq_wake_all(&done_wait);
}

static void fill(struct slot *s, uint64_t pattern)
{
	uint64_t *word = pa_to_va(s->sg.pa);

	for (uint64_t off = 0; off < s->req.len; off += sizeof(*word))
		*word++ = (s->req.offset + off) ^ pattern;
}

static bool matches(const struct slot *s, uint64_t pattern)
{
	const uint64_t *word = pa_to_va(s->sg.pa);

	for (uint64_t off = 0; off < s->req.len; off += sizeof(*word))
		if (*word++ != ((s->req.offset + off) ^ pattern))
			return false;
	return true;
}

static struct slot *idle_slot(struct pass *p)
{
	for (unsigned i = 0; i < p->depth; i++)
		if (!load_acquire(&p->slot[i].busy))
			return &p->slot[i];
	return NULL;
}

static bool all_idle(struct pass *p)
{
	for (unsigned i = 0; i < p->depth; i++)
		if (load_acquire(&p->slot[i].busy))
			return false;
	return true;
}

/* What the slot's last request brought. */
static void collect(struct pass *p, struct slot *s)
{
	if (!s->req.len)
		return;
	if (s->req.status && !p->status)
		p->status = s->req.status;
	else if (s->req.op == BLK_READ && !p->status && !matches(s, p->pattern))
		p->status = -EILSEQ;
	s->req.len = 0;
}

static void start(struct pass *p, struct slot *s, enum blk_op op)
{
	uint64_t left = blk_size(p->disk) - p->at;

	s->sg.len = (uint32_t)MIN(left, (uint64_t)p->size);
	s->req = (struct blk_req){ .op = (uint8_t)op,
		                   .offset = p->at,
		                   .len = s->sg.len,
		                   .sg = &s->sg,
		                   .sg_count = 1,
		                   .done = slot_done,
		                   .arg = s };
	p->at += s->sg.len;
	if (op == BLK_WRITE)
		fill(s, p->pattern);
	s->busy = true;
	blk_submit(&s->req, p->disk);
}

static int run(struct pass *p, enum blk_op op)
{
	struct slot *s;

	p->at = 0;
	p->status = 0;
	while (p->at < blk_size(p->disk) && !p->status) {
		wait_event(&done_wait, (s = idle_slot(p)));
		collect(p, s);
		if (!p->status)
			start(p, s, op);
	}
	wait_event(&done_wait, all_idle(p));
	for (unsigned i = 0; i < p->depth; i++)
		collect(p, &p->slot[i]);
	return p->status;
}

static void slots_free(struct pass *p)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (p->slot[i].sg.pa)
			page_free(p->slot[i].sg.pa, p->slot[i].order);
	vfree(p);
}

static int one_pass(struct blk_dev *d, uint32_t size, unsigned depth, uint64_t pattern)
{
	struct pass *p = vmalloc(sizeof(*p));

	if (!p)
		return -ENOMEM;
	*p = (struct pass){ .disk = d, .size = size, .depth = depth, .pattern = pattern };
	int err = 0;

	for (unsigned i = 0; i < depth && !err; i++) {
		struct slot *s = &p->slot[i];

		s->order = size > PAGE_SIZE ? log2_ceil(size / PAGE_SIZE) : 0;
		s->sg.pa = page_alloc(s->order, FRAME_KERNEL, 0);
		if (s->sg.pa == PA_NONE) {
			s->sg.pa = 0;
			err = -ENOMEM;
		}
	}
	if (!err)
		err = run(p, BLK_WRITE);
	if (!err)
		err = blk_flush(d);
	if (!err)
		err = run(p, BLK_READ);
	slots_free(p);
	return err;
}

static void test_disk(struct blk_dev *d)
{
	static const uint32_t sizes[] = { 512, 4096, 12288, 65536, 1 << 20, SIZE_MOST };
	uint64_t pattern = 0;

	log_info("%s: writing", d->id);
	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint32_t size = MAX(sizes[i], d->limits.block_size);
		unsigned most = MIN((unsigned)SLOTS, (unsigned)d->limits.depth);

		/* As much memory as 16 MiB; the deepest queue with small requests. */
		most = MAX(1u, MIN(most, (16u << 20) / size));
		for (unsigned depth = 1; depth <= most;
		     depth = depth < most && depth * 8 > most ? most : depth * 8) {
			pattern += 0x0101010101010101ull;
			int err = one_pass(d, size, depth, pattern);

			if (err) {
				/* The same once more shows whether the device outlived it. */
				log_err("%s: size %u depth %u: error %d", d->id, size, depth, -err);
				err = one_pass(d, size, depth, pattern);
				log_info("%s: once more: error %d", d->id, -err);
				return;
			}
		}
	}
	log_info("%s: ok, last pattern %llx", d->id, (unsigned long long)pattern);
}

struct found {
	char id[DISKS_MAX][96];
	unsigned count;
	const struct blk_dev *last;
};

/* Disks without partitions; one that has some is forgotten when they turn up behind it. */
static void find_bare(struct blk_dev *d, void *arg)
{
	struct found *f = arg;

	if (d->parent) {
		f->count -= f->last == d->parent;
		f->last = NULL;
	} else if (f->count < DISKS_MAX && !d->limits.read_only) {
		str_copy(f->id[f->count++], d->id, sizeof(f->id[0]));
		f->last = d;
	}
}

static void disktest_run(void)
{
	char which[96];

	if (!boot_option("disktest", which, sizeof(which)))
		return;
	struct found *f = kzalloc(sizeof(*f));

	if (!f)
		return;
	blk_for_each(find_bare, f);
	for (unsigned i = 0; i < f->count; i++) {
		struct blk_dev *d = blk_find(f->id[i]);

		if (d &&
		    (!strcmp(which, "all") || !strcmp(which, d->id) || !strcmp(which, d->node)))
			test_disk(d);
		if (d)
			blk_close(d, false);
	}
	log_info("done, %u disks", f->count);
	kfree(f);
}

BOOT_HOOK(BOOT_READY, disktest_run);
