// SPDX-License-Identifier: Apache-2.0
/*
 * The purple screen: why, where, registers, backtrace; on every console. The first CPU to panic
 * draws it with interrupts off and stops the others; whatever faults while it is drawn is only
 * counted.
 */
#include "vmk/panic.h"
#include "log/log_lock.h"
#include "vmk/boot.h"
#include "vmk/console.h"
#include "vmk/cpu.h"
#include "vmk/ksym.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "vmk/string.h"
#include "vmk/time.h"
#include "vmk/world.h"
#include "x86/insn.h"
#include "x86/paging.h"
#include "x86/percpu.h"
#include "x86/trap.h"

enum { BACKTRACE_MAX = 24, NESTED_MAX = 3, STOP_TICKS = 100000000 };

#define PANIC_DELAY_MAX 3600ull

static uint32_t panic_owner; /* CPU + 1 */
static uint32_t nested;
static void (*stop_others)(void);

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

static void out(const char *fmt, ...) __printf(1, 2);
static void out(const char *fmt, ...)
{
	char text[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vmk_vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	console_emit(text, MIN((size_t)n, sizeof(text) - 1));
}

/*
 * after: 1 for a return address. The call that it follows may be its function's last instruction,
 * as calls that never return are, and then it is the next function's first byte.
 */
static void show_address(uint64_t at, unsigned after)
{
	uint64_t offset = 0;
	const char *name = ksym_lookup(at - after, &offset);

	out("  [%016llx] %s+%#llx\n", (unsigned long long)at, name != NULL ? name : "?",
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

static void backtrace(uint64_t rip, uint64_t rbp)
{
	if (rip != 0)
		show_address(rip, 0);
	for (int i = 0; i < BACKTRACE_MAX && frame_readable(rbp); i++) {
		const uint64_t *frame = (const uint64_t *)rbp;

		if (frame[1] == 0)
			break;
		show_address(frame[1], 1);
		if (frame[0] <= rbp)
			break; /* stacks are walked upwards only */
		rbp = frame[0];
	}
}

static void show_registers(const struct trap_frame *f)
{
#define U(x) (unsigned long long)(x)
	out("RIP %016llx  CS %04llx  RFLAGS %08llx  RSP %016llx  SS %04llx\n", U(f->rip), U(f->cs),
	    U(f->rflags), U(f->rsp), U(f->ss));
	out("RAX %016llx  RBX %016llx  RCX %016llx  RDX %016llx\n", U(f->rax), U(f->rbx), U(f->rcx),
	    U(f->rdx));
	out("RSI %016llx  RDI %016llx  RBP %016llx  R8  %016llx\n", U(f->rsi), U(f->rdi), U(f->rbp),
	    U(f->r8));
	out("R9  %016llx  R10 %016llx  R11 %016llx  R12 %016llx\n", U(f->r9), U(f->r10), U(f->r11),
	    U(f->r12));
	out("R13 %016llx  R14 %016llx  R15 %016llx  ERR %016llx\n", U(f->r13), U(f->r14), U(f->r15),
	    U(f->error));
	out("CR0 %016llx  CR2 %016llx  CR3 %016llx  CR4 %016llx\n", U(read_cr0()), U(read_cr2()),
	    U(read_cr3()), U(read_cr4()));
#undef U
}

const char *log_build_id(void)
{
	extern const uint32_t image_build_id[]; /* an ELF note: sizes, type, "GNU", digest */
	const uint8_t *digest = (const uint8_t *)image_build_id + 16;
	static char text[41];

	for (uint32_t i = 0; i < MIN(image_build_id[1], 20u); i++)
		vmk_snprintf(text + 2 * i, 3, "%02x", digest[i]);
	return text;
}

static void show_build_id(void)
{
	out("build %s\n", log_build_id());
}

/* The first caller goes on; another CPU stops; a panic inside the panic counts up to NESTED_MAX. */
static void enter(void)
{
	uint32_t me = cpu_id() + 1, none = 0;

	cpu_cli();
	if (!__atomic_compare_exchange_n(&panic_owner, &none, me, false, __ATOMIC_ACQ_REL,
	                                 __ATOMIC_ACQUIRE)) {
		if (none != me || ++nested > NESTED_MAX)
			panic_stopped();
		return;
	}
	WRITE_ONCE(log_panicking, true);
	if (stop_others != NULL)
		stop_others();
	console_begin_panic();
}

/* The others answer the NMI within microseconds, or never. */
static void show_others(void)
{
	uint64_t start = rdtsc();

	while (cpu_count() > 1 && rdtsc() - start < STOP_TICKS)
		cpu_relax();
	for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
		uint64_t offset, rip = READ_ONCE(percpu[cpu]->stopped_rip);
		const char *name = ksym_lookup(rip, &offset);

		if (cpu == cpu_id())
			continue;
		if (rip == 0)
			out("cpu%u did not stop\n", cpu);
		else
			out("cpu%u stopped at %s+%#llx\n", cpu, name != NULL ? name : "user code",
			    (unsigned long long)(name != NULL ? offset : rip));
	}
}

static void finish(const struct trap_frame *f, const char *reason, uint64_t rbp) __noreturn;
static void finish(const struct trap_frame *f, const char *reason, uint64_t rbp)
{
	ns_t now = time_now();
	uint64_t seconds;

	out("\nTepui " VMK_VERSION " [vmkernel, x86_64]\n");
	out("PANIC: %s\n", reason);
	out("cpu%u  world %u \"%s\"  up %llu.%03llu s\n", cpu_id(), percpu_read(world_id),
	    percpu_read(current) != NULL ? world_name(percpu_read(current)) : "boot",
	    (unsigned long long)(now / NS_PER_S), (unsigned long long)(now % NS_PER_S / NS_PER_MS));
	if (f != NULL)
		show_registers(f);
	out("Backtrace for cpu%u:\n", cpu_id());
	if (f != NULL)
		backtrace(f->rip, f->rbp);
	else
		backtrace(0, rbp);
	show_others();
	show_build_id();
	if (boot_option_u64("panicreboot", &seconds)) {
		out("The host resets in %llu s.\n", (unsigned long long)seconds);
		time_delay(MIN(seconds, PANIC_DELAY_MAX) * NS_PER_S);
		machine_reboot();
	}
	out("The host has stopped. Reset it to go on.\n");
	panic_stopped();
}

void panic(const char *fmt, ...)
{
	char reason[256];
	va_list ap;

	enter();
	va_start(ap, fmt);
	vmk_vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	finish(NULL, reason, (uintptr_t)__builtin_frame_address(0));
}

void panic_frame(const struct trap_frame *f, const char *fmt, ...)
{
	char reason[256];
	va_list ap;

	enter();
	va_start(ap, fmt);
	vmk_vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	finish(f, reason, 0);
}

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

void panic_set_stop(void (*fn)(void))
{
	stop_others = fn;
}

bool panic_in_progress(void)
{
	return READ_ONCE(log_panicking);
}

bool panic_here(void)
{
	return READ_ONCE(panic_owner) == cpu_id() + 1;
}

void panic_stopped(void)
{
	for (;;) {
		cpu_cli();
		cpu_halt();
	}
}
