// SPDX-License-Identifier: Apache-2.0
/*
 * A virtual machine from inside. lock guards state, reason and the device list; vCPUs and board are
 * fixed once the VM has been created.
 */
#ifndef VMM_VM_PRIV_H
#define VMM_VM_PRIV_H
#include "vmk/vdev.h"
#include "vmk/vm.h"
#include "vmm/vcpu.h"
#include "vmm/vioapic.h"
#include "vmm/vpic.h"

enum { GSIS = VIOAPIC_PINS, GSI_TIMER = 0, PIN_TIMER = 2, CPUID_ENTRIES = 48 };

struct vm_line {
	struct virq q;
	struct vm *vm;
	uint32_t gsi;
};

/* What CPUID tells this VM's guest; built when the VM is (cpuid.c). */
struct cpuid_entry {
	uint32_t leaf, sub; /* sub ~0: any */
	uint32_t reg[4];    /* eax ebx ecx edx */
};
struct cpuid_table {
	uint32_t count;
	uint8_t index[2][32]; /* first entry of leaves 0 - 1fh, 80000000h - 8000001fh; 255: none */
	struct cpuid_entry entry[CPUID_ENTRIES];
};

struct vm {
	uint64_t handle;
	struct list link; /* of all VMs */
	uint32_t refs;
	struct mutex lock;
	struct waitq waitq; /* state, alive */
	struct vm_config config;
	uint32_t state, exit_code, ending; /* ending: vm_request_end was called, atomic */
	uint32_t alive;                    /* vCPU worlds, atomic */
	char reason[128];
	const struct hvm_ops *ops;
	struct gmem *gmem;
	struct iobus io;
	struct vpic pic;
	struct vioapic ioapic;
	struct vm_line line[GSIS];
	struct board *board;
	struct list devices; /* struct vdev */
	struct group *group;
	uint64_t tsc_offset;
	ns_t started;
	struct cpuid_table cpuid;
	uint32_t cpus, lowest_next;
	struct vcpu *vcpu[VM_CPUS_MAX];
};

extern const struct hvm_ops *hvm; /* of this machine, NULL: no back end fits */

uint64_t vm_guest_tsc(const struct vm *vm);
void vm_vcpu_ended(struct vm *vm); /* its world has left its stack */

/* vm_intr.c */
int __must_check vm_intr_init(struct vm *vm);
extern const struct vlapic_env vm_vlapic_env;

void cpuid_build(struct vm *vm); /* cpuid.c */
#endif
