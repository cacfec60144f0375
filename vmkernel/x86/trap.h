// SPDX-License-Identifier: Apache-2.0
/*
 * Exceptions and interrupts: the frame, who handles what, and what runs on the way out. Handlers
 * start with interrupts off. Spec: Intel SDM 3A 6.
 */
#ifndef X86_TRAP_H
#define X86_TRAP_H
#include "hw/exception.h"
#include "vmk/types.h"

/* Interrupt vectors of the host; hw/exception.h has those below. */
enum {
	VEC_DEVICE = 0x30, /* first that vector.c gives to devices */
	VEC_DEVICE_LAST = 0xef,
	VEC_RESCHED = 0xf0,
	VEC_CALL = 0xf1,
	VEC_TIMER = 0xf2,
	VEC_ERROR = 0xf3,
	VEC_SPURIOUS = 0xff,
};

struct trap_frame {
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	uint64_t vector, error;
	uint64_t rip, cs, rflags, rsp, ss;
};
ASSERT_SIZE(struct trap_frame, 22 * 8);

static inline bool trap_from_user(const struct trap_frame *f)
{
	return (f->cs & 3) == 3;
}

/*
 * Handles an exception and returns true; or false, and the exception table and then the panic have
 * it. One from ring 3 has to be resolved (by a signal, if need be). Enters with interrupts off and
 * CR2 still the fault's; may enable interrupts and sleep when it came from ring 3.
 */
typedef bool (*trap_handler)(struct trap_frame *f);
void trap_set_handler(unsigned vector, trap_handler fn); /* exceptions; one handler a vector */
/* Interrupt vectors from VEC_EXCEPTIONS; the handler writes the EOI. */
void trap_set_interrupt(unsigned vector, void (*fn)(struct trap_frame *f));

/*
 * Steps that upper layers take at the end of an interrupt, set in boot/main.c. All are entered and
 * left with interrupts off.
 */
struct trap_hooks {
	void (*bottom)(void);  /* bottom_pending is set and in_bottom is not */
	void (*preempt)(void); /* need_resched is set, preempt_count is 0 */
	void (*timer)(void);   /* the clock event that clockevent_set() armed has come */
	void (*user_return)(struct trap_frame *f); /* user_work is set, ring 3 follows */
};
extern struct trap_hooks trap_hooks;

/* An exception that nobody handles: the panic, with its name and what CR2 says. x86/panic.c. */
void panic_trap(const struct trap_frame *f) __noreturn __cold;
/* Runs the steps above; the SYSCALL exit calls it too. Interrupts off. */
void trap_exit(struct trap_frame *f);
enum { TRAP_STUB_SIZE = 16 }; /* in trap.S */

void trap_init(void);     /* IDT contents, once */
void trap_init_cpu(void); /* loads it */

/* In assembly (trap.S): leaves through a trap frame to ring 3 or ring 0. */
void trap_return(struct trap_frame *f) __noreturn;
#endif
