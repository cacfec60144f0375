// SPDX-License-Identifier: Apache-2.0
/*
 * Measurements of the ground for the boot option bench=ground, one line each: "bench: NAME VALUE
 * UNIT". Meant for one CPU under QEMU's -icount shift=0, where the TSC counts instructions and
 * figures repeat exactly. Paths are measured on one CPU: sending, not the other side's reception.
 */
#include "test/bench.h"
#include "test/selftest.h"
#include "vmk/boot.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/wait.h"
#include "vmk/world.h"
#include "x86/insn.h"
#include "x86/lapic.h"
#include "x86/percpu.h"
#include "x86/trap.h"

#define LOG_MODULE "bench"

enum { FEW = 10, MANY = 10000 };

static uint64_t empty; /* of two readings in a row */

static void report(const char *name, unsigned objects, uint64_t cost, uint64_t count)
{
	char suffix[16] = "";

	if (objects)
		vmk_snprintf(suffix, sizeof(suffix), ".%u", objects);
	log_info("%s%s %llu instructions", name, suffix,
	         (unsigned long long)((cost + count / 2) / count));
}

/* The time since `start` less what reading it takes. */
static uint64_t since(uint64_t start)
{
	return rdtsc() - start - empty;
}

static void bench_pages(void)
{
	enum { PAGES = 16 };
	pa_t page[PAGES];
	uint64_t start, alloc = 0, free = 0;

	/* Twice: the second time the CPU's cache has them all. */
	for (unsigned round = 0; round < 2; round++) {
		alloc = free = 0;
		for (unsigned i = 0; i < PAGES; i++) {
			start = rdtsc();
			page[i] = page_alloc(0, FRAME_KERNEL, 0);
			alloc += since(start);
		}
		for (unsigned i = 0; i < PAGES; i++) {
			start = rdtsc();
			page_free(page[i], 0);
			free += since(start);
		}
	}
	report("mm.page_alloc.4k", 0, alloc, PAGES);
	report("mm.page_free.4k", 0, free, PAGES);
	start = rdtsc();
	page[0] = page_alloc(ORDER_2M, FRAME_KERNEL, 0);
	report("mm.page_alloc.2m", 0, since(start), 1);
	page_free(page[0], ORDER_2M);
}

static void bench_heap(unsigned objects)
{
	void **held = kcalloc(objects, sizeof(*held)), *p;
	uint64_t start, alloc, free;

	if (!held)
		return;
	for (unsigned i = 0; i < objects; i++)
		held[i] = kmalloc(64);
	kfree(kmalloc(64));
	start = rdtsc();
	p = kmalloc(64);
	alloc = since(start);
	start = rdtsc();
	kfree(p);
	free = since(start);
	report("mm.slab_alloc", objects, alloc, 1);
	report("mm.slab_free", objects, free, 1);
	for (unsigned i = 0; i < objects; i++)
		kfree(held[i]);
	kfree(held);
}

static void never(struct timer *t) {}

static void bench_timers(unsigned objects)
{
	struct timer *armed = kcalloc(objects, sizeof(*armed)), probe;
	ns_t now = time_now();
	uint64_t start, set = 0, cancel = 0;

	if (!armed)
		return;
	for (unsigned i = 0; i < objects; i++) {
		timer_init(&armed[i], never);
		timer_set(&armed[i], now + (3600 + i * 7919ull % objects) * NS_PER_S);
	}
	timer_init(&probe, never);
	for (unsigned i = 0; i < 16; i++) {
		start = rdtsc();
		timer_set(&probe, now + (3600 + i * objects / 16) * NS_PER_S + 1);
		set += since(start);
		start = rdtsc();
		timer_cancel(&probe);
		cancel += since(start);
	}
	report("sched.timer_set", objects, set, 16);
	report("sched.timer_cancel", objects, cancel, 16);
	for (unsigned i = 0; i < objects; i++)
		timer_cancel_sync(&armed[i]);
	kfree(armed);
}

/*
 * Worlds that yield in turns, then sleep, each on a queue of its own, until they are woken to end.
 */
struct crew {
	unsigned size, rounds;
	uint32_t yielding, living;
	uint64_t start, end;
	struct waitq *gates, finished;
	bool leave;
};
struct sailor {
	struct crew *crew;
	unsigned index;
};

static void sail(void *arg)
{
	struct sailor s = *(struct sailor *)arg;
	struct crew *c = s.crew;

	kfree(arg);
	if (!c->start)
		c->start = rdtsc();
	for (unsigned i = 0; i < c->rounds; i++)
		world_yield();
	if (!__atomic_sub_fetch(&c->yielding, 1, __ATOMIC_RELAXED)) {
		c->end = rdtsc();
		waitq_wake_all(&c->finished);
	}
	wait_event(&c->gates[s.index], READ_ONCE(c->leave));
	if (!__atomic_sub_fetch(&c->living, 1, __ATOMIC_RELAXED))
		waitq_wake_all(&c->finished);
}

