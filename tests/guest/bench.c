// SPDX-License-Identifier: Apache-2.0
/*
 * What a round trip into the vmkernel costs, by the guest's own TSC: instructions, when the machine
 * counts them. Each figure is a line "bench: NAME VALUE instructions".
 */
#include "guest.h"

enum { ROUNDS = 200, WAKES = 50, WAIT = 200000, LARGE = 0x200000 };
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

/* From the timer's end to the handler's first instruction, the processor halted. */
static uint64_t wake_up(void)
{
	uint64_t sum = 0;

	*(volatile uint32_t *)(LAPIC + 0x320ull) = 2 << 17 | VECTOR_TIMER;
	for (unsigned i = 0; i < WAKES; i++) {
		uint64_t deadline = rdtsc() + WAIT;

		timer_seen = 0;
		wrmsr(MSR_DEADLINE, deadline);
		while (!timer_seen)
			__asm__ volatile("sti; hlt; cli");
		sum += timer_seen - deadline;
	}
	return sum / WAKES;
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
	print("bench: vm.hlt_wakeup %u instructions\n", wake_up());
	print("bench: done\n");
}
