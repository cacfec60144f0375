// SPDX-License-Identifier: Apache-2.0
/*
 * A guest's ports and MMIO (vmkernel/vmm/iobus.c): which model answers an address. Ranges belong to
 * their device and live until the VM's end; a BAR that moves is removed and added again. Lookup
 * takes no lock: it reads a copy of base and end that the bus keeps, under a sequence count, and
 * what it has checked is the offset that the handler gets. Changes take the bus's lock. Handlers run
 * on the vCPU's world with no lock held and take the device's own; one may still run when its range
 * has been removed on another CPU.
 */
#ifndef VMK_IOBUS_H
#define VMK_IOBUS_H
#include "vmk/lock.h"

struct io_range;
struct io_ops {
	/* off + size <= len; size 1, 2, 4 (MMIO: 8 too). Bits beyond size are ignored. */
	uint64_t (*read)(struct io_range *r, uint64_t off, unsigned size);
	void (*write)(struct io_range *r, uint64_t off, unsigned size, uint64_t value);
};

struct io_range {
	const struct io_ops *ops;
	void *dev;
	uint64_t base, len; /* the owner's; constant while mapped */
	uint8_t slot;       /* iobus.c */
	bool mapped;        /* iobus.c */
};

/* Where a range was when it was added. */
struct io_place {
	uint64_t base, end;
	struct io_range *range;
};

enum { IOBUS_PORTS = 65536, IOBUS_PORT_RANGES = 128, IOBUS_MMIO_RANGES = 128 };

struct iobus {
	struct spinlock lock;
	uint32_t version; /* odd while what follows changes */
	unsigned mmio_count;
	struct io_place mmio[IOBUS_MMIO_RANGES]; /* by base */
	struct io_place port[IOBUS_PORT_RANGES]; /* [0] is nobody's */
	uint8_t *port_map;                       /* IOBUS_PORTS of them: index into port[] */
};

int __must_check iobus_init(struct iobus *b); /* -ENOMEM */
void iobus_destroy(struct iobus *b);
/* r->base and r->len are set. 0, -EBUSY (overlap), -ENOSPC, -EINVAL. */
int __must_check iobus_add_ports(struct iobus *b, struct io_range *r);
int __must_check iobus_add_mmio(struct iobus *b, struct io_range *r);
void iobus_remove(struct iobus *b, struct io_range *r, bool ports); /* no effect when not mapped */

/*
 * An access of the guest's: unclaimed reads give all ones, unclaimed writes vanish, both counted.
 */
uint32_t iobus_port_read(struct iobus *b, uint16_t port, unsigned size);
void iobus_port_write(struct iobus *b, uint16_t port, unsigned size, uint32_t value);
uint64_t iobus_mmio_read(struct iobus *b, gpa_t gpa, unsigned size);
void iobus_mmio_write(struct iobus *b, gpa_t gpa, unsigned size, uint64_t value);
#endif
