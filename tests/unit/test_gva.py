# SPDX-License-Identifier: Apache-2.0
"""A guest's page tables: what a walk read is used again only while a walk would read the same."""

import functools

from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

CODE = """
#include <signal.h>
#include <sys/mman.h>
#include "vmm/gva.h"
enum { SIZE = 0x10000 };
static _Alignas(4096) uint8_t ram[SIZE];
static struct gva_known known;
void *gmem_ptr(struct gmem *g, gpa_t gpa, size_t len)
{
	return gpa < SIZE && len <= SIZE - gpa ? ram + gpa : (void *)0;
}
uint64_t *words(void) { return (uint64_t *)ram; }
static struct vcpu_context context(uint64_t cr3)
{
	uint64_t cr0 = BIT(31) | BIT(16), efer = BIT(10) | BIT(11);
	return (struct vcpu_context){ .cr0 = cr0, .cr3 = cr3, .cr4 = BIT(5), .efer = efer };
}
/* The guest-physical address, or -1. */
int64_t translate(uint64_t cr3, uint64_t gva)
{
	struct vcpu_context c = context(cr3);
	uint32_t error;
	gpa_t gpa;
	return gva_translate(0, &c, gva, GVA_FETCH, false, &gpa, &error) ? -1 : (int64_t)gpa;
}
void remember(uint64_t cr3, uint64_t gva)
{
	struct vcpu_context c = context(cr3);
	gva_remember(0, &c, gva, GVA_FETCH, &known);
}
int64_t again(uint64_t cr3, uint64_t gva)
{
	struct vcpu_context c = context(cr3);
	const uint8_t *p = gva_again(&c, gva, GVA_FETCH, &known);
	return p ? p - ram : -1;
}
/*
 * The guest takes the page away after its entry was read and before it is marked: tables that are
 * read-only tell when that is.
 */
static uint64_t *entry;
static void take_away(int sig)
{
	mprotect(ram, SIZE, PROT_READ | PROT_WRITE);
	*entry = 0;
}
int64_t translate_while_it_goes(uint64_t *leaf, uint64_t gva)
{
	struct sigaction handler = { .sa_handler = take_away }, before;
	int64_t out;

	entry = leaf;
	sigaction(SIGSEGV, &handler, &before);
	mprotect(ram, SIZE, PROT_READ);
	out = translate(0, gva);
	mprotect(ram, SIZE, PROT_READ | PROT_WRITE);
	sigaction(SIGSEGV, &before, NULL);
	return out;
}
"""
CDEF = """
uint64_t *words(void);
int64_t translate(uint64_t cr3, uint64_t gva);
void remember(uint64_t cr3, uint64_t gva);
int64_t again(uint64_t cr3, uint64_t gva);
int64_t translate_while_it_goes(uint64_t *leaf, uint64_t gva);
"""
#: Tables at 0 to 3000h, page by page; pages of code behind them.
PRESENT, WRITE, ACCESSED, NX = 1, 2, 0x20, 1 << 63
GVA = 0x5123
LEAF = 3 * 512 + (GVA >> 12)


@functools.cache
def build() -> cunit.Unit:
    return cunit.build("gva", ["vmkernel/vmm/gva.c"], ["vmk/types.h"], CDEF, (), CODE)


def fresh() -> None:
    """GVA is mapped to page 8; the same tables begin at 0 and, by one entry, at 4000h."""
    words = build().lib.words()
    for i in range(8 * 512):
        words[i] = 0
    for level in range(3):
        words[level * 512] = (level + 1) << 12 | PRESENT | WRITE
    words[4 * 512] = words[0]
    words[LEAF] = 8 << 12 | PRESENT


def test_it_is_used_again() -> None:
    lib = build().lib
    fresh()
    lib.remember(0, GVA)
    assert lib.words()[LEAF] & ACCESSED  # a walk as the processor does it
    assert lib.again(0, GVA) == lib.translate(0, GVA) == 0x8123
    assert lib.again(0, GVA + 1) == 0x8124
    assert lib.again(0, GVA + 0x1000) == -1
    assert lib.again(0x4000, GVA) == -1


def test_what_cannot_be_translated_is_not_remembered() -> None:
    lib = build().lib
    for entry in (0, 8 << 12 | PRESENT | NX, 0x40 << 12 | PRESENT):
        fresh()
        lib.words()[LEAF] = entry
        lib.remember(0, GVA)
        assert lib.again(0, GVA) == -1


@given(st.integers(0, 3), st.integers(0, 63))
def test_any_change_of_an_entry_ends_it(level: int, bit: int) -> None:
    lib = build().lib
    fresh()
    lib.remember(0, GVA)
    at = LEAF if level == 3 else level * 512
    lib.words()[at] ^= 1 << bit
    assert lib.again(0, GVA) == -1
    lib.words()[at] ^= 1 << bit
    assert lib.again(0, GVA) == 0x8123


def test_an_entry_that_is_gone_gets_no_accessed_bit() -> None:
    """The bit goes into the entry that was read, or the walk is made anew."""
    lib = build().lib
    fresh()
    lib.translate(0, GVA)  # marks the tables above
    lib.words()[LEAF] &= ~ACCESSED
    assert lib.translate_while_it_goes(lib.words() + LEAF, GVA) == -1
    assert lib.words()[LEAF] == 0
