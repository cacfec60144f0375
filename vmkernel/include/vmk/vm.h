// SPDX-License-Identifier: Apache-2.0
/*
 * Virtual machines (vmkernel/vmm/vm.c). A VM is reference counted; handles name it outside. State
 * changes go CREATED -> RUNNING -> one of the ends, once; each is an event. Functions sleep and are
 * for worlds, but those marked "any context".
 */
#ifndef VMK_VM_H
#define VMK_VM_H
#include "abi/vm.h"
#include "vmk/gmem.h"
#include "vmk/iobus.h"

struct vm;
struct virq;
struct vconsole;

int __must_check vm_create(const struct vm_config *c, struct vm **out); /* with a reference */
int __must_check vm_add_device(struct vm *vm, const struct vm_device *d, uint32_t *slot);
int __must_check vm_set_vcpu(struct vm *vm, unsigned vcpu, const struct vm_vcpu_state *s);
int __must_check vm_start(struct vm *vm);
/* Ends a VM that runs or was to; returns when its vCPU worlds are gone and its consoles closed. */
void vm_stop(struct vm *vm, enum vm_state state, const char *reason);
/* Stops it, takes the handle away; memory goes with the last reference. */
void vm_destroy(struct vm *vm);
void vm_get(struct vm *vm);
void vm_put(struct vm *vm);
struct vm *vm_find(uint64_t handle); /* with a reference, or NULL */
uint64_t vm_handle(const struct vm *vm);
/* Handles in rising order; returns how many there are. */
unsigned vm_list(uint64_t *handle, unsigned max);
void vm_status(struct vm *vm, struct vm_status *s);
unsigned vm_exit_counts(struct vm *vm, struct vm_exit_count *c, unsigned max);
int __must_check vm_set_sched(struct vm *vm, const struct vm_sched *s);
void vm_power_button(struct vm *vm);
/*
 * Below VM_SERIAL_PORTS: the serial ports; from there on the console devices in their order. NULL:
 * there are fewer.
 */
struct vconsole *vm_console(struct vm *vm, unsigned index);

/* For device models. Any context. */
struct gmem *vm_gmem(struct vm *vm);
struct iobus *vm_iobus(struct vm *vm);
const struct vm_config *vm_config(const struct vm *vm);
struct virq *vm_irq(struct vm *vm, unsigned gsi); /* 0 - 23 */
void vm_msi(struct vm *vm, uint64_t address, uint32_t data);
/* The guest ended itself: reset, off, debug exit. The vCPUs stop soon; the first call decides. */
void vm_request_end(struct vm *vm, enum vm_state state, uint32_t exit_code, const char *reason);

/* Tells of changes of state; set once, by the control server. */
void vm_set_state_hook(void (*fn)(const struct vm_event *e));

/* Boot: finds the back end that fits these CPUs and enables it on all of them. */
void vmm_init(void);
const char *vmm_backend(void); /* its name in the compatibility list, "" without one */
#endif
