// SPDX-License-Identifier: Apache-2.0
/*
 * Boot option bench=drivers: what an operation costs the CPU, counted by the TSC (instructions
 * under -icount shift=0). Interrupts are held off while the device works and let in during short
 * windows, so that only our own code is counted: blk_submit or xmit, and everything from the
 * interrupt's entry to its exit, with done in between. One CPU. NICs are measured in pairs that
 * share a wire: one sends, the other receives.
 */
#include "test/bench.h"
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/driver.h"
#include "vmk/mm.h"
#include "vmk/pkt.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmk/world.h"
#include "x86/insn.h"

#include "vmk/log.h"

#define LOG_MODULE "bench"

enum { SETTLE_MS = 2, WINDOWS = 100, GIVE_UP = 10000, NICS_MAX = 8, FRAME_BYTES = 1514 };

#define CARRIES_WITHIN (10 * NS_PER_S)

static uint64_t floor_cost; /* of a window in which nothing happens */

/* Interrupts off before and after; what ran in between, in TSC counts. */
uint64_t bench_window(void)
{
	uint64_t before = rdtsc();

	irq_restore(RFLAGS_IF);
	(void)irq_save();
	uint64_t cost = rdtsc() - before;

	return cost > floor_cost ? cost - floor_cost : 0;
}

void bench_calibrate(void)
{
	uint64_t least = UINT64_MAX;

	floor_cost = 0;
	for (unsigned i = 0; i < 100; i++)
		least = MIN(least, bench_window());
	floor_cost = least;
}

/*
 * A driver's counter, 0 when it has none; the virtio drivers share their transport's, the Intel
 * NICs theirs.
 */
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

void bench_report(const char *of, const char *what, uint64_t total, uint64_t ops, const char *unit)
{
	log_info("%s.%s %llu %s", of, what, (unsigned long long)(total / ops), unit);
}

static struct bench_traffic bench_traffic_of(const char *driver)
{
	return (struct bench_traffic){ stat_value(driver, "mmio") + stat_value(driver, "kicks"),
		                       stat_value(driver, "interrupts") };
}

/* The traffic since `from`, in thousandths an operation. */
static void bench_report_traffic(const char *driver, const char *what, struct bench_traffic from,
                                 uint64_t ops)
{
	char name[48];
	struct bench_traffic now = bench_traffic_of(driver);

	vmk_snprintf(name, sizeof(name), "%s.mmio", what);
	if (now.mmio)
		bench_report(driver, name, (now.mmio - from.mmio) * 1000, ops, "per_1000");
	vmk_snprintf(name, sizeof(name), "%s.interrupts", what);
	if (now.interrupts)
		bench_report(driver, name, (now.interrupts - from.interrupts) * 1000, ops,
		             "per_1000");
}

