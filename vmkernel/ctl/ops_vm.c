// SPDX-License-Identifier: Apache-2.0
/* The control socket's operations on virtual machines: each finds its VM, calls vm.c, lets go. */
#include "vmk/ctl.h"
#include "vmk/memobj.h"
#include "vmk/string.h"
#include "vmk/vm.h"
#include "ctl/vm_console.h"

/* The VM that a request names, with a reference; NULL and the error text when there is none. */
static struct vm *named(struct ctl_call *c, uint64_t handle)
{
	struct vm *vm = vm_find(handle);

	if (!vm)
		ctl_error(c, -ENOENT, "no VM has handle %llu", (unsigned long long)handle);
	return vm;
}

static struct vm *of_request(struct ctl_call *c)
{
	return named(c, ((const struct vm_handle *)c->req)->handle);
}

CTL_OP(CTL_VM_CREATE, vm_create, sizeof(struct vm_config), sizeof(struct vm_created), CTL_ADMIN)
{
	struct vm_created *r = c->reply;
	struct vm *vm;
	int err = vm_create(c->req, &vm);

	/* The client shows these texts as they are: they say what a person can do about it. */
	if (err == -ENODEV)
		return ctl_error(c, err,
		                 "this machine has no hardware virtualization that is supported");
	if (err == -ENOMEM)
		return ctl_error(c, err, "not enough free memory for this VM");
	if (err == -EINVAL)
		return ctl_error(c, err,
		                 "name, CPUs (1 to %d) or memory (a multiple of 2 MiB) is wrong",
		                 VM_CPUS_MAX);
	if (err)
		return err;
	/*
	 * The caller gets the guest's memory as a descriptor: hostd loads kernel and tables through
	 * it.
	 */
	err = memobj_file(gmem_object(vm_gmem(vm)), &c->fds[0]);
	if (err) {
		vm_destroy(vm);
	} else {
		c->nfds = 1;
		r->handle = vm_handle(vm);
		r->high_base = GMEM_HIGH_BASE;
		gmem_layout(vm_gmem(vm), &r->low, &r->high);
	}
	vm_put(vm);
	return err;
}

CTL_OP(CTL_VM_DESTROY, vm_destroy, sizeof(struct vm_handle), 0, CTL_ADMIN)
{
	struct vm *vm = of_request(c);

	if (!vm)
		return -ENOENT;
	vm_destroy(vm);
	vm_put(vm);
	return 0;
}

CTL_OP(CTL_VM_SET_VCPU, vm_set_vcpu, sizeof(struct vm_set_vcpu), 0, CTL_ADMIN)
{
	const struct vm_set_vcpu *q = c->req;
	struct vm *vm = named(c, q->handle);
	int err;

	if (!vm)
		return -ENOENT;
	err = vm_set_vcpu(vm, q->vcpu, &q->state);
	vm_put(vm);
	return err;
}

CTL_OP(CTL_VM_ADD_DEVICE, vm_add_device, sizeof(struct vm_add_device),
       sizeof(struct vm_device_added), CTL_ADMIN)
{
	const struct vm_add_device *q = c->req;
	struct vm_device_added *r = c->reply;
	struct vm *vm = named(c, q->handle);
	int err;

	if (!vm)
		return -ENOENT;
	/* The backend's name may have no end: the texts below bound it. */
	err = vm_add_device(vm, &q->device, &r->slot);
	if (err == -ENOENT)
		ctl_error(c, err, "there is no backend %.255s", q->device.backend);
	else if (err == -EBUSY)
		ctl_error(c, err, "%.255s is in use", q->device.backend);
	else if (err == -EINVAL)
		ctl_error(c, err, "%.255s does not serve as a device", q->device.backend);
	vm_put(vm);
	return err;
}

CTL_OP(CTL_VM_START, vm_start, sizeof(struct vm_handle), 0, CTL_OPERATE)
{
	struct vm *vm = of_request(c);
	int err;

	if (!vm)
		return -ENOENT;
	err = vm_start(vm);
	if (err == -EBUSY)
		ctl_error(c, err, "it has been started already");
	vm_put(vm);
	return err;
}

CTL_OP(CTL_VM_STOP, vm_stop, sizeof(struct vm_handle), 0, CTL_OPERATE)
{
	struct vm *vm = of_request(c);

	if (!vm)
		return -ENOENT;
	vm_stop(vm, VM_STOPPED, "powered off");
	vm_put(vm);
	return 0;
}

CTL_OP(CTL_VM_BUTTON, vm_button, sizeof(struct vm_handle), 0, CTL_OPERATE)
{
	struct vm *vm = of_request(c);

	if (!vm)
		return -ENOENT;
	vm_power_button(vm);
	vm_put(vm);
	return 0;
}

CTL_OP(CTL_VM_STATUS, vm_status, sizeof(struct vm_handle), sizeof(struct vm_status), CTL_READ)
{
	struct vm *vm = of_request(c);

	if (!vm)
		return -ENOENT;
	vm_status(vm, c->reply);
	vm_put(vm);
	return 0;
}

CTL_OP(CTL_VM_LIST, vm_list, 0, 0, CTL_READ)
{
	unsigned max = CTL_PAYLOAD_MAX / sizeof(uint64_t), n = vm_list(c->reply, max);

	c->reply_len = MIN(n, max) * sizeof(uint64_t);
	return 0;
}

CTL_OP(CTL_VM_EXITS, vm_exits, sizeof(struct vm_handle), 0, CTL_READ)
{
	struct vm *vm = of_request(c);

	if (!vm)
		return -ENOENT;
	c->reply_len = vm_exit_counts(vm, c->reply,
	                              CTL_PAYLOAD_MAX / sizeof(struct vm_exit_count)) *
	               sizeof(struct vm_exit_count);
	vm_put(vm);
	return 0;
}

CTL_OP(CTL_VM_SET_SCHED, vm_set_sched, sizeof(struct vm_set_sched), 0, CTL_ADMIN)
{
	const struct vm_set_sched *q = c->req;
	struct vm *vm = named(c, q->handle);
	int err;

	if (!vm)
		return -ENOENT;
	err = vm_set_sched(vm, &q->sched);
	vm_put(vm);
	return err;
}

CTL_OP(CTL_VM_CONSOLE, vm_console, sizeof(struct vm_open_console), 0, CTL_OPERATE)
{
	const struct vm_open_console *q = c->req;
	struct vm *vm = named(c, q->handle);
	int err;

	if (!vm)
		return -ENOENT;
	err = vm_console_file(vm, q->index, &c->fds[0]);
	if (!err)
		c->nfds = 1;
	vm_put(vm);
	return err;
}

static void state_changed(const struct vm_event *e)
{
	ctl_event(CTL_VM_EVENT, e, sizeof(*e));
}

void ctl_vm_init(void)
{
	vm_set_state_hook(state_changed);
}
