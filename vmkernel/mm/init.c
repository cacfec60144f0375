// SPDX-License-Identifier: Apache-2.0
/*
 * From the boot map to a working allocator: maps the frame table over the sections that hold
 * memory, hands out what nobody reserved and names the owners of what somebody did.
 */
#include "mm/mm.h"
#include "mm/aspace_priv.h"
#include "mm/phys.h"
#include "vmk/account.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "x86/paging.h"

#define LOG_MODULE "mm"

enum { SECTION_TABLE = sizeof(struct frame) << SECTION_ORDER };
enum { RESERVE = 4 * MiB / PAGE_SIZE }; /* of each node, for storage and panics */

static uint64_t accounted; /* page frames below this are accounted: phys_add() in rising order */

/* The page frame of pa; memory above PFN_MAX is not used. */
static uint64_t clip(pa_t pa)
{
	return MIN(pa >> PAGE_SHIFT, (uint64_t)PFN_MAX);
}

/* Maps table for sections [s, s + count) with memory of the node, in pages as large as fit. */
static void map_sections(uint64_t s, uint64_t count, unsigned node)
{
	uint64_t size = count * SECTION_TABLE;
	uint64_t align = size >= LARGE_SIZE ? LARGE_SIZE : PAGE_SIZE;
	pa_t pa = boot_alloc(size, align, NS_NEVER, (int)node);

	if (pa == PA_NONE)
		pa = boot_alloc(size, align, NS_NEVER, -1);
	if (pa == PA_NONE || paging_map(paging_kernel_root, FRAMES_BASE + s * SECTION_TABLE, pa,
	                                size, PG_WRITE | PG_GLOBAL))
		panic("no memory for the frame table");
	for (uint64_t i = 0; i < count; i++)
		frame_section_add((s + i) << SECTION_ORDER);
}

/* Maps the frame table for every section that holds RAM. */
static void map_table(void)
{
	enum { BATCH = LARGE_SIZE / SECTION_TABLE };

	for (unsigned i = 0; i < boot_info.ranges; i++) {
		const struct boot_range *r = &boot_info.range[i];
		uint64_t s = clip(r->base) >> SECTION_ORDER;
		uint64_t end = DIV_UP(clip(r->base + r->len), 1u << SECTION_ORDER);

		if (r->type != BOOT_RAM)
			continue;
		/*
		 * Four sections at a time share a 2 MiB page of the table, if none of them is
		 * there: ranges may meet within a section, which is then mapped already.
		 */
		while (s < end) {
			uint64_t count = IS_ALIGNED(s, (uint64_t)BATCH) && end - s >= BATCH ? BATCH
			                                                                    : 1;

			for (uint64_t k = 0; k < count; k++)
				if (section_present((s + k) << SECTION_ORDER))
					count = 1;
			if (!section_present(s << SECTION_ORDER))
				map_sections(s, count, r->node);
			s += count;
		}
	}
}

/* What lies between here and pfn, and is memory, belongs to whoever reserved it. */
static void account_until(uint64_t pfn)
{
	for (unsigned i = 0; i < boot_info.ranges; i++) {
		const struct boot_range *r = &boot_info.range[i];
		uint64_t first = MAX(clip(r->base), accounted),
			 end = MIN(clip(r->base + r->len), pfn);

		/* FRAME_KERNEL until name_owners() knows better. */
		if (r->type == BOOT_RAM && first < end)
			phys_add(first, end, r->node, FRAME_KERNEL);
	}
	accounted = pfn;
}

static void add_free(pa_t base, uint64_t len, unsigned node)
{
	uint64_t first = clip(base), end = clip(base + len);

	if (first >= end)
		return;
	account_until(first);
	phys_add(first, end, node, FRAME_FREE);
	accounted = end;
}

/* A reserved range gets its true owner; pages that are not memory stay out of the account. */
static void name_owner(pa_t base, uint64_t len, enum frame_owner owner)
{
	for (pa_t pa = ALIGN_DOWN(base, PAGE_SIZE); pa < base + len; pa += PAGE_SIZE) {
		struct frame *f = frame_of(pa);

		if (f && f->owner == FRAME_KERNEL)
			phys_move(pa >> PAGE_SHIFT, (pa >> PAGE_SHIFT) + 1, owner);
	}
}

static void name_owners(void)
{
	struct paging_leaf leaf;

	/* Anything else that boot memory gave out stays FRAME_KERNEL, page tables included. */
	name_owner(boot_info.image_base, boot_info.image_len, FRAME_IMAGE);
	for (unsigned i = 0; i < boot_info.modules; i++) {
		const struct boot_module *m = &boot_info.module[i];

		name_owner(m->base, m->len, FRAME_RAMDISK);
		name_owner(m->file, m->file_len, FRAME_RAMDISK);
	}
	for (uint64_t s = 0; s < SECTIONS_MAX; s++)
		if (section_present(s << SECTION_ORDER) &&
		    paging_lookup(paging_kernel_root, FRAMES_BASE + s * SECTION_TABLE, &leaf))
			name_owner(leaf.pa, SECTION_TABLE, FRAME_TABLE);
}

/* A page of page tables; a userworld's is charged, since it may map a page in each 2 MiB. */
static pa_t table_alloc(void)
{
	struct mem_account *a = aspace_table_account();
	pa_t pa;

	if ((a && mm_low(MM_CHARGED)) || mem_charge(a, PAGE_SIZE))
		return PA_NONE;
	pa = page_alloc(0, FRAME_PAGETABLE, ALLOC_ZERO);
	if (pa == PA_NONE)
		mem_uncharge(a, PAGE_SIZE);
	else
		frame_of(pa)->account = a;
	return pa;
}

static void table_free(pa_t pa)
{
	mem_uncharge(frame_of(pa)->account, PAGE_SIZE);
	page_free(pa, 0);
}

void mm_init(void)
{
	unsigned nodes = 1;
	struct mm_totals t;

	/*
	 * The order matters: the table's own memory still comes from boot memory, whose free ranges
	 * are read out after that; whatever RAM is in none of them is in use, and only then can the
	 * owners of what boot reserved be named. Slabs come before the heap, which is made of them.
	 */
	for (unsigned i = 0; i < boot_info.ranges; i++)
		nodes = MAX(nodes, boot_info.range[i].node + 1);
	ASSERT(nodes <= NODES_MAX);
	map_table();
	phys_init(nodes);
	boot_free_ranges(add_free);
	account_until(PFN_MAX);
	name_owners();
	paging_set_tables(table_alloc, table_free);
	slab_init();
	heap_init();
	kmap_init();
	mm_set_reserve(RESERVE);
	mm_totals(&t);
	log_info("%llu MiB in %u nodes, %llu MiB free, %llu KiB of frame table",
	         (unsigned long long)(t.total_pages >> 8), nodes,
	         (unsigned long long)(t.pages[FRAME_FREE] >> 8),
	         (unsigned long long)(t.pages[FRAME_TABLE] << 2));
}

void *pa_to_va(pa_t pa)
{
	return direct_va(pa);
}

pa_t va_to_pa(const void *va)
{
	if ((uintptr_t)va >= IMAGE_BASE)
		return (uintptr_t)va - (uintptr_t)image_start + boot_info.image_base;
	return direct_pa(va);
}
