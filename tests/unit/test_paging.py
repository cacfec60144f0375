# SPDX-License-Identifier: Apache-2.0
"""Page tables against a model of what is mapped where: every page size, splits, failures."""

import functools
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit import cunit

CODE = """
#include <stdlib.h>
#include <string.h>
#include "x86/paging.h"
#include "x86/paging_table.h"
char *direct_host;
static uint32_t used, freed, limit;
enum { TABLES = 4096 };
/* Table i lives at machine address (i + 1) pages. */
static pa_t table_new(void)
{
	return used - freed >= limit || used + 1 >= TABLES ? PA_NONE : (pa_t)++used << PAGE_SHIFT;
}
static void table_gone(pa_t pa) { freed++; }
pa_t world_make(bool huge)
{
	free(direct_host);
	direct_host = calloc(TABLES, PAGE_SIZE);
	used = freed = 0;
	limit = UINT32_MAX;
	paging_has_huge = huge;
	paging_set_tables(table_new, table_gone);
	paging_kernel_root = table_new();
	return paging_root_new();
}
void world_limit(uint32_t more) { limit = more == UINT32_MAX ? more : used - freed + more; }
uint32_t world_live(void) { return used - freed; }
"""
CDEF = """
uint64_t world_make(bool huge);
void world_limit(uint32_t more);
uint32_t world_live(void);
"""
PAGE, LARGE, HUGE = 1 << 12, 1 << 21, 1 << 30
WRITE, EXEC, USER, GLOBAL, WC, UC, SMALL = (1 << bit for bit in range(7))
#: Regions start and end near the borders of large and huge pages.
BORDERS = [0, LARGE, 2 * LARGE, HUGE - LARGE, HUGE, HUGE + LARGE, 2 * HUGE]
BASE = 3 << 39
ENOMEM, EEXIST = 12, 17

places = st.builds(
    lambda border, step: max(0, border + step * PAGE), st.sampled_from(BORDERS), st.integers(-2, 2)
)
attributes = st.sampled_from([0, WRITE, EXEC, WRITE | USER, USER | EXEC, WC | WRITE, UC, SMALL])


@functools.cache
def build() -> cunit.Unit:
    return cunit.build("paging", ["vmkernel/x86/paging.c"], ["x86/paging.h"], CDEF, (), CODE)


class PagingMachine(RuleBasedStateMachine):
    """The model: disjoint regions [start, end) with machine address of the start, and flags."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = build()
        self.regions: list[tuple[int, int, int, int]] = []

    @initialize(huge=st.booleans())
    def make(self, huge: bool) -> None:
        self.root = self.unit.lib.world_make(huge)

    def cut(self, start: int, end: int) -> list[tuple[int, int, int, int]]:
        """Takes [start, end) out of the model; returns what was there."""
        inside: list[tuple[int, int, int, int]] = []
        outside: list[tuple[int, int, int, int]] = []
        for low, high, pa, flags in self.regions:
            for a, b, target in (
                (low, min(high, start), outside),
                (max(low, start), min(high, end), inside),
                (max(low, end), high, outside),
            ):
                if a < b:
                    target.append((a, b, pa + a - low, flags))
        self.regions = outside
        return inside

    def span(self, one: int, two: int) -> tuple[int, int]:
        start, end = sorted((one, two))
        return BASE + start, BASE + max(end, start + PAGE)

    @rule(
        one=places, two=places, offset=places, flags=attributes, room=st.sampled_from([0, 1, 3, -1])
    )
    def map(self, one: int, two: int, offset: int, flags: int, room: int) -> None:
        start, end = self.span(one, two)
        pa = (1 << 40) + offset
        self.unit.lib.world_limit(room & 0xFFFFFFFF)
        status = self.unit.lib.paging_map(self.root, start, pa, end - start, flags)
        self.unit.lib.world_limit(0xFFFFFFFF)
        taken = any(low < end and start < high for low, high, _, _ in self.regions)
        if status == 0:
            assert not taken
            self.regions.append((start, end, pa, flags & ~SMALL))
        else:
            assert status in (-EEXIST, -ENOMEM)
            assert taken or (status == -ENOMEM and room >= 0)

    @rule(one=places, two=places)
    def unmap(self, one: int, two: int) -> None:
        start, end = self.span(one, two)
        assert self.unit.lib.paging_unmap(self.root, start, end - start) == 0
        self.cut(start, end)

    @rule(one=places, two=places, flags=attributes)
    def protect(self, one: int, two: int, flags: int) -> None:
        start, end = self.span(one, two)
        assert self.unit.lib.paging_protect(self.root, start, end - start, flags) == 0
        for low, high, pa, _ in self.cut(start, end):
            self.regions.append((low, high, pa, flags & ~SMALL))

    def lookup(self, va: int) -> Any:
        leaf = self.unit.ffi.new("struct paging_leaf *")
        return leaf if self.unit.lib.paging_lookup(self.root, va, leaf) else None

    @invariant()
    def lookups_agree(self) -> None:
        for border in BORDERS:
            for step in range(-3, 4):
                va = BASE + border + step * PAGE
                hit = [r for r in self.regions if r[0] <= va < r[1]]
                leaf = self.lookup(va)
                assert bool(hit) == (leaf is not None)
                if leaf:
                    low, _, pa, flags = hit[0]
                    assert (leaf.pa, leaf.flags) == (pa + va - low, flags)
                    assert leaf.size in (PAGE, LARGE, HUGE)

    def teardown(self) -> None:
        if hasattr(self, "root"):
            self.unit.lib.paging_root_free(self.root)
            assert self.unit.lib.world_live() == 1  # the kernel's root


TestPaging = PagingMachine.TestCase
TestPaging.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


def test_the_largest_page_that_fits_is_used() -> None:
    unit = build()
    root = unit.lib.world_make(True)
    leaf = unit.ffi.new("struct paging_leaf *")
    assert unit.lib.paging_map(root, HUGE - LARGE - PAGE, 5 * HUGE - LARGE - PAGE, 3 * HUGE, 0) == 0
    for va, size in (
        (HUGE - LARGE - PAGE, PAGE),
        (HUGE - LARGE, LARGE),
        (HUGE, HUGE),
        (4 * HUGE - LARGE - 2 * PAGE, PAGE),
    ):
        assert unit.lib.paging_lookup(root, va, leaf)
        assert (leaf.size, leaf.pa) == (size, va + 4 * HUGE)
