// SPDX-License-Identifier: Apache-2.0
/*
 * The life of a virtual CPU: a world that enters the guest, handles what it comes back with, and
 * waits while the guest halts. Whoever posts work makes it visible first and calls vcpu_wake; the
 * vCPU says that it is in the guest first and looks for work then, so one of the two sees the
 * other.
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

/* False: the world is to end. */
static bool handle_requests(struct vcpu *v)
{
	uint32_t r = __atomic_exchange_n(&v->requests, 0, __ATOMIC_SEQ_CST);

	if (r & REQ_STOP)
		return false;
	if (r & REQ_INIT) {
		vlapic_reset(&v->apic);
		reset_state(v, 0);
		v->wait_sipi = true;
	}
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
 * An interrupt that waits behind STI must not come before the HLT that follows it: not every
 * processor keeps the shadow of the VMCB, and the guest would sleep over its wake-up. So that HLT
 * ends here.
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

	if (unlikely(v->int_shadow))
		finish_hlt(v);
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
	inject_events(v);
	v->ops->run(v, &e);
	gmem_leave(v->gmem, &v->tlb);
	cpu_sti();
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
	gmem_cpu_add(v->gmem, &v->tlb);
	reset_state(v, 0);
	v->wait_sipi = id != 0;
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
