// SPDX-License-Identifier: Apache-2.0
/* Segments, task state and interrupt stacks of a CPU. Spec: Intel SDM 3A 3.4.5, 7.2.3, 8.7. */
#include "x86/gdt.h"
#include "x86/insn.h"
#include "x86/percpu.h"

#define DESC_CODE64 0x00af9b000000ffffull
#define DESC_DATA   0x00cf93000000ffffull
#define DESC_DPL3   (3ull << 45)
#define DESC_CPU    0x0040f50000000000ull /* read-only data for ring 3, limit in bytes */
#define DESC_TSS    (0x89ull << 40)

struct gdt_pointer {
	uint16_t limit;
	uint64_t base;
} __packed;

/* insn.S */
void gdt_reload(const struct gdt_pointer *p);

void gdt_load(struct percpu *p)
{
	uint64_t tss = (uintptr_t)&p->tss;
	struct gdt_pointer pointer = { sizeof(p->gdt) - 1, (uintptr_t)&p->gdt };

	p->gdt = (struct gdt){ {
		[SEL_KERNEL_CODE / 8] = DESC_CODE64,
		[SEL_KERNEL_DATA / 8] = DESC_DATA,
		[SEL_USER_DATA / 8] = DESC_DATA | DESC_DPL3,
		[SEL_USER_CODE / 8] = DESC_CODE64 | DESC_DPL3,
		[SEL_TSS / 8] = DESC_TSS | (sizeof(p->tss) - 1) | (tss & 0xffffff) << 16 |
		                (tss >> 24 & 0xff) << 56,
		[SEL_TSS / 8 + 1] = tss >> 32,
	} };
	p->tss.iomap = sizeof(p->tss);
	gdt_reload(&pointer);
	wrmsr(MSR_GS_BASE, (uintptr_t)p);
	wrmsr(MSR_KERNEL_GS_BASE, 0);
	__asm__ volatile("ltr %w0" ::"r"(SEL_TSS));
}

void gdt_set_cpu(struct percpu *p)
{
	uint64_t limit = p->id | p->node << 12;

	p->gdt.entry[SEL_CPU / 8] = DESC_CPU | (limit & 0xffff) | (limit & 0xf0000) << 32;
}

void gdt_set_ist(struct percpu *p, unsigned ist, void *top)
{
	struct percpu **slot = (struct percpu **)top - 2;

	*slot = p;
	p->tss.ist[ist - 1] = (uintptr_t)slot;
}
