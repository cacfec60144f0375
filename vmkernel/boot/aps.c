// SPDX-License-Identifier: Apache-2.0
/*
 * The CPUs' blocks and stacks, from mm, and the start of the other CPUs by x86/smp.c. Boot CPU,
 * before any of the others runs.
 */
#include "boot/aps.h"
#include "acpi/acpi.h"
#include "sched/sched.h"
#include "vmk/lock.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "x86/percpu.h"
#include "x86/smp.h"

/* Faults that must not depend on the current stack get one of their own. */
static bool set_stacks(struct percpu *p)
{
	static const unsigned ist[] = { IST_NMI, IST_DOUBLE, IST_MCE };

	for (unsigned i = 0; i < ARRAY_SIZE(ist); i++) {
		void *top = kstack_alloc();

		if (top == NULL)
			return false;
		gdt_set_ist(p, ist[i], top);
	}
	return true;
}

void boot_cpu_init(void)
{
	struct percpu *p = &percpu_boot;

	for (unsigned i = 0; i < acpi_info.cpus; i++)
		if (acpi_info.cpu[i].apic_id == p->apic_id)
			p->node = acpi_info.cpu[i].node;
	if (!set_stacks(p))
		panic("no memory for interrupt stacks");
}

static struct percpu *create(unsigned id, const struct acpi_cpu *a)
{
	struct percpu *p = kzalloc(sizeof(*p));
	void *stack = kstack_alloc(), *held = NULL;

	if (lock_cpu_size() > 0)
		held = kzalloc(lock_cpu_size());
	if (p == NULL || stack == NULL || (held == NULL && lock_cpu_size() > 0))
		panic("no memory for cpu%u", id);
	p->self = p;
	p->id = id;
	p->apic_id = a->apic_id;
	p->node = a->node;
	p->clock_deadline = NS_NEVER;
	p->kernel_rsp = (uintptr_t)stack;
	if (!set_stacks(p))
		panic("no memory for cpu%u", id);
	lock_init_cpu(id, held);
	return p;
}

/* The end of the boot on every CPU but the first. */
static void ap_main(struct percpu *p)
{
	sched_run();
}

void aps_start(void)
{
	unsigned count = 1;

	for (unsigned i = 0; i < acpi_info.cpus && count < CPUS_MAX; i++) {
		const struct acpi_cpu *a = &acpi_info.cpu[i];

		if (a->apic_id == percpu_boot.apic_id)
			continue;
		percpu[count] = create(count, a);
		count++;
	}
	smp_start(count, sched_init_cpu, ap_main);
}
