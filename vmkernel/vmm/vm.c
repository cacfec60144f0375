// SPDX-License-Identifier: Apache-2.0
/*
 * Virtual machines: birth, life and end. The list of all VMs has a lock of its own; a VM's mutex
 * guards its state and its devices. A guest that ends itself is stopped by a work item, for it
 * speaks from within its vCPU.
 */
#include "vmk/vm.h"
#include "vmk/errno.h"
#include "vmk/log.h"
#include "vmk/mm.h"
#include "vmk/string.h"
#include "vmk/vdev.h"
#include "vmk/work.h"
#include "vmm/vm_priv.h"
#include "x86/insn.h"

#define LOG_MODULE "vm"

static struct list all = LIST_INIT(all);
static struct spinlock all_lock = SPINLOCK_INIT("vms", RANK_OUTER);
static uint64_t next_handle = 1;
const struct hvm_ops *hvm;
static void (*state_hook)(const struct vm_event *e);

void vm_set_state_hook(void (*fn)(const struct vm_event *e))
{
	state_hook = fn;
}

static void set_state(struct vm *vm, enum vm_state state, const char *reason)
{
	struct vm_event e = { .handle = vm->handle, .state = state, .exit_code = vm->exit_code };

	str_copy(vm->reason, reason, sizeof(vm->reason));
	str_copy(e.reason, reason, sizeof(e.reason));
	vm->state = state;
	waitq_wake_all(&vm->waitq);
	log_info("%s: %s", vm->config.name, reason);
	if (state_hook)
		state_hook(&e);
}

static bool config_valid(const struct vm_config *c)
{
	return c->cpus && c->cpus <= VM_CPUS_MAX && memchr(c->name, 0, sizeof(c->name)) &&
	       c->name[0] && c->memory && IS_ALIGNED(c->memory, (uint64_t)LARGE_SIZE);
}

/* There is one kind of board so far; its row is the first. */
static int board_create(struct vm *vm)
{
	SECTION_FOR_EACH(struct board_class, c, boards) {
		int err = c->create(vm, &vm->board);

		if (!err)
			vm->board->class = c;
		return err;
	}
	return -ENODEV;
}

/* Everything but the handle and the list; whatever exists is torn down by teardown(). */
static int build(struct vm *vm)
{
	struct sched_params p = { vm->config.sched.shares, vm->config.sched.min_pct,
		                  vm->config.sched.max_pct };
	int err;

	if (!p.shares)
		/* What a group has without saying anything (sched). */
		p.shares = 1000;
	err = group_create(group_root(), vm->config.name, &p, &vm->group);
	if (err)
		return err;
	err = iobus_init(&vm->io);
	if (err)
		return err;
	err = gmem_create(vm->config.memory, vm->ops->format(), &vm->gmem);
	if (err)
		return err;
	/*
	 * Interrupt controllers before the board, which asks for lines; the board before vCPUs,
	 * whose local APICs deliver for it.
	 */
	cpuid_build(vm);
	err = vm_intr_init(vm);
	if (!err)
		err = board_create(vm);
	while (!err && vm->cpus < vm->config.cpus) {
		err = vcpu_create(vm, vm->cpus, &vm->vcpu[vm->cpus]);
		vm->cpus += !err;
	}
	return err;
}

static void teardown(struct vm *vm)
{
	struct vdev *d, *next;

	/* Devices hold pins and consoles; gmem_destroy waits for pins, so it comes after them. */
	list_for_each_safe(d, next, &vm->devices, link) {
		list_remove(&d->link);
		d->class->destroy(d);
	}
	while (vm->cpus)
		vcpu_destroy(vm->vcpu[--vm->cpus]);
	if (vm->board)
		vm->board->class->destroy(vm->board);
	if (vm->gmem)
		gmem_destroy(vm->gmem);
	if (vm->io.port_map)
		iobus_destroy(&vm->io);
	if (vm->group && group_destroy(vm->group))
		log_err("%s: worlds are left in its group", vm->config.name);
	vfree(vm);
}

int vm_create(const struct vm_config *c, struct vm **out)
{
	struct vm *vm;
	int err;

	if (!hvm)
		return -ENODEV;
	if (!config_valid(c))
		return -EINVAL;
	vm = vmalloc(sizeof(*vm));
	if (!vm)
		return -ENOMEM;
	vm->config = *c;
	vm->ops = hvm;
	vm->refs = 2; /* the list's and the caller's */
	mutex_init(&vm->lock, "vm");
	waitq_init(&vm->waitq, "vm");
	list_init(&vm->devices);
	/* The guest's TSC starts at 0, the same for all its vCPUs. */
	vm->tsc_offset = 0 - rdtsc();
	vm->started = time_now();
	err = build(vm);
	if (err) {
		teardown(vm);
		return err;
	}
	spin_lock(&all_lock);
	vm->handle = next_handle++;
	list_push_back(&all, &vm->link);
	spin_unlock(&all_lock);
	*out = vm;
	return 0;
}

int vm_add_device(struct vm *vm, const struct vm_device *d, uint32_t *slot)
{
	int err = -EOPNOTSUPP;
	struct vdev *updated;

	if (d->slot >= VM_PCI_SLOTS || !memchr(d->backend, 0, sizeof(d->backend)) ||
	    !memchr(d->serial, 0, sizeof(d->serial)))
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (vm->state != VM_CREATED) {
		err = -EBUSY;
		goto out;
	}
	SECTION_FOR_EACH(struct vdev_class, c, vdevs) {
		if (c->kind != d->kind)
			continue;
		/* The class puts the device onto the bus at its slot, or at the next free one. */
		err = c->create(vm, vm->board->pci, d, &updated);
		if (err)
			break;
		updated->class = c;
		list_push_back(&vm->devices, &updated->link);
		*slot = updated->slot;
		break;
	}
out:
	mutex_unlock(&vm->lock);
	return err;
}

