// SPDX-License-Identifier: Apache-2.0
/*
 * Guest memory: the one owner of a VM's frames, of its nested page tables and of their
 * translations' lives (vmkernel/vmm/gmem.c). Frames are allocated, zeroed, when the VM is made and
 * go when it is destroyed. Reading the layout needs no lock. Every unmapping clears the nested
 * entry, raises the generation, kicks the vCPUs, waits for their acknowledgements and for pins.
 * Spec: DESIGN.md, "Memory that several hold".
 */
#ifndef VMK_GMEM_H
#define VMK_GMEM_H
#include "vmk/dma.h"
#include "vmk/lock.h"
#include "vmk/wait.h"

struct gmem;
struct memobj;

/* How the back end writes an entry of the nested tables (4 levels of 512). */
struct npt_format {
	uint64_t table; /* bits of an entry that points to a table */
	uint64_t leaf;  /* bits of a page that the guest may read, write and execute */
	uint64_t large; /* added for 2 MiB and 1 GiB pages */
	bool huge;      /* 1 GiB pages work */
};

/*
 * A vCPU's acknowledgement. in_guest and seen are written by the vCPU with interrupts off; kick
 * makes it leave the guest.
 */
struct gmem_cpu {
	struct list link;
	uint64_t seen;
	uint32_t in_guest;
	void (*kick)(struct gmem_cpu *c);
};

enum { GMEM_LOW_MAX = 0xc0000000 };
#define GMEM_HIGH_BASE (4 * GiB)

/* bytes: a multiple of 2 MiB. -ENOMEM, -EINVAL. May sleep. */
int __must_check gmem_create(uint64_t bytes, const struct npt_format *format, struct gmem **out);
/* No vCPU runs any more. Revokes the memory object, waits for pins, frees. */
void gmem_destroy(struct gmem *g);
void gmem_layout(const struct gmem *g, uint64_t *low, uint64_t *high);
struct memobj *gmem_object(struct gmem *g);
pa_t gmem_root(const struct gmem *g);
uint64_t gmem_table_pages(const struct gmem *g); /* overhead */

/*
 * The memory at [gpa, gpa + len) in the direct map, or NULL when it is not RAM or not contiguous
 * (it is within 2 MiB when the VM got large frames, within 4 KiB always).
 */
void *gmem_ptr(struct gmem *g, gpa_t gpa, size_t len);
/* Copies across pages; 0 or -EFAULT. */
int __must_check gmem_read(struct gmem *g, gpa_t gpa, void *dst, size_t len);
int __must_check gmem_write(struct gmem *g, gpa_t gpa, const void *src, size_t len);
/*
 * Machine addresses for DMA: appends to sg, returns the pieces used, -EFAULT or -E2BIG. Each call
 * that succeeds is one pin, given back by gmem_unpin in any context.
 */
int __must_check gmem_pin(struct gmem *g, gpa_t gpa, size_t len, struct sg *sg, unsigned max);
void gmem_unpin(struct gmem *g);

/* A nested page fault: maps the largest page; 0, -ENOENT (not RAM: a device), -ENOMEM. World. */
int __must_check gmem_fault(struct gmem *g, gpa_t gpa);
/*
 * Removes translations of [gpa, gpa + len), both multiples of 2 MiB; returns when no vCPU and no
 * pin uses them.
 */
void gmem_unmap(struct gmem *g, gpa_t gpa, uint64_t len);

void gmem_cpu_add(struct gmem *g, struct gmem_cpu *c);
/*
 * Interrupts off, right before the guest runs: true when cached translations must go first. After
 * this, gmem_unmap waits for gmem_leave.
 */
bool gmem_enter(struct gmem *g, struct gmem_cpu *c);
void gmem_leave(struct gmem *g, struct gmem_cpu *c);
#endif
