// SPDX-License-Identifier: Apache-2.0
/*
 * What the guest came back with: one small handler a kind. On the vCPU's world, interrupts on.
 */
#include "hw/exception.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/stat.h"
#include "vmk/string.h"
#include "vmm/emul.h"
#include "vmm/emul_mem.h"
#include "vmm/vm_priv.h"

#define LOG_MODULE "vmm"

enum { KVM_ENOSYS = 1000 }; /* what KVM answers to an unknown hypercall, negative */

STAT(hypercalls, "vm.exit.hypercalls", "VMMCALL of guests: there are none, all are refused");
STAT(gp, "vm.exit.gp", "general-protection faults of intercepted instructions");

const char *const exit_names[EXIT_KINDS] = {
	[EXIT_NONE] = "host",
	[EXIT_CPUID] = "cpuid",
	[EXIT_HLT] = "hlt",
	[EXIT_IO] = "io",
	[EXIT_MSR] = "msr",
	[EXIT_MMIO] = "mmio",
	[EXIT_HYPERCALL] = "hypercall",
	[EXIT_XSETBV] = "xsetbv",
	[EXIT_SKIP] = "skip",
	[EXIT_PAUSE] = "pause",
	[EXIT_UNDEFINED] = "undefined",
	[EXIT_SHUTDOWN] = "shutdown",
	[EXIT_CR8] = "cr8",
	[EXIT_REFLECT] = "reflect",
	[EXIT_INVALID] = "invalid",
};

static void crash(struct vcpu *v, const char *what, uint64_t detail)
{
	char reason[128];

	vmk_snprintf(reason, sizeof(reason), "%s (%#llx) at rip %#llx of vCPU %u", what,
	             (unsigned long long)detail, (unsigned long long)v->rip, v->id);
	log_warn("%s: %s", v->vm->config.name, reason);
	vm_request_end(v->vm, VM_CRASHED, 0, reason);
}

static void protection_fault(struct vcpu *v)
{
	stat_inc(gp);
	vcpu_exception(v, VEC_GP, true, 0);
}

/*
 * Asked by each handler of an instruction that is ring 0's: #GP(0), as the instruction would have
 * raised. Processors differ in whether they check this before or after the intercept (AMD APM 2,
 * table 15-7: XSETBV exits first), and emulators differ from processors. What a guest does not have
 * at all is #UD in any ring.
 */
static bool refused(struct vcpu *v, const struct vm_exit *e)
{
	if (likely(!e->cpl))
		return false;
	protection_fault(v);
	return true;
}

static void none(struct vcpu *v, const struct vm_exit *e) {}

static void cpuid(struct vcpu *v, const struct vm_exit *e)
{
	cpuid_exit(v);
	vcpu_skip(v, e->len);
}

static void hlt(struct vcpu *v, const struct vm_exit *e)
{
	if (refused(v, e))
		return;
	/*
	 * RIP moves first: the interrupt that ends HLT returns behind it. An interrupt that is
	 * posted after this test wakes the wait in vcpu_main.
	 */
	vcpu_skip(v, e->len);
	v->halted = !inject_pending(v);
}

static void io(struct vcpu *v, const struct vm_exit *e)
{
	struct iobus *b = &v->vm->io;

	if (unlikely(e->io.string)) {
		emul_string_io(v, e);
		return;
	}
	/* The operand is always AL, AX or EAX; the upper half of RAX is cleared by EAX only. */
	if (e->io.in)
		emul_reg_set(v->gpr, GPR_RAX, false, e->io.size,
		             iobus_port_read(b, e->io.port, e->io.size));
	else
		iobus_port_write(b, e->io.port, e->io.size, (uint32_t)v->gpr[GPR_RAX]);
	vcpu_skip(v, e->len);
}

static void msr(struct vcpu *v, const struct vm_exit *e)
{
	uint32_t index = (uint32_t)v->gpr[GPR_RCX];
	uint64_t value = (v->gpr[GPR_RAX] & 0xffffffff) | v->gpr[GPR_RDX] << 32;

	/* RIP stays on the instruction when it faults. */
	if (refused(v, e))
		return;
	if (e->msr.write ? !msr_write(v, index, value) : !msr_read(v, index, &value)) {
		protection_fault(v);
		return;
	}
	if (!e->msr.write) {
		v->gpr[GPR_RAX] = (uint32_t)value;
		v->gpr[GPR_RDX] = value >> 32;
	}
	vcpu_skip(v, e->len);
}

