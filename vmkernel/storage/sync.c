// SPDX-License-Identifier: Apache-2.0
/* Synchronous requests, for worlds: one on the stack that sleeps until done. */
#include "storage/blk_impl.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/world.h"

/*
 * Shared by all, since a queue on the waiter's stack would be gone while its waker still unlocks
 * it. Wakers run in bottom halves.
 */
static struct waitq sync_wait = { SPINLOCK_INIT("blk sync", RANK_WAIT),
	                          LIST_INIT(sync_wait.waiters) };

struct sync {
	struct blk_req req;
	bool over;
};

static void sync_done(struct blk_req *r)
{
	store_release(&container_of(r, struct sync, req)->over, true);
	waitq_wake_all(&sync_wait);
}

static int run(struct blk_dev *d, struct sync *s)
{
	s->req.done = sync_done;
	s->req.world = world_id(world_current());
	blk_submit(&s->req, d);
	wait_event(&sync_wait, load_acquire(&s->over));
	return s->req.status;
}

static int rw(struct blk_dev *d, enum blk_op op, unsigned flags, uint64_t offset,
              const struct sg *sg, unsigned sg_count)
{
	struct sync s = { .req = { .op = (uint8_t)op,
		                   .flags = (uint16_t)flags,
		                   .offset = offset,
		                   .sg = sg,
		                   .sg_count = (uint16_t)sg_count } };

	if (sg_count > UINT16_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < sg_count; i++)
		s.req.len += sg[i].len;
	return run(d, &s);
}

int blk_rw(struct blk_dev *d, enum blk_op op, uint64_t offset, const struct sg *sg,
           unsigned sg_count)
{
	return rw(d, op, 0, offset, sg, sg_count);
}

static int flush(struct blk_dev *d, unsigned flags)
{
	struct sync s = { .req = { .op = BLK_FLUSH, .flags = (uint16_t)flags } };

	return run(d, &s);
}

int blk_flush(struct blk_dev *d)
{
	return flush(d, 0);
}

int blk_urgent_flush(struct blk_dev *d)
{
	return flush(d, BLK_URGENT);
}

int blk_range(struct blk_dev *d, enum blk_op op, uint64_t offset, uint64_t len)
{
	struct sync s = { .req = { .op = (uint8_t)op, .offset = offset, .len = len } };

	return run(d, &s);
}

/* Up to one window's bytes through pages of ours. */
static int rw_window(struct blk_dev *d, enum blk_op op, unsigned flags, uint64_t offset,
                     uint8_t *buf, size_t len, pa_t window)
{
	struct sg sg = { .pa = window, .len = (uint32_t)len };
	void *va = pa_to_va(window);

	if (op == BLK_WRITE)
		memcpy(va, buf, len);
	int err = rw(d, op, flags, offset, &sg, 1);

	if (!err && op == BLK_READ)
		memcpy(buf, va, len);
	return err;
}

static int rw_buf(struct blk_dev *d, enum blk_op op, unsigned flags, uint64_t offset, void *buf,
                  size_t len)
{
	unsigned order = len > PAGE_SIZE ? 4 : 0;
	size_t window = (size_t)PAGE_SIZE << order;
	pa_t pa;
	int err = 0;

	if (op != BLK_READ && op != BLK_WRITE)
		err = -EINVAL;
	/*
	 * The datastore's journal is written here: with memory exhausted by others it must still
	 * become durable. What drivers allocate on the way counts as well.
	 */
	world_use_reserve(true);
	pa = page_alloc(order, FRAME_DMA, 0);
	if (pa == PA_NONE)
		err = -ENOMEM;
	for (size_t done = 0, step; !err && done < len; done += step) {
		step = MIN(len - done, window);
		err = rw_window(d, op, flags, offset + done, (uint8_t *)buf + done, step, pa);
	}
	if (pa != PA_NONE)
		page_free(pa, order);
	world_use_reserve(false);
	return err;
}

int blk_rw_buf(struct blk_dev *d, enum blk_op op, uint64_t offset, void *buf, size_t len)
{
	return rw_buf(d, op, 0, offset, buf, len);
}

int blk_urgent_rw(struct blk_dev *d, enum blk_op op, uint64_t offset, void *buf, size_t len)
{
	return rw_buf(d, op, BLK_URGENT, offset, buf, len);
}
