// SPDX-License-Identifier: Apache-2.0
/*
 * Device models (vmkernel/vdev/). Kinds that VM_ADD_DEVICE knows register in section .vdevs. A
 * model gets its interrupt line as an object and never calls up. What a guest writes is checked at
 * the edge; a mistake makes the device need a reset, it never harms the host.
 */
#ifndef VMK_VDEV_H
#define VMK_VDEV_H
#include "abi/vm.h"
#include "vmk/vm.h"

/*
 * A line to the guest's interrupt controllers. set may be called in any context, under the device's
 * lock.
 */
struct virq {
	void (*set)(struct virq *q, bool level);
};
static inline void virq_set(struct virq *q, bool level)
{
	q->set(q, level);
}

struct vdev;
struct vpci_bus;
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
