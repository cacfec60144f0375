// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's PCI bus 0: configuration by ports CF8h/CFCh and by ECAM, BARs, MSI-X, INTx. The bus's
 * lock guards configuration; a device's own lock guards the rest of it. Addresses are given out as
 * firmware would.
 * Spec: PCI 3.0 (6), PCI Express Base 4.0 (7.2 ECAM).
 */
#ifndef VDEV_VPCI_H
#define VDEV_VPCI_H
#include "vmk/iobus.h"
#include "vmk/vdev.h"

enum { VPCI_CONFIG = 256, VPCI_BARS = 6, VPCI_MSIX_MAX = 64 };

struct vpci_bus;
struct vpci_dev;

struct vpci_bar {
	uint32_t size; /* 0: none */
	bool io;
	struct io_range range; /* ops and dev are the owner's */
};

struct vmsix_entry {
	uint64_t address;
	uint32_t data, control; /* control bit 0: masked */
};
struct vmsix {
	uint16_t count, control; /* control: of the capability, bits 15, 14 */
	uint8_t capability;      /* offset in configuration space */
	uint64_t pending;
	struct vmsix_entry entry[VPCI_MSIX_MAX];
};

struct vpci_dev {
	struct vpci_bus *bus;
	uint8_t slot, capability_end; /* where the next capability goes */
	uint8_t config[VPCI_CONFIG], writable[VPCI_CONFIG];
	struct vpci_bar bar[VPCI_BARS];
	struct spinlock msix_lock;
	struct vmsix msix;
};

struct vpci_bus {
	struct spinlock lock;
	struct vm *vm;
	struct iobus *io;
	struct vpci_dev *slot[VM_PCI_SLOTS];
	struct vpci_dev host; /* 00.0 */
	uint32_t address, next_mem;
	uint16_t next_io;
	uint32_t asserted[VM_INTX_LINES]; /* a bit a slot */
	struct io_range ports, ecam;
};

struct vpci_id {
	uint16_t vendor, device, subvendor, subdevice;
	uint32_t class_code; /* 0xCCSSPP */
	uint8_t revision;
};

int __must_check vpci_init(struct vpci_bus *b, struct vm *vm, struct iobus *io);
void vpci_dev_init(struct vpci_dev *d, const struct vpci_id *id, bool intx);
/* A memory or port BAR; the size is a power of two. */
void vpci_bar(struct vpci_dev *d, unsigned index, bool io, uint32_t size, const struct io_ops *ops,
              void *dev);
/*
 * Space for a capability: its offset, with id and link in place; length counts those two bytes.
 */
uint8_t vpci_capability(struct vpci_dev *d, uint8_t id, unsigned length);
/* slot 0: the next free one. 0, -EBUSY, -ENOSPC. */
int __must_check vpci_add(struct vpci_bus *b, struct vpci_dev *d, unsigned slot);
void vpci_remove(struct vpci_dev *d);               /* before the guest runs, or after */
void vpci_set_intx(struct vpci_dev *d, bool level); /* any context */

/* MSI-X: the table and the pending bits fill a BAR of 4 KiB of their own. */
void vmsix_init(struct vpci_dev *d, unsigned bar, unsigned count);
bool vmsix_enabled(const struct vpci_dev *d);
void vmsix_raise(struct vpci_dev *d, unsigned vector); /* any context */
void vmsix_control(struct vpci_dev *d);                /* the capability was written */
#endif
