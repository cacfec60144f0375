// SPDX-License-Identifier: Apache-2.0
/* What others see of a VM: its parts, its state, its counters. */
#include "vmk/string.h"
#include "vmk/vdev.h"
#include "vmm/vm_priv.h"
#include "x86/cpu.h"
#include "x86/insn.h"

struct gmem *vm_gmem(struct vm *vm)
{
	return vm->gmem;
}

struct iobus *vm_iobus(struct vm *vm)
{
	return &vm->io;
}

const struct vm_config *vm_config(const struct vm *vm)
{
	return &vm->config;
}

uint64_t vm_handle(const struct vm *vm)
{
	return vm->handle;
}

uint64_t vm_guest_tsc(const struct vm *vm)
{
	return rdtsc() + vm->tsc_offset;
}

struct vconsole *vm_console(struct vm *vm, unsigned index)
{
	struct vconsole *found = NULL;
	struct vdev *d;

	if (index < VM_SERIAL_PORTS)
		return vm->board->class->console(vm->board, index);
	index -= VM_SERIAL_PORTS;
	mutex_lock(&vm->lock);
	list_for_each(d, &vm->devices, link) {
		if (d->class->console && index-- == 0) {
			found = d->class->console(d);
			break;
		}
	}
	mutex_unlock(&vm->lock);
	return found;
}

void vm_power_button(struct vm *vm)
{
	vm->board->class->power_button(vm->board);
}

int vm_set_sched(struct vm *vm, const struct vm_sched *s)
{
	struct sched_params p = { s->shares ? s->shares : 1000, s->min_pct, s->max_pct };
	int err = group_set(vm->group, &p);

	if (!err)
		vm->config.sched = *s;
	return err;
}

/* Bytes beside the guest's memory. */
static uint64_t overhead(const struct vm *vm)
{
	uint64_t vcpu = sizeof(struct vcpu) + cpu_features.xsave_size + 2 * PAGE_SIZE + 16 * KiB;

	return sizeof(*vm) + IOBUS_PORTS + vm->board->class->overhead + vm->cpus * vcpu +
	       gmem_table_pages(vm->gmem) * PAGE_SIZE;
}

void vm_status(struct vm *vm, struct vm_status *s)
{
	memset(s, 0, sizeof(*s));
	mutex_lock(&vm->lock);
	s->handle = vm->handle;
	s->state = vm->state;
	s->exit_code = vm->exit_code;
	s->config = vm->config;
	s->started = vm->started;
	s->overhead = overhead(vm);
	memcpy(s->reason, vm->reason, sizeof(s->reason));
	for (unsigned i = 0; i < vm->cpus; i++) {
		const struct vcpu *v = vm->vcpu[i];
		struct world_times t;

		/*
		 * Counters of running vCPUs, read without a lock: each is exact, their sum
		 * a moment's.
		 */
		for (unsigned k = 0; k < EXIT_KINDS; k++)
			s->exits += v->exits[k];
		if (v->world) {
			world_times_get(v->world, &t);
			s->used_ns += t.used;
		}
	}
	mutex_unlock(&vm->lock);
}

unsigned vm_exit_counts(struct vm *vm, struct vm_exit_count *c, unsigned max)
{
	unsigned n = MIN((unsigned)EXIT_KINDS, max);

	for (unsigned k = 0; k < n; k++) {
		str_copy(c[k].name, exit_names[k], sizeof(c[k].name));
		c[k].count = 0;
		for (unsigned i = 0; i < vm->cpus; i++)
			c[k].count += vm->vcpu[i]->exits[k];
	}
	return n;
}
