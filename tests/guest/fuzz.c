// SPDX-License-Identifier: Apache-2.0
/*
 * Whatever a guest can reach, with random values: the seed and the number of tries a phase come
 * from the command line (fuzz seed=N count=N). Left out is what ends the guest by its own right:
 * power, resets, INIT and SIPI to itself.
 */
#include "guest.h"

static uint64_t state;

uint64_t random64(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1d;
}

uint64_t below(uint64_t n)
{
	return random64() % n;
}

/* Values with a taste for edges. */
static uint64_t value(void)
{
	uint64_t v = random64();

	switch (below(6)) {
	case 0: return 0;
	case 1: return ~0ull;
	case 2: return 1ull << (v & 63);
	case 3: return v & 0xff;
	default: return v;
	}
}

/* Neither half is an interrupt message that is INIT or SIPI. */
static uint64_t tame(uint64_t v)
{
	for (unsigned shift = 8; shift < 64; shift += 32) {
		uint64_t mode = v >> shift & 7;

		if (mode == 5 || mode == 6)
			v &= ~(7ull << shift);
	}
	return v;
}

static bool covers(uint16_t port, unsigned size, uint16_t first, uint16_t last)
{
	return port <= last && port + size > first;
}

static bool ends_us(uint16_t port, unsigned size)
{
	return covers(port, size, 0x604, 0x605) || covers(port, size, 0xcf9, 0xcf9) ||
	       covers(port, size, 0x64, 0x64) || covers(port, size, 0x92, 0x92) ||
	       covers(port, size, 0xf4, 0xf7);
}

static uint16_t some_port(void)
{
	static const uint16_t known[] = { 0x20,  0x21,  0xa0,  0xa1,  0x40,   0x43,
		                          0x61,  0x70,  0x71,  0x3f8, 0x2f8,  0x4d0,
		                          0x600, 0x608, 0xcf8, 0xcfc, 0xc000, 0xc080 };

	if (below(8) == 0)
		return (uint16_t)random64();
	return (uint16_t)(known[below(sizeof(known) / sizeof(known[0]))] + below(8));
}

static void ports(uint64_t count)
{
	while (count--) {
		unsigned size = 1u << below(3);
		uint16_t port = some_port();
		uint64_t n = below(300), at = ARENA + below(ARENA_SIZE - 4096);
		bool writes = below(2);

		if (writes && (ends_us(port, size) || covers(port, size, 0xe9, 0xe9)))
			continue;
		switch (below(8)) {
		case 0:
			if (writes)
				__asm__ volatile("rep outsb"
				                 : "+S"(at), "+c"(n)
				                 : "d"(port)
				                 : "memory");
			else
				__asm__ volatile("rep insb"
				                 : "+D"(at), "+c"(n)
				                 : "d"(port)
				                 : "memory");
			break;
		case 1:
			if (writes && !ends_us(port, 4))
				__asm__ volatile("outsl" : "+S"(at) : "d"(port) : "memory");
			else
				__asm__ volatile("std; rep insw; cld"
				                 : "+D"(at), "+c"(n)
				                 : "d"(port)
				                 : "memory");
			break;
		default:
			if (writes)
				out(port, size, (uint32_t)value());
			else
				in(port, size);
		}
	}
}

static uint64_t some_device(void)
{
	static const uint64_t known[] = { LAPIC, IOAPIC, ECAM, 0xc0000000, 0xc0001000, 0xd0000000 };
	uint64_t at = known[below(6)] + below(0x20000);

	if (below(3) == 0)
		at = known[below(2)] + (below(64) << 4);
	return below(16) ? at : 0xc0000000 + below(0x3fff0000);
}

