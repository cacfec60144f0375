// SPDX-License-Identifier: Apache-2.0
/*
 * One-instruction functions for what C cannot say, and the bits of control registers and RFLAGS.
 * Spec: Intel SDM 2; 3A 2.3, 2.5.
 */
#ifndef X86_INSN_H
#define X86_INSN_H
#include "hw/msr.h"
#include "vmk/types.h"

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR4_DE         BIT(3)
#define CR4_PSE        BIT(4)
#define CR4_PAE        BIT(5)
#define CR4_MCE        BIT(6)
#define CR4_PGE        BIT(7)
#define CR4_OSFXSR     BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP       BIT(11)
#define CR4_FSGSBASE   BIT(16)
#define CR4_OSXSAVE    BIT(18)
#define CR4_SMEP       BIT(20)
#define CR4_SMAP       BIT(21)

#define RFLAGS_TF BIT(8)
#define RFLAGS_IF BIT(9)
#define RFLAGS_DF BIT(10)
#define RFLAGS_NT BIT(14)
#define RFLAGS_AC BIT(18)

struct cpuid {
	uint32_t a, b, c, d;
};
static inline struct cpuid cpuid(uint32_t leaf, uint32_t sub)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
	                 : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d)
	                 : "0"(leaf), "2"(sub));
	return r;
}
static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t lo, hi;

	__asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return (uint64_t)hi << 32 | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
	__asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}
static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return (uint64_t)hi << 32 | lo;
}
/*
 * Not before earlier loads: LFENCE waits for them (AMD: when it is made serialising, as cpu.c
 * does).
 */
static inline uint64_t rdtsc_ordered(void)
{
	__asm__ volatile("lfence" ::: "memory");
	return rdtsc();
}
#define CR_ACCESS_(n)                                                       \
	static inline uint64_t read_cr##n(void)                             \
	{                                                                   \
		uint64_t v;                                                 \
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(v)::"memory"); \
		return v;                                                   \
	}                                                                   \
	static inline void write_cr##n(uint64_t v)                          \
	{                                                                   \
		__asm__ volatile("mov %0, %%cr" #n ::"r"(v) : "memory");    \
	}
CR_ACCESS_(0)
CR_ACCESS_(2)
CR_ACCESS_(3)
CR_ACCESS_(4)
CR_ACCESS_(8)
#undef CR_ACCESS_
static inline void xsetbv(uint32_t index, uint64_t v)
{
	__asm__ volatile("xsetbv" ::"c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}
static inline void invlpg(va_t va)
{
	__asm__ volatile("invlpg (%0)" ::"r"(va) : "memory");
}
/* a * b / c with a 128-bit product; UINT64_MAX when the quotient does not fit. */
static inline uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 product = (unsigned __int128)a * b;
	uint64_t hi = (uint64_t)(product >> 64), lo = (uint64_t)product;

	if (hi >= c)
		return UINT64_MAX;
	__asm__("divq %2" : "+a"(lo), "+d"(hi) : "r"(c) : "cc");
	return lo;
}
static inline void cpu_cli(void)
{
	__asm__ volatile("cli" ::: "memory");
}
static inline void cpu_sti(void)
{
	__asm__ volatile("sti" ::: "memory");
}
/* Enables interrupts and halts in one step: none is lost between the two. */
static inline void cpu_sti_halt(void)
{
	__asm__ volatile("sti; hlt" ::: "memory");
}
static inline void cpu_halt(void)
{
	__asm__ volatile("hlt" ::: "memory");
}
static inline uint64_t read_rflags(void)
{
	uint64_t v;

	__asm__ volatile("pushfq; pop %0" : "=r"(v)::"memory");
	return v;
}
#endif
