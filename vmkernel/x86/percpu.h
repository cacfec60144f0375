// SPDX-License-Identifier: Apache-2.0
/*
 * What a CPU owns, reached through GS while in the kernel. A field is written by its CPU only, with
 * interrupts off or preemption disabled, unless it says otherwise.
 */
#ifndef X86_PERCPU_H
#define X86_PERCPU_H
#include "vmk/cpu.h"
#include "x86/gdt.h"
#include "x86/trap.h"

struct world;
struct tree;

/* A function that this CPU has other CPUs call. */
struct cpu_slot {
	void (*fn)(void *arg);
	void *arg;
	uint32_t waiting; /* targets that have not finished */
};

struct vector_slot {
	void (*fn)(void *arg); /* NULL: free */
	void *arg;
};

struct percpu {
	struct percpu *self; /* GS:0 */
	uint64_t kernel_rsp; /* top of the current world's stack: SYSCALL loads it */
	uint64_t user_rsp;   /* scratch of the SYSCALL entry */
	struct world *current;
	struct world *idle;
	uint32_t world_id; /* of current, for the log */
	uint32_t id;
	uint32_t apic_id;
	uint32_t node;
	uint32_t preempt_count;  /* spin locks held and preempt_disable() */
	uint32_t irq_nesting;    /* interrupt handlers on the stack */
	uint32_t need_resched;   /* any CPU may set it and send cpu_resched() */
	uint32_t bottom_pending; /* a bottom half waits for interrupt exit */
	uint32_t in_bottom;      /* bottom_run() is on the stack */
	uint32_t user_work;      /* current must call trap_hooks.user_return before ring 3 */
	uint64_t stopped_rip;    /* where a panic of another CPU stopped this one */
	uint32_t stage;          /* of its start: smp.c */
	uint64_t start_tsc;      /* its answer to a question of the boot CPU, then */
	void *sched, *mm, *timer, *bottom, *user, *vmm; /* each subsystem's own part */
	uint64_t irqs;                   /* interrupts taken, NMIs in guest mode: the watchdog's */
	ns_t clock_deadline;             /* clockevent_set() */
	struct cpu_slot slot;            /* ipi.c */
	uint64_t callers[CPUS_MAX / 64]; /* whose slots this CPU has to serve: any CPU sets bits */
	struct vector_slot vector[VEC_DEVICE_LAST - VEC_DEVICE + 1]; /* vector.c */
	uint32_t vectors_used;
	struct tss tss;
	struct gdt gdt;
} __aligned(CACHE_LINE);
ASSERT_OFFSET(struct percpu, id, PERCPU_ID_AT);
ASSERT_OFFSET(struct percpu, world_id, PERCPU_WORLD_ID_AT);

/* Every CPU's block by id; filled as CPUs come up. */
extern struct percpu *percpu[CPUS_MAX];
extern struct percpu percpu_boot; /* the boot CPU: id 0 */

#ifdef VMK_HOST
struct percpu *this_cpu(void);
#define percpu_read(field)     (this_cpu()->field)
#define percpu_write(field, v) ((void)(this_cpu()->field = (v)))
#define percpu_add32(field, n) ((void)(this_cpu()->field += (uint32_t)(n)))
#else
static inline struct percpu *this_cpu(void)
{
	struct percpu *p;

	__asm__ volatile("mov %%gs:0, %0" : "=r"(p));
	return p;
}

/* One field of this CPU in one instruction: right even when preemption strikes between two. */
#define percpu_read(field)                                               \
	({                                                               \
		__typeof__(((struct percpu *)0)->field) v_;              \
		__asm__ volatile("mov %%gs:%c1, %0"                      \
		                 : "=r"(v_)                              \
		                 : "i"(offsetof(struct percpu, field))); \
		v_;                                                      \
	})
#define percpu_write(field, v)                                                                   \
	__asm__ volatile("mov %0, %%gs:%c1" ::"r"((__typeof__(((struct percpu *)0)->field))(v)), \
	                 "i"(offsetof(struct percpu, field))                                     \
	                 : "memory")
#define percpu_add32(field, n)                                                              \
	__asm__ volatile("addl %0, %%gs:%c1" ::"ir"(n), "i"(offsetof(struct percpu, field)) \
	                 : "memory", "cc")
#endif

/* The stack that interrupts and system calls from ring 3 start on; at a world switch. */
static inline void percpu_set_stack(uint64_t top)
{
	struct percpu *p = this_cpu();

	p->kernel_rsp = top;
	p->tss.rsp[0] = top;
}
#endif
