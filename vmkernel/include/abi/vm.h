// SPDX-License-Identifier: Apache-2.0
/*
 * Virtual machines over the control socket, and the boot module that carries one ready-made guest.
 * A VM is named by the handle that VM_CREATE returned; handles are never reused. The order of a
 * birth: VM_CREATE, VM_ADD_DEVICE ..., guest memory written through the object's mapping,
 * VM_SET_VCPU, VM_START.
 */
#ifndef ABI_VM_H
#define ABI_VM_H
#include "abi/abi.h"
#include "abi/ctl.h"

enum ctl_vm_op {
	CTL_VM_CREATE = CTL_BASE_VM + 1,   /* vm_config -> vm_created, fd of the memory object */
	CTL_VM_DESTROY,                    /* vm_handle */
	CTL_VM_SET_VCPU,                   /* vm_set_vcpu */
	CTL_VM_ADD_DEVICE,                 /* vm_add_device -> vm_device_added */
	CTL_VM_START,                      /* vm_handle */
	CTL_VM_STOP,                       /* vm_handle: at once, as a power cord */
	CTL_VM_BUTTON,                     /* vm_handle: the power button */
	CTL_VM_STATUS,                     /* vm_handle -> vm_status */
	CTL_VM_LIST,                       /* -> uint64_t handle[] */
	CTL_VM_CONSOLE,                    /* vm_open_console -> nothing, fd */
	CTL_VM_SET_SCHED,                  /* vm_set_sched */
	CTL_VM_EXITS,                      /* vm_handle -> vm_exit_count[] */
	CTL_VM_EVENT = CTL_BASE_VM + 0x80, /* event: vm_event */
};

enum vm_limits { VM_CPUS_MAX = 64, VM_NAME_MAX = 64, VM_DEVICES_MAX = 28, VM_SEGMENTS_MAX = 32 };

enum vm_state {
	VM_CREATED = 0,
	VM_RUNNING = 1,
	VM_RESETTING = 2, /* the guest asked for a reset: hostd destroys it and gives birth again */
	VM_OFF = 3,       /* the guest switched itself off */
	VM_STOPPED = 4,   /* by VM_STOP */
	VM_CRASHED = 5,   /* triple fault, or an error that no guest can handle */
};

enum vm_flags {
	VM_KVM_LEAVES = 1, /* CPUID leaves and clock of KVM */
	VM_HIDE_HYPERVISOR = 2,
	VM_NO_X2APIC = 4,
	VM_DEBUG_EXIT = 8, /* port 0xf4 ends the VM; port 0xe9 writes to its console */
};

/* The board's places, which firmware tables repeat. */
enum vm_board {
	VM_PM1_EVENT = 0x600,
	VM_PM1_CONTROL = 0x604,
	VM_PM_TIMER = 0x608,
	VM_SCI = 9,
	VM_SERIAL_PORTS = 2,
	VM_RESET_PORT = 0xcf9,
	VM_RESET_VALUE = 6,
	VM_INTX_GSI = 16, /* slot n uses GSI 16 + n mod 8 */
	VM_INTX_LINES = 8,
	VM_PCI_SLOTS = 32,
	VM_PCI_IO = 0xc000, /* to ffff */
	VM_PCI_MEM = 0xc0000000,
	VM_PCI_MEM_END = 0xdfffffff,
	VM_ECAM = 0xe0000000, /* one bus */
	VM_ECAM_SIZE = 0x100000,
	VM_IOAPIC = 0xfec00000,
	VM_LAPIC = 0xfee00000,
};

/* min_pct, max_pct: percent of one CPU, max 0 unlimited; shares 0: 1000. */
struct vm_sched {
	uint32_t shares, min_pct, max_pct, reserved;
};
ABI_SIZE(struct vm_sched, 16);

struct vm_config {
	char name[VM_NAME_MAX];
	uint8_t uuid[16];
	uint32_t cpus, flags; /* enum vm_flags */
	uint64_t memory;      /* bytes, a multiple of 2 MiB */
	struct vm_sched sched;
};
ABI_SIZE(struct vm_config, 112);

struct vm_handle {
	uint64_t handle;
};
ABI_SIZE(struct vm_handle, 8);

/*
 * Where guest memory appears: [0, low) and [high_base, high_base + high). The memory object holds
 * the low part, then the high part.
 */
