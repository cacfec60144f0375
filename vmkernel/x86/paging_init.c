// SPDX-License-Identifier: Apache-2.0
/* The kernel's own page tables, and the CPU's side of paging. Spec: Intel SDM 3A 4, 11.12. */
#include "vmk/boot.h"
#include "vmk/cpu.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "vmk/string.h"
#include "x86/insn.h"
#include "x86/cpu.h"
#include "x86/paging.h"
#include "x86/paging_table.h"
#include "x86/percpu.h"

#define LOG_MODULE "paging"

/* WB, WC, UC-, UC, and again. */
#define PAT_VALUE 0x0007010600070106ull

static pa_t trampoline_root;

static pa_t boot_table(void)
{
	return boot_alloc(PAGE_SIZE, PAGE_SIZE, 4 * GiB, -1);
}

static void map(va_t va, pa_t pa, uint64_t len, unsigned flags)
{
	int err = paging_map(paging_kernel_root, va, pa, len, flags | PG_GLOBAL);

	if (err != 0)
		panic("cannot map %#llx: error %d", (unsigned long long)va, -err);
}

static void map_direct(void)
{
	/* BIOS data and ROM may hold ACPI tables whatever the map calls them. */
	const pa_t low = 1 * MiB;

	map(DIRECT_BASE, 0, low, PG_WRITE);
	for (unsigned i = 0; i < boot_info.ranges; i++) {
		const struct boot_range *r = &boot_info.range[i];
		pa_t base = MAX(r->base, low), end = r->base + r->len;

		if (base < end &&
		    (r->type == BOOT_RAM || r->type == BOOT_ACPI || r->type == BOOT_NVS))
			map(DIRECT_BASE + base, base, end - base, PG_WRITE);
	}
}

/* One part of the image, with its alias in the direct map no more writable than itself. */
static void map_image(const char *from, const char *to, unsigned flags)
{
	uint64_t len = (uint64_t)(to - from);
	pa_t pa = boot_info.image_base + (uint64_t)(from - image_start);

	map((uintptr_t)from, pa, len, flags | PG_4K);
	if (!(flags & PG_WRITE) &&
	    paging_protect(paging_kernel_root, DIRECT_BASE + pa, len, PG_GLOBAL) != 0)
		panic("cannot protect the image");
}

static void reserve_tops(va_t base, uint64_t len)
{
	for (va_t va = base; va - base < len; va += HUGE_SIZE * 512)
		if (paging_reserve_top(paging_kernel_root, va) != 0)
			panic("no memory for page tables");
}

void paging_init(va_t stack_guard)
{
	paging_has_huge = cpu_features.huge_pages;
	paging_set_tables(boot_table, NULL);
	paging_kernel_root = boot_table();
	trampoline_root = boot_table();
	map_direct();
	map_image(image_start, image_text_end, PG_EXEC);
	map_image(image_text_end, image_rodata_end, 0);
	map_image(image_rodata_end, image_end, PG_WRITE);
	if (paging_unmap(paging_kernel_root, stack_guard, PAGE_SIZE) != 0)
		panic("no memory for page tables");
	reserve_tops(KMAP_BASE, KMAP_SIZE);
	reserve_tops(DEVMAP_BASE, DEVMAP_SIZE);
	reserve_tops(FRAMES_BASE, FRAMES_SIZE);
	paging_init_cpu();
}

pa_t paging_trampoline_root(pa_t page)
{
	memcpy((char *)direct_va(trampoline_root) + PAGE_SIZE / 2,
	       (char *)direct_va(paging_kernel_root) + PAGE_SIZE / 2, PAGE_SIZE / 2);
	if (paging_map(trampoline_root, page, page, PAGE_SIZE, PG_EXEC | PG_WRITE) != 0)
		panic("no memory for page tables");
	return trampoline_root;
}

void *paging_map_device(pa_t pa, uint64_t len)
{
	static va_t next = DEVMAP_BASE;
	pa_t base = ALIGN_DOWN(pa, PAGE_SIZE);
	va_t at = next;

	len = ALIGN_UP(pa + len, PAGE_SIZE) - base;
	map(at, base, len, PG_WRITE | PG_UC);
	next += len;
	return (void *)(uintptr_t)(at + (pa - base));
}

void paging_init_cpu(void)
{
	wrmsr(MSR_PAT, PAT_VALUE);
	write_cr3(paging_kernel_root);
	write_cr4(read_cr4() | CR4_PGE);
}

void tlb_flush_page(va_t va)
{
	invlpg(va);
}

void tlb_flush_all(void)
{
	uint64_t flags = irq_save(), cr4 = read_cr4();

	write_cr4(cr4 & ~CR4_PGE);
	write_cr4(cr4);
	irq_restore(flags);
}
