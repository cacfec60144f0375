// SPDX-License-Identifier: Apache-2.0
/*
 * Boot option bench=drivers: what an operation costs the CPU, counted by the TSC (instructions under -icount shift=0). Interrupts are
 * held off while the device works and let in during short windows, so that only our own code is counted:
 * blk_submit or xmit, and everything from the interrupt's entry to its exit, with done in between. One CPU. NICs are
 * measured in pairs that share a wire: one sends, the other receives.
 */
#include "boot/devtest.h"
#include "vmk/blk.h"
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/driver.h"
#include "vmk/mm.h"
#include "vmk/pkt.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/world.h"
#include "x86/insn.h"

#define LOG_MODULE "bench"
#include "vmk/log.h"

enum {
	DEPTH_MOST = 32,
	ROUNDS = 8,
	SETTLE_MS = 2,
	GIVE_UP = 10000,
	NICS_MAX = 8,
	FRAME_BYTES = 1514
};

static uint64_t floor_cost; /* of a window in which nothing happens */

/* Interrupts off before and after; what ran in between, in TSC counts. */
static uint64_t window(void)
{
	uint64_t before = rdtsc();
	irq_restore(RFLAGS_IF);
	(void)irq_save();
	uint64_t cost = rdtsc() - before;
	return cost > floor_cost ? cost - floor_cost : 0;
}

static void calibrate(void)
{
	uint64_t least = UINT64_MAX;
	floor_cost = 0;
	for (unsigned i = 0; i < 100; i++)
		least = MIN(least, window());
	floor_cost = least;
}

/* A driver's counter; the virtio drivers share their transport's, the Intel NICs theirs. */
static uint64_t stat_value(const char *driver, const char *what)
{
	char name[48];
	const char *of = !strncmp(driver, "virtio", 6)  ? "virtio"
	                 : !strncmp(driver, "e1000", 5) ? "e1000"
	                                                : driver;
	vmk_snprintf(name, sizeof(name), "%s.%s", of, what);
	SECTION_FOR_EACH(struct stat_entry, s, stats) {
		if (!strcmp(s->name, name))
			return *s->value;
	}
	return 0;
}

static void report(const char *driver, const char *what, uint64_t total, uint64_t ops,
                   const char *unit)
{
	log_info("%s.%s %llu %s", driver, what, (unsigned long long)(total / ops), unit);
}

/* What icount prices at one instruction each: register accesses and interrupts. */
struct traffic {
	uint64_t mmio, interrupts;
};

static struct traffic traffic_of(const char *driver)
{
	return (struct traffic){ stat_value(driver, "mmio") + stat_value(driver, "kicks"),
		                 stat_value(driver, "interrupts") };
}

/* The traffic since `from`, in thousandths an operation. */
static void report_traffic(const char *driver, const char *what, struct traffic from, uint64_t ops)
{
	char name[48];
	struct traffic now = traffic_of(driver);
	/* Not every driver counts its accesses. */
	vmk_snprintf(name, sizeof(name), "%s.mmio", what);
	if (now.mmio)
		report(driver, name, (now.mmio - from.mmio) * 1000, ops, "per_1000");
	vmk_snprintf(name, sizeof(name), "%s.interrupts", what);
	if (now.interrupts)
		report(driver, name, (now.interrupts - from.interrupts) * 1000, ops, "per_1000");
}

struct reads {
	struct blk_req req[DEPTH_MOST];
	struct sg sg[DEPTH_MOST];
	unsigned done;
};

static void read_done(struct blk_req *r)
{
	((struct reads *)r->arg)->done++;
}

/* One round at a depth: TSC counts in all, 0 when the device does not answer. */
static uint64_t read_round(struct blk_dev *d, struct reads *s, unsigned depth)
{
	s->done = 0;
	uint64_t flags = irq_save(), cost = 0;
	for (unsigned i = 0; i < depth; i++) {
		s->req[i] = (struct blk_req){ .op = BLK_READ,
			                      .offset = (uint64_t)i * PAGE_SIZE,
			                      .len = PAGE_SIZE,
			                      .sg = &s->sg[i],
			                      .sg_count = 1,
			                      .done = read_done,
			                      .arg = s };
		uint64_t before = rdtsc();
		blk_submit(&s->req[i], d);
		cost += rdtsc() - before;
	}
	time_delay(SETTLE_MS * NS_PER_MS);
	for (unsigned tries = 0; s->done < depth && tries < GIVE_UP; tries++)
		cost += window();
	bool whole = s->done == depth;
	irq_restore(flags);
	while (!whole && READ_ONCE(s->done) < depth)
		world_yield();
	return whole ? cost : 0;
}

