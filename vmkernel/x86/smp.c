// SPDX-License-Identifier: Apache-2.0
/*
 * Starting the other CPUs: INIT and STARTUP to all of them, then they come in parallel. Only the
 * boot CPU writes the table of CPUs, and only before it lets the others go on. Spec: Intel SDM 3A
 * 8.4.
 */
#include "x86/smp.h"
#include "acpi/acpi.h"
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "vmk/string.h"
#include "vmk/time.h"
#include "x86/clock.h"
#include "x86/cpu.h"
#include "x86/insn.h"
#include "x86/lapic.h"
#include "x86/paging.h"
#include "x86/paging_table.h"

#define LOG_MODULE "smp"

#define INIT_DELAY    (10 * NS_PER_MS)
#define STARTUP_DELAY (NS_PER_MS / 5)
#define START_TIMEOUT (10 * NS_PER_S)
#define LOW_FIRST     0x1000ull /* page 0 holds the BIOS's vectors */
#define LOW_LAST      0x90000ull

enum cpu_stage { STAGE_OFF, STAGE_THERE, STAGE_ASKED, STAGE_GO };
enum { TSC_TRIES = 16 };

/* trampoline.S */
extern const char trampoline_start[], trampoline_end[], trampoline_root[];
__noreturn void ap_entry(struct percpu *p);

static void (*ap_main)(struct percpu *p);

/* Each question about the TSC is answered at once. */
static void answer_until_go(struct percpu *p)
{
	uint32_t stage;

	while ((stage = load_acquire(&p->stage)) != STAGE_GO) {
		if (stage != STAGE_ASKED) {
			cpu_relax();
			continue;
		}
		p->start_tsc = rdtsc_ordered();
		store_release(&p->stage, STAGE_THERE);
	}
}

/*
 * Whether the CPU's TSC may be the same as ours: its answer has to lie between two readings here,
 * in the round that took the least time (a hypervisor may have paused one of us in another).
 */
static bool tsc_agrees(struct percpu *p)
{
	uint64_t best = UINT64_MAX;
	bool agrees = true;

	for (int i = 0; i < TSC_TRIES; i++) {
		uint64_t before = rdtsc_ordered(), after;

		store_release(&p->stage, STAGE_ASKED);
		while (load_acquire(&p->stage) != STAGE_THERE)
			cpu_relax();
		after = rdtsc_ordered();
		if (after - before < best) {
			best = after - before;
			agrees = p->start_tsc - before <= best;
		}
	}
	return agrees;
}

/* One clock for all CPUs, and timers of the kind that goes with it. */
static void check_tscs(unsigned count)
{
	ns_t deadline = this_cpu()->clock_deadline;

	/* Trusted all the same: by option tsc=reliable, or for want of another clock. */
	if (!cpu_features.invariant_tsc)
		return;
	for (unsigned id = 1; id < count && time_tsc_reliable(); id++) {
		if (tsc_agrees(percpu[id]))
			continue;
		log_warn("the TSC of cpu%u is not that of cpu0%s", id,
		         clock_distrust_tsc() ? "; the clock is a slower one" : "");
		lapic_timer_init();
		lapic_timer_init_cpu();
		clockevent_set(deadline);
		return;
	}
}

/* On the new CPU, from trampoline.S, on its own stack. */
void ap_entry(struct percpu *p)
{
	gdt_load(p);
	/* A fault can be shown from here on; the log's and the locks' CPU number is behind GS. */
	trap_init_cpu();
	cpu_init_control();
	paging_init_cpu();
	lapic_init_cpu();
	store_release(&p->stage, STAGE_THERE);
	answer_until_go(p);
	lapic_timer_init_cpu();
	ap_main(p);
	panic("cpu%u has nothing to do", p->id);
}

/* A page of RAM for the trampoline; nothing else is left below 1 MiB by now. */
static pa_t find_page(void)
{
	for (unsigned i = 0; i < boot_info.ranges; i++) {
		const struct boot_range *r = &boot_info.range[i];
		pa_t at = MAX(r->base, LOW_FIRST);

		if (r->type == BOOT_RAM && at < LOW_LAST && at + PAGE_SIZE <= r->base + r->len)
			return at;
	}
	return PA_NONE;
}

static void place_trampoline(pa_t page)
{
	size_t len = (size_t)(trampoline_end - trampoline_start);
	uint32_t root = (uint32_t)paging_trampoline_root(page);

	memcpy(direct_va(page), trampoline_start, len);
	memcpy((char *)direct_va(page) + (trampoline_root - trampoline_start), &root, sizeof(root));
}

static bool wait_there(unsigned count, ns_t timeout)
{
	ns_t end = time_now() + timeout;

	for (unsigned id = 1; id < count; id++)
		while (load_acquire(&percpu[id]->stage) == STAGE_OFF) {
			if (time_now() > end)
				return false;
			cpu_relax();
		}
	return true;
}

static void send_startups(unsigned count, pa_t page)
{
	for (unsigned id = 1; id < count; id++)
		if (load_acquire(&percpu[id]->stage) == STAGE_OFF)
			lapic_send_startup(percpu[id]->apic_id, page);
}

/* Leaves out who did not come; ids stay without holes because nobody has used them yet. */
static unsigned compact(unsigned count)
{
	unsigned kept = 1;

	for (unsigned id = 1; id < count; id++) {
		struct percpu *p = percpu[id];

		if (p->stage == STAGE_OFF) {
			log_warn("the CPU with APIC ID %u did not start", p->apic_id);
			p->apic_id = UINT32_MAX; /* should it wake up after all */
			continue;
		}
		p->id = kept;
		percpu[kept++] = p;
	}
	for (unsigned id = kept; id < count; id++)
		percpu[id] = NULL;
	return kept;
}

void smp_start(unsigned count, int (*prepare)(unsigned cpu), void (*main)(struct percpu *p))
{
	pa_t page = find_page();
	ns_t start = time_now();

	if (count == 1)
		return;
	if (page == PA_NONE) {
		log_warn("no page below 1 MiB: one CPU only");
		return;
	}
	ap_main = main;
	place_trampoline(page);
	for (unsigned id = 1; id < count; id++)
		lapic_send_init(percpu[id]->apic_id);
	time_delay(INIT_DELAY);
	send_startups(count, page);
	if (!wait_there(count, STARTUP_DELAY)) {
		send_startups(count, page); /* the second one that 8.4.4.1 asks for */
		wait_there(count, START_TIMEOUT);
	}
	count = compact(count);
	/*
	 * Those that came wait in answer_until_go(): what they need is made here, on the boot CPU,
	 * while nobody uses their ids yet.
	 */
	for (unsigned id = 1; id < count; id++)
		if (prepare(id) != 0)
			panic("no memory for cpu%u", id);
	check_tscs(count);
	cpu_set_count(count);
	log_info("%u CPUs after %llu ms", count,
	         (unsigned long long)((time_now() - start) / NS_PER_MS));
	for (unsigned id = 1; id < count; id++)
		store_release(&percpu[id]->stage, STAGE_GO);
}
