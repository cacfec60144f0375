// SPDX-License-Identifier: Apache-2.0
/*
 * User threads on the CPU: what is switched with them (address space, FPU, FS and GS base), and
 * what their exceptions become. Spec: Intel SDM 3A 6.15.
 */
#include "mm/aspace.h"
#include "proc/proc.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "vmk/random.h"
#include "vmk/stat.h"
#include "x86/cpu.h"
#include "x86/fpu.h"
#include "x86/gdt.h"
#include "x86/insn.h"
#include "x86/percpu.h"

#define LOG_MODULE "user"

STAT(user_faults, "user.page_faults", "page faults of userworlds");
STAT(user_oom, "user.out_of_memory", "userworlds ended because memory was gone");

static void save_bases(struct uthread *t)
{
	/* Without FSGSBASE ring 3 cannot change them; arch_prctl() stores what it sets. */
	if (!cpu_features.fsgsbase)
		return;
	__asm__ volatile("rdfsbase %0" : "=r"(t->fs_base));
	t->gs_base = rdmsr(MSR_KERNEL_GS_BASE);
}

static void uthread_switch_in(struct world *w)
{
	struct uthread *t = world_arg(w);

	/*
	 * In the world's context with interrupts off. While the kernel runs, the user's GS base is
	 * in KERNEL_GS_BASE; SWAPGS exchanges the two on the way out.
	 */
	aspace_switch(t->proc->as);
	fpu_restore(t->fpu);
	if (cpu_features.fsgsbase)
		__asm__ volatile("wrfsbase %0" ::"r"(t->fs_base));
	else
		wrmsr(MSR_FS_BASE, t->fs_base);
	wrmsr(MSR_KERNEL_GS_BASE, t->gs_base);
	percpu_write(user, t);
	percpu_write(user_work, t->work);
}

static void uthread_switch_out(struct world *w)
{
	struct uthread *t = world_arg(w);

	fpu_save(t->fpu);
	save_bases(t);
	percpu_write(user, NULL);
	percpu_write(user_work, 0);
}

static void uthread_released(struct world *w)
{
	uthread_discard(world_arg(w));
}

int world_pid(const struct world *w)
{
	const struct uthread *t = world_kind(w) == WORLD_USER ? world_arg(w) : NULL;

	return t && t->proc ? t->proc->pid : 0;
}

const struct world_hooks uthread_hooks = { .switch_in = uthread_switch_in,
	                                   .switch_out = uthread_switch_out,
	                                   .released = uthread_released };

struct uthread *uthread_current(void)
{
	return percpu_read(user);
}

struct proc *proc_current(void)
{
	struct uthread *t = uthread_current();

	return t ? t->proc : NULL;
}

struct trap_frame *uthread_frame(void)
{
	return (struct trap_frame *)(uintptr_t)percpu_read(kernel_rsp) - 1;
}

/*
 * Whether the kernel is in usercopy.S: a data access with interrupts on and, where there is SMAP,
 * user memory open.
 */
static bool is_copying(const struct trap_frame *f)
{
	return !(f->error & PF_FETCH) && f->rflags & RFLAGS_IF &&
	       (!cpu_features.smap || f->rflags & RFLAGS_AC);
}

/* A page fault: of ring 3, or of the kernel's copying on behalf of the current process. */
static bool page_fault(struct trap_frame *f)
{
	uva_t va = read_cr2();
	struct proc *p = proc_current();
	bool user = trap_from_user(f);
	unsigned access = f->error & PF_FETCH   ? AREA_EXEC
	                  : f->error & PF_WRITE ? AREA_WRITE
	                                        : AREA_READ;
	enum fault_result result;

	/*
	 * The kernel itself may only fault in a copy to or from user memory: everything else is
	 * left to the exception table or to the panic.
	 */
	if (!p || !p->as || va >= USER_END || (!user && !is_copying(f)))
		goto unresolved;
	cpu_sti();
	stat_inc(user_faults);
	random_add_event(va);
	result = aspace_fault(p->as, va, access);
	if (result == FAULT_OK)
		return true;
	/*
	 * Memory that ran out ends the process that touched it. In a copy the call goes on with
	 * -EFAULT and the process ends on its way to ring 3.
	 */
	if (result == FAULT_NOMEM) {
		stat_inc(user_oom);
		log_warn("pid %d (%s) ended: out of memory", p->pid, p->comm);
		proc_exit_group(p, SIGKILL);
		return user;
	}
	if (!user)
		return false; /* the exception table: -EFAULT */
	if (result == FAULT_BUS)
		uthread_fault_signal(SIGBUS, BUS_ADRERR, va);
	else
		uthread_fault_signal(SIGSEGV, result == FAULT_MAPERR ? SEGV_MAPERR : SEGV_ACCERR,
		                     va);
	return true;
unresolved:
	if (!user)
		return false;
	cpu_sti();
	uthread_fault_signal(SIGSEGV, SEGV_MAPERR, va);
	return true;
}

/* Exceptions of ring 3 that are signals, whatever the process does about them. */
static bool user_exception(struct trap_frame *f)
{
	static const struct {
		uint8_t sig;
		int8_t code;
	} to[VEC_EXCEPTIONS] = {
		[VEC_DE] = { SIGFPE, FPE_INTDIV },
		[VEC_DB] = { SIGTRAP, TRAP_TRACE },
		[VEC_BP] = { SIGTRAP, TRAP_BRKPT },
		[VEC_OF] = { SIGFPE, FPE_INTOVF },
		[VEC_BR] = { SIGSEGV, SEGV_MAPERR },
		[VEC_UD] = { SIGILL, ILL_ILLOPN },
		[VEC_NM] = { SIGSEGV, 0 },
		[VEC_TS] = { SIGSEGV, 0 },
		[VEC_NP] = { SIGBUS, 0 },
		[VEC_SS] = { SIGBUS, 0 },
		[VEC_GP] = { SIGSEGV, 0 },
		[VEC_MF] = { SIGFPE, FPE_FLTINV },
		[VEC_AC] = { SIGBUS, BUS_ADRALN },
		[VEC_XM] = { SIGFPE, FPE_FLTINV },
		[VEC_CP] = { SIGSEGV, 0 },
	};

	if (!trap_from_user(f))
		return false;
	cpu_sti();
	if (to[f->vector].code)
		uthread_fault_signal(to[f->vector].sig, to[f->vector].code, f->rip);
	else
		uthread_fault_signal(to[f->vector].sig, SI_KERNEL, 0);
	return true;
}

void user_traps_init(void)
{
	static const uint8_t vectors[] = { VEC_DE, VEC_DB, VEC_BP, VEC_OF, VEC_BR,
		                           VEC_UD, VEC_NM, VEC_TS, VEC_NP, VEC_SS,
		                           VEC_GP, VEC_MF, VEC_AC, VEC_XM, VEC_CP };

	for (unsigned i = 0; i < ARRAY_SIZE(vectors); i++)
		trap_set_handler(vectors[i], user_exception);
	trap_set_handler(VEC_PF, page_fault);
	trap_hooks.user_return = user_return;
}
