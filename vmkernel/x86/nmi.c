// SPDX-License-Identifier: Apache-2.0
/*
 * Non-maskable interrupts: the stop signal of a panic, the watchdog's question, or the hardware's
 * (an NMI button, a memory error), which is the end. No lock may be taken here. Spec: Intel SDM 3A
 * 6.7.
 */
#include "x86/nmi.h"
#include "vmk/cpu.h"
#include "vmk/panic.h"
#include "vmk/stat.h"
#include "x86/lapic.h"
#include "x86/percpu.h"

STAT(nmi_count, "nmi.count", "non-maskable interrupts, all CPUs");

static bool ready;
static bool (*watchdog)(struct trap_frame *f);

static bool handle_nmi(struct trap_frame *f)
{
	bool (*fn)(struct trap_frame *) = load_acquire(&watchdog);

	stat_inc(nmi_count);
	/* The watchdog of a single CPU goes on sending NMIs while that CPU draws the screen. */
	if (panic_here())
		return true;
	if (panic_in_progress()) {
		this_cpu()->stopped_rip = f->rip;
		cpu_stop();
	}
	if (fn != NULL && fn(f))
		return true;
	panic_frame(f,
	            "NMI that nobody expected: a diagnostic button, or an error in the hardware");
}

void nmi_set_watchdog(bool (*fn)(struct trap_frame *f))
{
	store_release(&watchdog, fn);
}

void nmi_init(void)
{
	trap_set_handler(VEC_NMI, handle_nmi);
	ready = true;
}

/* handle_nmi() does the rest there. Before nmi_init() no other CPU runs. */
static void panic_stop(const struct panic_info *info)
{
	if (ready)
		lapic_send_nmi_others();
}
PANIC_STEP(PANIC_STOP, panic_stop);