int vm_set_vcpu(struct vm *vm, unsigned vcpu, const struct vm_vcpu_state *s)
{
	int err = 0;

	if (vcpu >= vm->cpus)
		return -EINVAL;
	mutex_lock(&vm->lock);
	if (vm->state == VM_CREATED)
		vcpu_set_state(vm->vcpu[vcpu], s);
	else
		err = -EBUSY;
	mutex_unlock(&vm->lock);
	return err;
}

int vm_start(struct vm *vm)
{
	int err = 0;

	mutex_lock(&vm->lock);
	if (vm->state != VM_CREATED) {
		err = -EBUSY;
		goto out;
	}
	vm->started = time_now();
	set_state(vm, VM_RUNNING, "powered on");
	for (unsigned i = 0; i < vm->cpus && !err; i++) {
		/* Counted before the start: the world may end before vcpu_start returns. */
		__atomic_fetch_add(&vm->alive, 1, __ATOMIC_SEQ_CST);
		err = vcpu_start(vm->vcpu[i], vm->group);
		if (err)
			__atomic_fetch_sub(&vm->alive, 1, __ATOMIC_SEQ_CST);
	}
out:
	mutex_unlock(&vm->lock);
	if (err && err != -EBUSY)
		/* vCPUs that did start are stopped; the rest never were. */
		vm_stop(vm, VM_STOPPED, "not enough memory for its worlds");
	return err;
}

void vm_vcpu_ended(struct vm *vm)
{
	__atomic_fetch_sub(&vm->alive, 1, __ATOMIC_SEQ_CST);
	waitq_wake_all(&vm->waitq);
}

void vm_stop(struct vm *vm, enum vm_state state, const char *reason)
{
	struct vdev *d;

	mutex_lock(&vm->lock);
	if (vm->state == VM_RUNNING || vm->state == VM_CREATED) {
		for (unsigned i = 0; i < vm->cpus; i++)
			vcpu_request(vm->vcpu[i], REQ_STOP);
		/*
		 * The lock is held while we wait: vCPUs take it nowhere (vm_request_end uses a
		 * work item).
		 */
		wait_event(&vm->waitq, !__atomic_load_n(&vm->alive, __ATOMIC_SEQ_CST));
		/*
		 * Nobody kicks any more. Devices wait for their requests, then the board's
		 * timers stop.
		 */
		list_for_each(d, &vm->devices, link)
			d->class->stop(d);
		vm->board->class->stop(vm->board);
		set_state(vm, state, reason);
	}
	mutex_unlock(&vm->lock);
}

/* An end that the guest itself asked for. */
struct end_work {
	struct work work;
	struct vm *vm;
	enum vm_state state;
	char reason[128];
};

static void end_run(struct work *w)
{
	struct end_work *e = container_of(w, struct end_work, work);

	vm_stop(e->vm, e->state, e->reason);
	vm_put(e->vm);
	kfree(e);
}

void vm_request_end(struct vm *vm, enum vm_state state, uint32_t exit_code, const char *reason)
{
	struct end_work *e;

	if (__atomic_exchange_n(&vm->ending, 1, __ATOMIC_SEQ_CST))
		return;
	vm->exit_code = exit_code;
	/* At once, for the guest must not run on behind the end that it asked for. */
	for (unsigned i = 0; i < vm->cpus; i++)
		vcpu_request(vm->vcpu[i], REQ_STOP);
	e = kmalloc(sizeof(*e));
	if (!e) /* it stands still until somebody stops it */
		return;
	e->vm = vm;
	e->state = state;
	str_copy(e->reason, reason, sizeof(e->reason));
	/* Not here: vm_stop waits for the vCPU world that has called us. */
	work_init(&e->work, end_run);
	vm_get(vm);
	work_queue(&e->work);
}

void vm_destroy(struct vm *vm)
{
	bool listed;

	vm_stop(vm, VM_STOPPED, "destroyed");
	spin_lock(&all_lock);
	/* Two callers may destroy it at once; one of them drops the list's reference. */
	listed = !list_empty(&vm->link);
	list_remove(&vm->link);
	spin_unlock(&all_lock);
	if (listed)
		vm_put(vm);
}

void vm_get(struct vm *vm)
{
	__atomic_fetch_add(&vm->refs, 1, __ATOMIC_SEQ_CST);
}

void vm_put(struct vm *vm)
{
	if (__atomic_sub_fetch(&vm->refs, 1, __ATOMIC_SEQ_CST) == 0)
		teardown(vm);
}

struct vm *vm_find(uint64_t handle)
{
	struct vm *vm, *found = NULL;

	spin_lock(&all_lock);
	list_for_each(vm, &all, link) {
		if (vm->handle == handle) {
			vm_get(vm);
			found = vm;
			break;
		}
	}
	spin_unlock(&all_lock);
	return found;
}

unsigned vm_list(uint64_t *handle, unsigned max)
{
	struct vm *vm;
	unsigned n = 0;

	spin_lock(&all_lock);
	list_for_each(vm, &all, link) {
		if (n < max)
			handle[n] = vm->handle;
		n++;
	}
	spin_unlock(&all_lock);
	return n;
}