/* Device memory through instructions of many forms. */
static void mmio(uint64_t count)
{
	while (count--) {
		uint64_t at = some_device(), v = tame(value()), n = below(64), m = ARENA;
		volatile uint8_t *p = (void *)at;

		switch (below(16)) {
		case 0: *p = (uint8_t)v; break;
		case 1: *(volatile uint16_t *)p = (uint16_t)v; break;
		case 2:
		case 3: *(volatile uint32_t *)p = (uint32_t)v; break;
		case 4: *(volatile uint64_t *)p = v; break;
		case 5: __asm__ volatile("movups %0, %%xmm0" ::"m"(*p)); break;
		case 6:
			__asm__ volatile(
				"movq %1, %%xmm1; punpcklqdq %%xmm1, %%xmm1; movups %%xmm1, %0"
				: "=m"(*p)
				: "r"(v));
			break;
		case 7:
			__asm__ volatile("rep stosl" : "+D"(at), "+c"(n) : "a"(v) : "memory");
			break;
		case 8: __asm__ volatile("rep movsb" : "+S"(at), "+D"(m), "+c"(n)::"memory"); break;
		case 9: __asm__ volatile("movzbl %1, %k0" : "=r"(v) : "m"(*p)); break;
		case 10: __asm__ volatile("movslq %1, %0" : "=r"(v) : "m"(*p)); break;
		case 11: __asm__ volatile("testl $0x55, %0" ::"m"(*p) : "cc"); break;
		case 12: __asm__ volatile("cmpq %0, %1" ::"r"(v), "m"(*p) : "cc"); break;
		case 13: __asm__ volatile("btl $3, %0" ::"m"(*p) : "cc"); break;
		default: (void)*(volatile uint32_t *)p; break;
		}
	}
}

static uint32_t some_msr(void)
{
	static const uint32_t known[] = { 0x0,        0x10,       0x1b,       0x174, 0x1a0,
		                          0x1d9,      0x200,      0x250,      0x277, 0x2ff,
		                          0x400,      0x6e0,      0x800,      0x830, 0x83f,
		                          0xc0000080, 0xc0000100, 0xc0010000, 0x11,  0x12,
		                          0x4b564d00, 0xc0010114, 0xc0011020, 0xda0 };

	if (below(8) == 0)
		return (uint32_t)random64();
	return known[below(sizeof(known) / sizeof(known[0]))] + (uint32_t)below(16);
}

static void msrs(uint64_t count)
{
	while (count--) {
		uint32_t msr = some_msr();
		uint64_t v = value();

		if (below(2)) {
			rdmsr(msr, &v);
			continue;
		}
		if (msr >= 0x800 && msr < 0x900)
			v = tame(v);
		/* KVM's clocks are written to where we say. */
		if (msr == 0x11 || msr == 0x12 || msr >> 4 == 0x4b564d0)
			v = below(2) ? ARENA + (v & (ARENA_SIZE - 64)) + (v & 1) : v | 1ull << 40;
		wrmsr(msr, v);
	}
}

static void questions(uint64_t count)
{
	while (count--) {
		uint32_t a = (uint32_t)value(), b, c = (uint32_t)value(), d;
		uint64_t rax = value();

		if (below(2))
			a = (uint32_t)(below(3) == 0 ? below(64)
			               : below(2)    ? 0x40000000 + below(64)
			                             : 0x80000000 + below(64));
		cpuid(&a, &b, &c, &d);
		__asm__ volatile("vmmcall" : "+a"(rax) : "b"(value()), "c"(value()), "d"(value()));
	}
}

static void pci(uint64_t count)
{
	while (count--) {
		uint32_t address = (uint32_t)(0x80000000 | below(8) << 11 | below(64) << 2);
		unsigned size = 1u << below(3), off = (unsigned)below(4) & ~(size - 1);

		if (below(4) == 0)
			address = (uint32_t)random64();
		out(0xcf8, 4, address);
		if (below(2))
			in((uint16_t)(0xcfc + off), size);
		else
			out((uint16_t)(0xcfc + off), size, (uint32_t)value());
		if (below(4) == 0)
			*(volatile uint32_t *)(ECAM + (below(8) << 15 |
			                               below(1024) << 2)) = (uint32_t)value();
	}
}

void fuzz_main(void)
{
	static const struct {
		const char *name;
		void (*run)(uint64_t count);
	} phases[] = {
		{ "cpuid and hypercalls", questions },
		{ "rings", fuzz_rings },
		{ "ports", ports },
		{ "msrs", msrs },
		{ "mmio", mmio },
		{ "pci", pci },
		{ "rings again", fuzz_rings },
	};
	uint64_t count = option("count", 1000);

	state = option("seed", 1) * 0x9e3779b97f4a7c15 + 1;
	for (unsigned i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		phases[i].run(count);
		print("\nfuzz: %s: %u tries, %u faults so far\n", phases[i].name, count, faults);
	}
	print("\nfuzz: passed\n");
}
