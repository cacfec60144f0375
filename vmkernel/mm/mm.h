// SPDX-License-Identifier: Apache-2.0
/* Memory's start-up, called by boot/main.c, and what its files share. */
#ifndef MM_MM_H
#define MM_MM_H
#include "vmk/mm.h"

/*
 * Frame table, buddies and heap from boot_info and boot memory, whose allocator ends here. On the
 * boot CPU, with the final page tables loaded and the nodes of boot_info.range[] known.
 */
void mm_init(void);

/* Slab pages by pointer; kfree() tells them apart by their frame's owner. */
void slab_init(void);
void slab_free_any(void *p);
size_t slab_object_size(const void *p);
/*
 * A cache whose objects begin with the account that pays for them; a (not NULL) is charged the
 * object's size. NULL: no memory, or a limit. The object's own bytes: size less SLAB_CHARGE_HEAD.
 */
enum { SLAB_CHARGE_HEAD = 16 };
struct slab_cache *__must_check slab_create_charged(const char *name, size_t size);
void *__must_check slab_alloc_charged(struct slab_cache *c, struct mem_account *a);
void heap_init(void);
void kmap_init(void);
#endif