static void bench_disk(struct blk_dev *d)
{
	const char *driver = d->device->driver->name;
	struct bench_io *io;
	int err = bench_io_open(d, NULL, 0, &io);

	if (err) {
		log_err("%s: error %d", d->id, -err);
		return;
	}
	for (unsigned depth = 1; depth <= BENCH_DEPTH; depth *= BENCH_DEPTH) {
		struct bench_traffic before = bench_traffic_of(driver);
		char what[32];

		vmk_snprintf(what, sizeof(what), "read4k.depth%u", depth);
		uint64_t cost = bench_io_random(io, BLK_READ, depth, blk_size(d));

		bench_report(driver, what, cost, 1, "instructions");
		bench_report_traffic(driver, what, before, (uint64_t)depth * BENCH_ROUNDS);
	}
	bench_io_close(io);
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

static struct pkt *test_frame(const struct uplink *from, const uint8_t mac[ETH_ALEN])
{
	struct pkt *p = pkt_alloc(FRAME_BYTES);

	if (p) {
		(void)pkt_write(p, 0, mac, ETH_ALEN);
		(void)pkt_write(p, ETH_ALEN, from->mac, ETH_ALEN);
	}
	return p;
}

/*
 * A NIC may take its time from its set-up to its first frame (QEMU's e1000 a second): false, when
 * it takes too long.
 */
static bool carries(struct uplink *from, struct uplink *to)
{
	ns_t deadline = time_now() + CARRIES_WITHIN;

	received = 0;
	while (!READ_ONCE(received) && time_now() < deadline) {
		struct pkt *p = test_frame(from, to->mac);

		if (p && from->ops->xmit(from, 0, p))
			pkt_done(p);
		world_sleep_until(time_now() + SETTLE_MS * NS_PER_MS);
	}
	return READ_ONCE(received);
}

struct frames {
	uint64_t sent, interrupts; /* TSC counts: in xmit, and in what came of it */
	unsigned count;
};

/*
 * Some frames to a station, and all that they cause. `arrive`: waits until they have arrived;
 * false: they did not.
 */
static bool frames_round(struct uplink *from, const uint8_t mac[ETH_ALEN], bool arrive,
                         struct frames *f)
{
	uint64_t flags = irq_save();
	unsigned n = 0;

	received = 0;
	for (; n < BENCH_DEPTH; n++) {
		struct pkt *p = test_frame(from, mac);

		if (!p)
			break;
		uint64_t before = rdtsc();
		int err = from->ops->xmit(from, 0, p);

		f->sent += rdtsc() - before;
		if (err)
			pkt_done(p);
	}
	time_delay(SETTLE_MS * NS_PER_MS);
	for (unsigned tries = 0; tries < WINDOWS || (arrive && received < n && tries < GIVE_UP);
	     tries++)
		f->interrupts += bench_window();
	irq_restore(flags);
	f->count += n;
	return !arrive || received == n;
}

/*
 * Sending is measured with frames that nobody takes, and has its completions in it; receiving is
 * what frames to the other NIC cost in interrupts beyond that. Means: a driver may do its work for
 * some frames at once.
 */
static void bench_pair(struct uplink *from, struct uplink *to)
{
	static const uint8_t nobody[ETH_ALEN] = { 0x02, 0, 0, 0, 0, 0x01 };
	struct frames alone = { 0 }, pair = { 0 };

	if ((to->ops->set_mode && to->ops->set_mode(to, false, false)) || !carries(from, to)) {
		log_err("%s: no frame gets to %s, or it takes no mode", from->name, to->name);
		return;
	}
	for (unsigned round = 0; round < BENCH_ROUNDS; round++)
		(void)frames_round(from, nobody, false, &alone);
	struct bench_traffic before = bench_traffic_of(from->driver);

	for (unsigned round = 0; round < BENCH_ROUNDS; round++) {
		if (!frames_round(from, to->mac, true, &pair)) {
			log_err("%s: frames to %s are lost", from->name, to->name);
			return;
		}
	}
	if (alone.count != pair.count || !alone.count) {
		log_err("no memory for frames");
		return;
	}
	bench_report(from->driver, "send", alone.sent + alone.interrupts, alone.count,
	             "instructions");
	bench_report(from->driver, "receive", pair.interrupts - alone.interrupts, pair.count,
	             "instructions");
	/* Of a frame's whole way: out of one NIC and into the other. */
	bench_report_traffic(from->driver, "frame", before, pair.count);
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

static void bench_drivers_take(void)
{
	char which[16];

	if (boot_option("bench", which, sizeof(which)) && !strcmp(which, "drivers"))
		uplink_for_each(find_nic, &nics);
}

BOOT_HOOK(BOOT_DEVICES, bench_drivers_take);

void bench_drivers_run(void)
{
	struct disks f = { .count = 0 };

	(void)irq_save();
	bench_calibrate();
	irq_restore(RFLAGS_IF);
	blk_for_each(find_disk, &f);
	for (unsigned i = 0; i < f.count; i++)
		bench_disk(f.disk[i]);
	for (unsigned i = 0; i + 1 < nics.count; i += 2)
		bench_pair(nics.nic[i], nics.nic[i + 1]);
}
