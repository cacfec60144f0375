// SPDX-License-Identifier: Apache-2.0
/*
 * Walking, filling, splitting page tables. The caller's lock guards the tables.
 * Spec: Intel SDM 3A 4.5 (4-level paging), 11.12 (PAT).
 */
#include "x86/paging.h"
#include "vmk/errno.h"
#include "vmk/layout.h"
#include "vmk/log.h"
#include "x86/paging_table.h"

#define PTE_P    BIT(0)
#define PTE_W    BIT(1)
#define PTE_U    BIT(2)
#define PTE_PWT  BIT(3)
#define PTE_PCD  BIT(4)
#define PTE_A    BIT(5)
#define PTE_D    BIT(6)
#define PTE_PS   BIT(7)
#define PTE_G    BIT(8)
#define PTE_ADDR BITS(51, 12)
#define PTE_NX   BIT(63)

enum { LEVEL_4K, LEVEL_2M, LEVEL_1G, LEVEL_TOP };

pa_t paging_kernel_root;
bool paging_has_huge;
static pa_t (*table_alloc)(void);
static void (*table_free)(pa_t);

void paging_set_tables(pa_t (*alloc)(void), void (*free)(pa_t))
{
	table_alloc = alloc;
	table_free = free;
}

static uint64_t level_size(unsigned level)
{
	return 1ull << (PAGE_SHIFT + 9 * level);
}

static uint64_t *entry_of(pa_t table, va_t va, unsigned level)
{
	uint64_t *t = direct_va(table & PTE_ADDR);

	return &t[va >> (PAGE_SHIFT + 9 * level) & 511];
}

static bool is_leaf(uint64_t e, unsigned level)
{
	return level == LEVEL_4K || (e & PTE_PS);
}

/* PAT entries as paging_init_cpu() sets them: PWT is write-combining, PWT and PCD uncached. */
static uint64_t encode_flags(unsigned flags, unsigned level)
{
	uint64_t e = PTE_P | PTE_A | PTE_D;

	e |= flags & PG_WRITE ? PTE_W : 0;
	e |= flags & PG_EXEC ? 0 : PTE_NX;
	e |= flags & PG_USER ? PTE_U : 0;
	e |= flags & PG_GLOBAL ? PTE_G : 0;
	e |= flags & PG_WC ? PTE_PWT : 0;
	e |= flags & PG_UC ? PTE_PWT | PTE_PCD : 0;
	/* Userworlds' accessed and dirty bits are the CPU's to set. */
	if (flags & PG_USER)
		e &= ~(PTE_A | PTE_D);
	return level > LEVEL_4K ? e | PTE_PS : e;
}

static unsigned decode_flags(uint64_t e)
{
	unsigned flags = 0;

	flags |= e & PTE_W ? PG_WRITE : 0;
	flags |= e & PTE_NX ? 0 : PG_EXEC;
	flags |= e & PTE_U ? PG_USER : 0;
	flags |= e & PTE_G ? PG_GLOBAL : 0;
	if (e & PTE_PWT)
		flags |= e & PTE_PCD ? PG_UC : PG_WC;
	return flags;
}

static unsigned best_level(va_t va, pa_t pa, uint64_t len, unsigned flags)
{
	unsigned level = flags & PG_4K ? LEVEL_4K : paging_has_huge ? LEVEL_1G : LEVEL_2M;

	while (level > LEVEL_4K &&
	       (len < level_size(level) || !IS_ALIGNED(va | pa, level_size(level))))
		level--;
	return level;
}

/* Upper levels permit everything; the leaf decides. Lower-half tables are the userworld's. */
static uint64_t table_entry(pa_t table, va_t va)
{
	return table | PTE_P | PTE_W | PTE_A | (va < USER_END ? PTE_U : 0);
}

/*
 * Maps one page at the level wanted, or at a lower one where a table is in the way; *level says
 * which.
 */
static int map_one(pa_t root, va_t va, pa_t pa, unsigned flags, unsigned *level)
{
	uint64_t *e = entry_of(root, va, LEVEL_TOP);

	for (unsigned l = LEVEL_TOP; l > *level; e = entry_of(*e, va, --l)) {
		pa_t table;

		if (*e & PTE_P) {
			if (l < LEVEL_TOP && is_leaf(*e, l))
				return -EEXIST;
			continue;
		}
		table = table_alloc();
		if (table == PA_NONE)
			return -ENOMEM;
		WRITE_ONCE(*e, table_entry(table, va));
	}
	while (*level > LEVEL_4K && (*e & PTE_P) && !is_leaf(*e, *level))
		e = entry_of(*e, va, --*level);
	if (*e & PTE_P)
		return -EEXIST;
	WRITE_ONCE(*e, pa | encode_flags(flags, *level));
	return 0;
}