/* The guest's kernel cannot go on; a program of the guest's is its kernel's to end. */
static void not_emulated(struct vcpu *v, const struct vm_exit *e)
{
	if (e->cpl == 3)
		vcpu_exception(v, VEC_UD, false, 0);
	else
		crash(v, "an instruction that cannot be emulated on device memory", e->mmio.gpa);
}

static void mmio(struct vcpu *v, const struct vm_exit *e)
{
	/*
	 * RAM whose nested entry is missing is mapped, and the instruction runs again; anything
	 * else is a device's.
	 */
	int err = gmem_fault(v->gmem, e->mmio.gpa);

	if (err == -ENOMEM)
		crash(v, "no memory for nested page tables", e->mmio.gpa);
	else if (err == -ENOENT && (e->mmio.fetch || !emul_mmio(v, e)))
		not_emulated(v, e);
}

static void hypercall(struct vcpu *v, const struct vm_exit *e)
{
	/*
	 * No hypercall is offered. KVM's answer to an unknown one, so that guests see
	 * it refused.
	 */
	stat_inc(hypercalls);
	v->gpr[GPR_RAX] = 0 - (uint64_t)KVM_ENOSYS;
	vcpu_skip(v, e->len);
}

static void xsetbv(struct vcpu *v, const struct vm_exit *e)
{
	uint64_t value = (v->gpr[GPR_RAX] & 0xffffffff) | v->gpr[GPR_RDX] << 32;

	if (!vcpu_osxsave(v)) {
		vcpu_exception(v, VEC_UD, false, 0);
		return;
	}
	if (refused(v, e))
		return;
	if ((uint32_t)v->gpr[GPR_RCX] != 0 || !vcpu_set_xcr0(v, value)) {
		protection_fault(v);
		return;
	}
	vcpu_skip(v, e->len);
}

static void skip(struct vcpu *v, const struct vm_exit *e)
{
	if (refused(v, e))
		return;
	vcpu_skip(v, e->len);
}

static void pause(struct vcpu *v, const struct vm_exit *e)
{
	vcpu_skip(v, e->len);
	/* A spin lock's holder may be the vCPU that waits for this CPU. */
	world_yield();
}

static void undefined(struct vcpu *v, const struct vm_exit *e)
{
	vcpu_exception(v, VEC_UD, false, 0);
}

static void shutdown(struct vcpu *v, const struct vm_exit *e)
{
	crash(v, "triple fault", 0);
}

static void cr8(struct vcpu *v, const struct vm_exit *e)
{
	if (refused(v, e))
		return;
	if (!emul_mov_cr8(v))
		crash(v, "a write to CR8 that cannot be decoded", 0);
}

static void reflect(struct vcpu *v, const struct vm_exit *e)
{
	vcpu_exception(v, e->exception.vector, e->exception.has_error, e->exception.error);
}

static void invalid(struct vcpu *v, const struct vm_exit *e)
{
	crash(v, "an exit that nobody knows", e->code);
}

void exit_handle(struct vcpu *v, const struct vm_exit *e)
{
	static void (*const handler[EXIT_KINDS])(struct vcpu *, const struct vm_exit *) = {
		[EXIT_NONE] = none,
		[EXIT_CPUID] = cpuid,
		[EXIT_HLT] = hlt,
		[EXIT_IO] = io,
		[EXIT_MSR] = msr,
		[EXIT_MMIO] = mmio,
		[EXIT_HYPERCALL] = hypercall,
		[EXIT_XSETBV] = xsetbv,
		[EXIT_SKIP] = skip,
		[EXIT_PAUSE] = pause,
		[EXIT_UNDEFINED] = undefined,
		[EXIT_SHUTDOWN] = shutdown,
		[EXIT_CR8] = cr8,
		[EXIT_REFLECT] = reflect,
		[EXIT_INVALID] = invalid,
	};

	handler[e->kind](v, e);
}
