// SPDX-License-Identifier: Apache-2.0
/*
 * Requests to a device or to a virtual disk on it, counted as bench_drivers.c says, or timed when
 * they are large.
 */
#include "test/bench.h"
#include "vmk/cpu.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/vdisk.h"
#include "vmk/world.h"
#include "x86/insn.h"

enum { SETTLE_MS = 2, GIVE_UP = 10000, BIG_ORDER = 8, BIG_DEPTH = 4 };
_Static_assert(PAGE_SIZE << BIG_ORDER == MiB, "large requests have 1 MiB");

struct bench_io {
	struct blk_dev *dev;
	struct vdisk *vdisk; /* NULL: the device itself */
	uint64_t base;
	struct vdisk_req req[BENCH_DEPTH];
	struct sg sg[BENCH_DEPTH]; /* the first BIG_DEPTH have 1 MiB each */
	bool busy[BENCH_DEPTH];
	unsigned done;
	int status;
	uint64_t random;
};

static void request_done(struct bench_io *io, unsigned slot, int status)
{
	io->status = status ? status : io->status;
	WRITE_ONCE(io->busy[slot], false);
	WRITE_ONCE(io->done, io->done + 1);
}

static void blk_done(struct blk_req *r)
{
	struct bench_io *io = r->arg;

	request_done(io, (unsigned)(container_of(r, struct vdisk_req, blk) - io->req), r->status);
}

static void vdisk_done(struct vdisk_req *r)
{
	struct bench_io *io = r->blk.arg;

	request_done(io, (unsigned)(r - io->req), r->blk.status);
}

static void fill(struct bench_io *io, unsigned slot, enum blk_op op, uint64_t offset, uint32_t len)
{
	io->sg[slot].len = len;
	io->busy[slot] = true;
	io->req[slot] = (struct vdisk_req){ .blk = { .op = (uint8_t)op,
		                                     .offset = io->base + offset,
		                                     .len = len,
		                                     .sg = &io->sg[slot],
		                                     .sg_count = 1,
		                                     .done = blk_done,
		                                     .arg = io },
		                            .done = vdisk_done };
}

static void submit(struct bench_io *io, unsigned slot)
{
	if (io->vdisk)
		vdisk_submit(io->vdisk, &io->req[slot]);
	else
		blk_submit(&io->req[slot].blk, io->dev);
}

/* Some page below span: Knuth's linear congruential generator, the same sequence each time. */
static uint64_t some_page(struct bench_io *io, uint64_t span)
{
	io->random = io->random * 6364136223846793005ull + 1442695040888963407ull;
	return (io->random >> 33) % (span / PAGE_SIZE) * PAGE_SIZE;
}

/* One round: TSC counts in all, UINT64_MAX when the device took too long. */
static uint64_t round_of(struct bench_io *io, enum blk_op op, unsigned depth, uint64_t span)
{
	io->done = 0;
	uint64_t flags = irq_save(), cost = 0;

	for (unsigned i = 0; i < depth; i++) {
		fill(io, i, op, some_page(io, span), PAGE_SIZE);
		uint64_t before = rdtsc();

		submit(io, i);
		cost += rdtsc() - before;
	}
	time_delay(SETTLE_MS * NS_PER_MS);
	for (unsigned tries = 0; io->done < depth && tries < GIVE_UP; tries++)
		cost += bench_window();
	bool whole = io->done == depth;

	irq_restore(flags);
	while (READ_ONCE(io->done) < depth)
		world_yield();
	return whole ? cost : UINT64_MAX;
}

uint64_t bench_io_random(struct bench_io *io, enum blk_op op, unsigned depth, uint64_t span)
{
	uint64_t least = UINT64_MAX;

	for (unsigned i = 0; i < BENCH_ROUNDS || least == UINT64_MAX; i++)
		least = MIN(least, round_of(io, op, depth, span));
	return least / depth;
}

ns_t bench_io_sequential(struct bench_io *io, enum blk_op op, uint64_t span)
{
	uint64_t at = 0;
	ns_t start = time_now();
	unsigned sent = 0;

	io->done = 0;
	io->status = 0;
	while (at < span || READ_ONCE(io->done) < sent) {
		for (unsigned i = 0; i < BIG_DEPTH && at < span; i++) {
			if (READ_ONCE(io->busy[i]))
				continue;
			fill(io, i, op, at, MiB);
			submit(io, i);
			at += MiB;
			sent++;
		}
		world_yield();
	}
	return io->status ? 0 : time_now() - start;
}

int bench_io_open(struct blk_dev *dev, struct vdisk *vdisk, uint64_t base, struct bench_io **out)
{
	struct bench_io *io = vmalloc(sizeof(*io));

	if (!io)
		return -ENOMEM;
	*io = (struct bench_io){ .dev = dev, .vdisk = vdisk, .base = base };
	for (unsigned i = 0; i < BENCH_DEPTH; i++)
		io->sg[i].pa = PA_NONE;
	for (unsigned i = 0; i < BENCH_DEPTH; i++) {
		io->sg[i].pa = page_alloc(i < BIG_DEPTH ? BIG_ORDER : 0, FRAME_KERNEL, 0);
		if (io->sg[i].pa == PA_NONE) {
			bench_io_close(io);
			return -ENOMEM;
		}
	}
	*out = io;
	return 0;
}

void bench_io_close(struct bench_io *io)
{
	for (unsigned i = 0; i < BENCH_DEPTH; i++)
		if (io->sg[i].pa != PA_NONE)
			page_free(io->sg[i].pa, i < BIG_DEPTH ? BIG_ORDER : 0);
	vfree(io);
}
