// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a virtual CPU: a world that enters the guest, handles what it comes back with, and
 * waits while the guest halts. Whoever posts work makes it visible first and calls vcpu_wake then;
 * the vCPU says that it is in the guest first and looks for work then: one of the two sees the
 * other's store.
 */
#include "vmm/vcpu.h"
#include "vmk/errno.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmm/emul_mem.h"
#include "vmm/vm_priv.h"
#include "x86/insn.h"

enum { OPCODE_HLT = 0xf4 };
#define SEG_CODE16 0x09b /* present, accessed, readable code */
#define SEG_DATA16 0x093
#define SEG_LDT    0x082
#define SEG_TSS16  0x083

static void kick(struct gmem_cpu *c)
{
	/* An interrupt to the CPU on which it runs: any interrupt of the host's ends the run. */
	world_kick(container_of(c, struct vcpu, tlb)->world);
}

void vcpu_wake(struct vcpu *v)
{
	/* The fence between the caller's store and this load pairs with that in gmem_enter. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (READ_ONCE(v->tlb.in_guest))
		world_kick(v->world);
	else
		waitq_wake_all(&v->wait);
}

void vcpu_request(struct vcpu *v, uint32_t requests)
{
	__atomic_fetch_or(&v->requests, requests, __ATOMIC_SEQ_CST);
	vcpu_wake(v);
}

void vcpu_nmi(struct vcpu *v)
{
	__atomic_store_n(&v->nmi, 1, __ATOMIC_SEQ_CST);
	vcpu_wake(v);
}

/* The state after INIT; SIPI then gives CS. Spec: Intel SDM 3A table 10-1. */
static void reset_state(struct vcpu *v, uint8_t page)
{
	struct vm_vcpu_state s = { .cr0 = CR0_ET };

	for (unsigned i = VM_ES; i <= VM_GS; i++)
		s.seg[i] = (struct vm_segment){ 0, SEG_DATA16, 0xffff, 0 };
	s.seg[VM_CS] = (struct vm_segment){ (uint16_t)(page << 8), SEG_CODE16, 0xffff,
		                            (uint64_t)page << 12 };
	s.seg[VM_GDTR].limit = s.seg[VM_IDTR].limit = 0xffff;
	s.seg[VM_LDTR] = (struct vm_segment){ 0, SEG_LDT, 0xffff, 0 };
	s.seg[VM_TR] = (struct vm_segment){ 0, SEG_TSS16, 0xffff, 0 };
	s.rflags = 2;
	vcpu_set_state(v, &s);
}

void vcpu_set_state(struct vcpu *v, const struct vm_vcpu_state *s)
{
	memcpy(v->gpr, s->gpr, sizeof(v->gpr));
	v->rip = s->rip;
	v->rflags = s->rflags | 2;
	v->int_shadow = v->nmi_masked = v->halted = v->wait_sipi = false;
	v->event.valid = false;
	v->ops->set_state(v, s);
}

/* What others asked of this vCPU. False: the world is to end. */
static bool handle_requests(struct vcpu *v)
{
	/* All at once: a request that is posted after this makes the next loop look again. */
	uint32_t r = __atomic_exchange_n(&v->requests, 0, __ATOMIC_SEQ_CST);

	if (r & REQ_STOP)
		return false;
	if (r & REQ_INIT) {
		vlapic_reset(&v->apic);
		reset_state(v, 0);
		v->wait_sipi = true;
	}
	/* A start-up IPI is ignored by a processor that runs (SDM 3A 8.4.4). */
	if ((r & REQ_SIPI) && v->wait_sipi)
		reset_state(v, v->sipi_vector);
	return true;
}

static bool runnable(struct vcpu *v)
{
	if (READ_ONCE(v->requests))
		return true;
	return !v->wait_sipi && inject_pending(v);
}

/*
 * STI; HLT with an interrupt that waits: the interrupt must come after HLT has begun, or the guest
 * would halt with its wake-up already handled. The VMCB's interrupt shadow says so, but not every
 * emulator keeps it over VMRUN (README.md). So the HLT is executed here: the interrupt that is
 * pending ends it at once.
 */
static void finish_hlt(struct vcpu *v)
{
	uint8_t opcode;

	if (!inject_pending(v) || emul_fetch(v, &opcode, 1) != 1 || opcode != OPCODE_HLT)
		return;
	vcpu_skip(v, 1);
}

static void run_once(struct vcpu *v)
{
	struct vm_exit e;

	/* Fetches guest memory, so before interrupts are off. */
	if (unlikely(v->int_shadow))
		finish_hlt(v);
	/*
	 * Interrupts stay off from the last look for work to the entry. An interrupt that comes
	 * in between is taken as soon as the guest runs, and ends the run: no wake-up is lost.
	 */
	cpu_cli();
	if (gmem_enter(v->gmem, &v->tlb))
		v->tlb_stale = true;
	if (unlikely(READ_ONCE(v->requests) || world_need_resched())) {
		gmem_leave(v->gmem, &v->tlb);
		cpu_sti();
		if (world_need_resched())
			world_yield();
		return;
	}
	/* in_guest is set (gmem_enter): who posts an interrupt from now on kicks this CPU. */
	inject_events(v);
	v->ops->run(v, &e);
	gmem_leave(v->gmem, &v->tlb);
	cpu_sti();
	/* Plain: only this world counts; readers may see a value that is a little old. */
	v->exits[e.kind]++;
	exit_handle(v, &e);
}

static void vcpu_main(void *arg)
{
	struct vcpu *v = arg;

	for (;;) {
		if (unlikely(READ_ONCE(v->requests)) && !handle_requests(v))
			break;
		if (likely(!v->halted && !v->wait_sipi)) {
			run_once(v);
			continue;
		}
		wait_event(&v->wait, runnable(v));
		/* Woken by a request only, the vCPU goes on halting. */
		if (!v->wait_sipi && inject_pending(v))
			v->halted = false;
	}
	vlapic_stop(&v->apic);
}

static void switch_in(struct world *w)
{
	vcpu_state_in(world_arg(w));
}

static void switch_out(struct world *w)
{
	vcpu_state_out(world_arg(w));
}

static void released(struct world *w)
{
	vm_vcpu_ended(((struct vcpu *)world_arg(w))->vm);
}

int vcpu_start(struct vcpu *v, struct group *group)
{
	static const struct world_hooks hooks = { switch_in, switch_out, released };
	char name[VM_NAME_MAX + 8];
	struct world_attr attr = {
		.name = name,
		.kind = WORLD_VCPU,
		.group = group,
		.cpu = -1,
		.hooks = &hooks,
		.fn = vcpu_main,
		.arg = v,
	};
	int err;

	vmk_snprintf(name, sizeof(name), "%s/%u", v->vm->config.name, v->id);
	err = world_create(&attr, &v->world);
	if (!err)
		world_start(v->world);
	return err;
}

int vcpu_create(struct vm *vm, unsigned id, struct vcpu **out)
{
	struct vcpu *v = kzalloc(sizeof(*v));
	int err;

	if (!v)
		return -ENOMEM;
	v->id = id;
	v->vm = vm;
	v->ops = vm->ops;
	v->gmem = vm->gmem;
	v->tlb.kick = kick;
	waitq_init(&v->wait, "vcpu");
	vlapic_init(&v->apic, &vm_vlapic_env, id, id == 0);
	err = vcpu_state_create(v);
	if (err)
		goto free;
	err = v->ops->vcpu_create(v);
	if (err)
		goto free_state;
	/* Last of what can fail before it: gmem has no way to take a vCPU off its list again. */
	gmem_cpu_add(v->gmem, &v->tlb);
	reset_state(v, 0);
	v->wait_sipi = id != 0; /* the other processors wait for the first one's start-up IPI */
	*out = v;
	return 0;
free_state:
	vcpu_state_destroy(v);
free:
	kfree(v);
	return err;
}

void vcpu_destroy(struct vcpu *v)
{
	if (v->world)
		world_put(v->world);
	v->ops->vcpu_destroy(v);
	vcpu_state_destroy(v);
	kfree(v);
}