int paging_map(pa_t root, va_t va, pa_t pa, uint64_t len, unsigned flags)
{
	uint64_t done = 0;

	while (done < len) {
		unsigned level = best_level(va + done, pa + done, len - done, flags);
		int err = map_one(root, va + done, pa + done, flags, &level);

		if (err == 0) {
			done += level_size(level);
			continue;
		}
		/* Unmapping what was just mapped splits nothing, so it cannot fail. */
		if (paging_unmap(root, va, done) != 0)
			panic("paging_map: cannot undo %#llx", (unsigned long long)va);
		return err;
	}
	return 0;
}

/* The entry that maps va, and its level; or the absent one that ends the walk. */
static uint64_t *find(pa_t root, va_t va, unsigned *level)
{
	uint64_t *e = entry_of(root, va, LEVEL_TOP);

	for (*level = LEVEL_TOP; (*e & PTE_P) && (*level == LEVEL_TOP || !is_leaf(*e, *level));)
		e = entry_of(*e, va, --*level);
	return e;
}

static int split(uint64_t *e, unsigned level)
{
	uint64_t step = level_size(level - 1), flags = *e & ~PTE_ADDR, *t;
	pa_t table = table_alloc(), pa = *e & PTE_ADDR;

	if (table == PA_NONE)
		return -ENOMEM;
	if (level - 1 == LEVEL_4K)
		flags &= ~PTE_PS;
	t = direct_va(table);
	for (unsigned i = 0; i < 512; i++)
		t[i] = (pa + i * step) | flags;
	/* One store replaces the page by the same mapping in small: no moment without it. */
	WRITE_ONCE(*e, table | PTE_P | PTE_W | PTE_A | (flags & PTE_U));
	return 0;
}

/* fn for each leaf in the range, with large pages split at its edges. */
static int for_leaves(pa_t root, va_t va, uint64_t len,
                      void (*fn)(uint64_t *e, unsigned level, unsigned arg), unsigned arg)
{
	va_t end = va + len;

	while (va != end) {
		unsigned level;
		uint64_t *e = find(root, va, &level), size = level_size(level);
		uint64_t left = size - (va & (size - 1));

		if (*e & PTE_P) {
			/*
			 * Only part of the page is meant: split, and look at the same address
			 * again.
			 */
			if (left != size || end - va < size) {
				int err = split(e, level);

				if (err != 0)
					return err;
				continue;
			}
			fn(e, level, arg);
		}
		va += MIN(left, end - va);
	}
	return 0;
}

static void clear_leaf(uint64_t *e, unsigned level, unsigned arg)
{
	WRITE_ONCE(*e, 0);
}

int paging_unmap(pa_t root, va_t va, uint64_t len)
{
	return for_leaves(root, va, len, clear_leaf, 0);
}

static void protect_leaf(uint64_t *e, unsigned level, unsigned flags)
{
	uint64_t ad = *e & (PTE_A | PTE_D);

	WRITE_ONCE(*e, (*e & PTE_ADDR) | encode_flags(flags, level) | ad);
}

int paging_protect(pa_t root, va_t va, uint64_t len, unsigned flags)
{
	return for_leaves(root, va, len, protect_leaf, flags);
}

bool paging_lookup(pa_t root, va_t va, struct paging_leaf *out)
{
	unsigned level;
	uint64_t e = *find(root, va, &level), size = level_size(level);

	if (!(e & PTE_P))
		return false;
	*out = (struct paging_leaf){
		.pa = (e & PTE_ADDR) + (va & (size - 1)),
		.size = size,
		.flags = decode_flags(e),
		.accessed = e & PTE_A,
		.dirty = e & PTE_D,
	};
	return true;
}

int paging_reserve_top(pa_t root, va_t va)
{
	uint64_t *e = entry_of(root, va, LEVEL_TOP);
	pa_t table;

	if (*e & PTE_P)
		return 0;
	table = table_alloc();
	if (table == PA_NONE)
		return -ENOMEM;
	WRITE_ONCE(*e, table_entry(table, va));
	return 0;
}

pa_t paging_root_new(void)
{
	pa_t root = table_alloc();

	if (root == PA_NONE)
		return PA_NONE;
	/*
	 * The upper half is shared by entry, not by page: its top tables are made at boot
	 * (paging_reserve_top) and never change, so later mappings are seen everywhere.
	 */
	for (va_t va = DIRECT_BASE; va != 0; va += level_size(LEVEL_TOP))
		*entry_of(root, va, LEVEL_TOP) = *entry_of(paging_kernel_root, va, LEVEL_TOP);
	return root;
}

static void free_tables(pa_t table, unsigned level, unsigned count)
{
	uint64_t *t = direct_va(table);

	for (unsigned i = 0; i < count && level > LEVEL_4K; i++)
		if ((t[i] & PTE_P) && (level == LEVEL_TOP || !is_leaf(t[i], level)))
			free_tables(t[i] & PTE_ADDR, level - 1, 512);
	table_free(table);
}

void paging_root_free(pa_t root)
{
	free_tables(root, LEVEL_TOP, 256);
}
