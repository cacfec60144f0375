// SPDX-License-Identifier: Apache-2.0
/*
 * Dispatch of system calls: table from the .syscalls section, unknown ones counted, choice of the
 * way back.
 */
#include "linux/syscall.h"
#include "proc/proc.h"
#include "vmk/cpu.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "vmk/syscall.h"
#include "x86/gdt.h"
#include "x86/insn.h"
#include "x86/percpu.h"

#define LOG_MODULE "user"

STAT(syscalls_unknown, "user.syscalls_unknown", "system calls that gave ENOSYS");

#define RFLAGS_NT BIT(14)

extern const char syscall_entry[]; /* syscall_entry.S */

static long (*table[SYSCALLS_MAX])(const uint64_t r[6]);
static uint32_t unknown[SYSCALLS_MAX]; /* calls answered with -ENOSYS; atomic */

#define NAME_OF(id, number) [number] = #id,
static const char *const names[SYSCALLS_MAX] = { SYSCALL_NUMBERS(NAME_OF) };

bool syscall_dispatch(struct trap_frame *f); /* called by syscall_entry.S */

/* Where SYSCALL enters on this CPU. Spec: AMD APM 2 6.1.1, Intel SDM 2B SYSCALL, SYSRET. */
static void cpu_setup(void *arg __maybe_unused)
{
	/* SYSCALL takes CS from bits 47:32 and SS from 8 above; SYSRET adds 16 and 8 to 63:48. */
	wrmsr(MSR_STAR, (uint64_t)SEL_USER_CODE32 << 48 | (uint64_t)SEL_KERNEL_CODE << 32);
	wrmsr(MSR_LSTAR, (uintptr_t)syscall_entry);
	/*
	 * Cleared on entry: interrupts stay off until the stack and GS are the kernel's; TF would
	 * single-step the entry; the C ABI wants DF clear; AC would open user memory under SMAP;
	 * NT makes an IRET fault.
	 */
	wrmsr(MSR_FMASK, RFLAGS_IF | RFLAGS_TF | RFLAGS_DF | RFLAGS_AC | RFLAGS_NT);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE);
	gdt_set_cpu(this_cpu());
}

void syscall_init(void)
{
	SECTION_FOR_EACH(struct syscall_entry, e, syscalls) {
		ASSERT(e->nr < SYSCALLS_MAX && !table[e->nr]);
		table[e->nr] = e->fn;
	}
	cpu_call_all(cpu_setup, NULL);
}

static long syscall_missing(uint64_t nr)
{
	stat_inc(syscalls_unknown);
	/* Each number is logged once: a program may ask in a loop. */
	if (nr < SYSCALLS_MAX && __atomic_fetch_add(&unknown[nr], 1, __ATOMIC_RELAXED) == 0)
		log_debug("pid %d (%s): no system call %u (%s)", proc_pid(proc_current()),
		          uthread_current()->comm, (unsigned)nr, names[nr] ? names[nr] : "?");
	return -ENOSYS;
}

bool syscall_dispatch(struct trap_frame *f)
{
	const uint64_t r[6] = { f->rdi, f->rsi, f->rdx, f->r10, f->r8, f->r9 };
	uint64_t nr = f->error;

	cpu_sti();
	f->rax = (uint64_t)(nr < SYSCALLS_MAX && table[nr] ? table[nr](r) : syscall_missing(nr));
	cpu_cli();
	/* A restart code never reaches ring 3, even if another thread took the signal meanwhile. */
	if (unlikely(f->rax >= (uint64_t)-ERESTART_RESTARTBLOCK &&
	             f->rax <= (uint64_t)-ERESTARTSYS))
		percpu_write(user_work, 1);
	trap_exit(f);
	/*
	 * SYSRET takes RIP and RFLAGS from RCX and R11 and faults in ring 0 on a non-canonical RIP
	 * (Intel): only what is certainly a plain return goes that way.
	 */
	return f->rip == f->rcx && f->rflags == f->r11 && f->rip < USER_END &&
	       !(f->rflags & RFLAGS_TF) && f->cs == SEL_USER_CODE && f->ss == SEL_USER_DATA;
}
