// SPDX-License-Identifier: Apache-2.0
/*
 * Dispatch of exceptions and interrupts. The tables are written at boot and when a subsystem
 * starts, single words, read without a lock. Spec: Intel SDM 3A 6.
 */
#include "x86/trap.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "x86/insn.h"
#include "x86/percpu.h"

struct gate {
	uint16_t offset_low, selector;
	uint8_t ist, type;
	uint16_t offset_mid;
	uint32_t offset_high, reserved;
};
ASSERT_SIZE(struct gate, 16);
#define GATE_INTERRUPT 0x8e /* present, interrupts off */
#define GATE_DPL3      0x60

struct extable_entry {
	uint64_t from, to;
};

STAT(irq_unexpected, "irq.unexpected", "interrupts on a vector that nobody handles");

extern const char trap_stubs[];           /* trap.S */
void trap_dispatch(struct trap_frame *f); /* called there */

static trap_handler handlers[VEC_EXCEPTIONS];
static void (*interrupts[256])(struct trap_frame *f);
static struct gate idt[256] __aligned(PAGE_SIZE);

void trap_set_handler(unsigned vector, trap_handler fn)
{
	ASSERT(vector < VEC_EXCEPTIONS);
	store_release(&handlers[vector], fn);
}

void trap_set_interrupt(unsigned vector, void (*fn)(struct trap_frame *f))
{
	ASSERT(vector >= VEC_EXCEPTIONS && vector < ARRAY_SIZE(interrupts));
	store_release(&interrupts[vector], fn);
}

/* Goes on where the exception table says, if it has an entry for this instruction. */
static bool fixup(struct trap_frame *f)
{
	SECTION_FOR_EACH(struct extable_entry, e, extable)
		if (e->from == f->rip) {
			f->rip = e->to;
			return true;
		}
	return false;
}

void trap_exit(struct trap_frame *f)
{
	struct percpu *p = this_cpu();

	/* The interrupted handler or bottom half comes through here again when it is done. */
	if (p->irq_nesting != 0 || p->in_bottom)
		return;
	for (;;) {
		if (p->bottom_pending && trap_hooks.bottom != NULL)
			trap_hooks.bottom();
		if (p->need_resched && p->preempt_count == 0 && trap_hooks.preempt != NULL)
			trap_hooks.preempt();
		p = this_cpu(); /* the switch may have moved us */
		if (!p->user_work || !trap_from_user(f) || trap_hooks.user_return == NULL)
			return;
		trap_hooks.user_return(f);
		p = this_cpu();
	}
}

static void handle_interrupt(struct trap_frame *f)
{
	void (*fn)(struct trap_frame *) = load_acquire(&interrupts[f->vector]);
	struct percpu *p = this_cpu();

	p->irqs++;
	p->irq_nesting++;
	if (fn != NULL)
		fn(f);
	else
		stat_inc(irq_unexpected);
	p->irq_nesting--;
	trap_exit(f);
}

void trap_dispatch(struct trap_frame *f)
{
	trap_handler fn;

	if (f->vector >= VEC_EXCEPTIONS) {
		handle_interrupt(f);
		return;
	}
	/*
	 * From ring 3 the handler resolves it or ends the process; fixups are for the kernel only.
	 */
	fn = load_acquire(&handlers[f->vector]);
	if ((fn == NULL || !fn(f)) && (trap_from_user(f) || !fixup(f)))
		panic_trap(f);
	/* NMI and #MC run on stacks of their own, where no other world may be switched to. */
	if (trap_from_user(f) && f->vector != VEC_NMI && f->vector != VEC_MC) {
		cpu_cli();
		trap_exit(f);
	}
}

void trap_init(void)
{
	static const uint8_t ist[VEC_EXCEPTIONS] = {
		[VEC_NMI] = IST_NMI, [VEC_DF] = IST_DOUBLE, [VEC_MC] = IST_MCE
	};

	for (unsigned v = 0; v < ARRAY_SIZE(idt); v++) {
		uint64_t entry = (uintptr_t)trap_stubs + v * TRAP_STUB_SIZE;

		idt[v] = (struct gate){
			.offset_low = (uint16_t)entry,
			.selector = SEL_KERNEL_CODE,
			.ist = v < VEC_EXCEPTIONS ? ist[v] : 0,
			.type = v == VEC_BP || v == VEC_OF ? GATE_INTERRUPT | GATE_DPL3
			                                   : GATE_INTERRUPT,
			.offset_mid = (uint16_t)(entry >> 16),
			.offset_high = (uint32_t)(entry >> 32),
		};
	}
}

void trap_init_cpu(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __packed pointer = { sizeof(idt) - 1, (uintptr_t)idt };

	__asm__ volatile("lidt %0" ::"m"(pointer));
}
