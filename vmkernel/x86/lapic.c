// SPDX-License-Identifier: Apache-2.0
/*
 * Local APIC: registers by MMIO (xAPIC) or MSR (x2APIC), interprocessor interrupts. Each CPU
 * touches its own only. Spec: Intel SDM 3A 10.4, 10.6, 10.12.
 */
#include "x86/lapic.h"
#include "acpi/acpi.h"
#include "vmk/cpu.h"
#include "vmk/io.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "x86/cpu.h"
#include "x86/insn.h"
#include "x86/paging.h"
#include "x86/percpu.h"
#include "x86/trap.h"

#define LOG_MODULE "lapic"

/* The commands that are sent: delivery mode, and the assertion that all of them need. */
#define ICR_FIXED   (APIC_ICR_ASSERT | PUT(APIC_ICR_MODE, APIC_FIXED))
#define ICR_NMI     (APIC_ICR_ASSERT | PUT(APIC_ICR_MODE, APIC_NMI))
#define ICR_INIT    (APIC_ICR_ASSERT | PUT(APIC_ICR_MODE, APIC_INIT))
#define ICR_STARTUP (APIC_ICR_ASSERT | PUT(APIC_ICR_MODE, APIC_STARTUP))
#define ICR_OTHERS  PUT(APIC_ICR_SHORT, APIC_SHORT_OTHERS)

enum { ICR_POLLS = 1000000, LVT_COUNT_CMCI = 6, LVT_COUNT_THERMAL = 5, LVT_COUNT_PERF = 4 };

STAT(lapic_errors, "lapic.errors", "errors that local APICs reported");
STAT(lapic_spurious, "lapic.spurious", "spurious interrupts");

static char *registers; /* NULL in x2APIC mode */

uint32_t lapic_read(enum apic_register reg)
{
	if (registers == NULL)
		return (uint32_t)rdmsr(MSR_X2APIC + reg / 16);
	return mmio_read32(registers + reg);
}

void lapic_write(enum apic_register reg, uint32_t v)
{
	if (registers == NULL)
		wrmsr(MSR_X2APIC + reg / 16, v);
	else
		mmio_write32(registers + reg, v);
}

uint32_t lapic_id(void)
{
	uint32_t id = lapic_read(APIC_ID);

	return registers == NULL ? id : id >> 24;
}

void lapic_eoi(void)
{
	lapic_write(APIC_EOI, 0);
}

static void wait_idle(void)
{
	for (int i = 0; i < ICR_POLLS && (lapic_read(APIC_ICR) & APIC_ICR_PENDING); i++)
		cpu_relax();
}

static void send(uint32_t apic_id, uint64_t command)
{
	uint64_t flags = irq_save();

	if (registers == NULL) {
		/* Earlier stores first: the MSR write is not serialising (10.12.3). */
		__asm__ volatile("mfence; lfence" ::: "memory");
		wrmsr(MSR_X2APIC + APIC_ICR / 16, (uint64_t)apic_id << 32 | command);
	} else {
		/* The low half sends: the destination must be in place, and the last one gone. */
		wait_idle();
		lapic_write(APIC_ICR2, apic_id << 24);
		lapic_write(APIC_ICR, (uint32_t)command);
	}
	irq_restore(flags);
}

void lapic_send(uint32_t apic_id, unsigned vector)
{
	send(apic_id, ICR_FIXED | vector);
}

void lapic_send_nmi(uint32_t apic_id)
{
	send(apic_id, ICR_NMI);
}

void lapic_send_nmi_others(void)
{
	send(0, ICR_NMI | ICR_OTHERS);
}

void lapic_send_init(uint32_t apic_id)
{
	send(apic_id, ICR_INIT);
}

void lapic_send_startup(uint32_t apic_id, pa_t page)
{
	send(apic_id, ICR_STARTUP | page >> PAGE_SHIFT);
}

static void error_interrupt(struct trap_frame *f)
{
	stat_inc(lapic_errors);
	lapic_write(APIC_ESR,
	            0); /* a write has the register show what came since the last (10.5.3) */
	log_warn("cpu%u: error status %#x", cpu_id(), lapic_read(APIC_ESR));
	lapic_eoi();
}

static void spurious_interrupt(struct trap_frame *f)
{
	stat_inc(lapic_spurious); /* no EOI: 10.9 */
}

void lapic_init(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);
	bool x2 = cpu_features.x2apic || (base & APIC_BASE_X2APIC);

	if (!x2)
		registers = paging_map_device(
			acpi_info.lapic != 0 ? acpi_info.lapic : base & APIC_BASE_ADDR, PAGE_SIZE);
	trap_set_interrupt(VEC_ERROR, error_interrupt);
	trap_set_interrupt(VEC_SPURIOUS, spurious_interrupt);
	log_info("%s mode", x2 ? "x2APIC" : "xAPIC");
}

static void mask_lvts(void)
{
	unsigned count = GET(APIC_VERSION_MAX_LVT, lapic_read(APIC_VERSION));

	if (count >= LVT_COUNT_CMCI)
		lapic_write(APIC_LVT_CMCI, APIC_LVT_MASKED);
	if (count >= LVT_COUNT_THERMAL)
		lapic_write(APIC_LVT_THERMAL, APIC_LVT_MASKED);
	if (count >= LVT_COUNT_PERF)
		lapic_write(APIC_LVT_PERF, APIC_LVT_MASKED);
	lapic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
	lapic_write(APIC_LVT_LINT0, APIC_LVT_MASKED); /* the 8259, masked itself */
}

void lapic_init_cpu(void)
{
	uint64_t base = rdmsr(MSR_APIC_BASE);

	/* x2APIC mode may only be entered from enabled xAPIC mode: two writes (10.12.5). */
	if (!(base & APIC_BASE_ENABLE))
		wrmsr(MSR_APIC_BASE, base |= APIC_BASE_ENABLE);
	if (registers == NULL && !(base & APIC_BASE_X2APIC))
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
	lapic_write(APIC_SVR, APIC_SVR_ENABLE | VEC_SPURIOUS);
	mask_lvts();
	lapic_write(APIC_TPR, 0);
	lapic_write(APIC_LVT_LINT1, PUT(APIC_LVT_MODE, APIC_NMI));
	lapic_write(APIC_LVT_ERROR, VEC_ERROR);
	lapic_write(APIC_ESR, 0);
	lapic_eoi();
	this_cpu()->apic_id = lapic_id();
}
