// SPDX-License-Identifier: Apache-2.0
/*
 * Address spaces of userworlds: areas (what ought to be mapped) over page tables (what is).
 * aspace->lock (a mutex) guards the areas; aspace->pt_lock (a spin lock, interrupts stay on) the
 * page tables, so that memory objects can take pages away without the mutex. Order: lock,
 * memobj->lock, memobj->map_lock, pt_lock.
 */
#ifndef MM_ASPACE_H
#define MM_ASPACE_H
#include "mm/area.h"
#include "vmk/cpu.h"
#include "vmk/memobj.h"

struct aspace {
	struct mutex lock;
	struct area_tree areas;
	struct spinlock pt_lock;
	pa_t root;
	uva_t mmap_top;                  /* mappings without a place of their own go below */
	uva_t stack_limit;               /* how far down areas grow that do */
	uint32_t refs;                   /* processes (vfork shares) and borrowers, atomic */
	uint64_t limit_pages;            /* RLIMIT_AS; of areas.pages */
	uint64_t resident, resident_max; /* pages; pt_lock */
	uint64_t faults, major;          /* statistics only */
	uint64_t cpus[CPUS_MAX / 64];    /* CPUs whose CR3 holds root, atomic */
};

int __must_check aspace_create(struct aspace **out);
struct aspace *aspace_get(struct aspace *as);
void aspace_put(struct aspace *as); /* the last one unmaps and frees all; may sleep */
/* A copy-on-write copy: 0, -ENOMEM. */
int __must_check aspace_fork(struct aspace *parent, struct aspace **out);
/* Loads it on this CPU (NULL: the kernel's own tables). Interrupts off. */
void aspace_switch(struct aspace *as);

/*
 * As mmap(2) does with checked flags: hint is exact with AREA_FIXED. Address or -errno. obj NULL:
 * anonymous.
 */
int64_t __must_check aspace_map(struct aspace *as, uva_t hint, uint64_t len, unsigned flags,
                                struct memobj *obj, uint64_t obj_offset);
int __must_check aspace_unmap(struct aspace *as, uva_t va, uint64_t len);
int __must_check aspace_protect(struct aspace *as, uva_t va, uint64_t len, unsigned prot);
/* mremap: the new address or -errno. */
int64_t __must_check aspace_remap(struct aspace *as, uva_t va, uint64_t old_len, uint64_t len,
                                  bool may_move, bool fixed, uva_t to);
/* MADV_DONTNEED: private pages are dropped. -ENOMEM when something is not mapped. */
int __must_check aspace_discard(struct aspace *as, uva_t va, uint64_t len);
bool aspace_mapped(struct aspace *as, uva_t va, uint64_t len); /* all of it is in areas */
/* One byte a page: 1 resident. */
int __must_check aspace_mincore(struct aspace *as, uva_t va, uint64_t pages, uint8_t *out);
/* Grows or shrinks the heap area [start, end); 0 or -ENOMEM. */
int __must_check aspace_brk(struct aspace *as, uva_t start, uva_t old_end, uva_t new_end);

enum fault_result { FAULT_OK, FAULT_MAPERR, FAULT_ACCERR, FAULT_BUS, FAULT_NOMEM };
/* Makes va accessible; access is AREA_READ, AREA_WRITE or AREA_EXEC. May sleep. */
enum fault_result aspace_fault(struct aspace *as, uva_t va, unsigned access);
/*
 * The identity of the memory under va for shared futexes: *obj NULL means private to as.
 * Takes a reference on *obj.
 */
int __must_check aspace_identify(struct aspace *as, uva_t va, struct memobj **obj,
                                 uint64_t *offset);
/* fn for each area, under as->lock. */
void aspace_for_each(struct aspace *as, void (*fn)(const struct area *a, void *arg), void *arg);
/* Reads or writes another process's memory (ptrace-like readers, /proc): bytes done or -EFAULT. */
ssize_t aspace_access(struct aspace *as, uva_t va, void *buf, size_t n, bool write);
#endif
