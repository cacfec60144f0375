// SPDX-License-Identifier: Apache-2.0
/* A guest's own page tables: none, 32-bit, PAE, 4 levels. */
#include "vmm/gva.h"
#include "hw/msr.h"
#include "vmk/errno.h"
#include "x86/insn.h"

#define PTE_P    BIT(0)
#define PTE_W    BIT(1)
#define PTE_U    BIT(2)
#define PTE_A    BIT(5)
#define PTE_D    BIT(6)
#define PTE_PS   BIT(7)
#define PTE_NX   BIT(63)
#define PTE_ADDR BITS(51, 12)

/* Walks that another vCPU's change of an entry makes anew; then it is a fault. */
enum { WALKS_MAX = 16 };

struct walk {
	unsigned levels, index_bits, entry_size;
	uint64_t root;
};

static struct walk walk_of(const struct vcpu_context *c)
{
	if (c->efer & EFER_LMA)
		return (struct walk){ 4, 9, 8, c->cr3 & PTE_ADDR };
	if (c->cr4 & CR4_PAE)
		return (struct walk){ 3, 9, 8, c->cr3 & 0xffffffe0 };
	return (struct walk){ 2, 10, 4, c->cr3 & 0xfffff000 };
}

/* Whether the rights collected on the way allow the access. */
static bool allowed(const struct vcpu_context *c, uint64_t rights, unsigned access, bool ac)
{
	bool user_page = rights & PTE_U, nx = (rights & PTE_NX) && (c->efer & EFER_NXE);

	/*
	 * AMD APM 2, 5.6 and table 5-5: writes of the kernel obey W only under CR0.WP; SMEP and
	 * SMAP keep it off user pages; NX counts only when EFER.NXE is on.
	 */
	if (access & GVA_USER) {
		if (!user_page || ((access & GVA_WRITE) && !(rights & PTE_W)))
			return false;
	} else {
		if ((access & GVA_WRITE) && !(rights & PTE_W) && (c->cr0 & CR0_WP))
			return false;
		if (user_page && (access & GVA_FETCH) && (c->cr4 & CR4_SMEP))
			return false;
		if (user_page && !(access & GVA_FETCH) && (c->cr4 & CR4_SMAP) && !ac)
			return false;
	}
	return !((access & GVA_FETCH) && nx);
}

static uint64_t entry_read(const void *p, unsigned size)
{
	return size == 8 ? READ_ONCE(*(const uint64_t *)p) : READ_ONCE(*(const uint32_t *)p);
}

/* The address in a leaf of the level; 4 MiB pages keep bits 39-32 of it in bits 20-13. */
static gpa_t leaf_address(const struct walk *w, uint64_t e, unsigned shift, gva_t gva)
{
	gpa_t base = e & PTE_ADDR & ~(BIT(shift) - 1);

	/* PSE-36: 4 MiB pages above 4 GiB without PAE. */
	if (w->entry_size == 4 && shift == 22)
		base = (e & 0xffc00000) | (e & BITS(20, 13)) << 19;
	return base | (gva & (BIT(shift) - 1));
}

static void note(struct gva_known *k, unsigned level, const void *p, uint64_t e)
{
	k->entry[level] = p;
	k->value[level] = e;
}

/*
 * Sets bits in an entry that was read as e. False: it is another one by now. A plain OR would put
 * an accessed bit into what is no longer a present entry.
 */
