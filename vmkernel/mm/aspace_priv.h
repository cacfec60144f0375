// SPDX-License-Identifier: Apache-2.0
/* What mm/aspace*.c and mm/memobj.c share. */
#ifndef MM_ASPACE_PRIV_H
#define MM_ASPACE_PRIV_H
#include "mm/aspace.h"

/*
 * A page for userworlds (FRAME_USER: with one reference), zeroed or not; PA_NONE at the kernel's
 * reserve.
 */
pa_t __must_check user_page_new(enum frame_owner owner, bool zero);
/* Drops what a translation holds: a reference on a user page, a pin on any other. */
void user_page_put(pa_t pa);
/* Translations of [va, va+len) are gone from all CPUs that have as loaded. Interrupts on. */
void aspace_flush(struct aspace *as, va_t va, uint64_t len);
/* Unmaps the pages in [va, end), flushes and drops them. The areas stay. */
void aspace_zap(struct aspace *as, va_t va, va_t end);
/*
 * Maps one page that is not mapped; the page tables that it takes are charged to the current
 * world's account. pt_lock is held. 0, or -ENOMEM: no memory, or the account's limit.
 */
int __must_check aspace_map_page(struct aspace *as, va_t va, pa_t pa, unsigned flags);
/* For the allocator of page tables: who pays for the table; NULL: the kernel's own. */
struct mem_account *aspace_table_account(void);
/* The flags of a translation in a (writable: it may be written without a further fault). */
unsigned area_page_flags(const struct area *a, bool writable);
struct area *area_alloc(void);
void area_free(struct area *a);
/* Registers a with its object, whose reference the caller gives to a; and the reverse. */
void area_attach(struct area *a);
void area_detach(struct area *a);
/* Bounds under map_lock. */
void area_resize_locked(struct aspace *as, struct area *a, uva_t start, uva_t end);
#endif
