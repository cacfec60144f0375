// SPDX-License-Identifier: Apache-2.0
/*
 * Page tables, of the kernel and of userworlds (4 levels). Lengths and addresses are page-aligned;
 * the largest page size that fits is used. The caller holds the lock of the address space and
 * flushes TLBs.
 * Spec: Intel SDM 3A 4.5.
 */
#ifndef X86_PAGING_H
#define X86_PAGING_H
#include "vmk/types.h"

enum paging_flags {
	PG_WRITE = 1 << 0,
	PG_EXEC = 1 << 1,
	PG_USER = 1 << 2,
	PG_GLOBAL = 1 << 3,
	PG_WC = 1 << 4,
	PG_UC = 1 << 5,
	PG_4K = 1 << 6, /* no large pages */
};

struct paging_leaf {
	pa_t pa;        /* of the address that was asked for */
	uint64_t size;  /* 4 KiB, 2 MiB or 1 GiB */
	unsigned flags; /* enum paging_flags */
	bool accessed, dirty;
};

/* The kernel's own tables. */
extern pa_t paging_kernel_root;

/*
 * 0, -ENOMEM (what was mapped before stays), -EEXIST when a part is mapped already.
 */
int __must_check paging_map(pa_t root, va_t va, pa_t pa, uint64_t len, unsigned flags);
/*
 * Clears what is mapped in the range; large pages at its edges are split first (-ENOMEM). Tables
 * are kept until paging_root_free.
 */
int __must_check paging_unmap(pa_t root, va_t va, uint64_t len);
/* Changes the flags of what is mapped in the range. */
int __must_check paging_protect(pa_t root, va_t va, uint64_t len, unsigned flags);
bool paging_lookup(pa_t root, va_t va, struct paging_leaf *out);
/*
 * The first mapped 4 KiB page in [va, end) and its address in *at; skips empty tables as a whole.
 */
bool paging_next(pa_t root, va_t va, va_t end, va_t *at, struct paging_leaf *out);

/* A userworld's root: empty below, the kernel above; PA_NONE without memory. */
pa_t __must_check paging_root_new(void);
/* Frees the tables of the lower half and the root, not the pages that they map. */
void paging_root_free(pa_t root);

/*
 * Where tables come from: zeroed pages or PA_NONE. Boot memory, until mm sets its own when frames
 * can be allocated.
 */
void paging_set_tables(pa_t (*alloc)(void), void (*free)(pa_t));

/*
 * Boot: builds the final kernel tables (direct map, image with W^X) and loads them on this CPU. The
 * page at stack_guard, below the boot CPU's stack, is left out.
 */
void paging_init(va_t stack_guard);
/* Maps the registers of the CPU's own devices for good: mm's kmap_device() is for everyone else. */
void *paging_map_device(pa_t pa, uint64_t len);
/*
 * A root below 4 GiB, the kernel's plus the executable page at its own address: for starting CPUs.
 */
pa_t paging_trampoline_root(pa_t page);
void paging_init_cpu(void); /* PAT, CR4.PGE, CR3 */

void tlb_flush_page(va_t va); /* this CPU */
void tlb_flush_all(void);     /* this CPU, global entries too */
/* All CPUs, for kernel mappings; waits. Interrupts on. */
void tlb_shootdown(va_t va, uint64_t len);
#endif
