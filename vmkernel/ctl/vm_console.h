// SPDX-License-Identifier: Apache-2.0
/* A guest's console as an open file. */
#ifndef CTL_VM_CONSOLE_H
#define CTL_VM_CONSOLE_H
#include "vmk/vm.h"

struct file;
/*
 * The file holds a reference to the VM and attaches to the console while it is open. -ENOENT: no
 * such console.
 */
int __must_check vm_console_file(struct vm *vm, unsigned index, struct file **out);
/* Boot: events of VMs go to the control socket's subscribers. */
void ctl_vm_init(void);
#endif
