// SPDX-License-Identifier: Apache-2.0
/*
 * A small guest for tests: one processor, 64-bit, interrupts off unless it says otherwise. What it
 * does is the first word of its command line. It prints to the debug console (E9h) and ends through
 * the debug exit port (F4h).
 */
#ifndef GUEST_H
#define GUEST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARENA      0x1000000ull /* memory for devices to play with */
#define ARENA_SIZE 0x1000000ull
enum {
	LAPIC = 0xfee00000,
	IOAPIC = 0xfec00000,
	ECAM = 0xe0000000,
	VECTOR_TIMER = 0x40,
	VECTOR_DEVICE
};

static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}
static inline uint32_t in(uint16_t port, unsigned size)
{
	uint32_t v = 0;

	if (size == 1)
		__asm__ volatile("inb %w1, %b0" : "+a"(v) : "d"(port));
	else if (size == 2)
		__asm__ volatile("inw %w1, %w0" : "+a"(v) : "d"(port));
	else
		__asm__ volatile("inl %w1, %0" : "+a"(v) : "d"(port));
	return v;
}
static inline void out(uint16_t port, unsigned size, uint32_t v)
{
	if (size == 1)
		__asm__ volatile("outb %b0, %w1" ::"a"(v), "d"(port));
	else if (size == 2)
		__asm__ volatile("outw %w0, %w1" ::"a"(v), "d"(port));
	else
		__asm__ volatile("outl %0, %w1" ::"a"(v), "d"(port));
}
static inline void cpuid(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d)
{
	__asm__ volatile("cpuid" : "+a"(*a), "=b"(*b), "+c"(*c), "=d"(*d));
}
/* false: it faulted. */
bool rdmsr(uint32_t msr, uint64_t *v);
bool wrmsr(uint32_t msr, uint64_t v);

void print(const char *format, ...); /* %s, %u and %x of 64 bits */
void quit(uint8_t code) __attribute__((noreturn));
uint64_t option(const char *name, uint64_t otherwise); /* NAME=NUMBER of the command line */

extern volatile uint64_t timer_seen;        /* the TSC at the last VECTOR_TIMER */
extern volatile uint64_t device_interrupts; /* VECTOR_DEVICE, so far */
extern uint64_t faults;

void interrupts_on(void); /* only those of the local APIC */
void bench_main(void);
void devices_main(void);
void echo_main(void);
void fuzz_main(void);
void fuzz_rings(uint64_t count);
uint64_t random64(void);
uint64_t below(uint64_t n);
#endif