static bool hire(struct crew *c, unsigned size, unsigned rounds)
{
	*c = (struct crew){ .size = size, .rounds = rounds, .yielding = size, .living = size };
	waitq_init(&c->finished, "bench");
	c->gates = vmalloc(size * sizeof(*c->gates));
	for (unsigned i = 0; c->gates && i < size; i++) {
		struct sailor *s = kmalloc(sizeof(*s));
		struct world_attr attr = { .name = "bench", .cpu = 0, .fn = sail, .arg = s };
		struct world *w;

		waitq_init(&c->gates[i], "bench");
		if (!s || world_create(&attr, &w))
			return false;
		*s = (struct sailor){ c, i };
		world_start(w);
		world_put(w);
	}
	return c->gates != NULL;
}

static void bench_worlds(unsigned objects)
{
	struct crew c;
	uint64_t start, wake;

	preempt_disable();
	if (!hire(&c, objects, 100000 / objects))
		panic("bench: no memory for %u worlds", objects);
	preempt_enable();
	wait_event(&c.finished, !READ_ONCE(c.yielding));
	report("sched.switch", objects, c.end - c.start, (uint64_t)objects * c.rounds);
	world_sleep_until(time_now() + 20 * NS_PER_MS); /* the last ones fall asleep */
	c.leave = true;
	preempt_disable();
	start = rdtsc();
	for (unsigned i = 0; i < objects; i++)
		waitq_wake_one(&c.gates[i]);
	wake = since(start);
	preempt_enable();
	report("sched.wake", objects, wake, objects);
	wait_event(&c.finished, !READ_ONCE(c.living));
	vfree(c.gates);
}

static void bench_locks(void)
{
	struct spinlock l;
	uint64_t start, flags;

	spin_init(&l, "bench", RANK_LEAF);
	start = rdtsc();
	spin_lock(&l);
	spin_unlock(&l);
	report("sched.spin_pair", 0, since(start), 1);
	start = rdtsc();
	flags = spin_lock_irq(&l);
	spin_unlock_irq(&l, flags);
	report("sched.spin_irq_pair", 0, since(start), 1);
}

/*
 * Both ends on one CPU: a second one would be waited for, which under icount counts QEMU's turns.
 */
static void bench_ipi(const char *what, uint8_t vector)
{
	char name[32];
	uint64_t flags = irq_save(), start = rdtsc(), send, receive;

	lapic_send(this_cpu()->apic_id, vector);
	send = since(start);
	receive = bench_window();
	irq_restore(flags);
	vmk_snprintf(name, sizeof(name), "ipi.%s.send", what);
	report(name, 0, send, 1);
	vmk_snprintf(name, sizeof(name), "ipi.%s.receive", what);
	report(name, 0, receive, 1);
}

static void bench_interrupts(void)
{
	uint64_t flags = irq_save();

	bench_calibrate();
	irq_restore(flags);
	bench_ipi("call", VEC_CALL);
	bench_ipi("resched", VEC_RESCHED);
}

static void report_memory(void)
{
	struct mm_totals t;

	mm_totals(&t);
	log_info("mm.used %llu bytes",
	         (unsigned long long)((t.total_pages - t.pages[FRAME_FREE] - t.pages[FRAME_CACHE] -
	                               t.pages[FRAME_RAMDISK])
	                              << PAGE_SHIFT));
}

static void bench_ground(void)
{
	ns_t ready = time_now();
	uint64_t start = rdtsc();

	empty = rdtsc() - start;
	log_info("boot.ready %llu ns", (unsigned long long)ready);
	report_memory();
	bench_interrupts();
	bench_locks();
	bench_pages();
	for (unsigned many = 0; many < 2; many++) {
		bench_heap(many ? MANY : FEW);
		bench_timers(many ? MANY : FEW);
		bench_worlds(many ? MANY : FEW);
	}
}

static void bench_run(void)
{
	char name[32];

	if (!boot_option("bench", name, sizeof(name)))
		return;
	if (!strcmp(name, "ground"))
		bench_ground();
	else if (!strcmp(name, "drivers"))
		bench_drivers_run();
	else if (!strcmp(name, "storage"))
		bench_storage_run();
	else if (!strcmp(name, "net"))
		bench_net_run();
	log_info("done");
}

BOOT_HOOK(BOOT_READY, bench_run);