static void bench_disk(struct blk_dev *d)
{
	const char *driver = d->device->driver->name;
	struct reads *s = kzalloc(sizeof(*s));
	if (!s)
		return;
	for (unsigned i = 0; i < DEPTH_MOST; i++)
		s->sg[i] = (struct sg){ .pa = page_alloc(ORDER_4K, FRAME_KERNEL, 0),
			                .len = PAGE_SIZE };
	for (unsigned depth = 1; depth <= DEPTH_MOST; depth *= DEPTH_MOST) {
		uint64_t least = UINT64_MAX;
		struct traffic before = traffic_of(driver);
		char what[32];
		for (unsigned i = 0; i < ROUNDS; i++) {
			uint64_t cost = read_round(d, s, depth);
			least = cost ? MIN(least, cost) : least;
		}
		vmk_snprintf(what, sizeof(what), "read4k.depth%u", depth);
		report(driver, what, least, depth, "instructions");
		report_traffic(driver, what, before, (uint64_t)depth * ROUNDS);
	}
	for (unsigned i = 0; i < DEPTH_MOST; i++)
		page_free(s->sg[i].pa, ORDER_4K);
	kfree(s);
}

struct nics {
	struct uplink *nic[NICS_MAX];
	unsigned count;
};

static unsigned received;

static void count_frame(struct uplink *u, struct pkt *p)
{
	received++;
	pkt_done(p);
}

static void find_nic(struct uplink *u, void *arg)
{
	struct nics *n = arg;
	if (n->count == NICS_MAX || u->owner)
		return;
	u->rx = count_frame;
	u->link_changed = NULL;
	store_release(&u->owner, (void *)count_frame);
	if (u->ops->set_mode && u->ops->set_mode(u, true, true))
		log_warn("%s: takes no mode", u->name);
	(void)u->ops->set_up(u, true);
	n->nic[n->count++] = u;
}

static void bench_pair(struct uplink *from, struct uplink *to)
{
	uint64_t send = UINT64_MAX, receive = UINT64_MAX;
	struct traffic before = traffic_of(from->driver);
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t sent = 0, got = 0, flags = irq_save();
		unsigned n = 0;
		received = 0;
		for (; n < DEPTH_MOST; n++) {
			struct pkt *p = pkt_alloc(FRAME_BYTES);
			if (!p)
				break;
			(void)pkt_write(p, 0, to->mac, ETH_ALEN);
			(void)pkt_write(p, ETH_ALEN, from->mac, ETH_ALEN);
			uint64_t before = rdtsc();
			int rc = from->ops->xmit(from, 0, p);
			sent += rdtsc() - before;
			if (rc)
				pkt_done(p);
		}
		time_delay(SETTLE_MS * NS_PER_MS);
		for (unsigned tries = 0; received < n && tries < GIVE_UP; tries++)
			got += window();
		irq_restore(flags);
		send = MIN(send, sent);
		receive = received == n ? MIN(receive, got) : receive;
	}
	report(from->driver, "send", send, DEPTH_MOST, "instructions");
	report(from->driver, "receive", receive, DEPTH_MOST, "instructions");
	/* Of a frame's whole way: out of one NIC and into the other. */
	report_traffic(from->driver, "frame", before, (uint64_t)DEPTH_MOST * ROUNDS);
}

struct disks {
	struct blk_dev *disk[NICS_MAX];
	unsigned count;
};

static void find_disk(struct blk_dev *d, void *arg)
{
	struct disks *f = arg;
	if (!d->parent && f->count < NICS_MAX)
		f->disk[f->count++] = d;
}

static struct nics nics; /* taken before the switches took them */

void bench_drivers_take(void)
{
	char which[16];
	if (boot_option("bench", which, sizeof(which)) && !strcmp(which, "drivers"))
		uplink_for_each(find_nic, &nics);
}

void bench_drivers_run(void)
{
	struct disks f = { .count = 0 };
	(void)irq_save();
	calibrate();
	irq_restore(RFLAGS_IF);
	blk_for_each(find_disk, &f);
	for (unsigned i = 0; i < f.count; i++)
		bench_disk(f.disk[i]);
	for (unsigned i = 0; i + 1 < nics.count; i += 2)
		bench_pair(nics.nic[i], nics.nic[i + 1]);
}
