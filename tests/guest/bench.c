// SPDX-License-Identifier: Apache-2.0
/*
 * What a round trip into the vmkernel costs, by the guest's own TSC: instructions, when the machine
 * counts them. Each figure is a line "bench: NAME VALUE instructions".
 */
#include "guest.h"

enum { ROUNDS = 200, LARGE = 0x200000 };
/*
 * TSC counts from arming the timer to its end: longer than a host polls before it puts a halted
 * processor to sleep (KVM: 200 us), so that every wake-up is one from sleep.
 */
enum { WAKES = 51, WAIT = 4000000 };
enum { MSR_APIC_BASE = 0x1b, MSR_DEADLINE = 0x6e0, PIT_CHANNEL_0 = 0x40, POST = 0x80 };

static void nothing(void)
{
	__asm__ volatile("");
}

static void one_cpuid(void)
{
	uint32_t a = 0, b, c = 0, d;

	cpuid(&a, &b, &c, &d);
}

static void one_vmmcall(void)
{
	uint64_t a = 12345;

	__asm__ volatile("vmmcall" : "+a"(a));
}

static void one_rdmsr(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(MSR_APIC_BASE));
}

static void one_in(void)
{
	in(PIT_CHANNEL_0, 1);
}

static void one_out(void)
{
	out(POST, 1, 0);
}

static void one_lapic(void)
{
	(void)*(volatile uint32_t *)(LAPIC + 0x20ull);
}

static void one_unclaimed(void)
{
	(void)*(volatile uint32_t *)0xd8000000ull;
}

static void one_self_ipi(void)
{
	timer_seen = 0;
	*(volatile uint32_t *)(LAPIC + 0x300ull) = 1 << 18 | VECTOR_TIMER;
	while (!timer_seen)
		;
}

static uint64_t per_round(void (*fn)(void))
{
	uint64_t start;

	fn(); /* the first is another matter */
	start = rdtsc();
	for (unsigned i = 0; i < ROUNDS; i++)
		fn();
	return (rdtsc() - start) / ROUNDS;
}

static void sort(uint64_t *value, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		for (unsigned k = i; k && value[k] < value[k - 1]; k--) {
			uint64_t v = value[k];

			value[k] = value[k - 1];
			value[k - 1] = v;
		}
}

/*
 * From the timer's end to the handler's first instruction, the processor halted: the median. A
 * wake-up before the timer's end (a host that expects to be late arms its own timer earlier) and
 * one from a processor that was not halted yet half a WAIT before are counted by themselves.
 */
static void wake_ups(void)
{
	uint64_t late[WAKES], early = 0, awake = 0;
	unsigned n = 0;

	*(volatile uint32_t *)(LAPIC + 0x320ull) = 2 << 17 | VECTOR_TIMER;
	for (unsigned i = 0; i < WAKES; i++) {
		uint64_t deadline = rdtsc() + WAIT, halted = 0;

		timer_seen = 0;
		wrmsr(MSR_DEADLINE, deadline);
		while (!timer_seen) {
			halted = rdtsc();
			__asm__ volatile("sti; hlt; cli" ::: "memory");
		}
		if (halted > deadline - WAIT / 2)
			awake++;
		else if (timer_seen < deadline)
			early++;
		else
			late[n++] = timer_seen - deadline;
	}
	sort(late, n);
	if (n)
		print("bench: vm.hlt_wakeup %u instructions\n", late[n / 2]);
	print("bench: vm.hlt_wakeup.early %u per_1000\n", early * 1000 / WAKES);
	print("bench: vm.hlt_wakeup.awake %u per_1000\n", awake * 1000 / WAKES);
}

/* The fault of a page that the vmkernel maps then: the first of each 2 MiB. */
static uint64_t first_touch(void)
{
	uint64_t start = rdtsc();
	unsigned pages = 0;

	for (uint64_t at = ARENA; at < ARENA + ARENA_SIZE; at += LARGE, pages++)
		*(volatile uint8_t *)at = 1;
	return (rdtsc() - start) / pages;
}

void bench_main(void)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} rows[] = {
		{ "vm.cpuid", one_cpuid },         { "vm.vmmcall", one_vmmcall },
		{ "vm.rdmsr", one_rdmsr },         { "vm.port_in", one_in },
		{ "vm.port_out", one_out },        { "vm.mmio_lapic", one_lapic },
		{ "vm.mmio_none", one_unclaimed },
	};
	uint64_t empty = per_round(nothing);

	print("bench: vm.first_touch %u instructions\n", first_touch());
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		print("bench: %s %u instructions\n", rows[i].name, per_round(rows[i].fn) - empty);
	interrupts_on();
	print("bench: vm.self_ipi %u instructions\n", per_round(one_self_ipi) - empty);
	__asm__ volatile("cli");
	wake_ups();
	print("bench: done\n");
}
