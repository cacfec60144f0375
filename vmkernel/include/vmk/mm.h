// SPDX-License-Identifier: Apache-2.0
/*
 * Memory: frames (buddy per NUMA node, per-CPU caches), kernel heap (slabs), kernel mappings. Frame
 * and heap functions may be called in any context unless ALLOC_WAIT is given; kmap functions from
 * worlds.
 */
#ifndef VMK_MM_H
#define VMK_MM_H
#include "vmk/list.h"

/* Order n is 2^n contiguous, aligned 4 KiB frames; 0 to 18 (1 GiB). */
enum { ORDER_4K = 0, ORDER_2M = 9, ORDER_1G = 18, ORDER_MAX = 18 };

enum frame_owner {
	FRAME_FREE,
	FRAME_RESERVED, /* firmware, holes */
	FRAME_IMAGE,
	FRAME_TABLE,
	FRAME_KERNEL,
	FRAME_SLAB,
	FRAME_STACK,
	FRAME_PAGETABLE,
	FRAME_DMA,
	FRAME_USER,
	FRAME_MEMOBJ,
	FRAME_GUEST,
	FRAME_RAMDISK,
	FRAME_CACHE, /* per-CPU caches */
	FRAME_OWNERS,
};

/*
 * 16 bytes a frame. A page with pins is never reused: page_free() with pins outstanding marks it,
 * and the last frame_unpin() frees it.
 */
struct frame {
	uint8_t owner; /* enum frame_owner */
	uint8_t order; /* of the block, in its first frame */
	uint8_t flags;
	uint8_t node;
	uint32_t pins;
	union {
		uint32_t link[2]; /* free lists: pfn of next, previous */
		struct {
			uint32_t refs;    /* mappings that share a user page */
			uint32_t private; /* owner's */
		};
		/* FRAME_KERNEL, FRAME_PAGETABLE: who is charged; NULL: nobody. */
		struct mem_account *account;
	};
};
ASSERT_SIZE(struct frame, 16);

enum alloc_flags {
	ALLOC_ZERO = 1 << 0,
	ALLOC_LOW32 = 1 << 1, /* below 4 GiB */
	ALLOC_LOW24 = 1 << 2, /* below 16 MiB */
	ALLOC_LOW20 = 1 << 3, /* below 1 MiB */
	ALLOC_NODE_ONLY = 1 << 4,
	ALLOC_RESERVE = 1 << 5, /* the last pages too: see mm_set_reserve() */
};

/* Returns the machine address or PA_NONE. node -1: this CPU's, others when it is empty. */
pa_t __must_check page_alloc_node(unsigned order, enum frame_owner owner, unsigned flags, int node);
pa_t __must_check page_alloc(unsigned order, enum frame_owner owner, unsigned flags);
void page_free(pa_t pa, unsigned order);
struct frame *frame_of(pa_t pa); /* NULL outside of memory */
void frame_pin(pa_t pa);
void frame_unpin(pa_t pa);

struct mm_totals {
	uint64_t total_pages;         /* all that the boot map calls usable */
	uint64_t pages[FRAME_OWNERS]; /* sums to total_pages at any time */
};
void mm_totals(struct mm_totals *t); /* over all nodes */
void mm_node_totals(unsigned node, struct mm_totals *t);
unsigned mm_nodes(void);

/*
 * Who may take the last pages. The levels, from the most that must stay free to the least:
 * MM_USER, for what userworlds have as their own memory; MM_CHARGED, for kernel memory that they
 * make grow (kmalloc_charged()); and the reserve, which every other allocation leaves too. It is
 * for storage, whose writes are what frees memory or saves data, and for a panic: a world between
 * world_use_reserve(true) and (false), a request with ALLOC_RESERVE, and any CPU in a panic.
 */
enum mm_level { MM_USER, MM_CHARGED };
bool mm_low(enum mm_level level); /* an estimate without locks: the CPUs' caches are left out */
/* Pages of each node that only the reserve's users get. */
void mm_set_reserve(uint64_t pages);

/* The direct map: every byte of RAM, writable, never executable. */
void *pa_to_va(pa_t pa);
pa_t va_to_pa(const void *va); /* direct map or kernel image only */

/* Heap, 16-byte aligned (a power-of-two size: aligned to itself up to 4 KiB); NULL when empty. */
void *__must_check kmalloc(size_t size);
void *__must_check kzalloc(size_t size);
void *__must_check kcalloc(size_t n, size_t size); /* zeroed; checks the product */
void kfree(void *p);
/*
 * The same, charged to the current world's account (vmk/account.h); for everything that userworlds
 * can make grow. NULL also at the account's limit and when memory is low. Worlds only; the address
 * is 16-byte aligned. kfree() returns the charge, in any context.
 */
void *__must_check kmalloc_charged(size_t size);
void *__must_check kzalloc_charged(size_t size);
void *__must_check kcalloc_charged(size_t n, size_t size);
size_t kmalloc_size(const void *p); /* what it really takes: the size that is charged */

/* A cache of objects of one size. */
struct slab_cache;
struct slab_cache *__must_check slab_create(const char *name, size_t size, size_t align);
void *__must_check slab_alloc(struct slab_cache *c);
void slab_free(struct slab_cache *c, void *p);

/* Kernel mappings in the kmap area. Big, virtually contiguous memory with guard pages. */
enum kmap_cache { KMAP_WB, KMAP_WC, KMAP_UC };
void *__must_check kmap_device(pa_t pa, size_t len, enum kmap_cache cache); /* registers */
void kunmap(void *va);                   /* whatever kmap_* returned; TLB shoot-down included */
void *__must_check vmalloc(size_t size); /* zeroed, RW */
void vfree(void *p);
/* A stack of 16 KiB with an unmapped guard page below; returns its top. */
void *__must_check kstack_alloc(void);
void kstack_free(void *top);
#endif
