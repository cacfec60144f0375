// SPDX-License-Identifier: Apache-2.0
/*
 * Device models (vmkernel/vdev/). vdev stands above vmm: it calls what vmk/vm.h offers to device
 * models, and the vmm reaches a model only through two tables of rows in linker sections:
 *   .boards  BOARD(...)       declared by a board (vdev/vplatform.c), called by vmm/vm.c
 *   .vdevs   VDEV_CLASS(...)  declared by each kind of device that a VM is given (vdev/virtio/),
 *                             called by vmm/vm.c and vmm/vm_info.c
 * A model gets its interrupt line as an object (struct virq). What a guest writes is checked where
 * it enters; a mistake makes the device need a reset, it never harms the host.
 */
#ifndef VMK_VDEV_H
#define VMK_VDEV_H
#include "abi/vm.h"
#include "vmk/vm.h"

/*
 * A line to the guest's interrupt controllers. set is called in any context, also under the lock of
 * the device.
 */
struct virq {
	void (*set)(struct virq *q, bool level);
};
static inline void virq_set(struct virq *q, bool level)
{
	q->set(q, level);
}

struct vpci_bus;
struct vconsole;

/*
 * A board: the devices that every VM has. The vmm makes one per VM, before its vCPUs, from the
 * first row; all calls but power_button and console are made once, by worlds.
 */
struct board {
	const struct board_class *class; /* set by the vmm */
	struct vpci_bus *pci;            /* where devices that the VM is given are plugged in */
};
struct board_class {
	const char *name;
	/* Claims the board's ports and memory of the VM's iobus. 0, -ENOMEM, -EBUSY. */
	int (*create)(struct vm *vm, struct board **out);
	/* The vCPUs have ended: no timer runs and no console reader waits afterwards. */
	void (*stop)(struct board *b);
	void (*destroy)(struct board *b);
	void (*power_button)(struct board *b); /* any context */
	/* Serial port `index` of VM_SERIAL_PORTS. */
	struct vconsole *(*console)(struct board *b, unsigned index);
	uint64_t overhead; /* bytes of host memory that a board takes */
};
#define BOARD(id, ...) \
	static const struct board_class board_##id SECTION_ENTRY(boards) = { __VA_ARGS__ }

/* A kind of device that VM_ADD_DEVICE knows. */
struct vdev;
struct vdev_class {
	uint32_t kind; /* enum vm_device_kind */
	const char *name;
	/*
	 * Puts itself onto the bus at cfg->slot. 0, -ENOMEM, -ENOENT (no such backend), -EBUSY ...
	 */
	int (*create)(struct vm *vm, struct vpci_bus *bus, const struct vm_device *cfg,
	              struct vdev **out);
	/* The vCPUs have ended: no more requests come. Waits for those in flight. */
	void (*stop)(struct vdev *d);
	void (*destroy)(struct vdev *d);
	struct vconsole *(*console)(struct vdev *d); /* NULL: it has none */
};
struct vdev {
	const struct vdev_class *class;
	struct list link;
	uint32_t slot;
};
#define VDEV_CLASS(id, ...) \
	static const struct vdev_class vdev_class_##id SECTION_ENTRY(vdevs) = { __VA_ARGS__ }
#endif
