// SPDX-License-Identifier: Apache-2.0
/* This CPU and the others: identity, per-CPU pointers, inter-processor calls. */
#ifndef VMK_CPU_H
#define VMK_CPU_H
#include "vmk/types.h"

struct percpu; /* x86/percpu.h; reached through GS */

unsigned cpu_count(void);        /* that came up */
unsigned cpu_node(unsigned cpu); /* NUMA node index */
uint32_t cpu_apic_id(unsigned cpu);

/* Where x86/percpu.h keeps what the functions below return: the lowest layers need them too. */
enum { PERCPU_WORLD_ID_AT = 40, PERCPU_ID_AT = 44 };

#ifdef VMK_HOST
unsigned cpu_id(void);
uint32_t cpu_world_id(void);
void cpu_stop(void) __noreturn;
static inline void cpu_write_back(void) {}
uint64_t irq_save(void); /* disables interrupts, returns RFLAGS */
void irq_restore(uint64_t flags);
bool irq_enabled(void);
#else
#define RFLAGS_INTERRUPTS BIT(9)
/* 0 .. cpu_count()-1, stable while preemption is off. */
static inline unsigned cpu_id(void)
{
	unsigned id;

	__asm__ volatile("mov %%gs:%c1, %0" : "=r"(id) : "i"(PERCPU_ID_AT));
	return id;
}
/* Of the world that runs here; 0 before there are worlds. */
static inline uint32_t cpu_world_id(void)
{
	uint32_t id;

	__asm__ volatile("mov %%gs:%c1, %0" : "=r"(id) : "i"(PERCPU_WORLD_ID_AT));
	return id;
}
/* The caches' contents into memory, where a reset leaves them. */
static inline void cpu_write_back(void)
{
	__asm__ volatile("wbinvd" ::: "memory");
}
/* This CPU does nothing any more. An NMI is still taken, and returns to here. */
static inline void __noreturn cpu_stop(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" ::: "memory");
}
static inline uint64_t irq_save(void)
{
	uint64_t flags;

	__asm__ volatile("pushfq; pop %0; cli" : "=r"(flags)::"memory");
	return flags;
}
static inline void irq_restore(uint64_t flags)
{
	if (flags & RFLAGS_INTERRUPTS)
		__asm__ volatile("sti" ::: "memory");
}
static inline bool irq_enabled(void)
{
	uint64_t flags;

	__asm__ volatile("pushfq; pop %0" : "=r"(flags)::"memory");
	return flags & RFLAGS_INTERRUPTS;
}
#endif

/*
 * fn runs on the CPU with interrupts off; waits for all. From worlds, with interrupts on and no
 * lock held: not from interrupt handlers or bottom halves.
 */
void cpu_call(unsigned cpu, void (*fn)(void *), void *arg);
void cpu_call_all(void (*fn)(void *), void *arg); /* this CPU included */
void cpu_resched(unsigned cpu);                   /* IPI: look at the run queue */
#ifdef VMK_HOST
static inline void cpu_relax(void) {}
#else
static inline void cpu_relax(void)
{
	__asm__ volatile("pause" ::: "memory");
}
#endif
#endif