static bool mark(void *p, unsigned size, uint64_t e, uint64_t bits)
{
	uint32_t e32 = (uint32_t)e;

	if (likely((e & bits) == bits))
		return true;
	if (size == 8)
		return __atomic_compare_exchange_n((uint64_t *)p, &e, e | bits, false,
		                                   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return __atomic_compare_exchange_n((uint32_t *)p, &e32, e32 | (uint32_t)bits, false,
	                                   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* known: what was read on the way, or NULL. -EAGAIN: an entry changed meanwhile. */
static int walk_once(struct gmem *g, const struct vcpu_context *c, gva_t gva, unsigned access,
                     bool ac, gpa_t *gpa, uint32_t *error, struct gva_known *known)
{
	struct walk w = walk_of(c);
	uint64_t table = w.root, rights = PTE_W | PTE_U, e, bits;
	bool pae_root = w.levels == 3;

	if (!(c->cr0 & CR0_PG)) {
		*gpa = gva;
		return 0;
	}
	*error = access;
	for (unsigned level = w.levels; level-- > 0;) {
		unsigned shift = PAGE_SHIFT + w.index_bits * level;
		bool can_be_leaf = level == 0 ||
		                   (level == 1 && (w.entry_size == 8 || (c->cr4 & CR4_PSE))) ||
		                   (level == 2 && w.levels == 4);
		uint64_t index = (gva >> shift) &
		                 (BIT(pae_root && level == 2 ? 2 : w.index_bits) - 1);
		/*
		 * A table that is not in RAM: the processor would read a device or all ones. Not
		 * present is as good an answer.
		 */
		void *p = gmem_ptr(g, table + index * w.entry_size, w.entry_size);

		if (!p)
			return -EFAULT;
		/*
		 * Once: another vCPU may change it at any time, and what is checked is what
		 * is used.
		 */
		e = entry_read(p, w.entry_size);
		if (!(e & PTE_P))
			return -EFAULT;
		if (!(pae_root && level == 2)) /* those four have no rights */
			rights = (rights & e & (PTE_W | PTE_U)) | ((rights | e) & PTE_NX);
		if (can_be_leaf && (level == 0 || (e & PTE_PS))) {
			/* Rights are decided by the whole walk, so only at its end. */
			*error |= PF_PRESENT;
			if (!allowed(c, rights, access, ac))
				return -EFAULT;
			bits = PTE_A | (access & GVA_WRITE ? PTE_D : 0);
			if (!mark(p, w.entry_size, e, bits))
				return -EAGAIN;
			if (known)
				note(known, level, p, e | bits);
			*gpa = leaf_address(&w, e, shift, gva);
			return 0;
		}
		if (!(pae_root && level == 2) && !mark(p, w.entry_size, e, PTE_A))
			return -EAGAIN;
		if (known)
			note(known, level, p, e | PTE_A);
		table = e & (w.entry_size == 8 ? PTE_ADDR : 0xfffff000);
	}
	return -EFAULT;
}

static int walk(struct gmem *g, const struct vcpu_context *c, gva_t gva, unsigned access, bool ac,
                gpa_t *gpa, uint32_t *error, struct gva_known *known)
{
	for (unsigned i = 0; i < WALKS_MAX; i++) {
		int err = walk_once(g, c, gva, access, ac, gpa, error, known);

		if (likely(err != -EAGAIN))
			return err;
	}
	return -EFAULT;
}

int gva_translate(struct gmem *g, const struct vcpu_context *c, gva_t gva, unsigned access, bool ac,
                  gpa_t *gpa, uint32_t *error)
{
	return walk(g, c, gva, access, ac, gpa, error, NULL);
}

void gva_remember(struct gmem *g, const struct vcpu_context *c, gva_t gva, unsigned access,
                  struct gva_known *k)
{
	uint32_t error;
	gpa_t gpa;

	*k = (struct gva_known){ .page = gva >> PAGE_SHIFT,
		                 .cr0 = c->cr0,
		                 .cr3 = c->cr3,
		                 .cr4 = c->cr4,
		                 .efer = c->efer,
		                 .access = access };
	if ((c->efer & EFER_LMA) && (c->cr0 & CR0_PG) &&
	    walk(g, c, gva, access, false, &gpa, &error, k) == 0)
		k->at = gmem_ptr(g, ALIGN_DOWN(gpa, PAGE_SIZE), PAGE_SIZE);
}

const void *gva_again(const struct vcpu_context *c, gva_t gva, unsigned access,
                      const struct gva_known *k)
{
	if (!k->at || k->page != gva >> PAGE_SHIFT || k->cr3 != c->cr3 || k->cr0 != c->cr0 ||
	    k->cr4 != c->cr4 || k->efer != c->efer || k->access != access)
		return NULL;
	/*
	 * Any entry that the guest changed since makes the walk anew; A and D bits count as set,
	 * as the walk has left them.
	 */
	for (unsigned level = ARRAY_SIZE(k->entry); level-- > 0 && k->entry[level];)
		if (READ_ONCE(*k->entry[level]) != k->value[level])
			return NULL;
	return k->at + (gva & (PAGE_SIZE - 1));
}