struct vm_created {
	uint64_t handle;
	uint64_t low, high_base, high;
};
ABI_SIZE(struct vm_created, 32);

/* Attributes: type, S, DPL, P in bits 0-7 and AVL, L, D/B, G in bits 8-11, as the VMCB has them. */
struct vm_segment {
	uint16_t selector, attributes;
	uint32_t limit;
	uint64_t base;
};
ABI_SIZE(struct vm_segment, 16);

enum vm_segment_index {
	VM_ES,
	VM_CS,
	VM_SS,
	VM_DS,
	VM_FS,
	VM_GS,
	VM_GDTR,
	VM_LDTR,
	VM_IDTR,
	VM_TR,
	VM_SEGMENTS
};

/* gpr in the order of the instruction encoding: rax rcx rdx rbx rsp rbp rsi rdi r8 ... r15. */
struct vm_vcpu_state {
	uint64_t gpr[16];
	uint64_t rip, rflags, cr0, cr2, cr3, cr4, efer;
	struct vm_segment seg[VM_SEGMENTS];
};
ABI_SIZE(struct vm_vcpu_state, 344);

struct vm_set_vcpu {
	uint64_t handle;
	uint32_t vcpu, reserved;
	struct vm_vcpu_state state;
};
ABI_SIZE(struct vm_set_vcpu, 360);

enum vm_device_kind {
	VM_DEV_VIRTIO_BLK = 1,
	VM_DEV_VIRTIO_NET = 2,
	VM_DEV_VIRTIO_CONSOLE = 3,
	VM_DEV_VIRTIO_RNG = 4,
};
/* THIN: what the guest discards on its virtual disk is given back to the datastore. */
enum vm_device_flags { VM_DEV_READ_ONLY = 1, VM_DEV_THIN = 2 };

/*
 * slot: the PCI device number, 0: the next free one. backend: a block device's id or the path of a
 * virtual disk's contents (NAME-flat.vmdk); a port group's name. mac all 0: from the VM's uuid.
 * queues (pairs of a NIC): 0 as many as the VM has CPUs.
 */
struct vm_device {
	uint32_t kind, slot, flags, queues;
	uint8_t mac[6];
	uint8_t reserved[2];
	char backend[CTL_PATH_MAX];
	char serial[24];
};
ABI_SIZE(struct vm_device, 304);

struct vm_add_device {
	uint64_t handle;
	struct vm_device device;
};
ABI_SIZE(struct vm_add_device, 312);

struct vm_device_added {
	uint32_t slot, reserved;
};
ABI_SIZE(struct vm_device_added, 8);

/* index: below VM_SERIAL_PORTS the serial ports, from there on the console devices. */
struct vm_open_console {
	uint64_t handle;
	uint32_t index, reserved;
};
ABI_SIZE(struct vm_open_console, 16);

struct vm_set_sched {
	uint64_t handle;
	struct vm_sched sched;
};
ABI_SIZE(struct vm_set_sched, 24);

struct vm_status {
	uint64_t handle;
	uint32_t state;     /* enum vm_state */
	uint32_t exit_code; /* of the debug exit port */
	struct vm_config config;
	uint64_t started, used_ns, exits, overhead; /* ns since boot; sum over vCPUs; bytes */
	char reason[128];
};
ABI_SIZE(struct vm_status, 288);

struct vm_exit_count {
	char name[24];
	uint64_t count;
};
ABI_SIZE(struct vm_exit_count, 32);

/* Sent when the state changes. */
struct vm_event {
	uint64_t handle;
	uint32_t state, exit_code;
	char reason[128];
};
ABI_SIZE(struct vm_event, 144);

/*
 * A guest ready to run, in one boot module: this header, then the bytes of the segments. Made by
 * shell/vm/image.py, started by the boot option vmimage=NAME.
 */
enum vm_image_const { VM_IMAGE_MAGIC = 0x4d565054 /* "TPVM" */ };
struct vm_image_segment {
	uint64_t gpa, offset, length; /* offset from the start of the module */
};
ABI_SIZE(struct vm_image_segment, 24);

struct vm_image {
	uint32_t magic, segments, devices, reserved;
	struct vm_config config;
	struct vm_vcpu_state vcpu;
	struct vm_image_segment segment[VM_SEGMENTS_MAX];
	struct vm_device device[VM_DEVICES_MAX];
};
ABI_SIZE(struct vm_image, 9752);
#endif
