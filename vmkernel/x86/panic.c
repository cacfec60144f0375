// SPDX-License-Identifier: Apache-2.0
/*
 * The CPU's part in a panic: exceptions in words, registers, the backtrace, and where the other
 * CPUs were. nmi.c stops those. Spec: Intel SDM 3A 6.15.
 */
#include "vmk/panic.h"
#include "vmk/cpu.h"
#include "vmk/ksym.h"
#include "vmk/layout.h"
#include "x86/insn.h"
#include "x86/paging.h"
#include "x86/percpu.h"
#include "x86/trap.h"

enum { BACKTRACE_MAX = 24, STOP_TICKS = 100000000 };

static const char *const exception_name[VEC_EXCEPTIONS] = {
	[VEC_DE] = "#DE divide error",
	[VEC_DB] = "#DB debug",
	[VEC_NMI] = "NMI",
	[VEC_BP] = "#BP breakpoint",
	[VEC_UD] = "#UD invalid opcode",
	[VEC_DF] = "#DF double fault",
	[VEC_SS] = "#SS stack fault",
	[VEC_GP] = "#GP general protection",
	[VEC_PF] = "#PF page fault",
	[VEC_MC] = "#MC machine check",
	[VEC_AC] = "#AC alignment check",
};

/*
 * after: 1 for a return address. The call that it follows may be its function's last instruction,
 * as calls that never return are, and then it is the next function's first byte.
 */
static void show_address(uint64_t at, unsigned after)
{
	uint64_t offset = 0;
	const char *name = ksym_lookup(at - after, &offset);

	panic_print("  [%016llx] %s+%#llx\n", (unsigned long long)at, name != NULL ? name : "?",
	            (unsigned long long)(offset + after));
}

/* Both words of a frame are in mapped kernel memory. */
static bool frame_readable(uint64_t rbp)
{
	struct paging_leaf leaf;

	return IS_ALIGNED(rbp, 8) && rbp >= DIRECT_BASE && paging_kernel_root != 0 &&
	       paging_lookup(paging_kernel_root, rbp, &leaf) &&
	       paging_lookup(paging_kernel_root, rbp + 8, &leaf);
}

static void panic_backtrace(const struct panic_info *info)
{
	uint64_t rbp = info->frame != NULL ? info->frame->rbp : info->rbp;

	panic_print("Backtrace for cpu%u:\n", cpu_id());
	if (info->frame != NULL)
		show_address(info->frame->rip, 0);
	for (int i = 0; i < BACKTRACE_MAX && frame_readable(rbp); i++) {
		const uint64_t *frame = (const uint64_t *)rbp;

		if (frame[1] == 0)
			break;
		show_address(frame[1], 1);
		/* Callers lie higher on the stack; anything else is a broken chain or a circle. */
		if (frame[0] <= rbp)
			break;
		rbp = frame[0];
	}
}
PANIC_STEP(PANIC_BACKTRACE, panic_backtrace);

static void panic_registers(const struct panic_info *info)
{
	const struct trap_frame *f = info->frame;

	if (f == NULL)
		return;
#define U(x) (unsigned long long)(x)
	panic_print("RIP %016llx  CS %04llx  RFLAGS %08llx  RSP %016llx  SS %04llx\n", U(f->rip),
	            U(f->cs), U(f->rflags), U(f->rsp), U(f->ss));
	panic_print("RAX %016llx  RBX %016llx  RCX %016llx  RDX %016llx\n", U(f->rax), U(f->rbx),
	            U(f->rcx), U(f->rdx));
	panic_print("RSI %016llx  RDI %016llx  RBP %016llx  R8  %016llx\n", U(f->rsi), U(f->rdi),
	            U(f->rbp), U(f->r8));
	panic_print("R9  %016llx  R10 %016llx  R11 %016llx  R12 %016llx\n", U(f->r9), U(f->r10),
	            U(f->r11), U(f->r12));
	panic_print("R13 %016llx  R14 %016llx  R15 %016llx  ERR %016llx\n", U(f->r13), U(f->r14),
	            U(f->r15), U(f->error));
	panic_print("CR0 %016llx  CR2 %016llx  CR3 %016llx  CR4 %016llx\n", U(read_cr0()),
	            U(read_cr2()), U(read_cr3()), U(read_cr4()));
#undef U
}
PANIC_STEP(PANIC_REGISTERS, panic_registers);

static void panic_cpus(const struct panic_info *info)
{
	uint64_t start = rdtsc();

	/*
	 * The NMI of PANIC_STOP is answered within microseconds, or never. By the TSC: the clock
	 * may be what is broken.
	 */
	while (cpu_count() > 1 && rdtsc() - start < STOP_TICKS)
		cpu_relax();
	for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
		uint64_t offset, rip = READ_ONCE(percpu[cpu]->stopped_rip);
		const char *name = ksym_lookup(rip, &offset);

		if (cpu == cpu_id())
			continue;
		if (rip == 0)
			panic_print("cpu%u did not stop\n", cpu);
		else
			panic_print("cpu%u stopped at %s+%#llx\n", cpu,
			            name != NULL ? name : "user code",
			            (unsigned long long)(name != NULL ? offset : rip));
	}
}
PANIC_STEP(PANIC_CPUS, panic_cpus);

static const char *access_kind(uint64_t error)
{
	return error & PF_FETCH ? "executing" : error & PF_WRITE ? "writing" : "reading";
}

/* The push that faulted hit the unmapped page below a stack. */
static bool is_stack_overflow(const struct trap_frame *f)
{
	struct paging_leaf leaf;
	va_t guard = ALIGN_DOWN(read_cr2(), PAGE_SIZE);

	return f->vector == VEC_DF && read_cr2() - f->rsp + PAGE_SIZE < 2 * PAGE_SIZE &&
	       !paging_lookup(paging_kernel_root, guard, &leaf) &&
	       paging_lookup(paging_kernel_root, guard + PAGE_SIZE, &leaf);
}

void panic_trap(const struct trap_frame *f)
{
	const char *name = exception_name[f->vector];

	if (f->vector == VEC_PF)
		panic_frame(f, "#PF page fault %s %#llx (%s)", access_kind(f->error),
		            (unsigned long long)read_cr2(),
		            f->error & PF_PRESENT ? "protected" : "not mapped");
	if (is_stack_overflow(f))
		panic_frame(f, "#DF double fault: stack overflow, %#llx is in the guard page",
		            (unsigned long long)read_cr2());
	panic_frame(f, "%s, error code %#llx", name != NULL ? name : "exception",
	            (unsigned long long)f->error);
}
