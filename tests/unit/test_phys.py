# SPDX-License-Identifier: Apache-2.0
"""The buddy allocator, its per-CPU caches and pins, against a model of which page is whose."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit import cunit

SOURCES = ["vmkernel/mm/buddy.c", "vmkernel/mm/frame.c", "vmkernel/mm/phys.c"]
HEADERS = ["mm/phys.h", "vmk/mm.h"]
CODE = """
#include <stdlib.h>
#include <string.h>
#include "seam.h"
static unsigned node_of_cpu[8];
unsigned cpu_node(unsigned cpu) { return node_of_cpu[cpu]; }
void *pa_to_va(pa_t pa) { return frames_base + pa; }

/* Sections [0, sections); of two nodes the second has the upper half. A hole at 1234. */
void world_make(unsigned sections, unsigned nodes)
{
	uint64_t end = (uint64_t)sections << SECTION_ORDER, half = nodes > 1 ? end / 2 : end;

	free(frames_base);
	frames_base = calloc(end, sizeof *frames_base);
	memset(frame_sections, 0, sizeof frame_sections);
	for (unsigned s = 0; s < sections; s++)
		frame_section_add((uint64_t)s << SECTION_ORDER);
	for (unsigned i = 0; i < 8; i++)
		node_of_cpu[i] = i % nodes;
	phys_init(nodes);
	phys_add(0, 1, 0, FRAME_RESERVED);
	phys_add(1, 1234, 0, FRAME_FREE);
	phys_add(1237, half, 0, FRAME_FREE);
	if (nodes > 1)
		phys_add(half, end, 1, FRAME_FREE);
}

/* count random operations, then all is given back. 0, or the line of what is wrong. */
int storm(uint32_t seed, unsigned count, unsigned max_order, unsigned cpus)
{
	enum { HELD = 512 };
	static struct { uint32_t pfn; uint8_t order; } held[HELD];
	uint8_t *taken = calloc(16ull << SECTION_ORDER, 1);
	unsigned n = 0;

	for (unsigned i = 0; i < count; i++) {
		seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
		seam_cpu = seed % cpus;
		if (n == HELD || (n && (seed >> 8) % 2)) {
			unsigned k = (seed >> 12) % n;
			memset(taken + held[k].pfn, 0, 1u << held[k].order);
			page_free((pa_t)held[k].pfn << PAGE_SHIFT, held[k].order);
			held[k] = held[--n];
			continue;
		}
		unsigned order = (seed >> 12) % (max_order + 1);
		if ((seed >> 20) % 4)
			order = 0;
		pa_t pa = page_alloc(order, FRAME_KERNEL, 0);
		if (pa == PA_NONE)
			continue;
		uint32_t pfn = pa >> PAGE_SHIFT;
		if (pfn & ((1u << order) - 1))
			return __LINE__;
		for (uint32_t p = pfn; p < pfn + (1u << order); p++) {
			if (taken[p] || pfn_frame(p)->owner != FRAME_KERNEL)
				return __LINE__;
			taken[p] = 1;
		}
		held[n].pfn = pfn;
		held[n++].order = order;
	}
	while (n--)
		page_free((pa_t)held[n].pfn << PAGE_SHIFT, held[n].order);
	free(taken);
	phys_drain();
	return 0;
}
"""
CDEF = """
void world_make(unsigned sections, unsigned nodes);
int storm(uint32_t seed, unsigned count, unsigned max_order, unsigned cpus);
"""
SECTION = 1 << 15


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build("phys", SOURCES, headers=HEADERS, cdef=CDEF, code=CODE)


def totals(unit: cunit.Unit) -> dict[int, int]:
    t = unit.ffi.new("struct mm_totals *")
    unit.lib.mm_totals(t)
    assert sum(t.pages) == t.total_pages
    return {owner: int(t.pages[owner]) for owner in range(unit.lib.FRAME_OWNERS)}


def largest_blocks(unit: cunit.Unit, node: int) -> list[int]:
    return [int(unit.lib.phys_free_blocks(node, order)) for order in range(19)]


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_million_operations_leave_nothing_behind(unit: cunit.Unit, nodes: int) -> None:
    unit.lib.seam_cpus = 4
    unit.lib.world_make(4, nodes)
    before, blocks = totals(unit), [largest_blocks(unit, n) for n in range(nodes)]
    assert unit.lib.storm(12345, 1_000_000, 10, 4) == 0
    assert totals(unit) == before
    assert [largest_blocks(unit, n) for n in range(nodes)] == blocks


def test_order_18_needs_and_uses_an_aligned_gibibyte(unit: cunit.Unit) -> None:
    unit.lib.seam_cpus, unit.lib.seam_cpu = 1, 0
    unit.lib.world_make(24, 1)
    first = unit.lib.page_alloc(18, unit.lib.FRAME_GUEST, 0)
    assert first in (1 << 30, 2 << 30)
    second = unit.lib.page_alloc(18, unit.lib.FRAME_GUEST, 0)
    assert {first, second} == {1 << 30, 2 << 30}
    assert unit.lib.page_alloc(18, unit.lib.FRAME_GUEST, 0) == 2**64 - 1
    unit.lib.page_free(first, 18)
    assert unit.lib.page_alloc(18, unit.lib.FRAME_GUEST, 0) == first


def test_zones_keep_low_memory_for_those_who_need_it(unit: cunit.Unit) -> None:
    unit.lib.seam_cpus, unit.lib.seam_cpu = 1, 0
    unit.lib.world_make(1, 1)
    lib = unit.lib
    plain = [lib.page_alloc(0, lib.FRAME_KERNEL, 0) for _ in range(SECTION - 4096 - 64)]
    assert min(plain) >= 16 << 20
    assert lib.page_alloc(0, lib.FRAME_DMA, lib.ALLOC_LOW24) < 16 << 20
    assert lib.page_alloc(0, lib.FRAME_DMA, lib.ALLOC_LOW20) < 1 << 20
    rest = 0
    while lib.page_alloc(0, lib.FRAME_KERNEL, 0) != 2**64 - 1:
        rest += 1
    assert rest > 4000  # at last the low zones serve everyone
    assert totals(unit)[lib.FRAME_FREE] == totals(unit)[lib.FRAME_CACHE] == 0


def test_other_nodes_help_unless_forbidden(unit: cunit.Unit) -> None:
    lib = unit.lib
    lib.seam_cpus, lib.seam_cpu = 2, 0
    lib.world_make(2, 2)
    near = SECTION * 4096
    while True:
        pa = lib.page_alloc_node(9, lib.FRAME_GUEST, lib.ALLOC_NODE_ONLY, 0)
        if pa == 2**64 - 1:
            break
        assert pa < near
    assert lib.page_alloc_node(9, lib.FRAME_GUEST, 0, 0) >= near


class Pages(RuleBasedStateMachine):
    """Allocation, freeing and pinning from several CPUs; the model is a dictionary of pages."""

    unit: cunit.Unit

    def __init__(self) -> None:
        super().__init__()
        self.lib: Any = self.unit.lib
        self.lib.seam_cpus, self.lib.seam_cpu = 3, 0
        self.lib.world_make(1, 1)
        self.free_at_first = totals(self.unit)[self.lib.FRAME_FREE]
        self.blocks: list[tuple[int, int]] = []
        self.pins: dict[int, int] = {}  # by page number
        self.doomed: set[int] = set()  # freed but pinned

    def pages(self) -> Iterator[int]:
        for start, order in self.blocks:
            yield from range(start, start + (1 << order))
        yield from self.doomed

    @rule(cpu=st.integers(0, 2))
    def move(self, cpu: int) -> None:
        self.lib.seam_cpu = cpu

    @rule(order=st.integers(0, 6))
    def alloc(self, order: int) -> None:
        pa = self.lib.page_alloc(order, self.lib.FRAME_GUEST, 0)
        start = pa >> 12
        assert start % (1 << order) == 0
        assert not set(range(start, start + (1 << order))) & set(self.pages())
        self.blocks.append((start, order))

    @precondition(lambda self: self.blocks)
    @rule(data=st.data())
    def free(self, data: st.DataObject) -> None:
        start, order = self.blocks.pop(data.draw(st.integers(0, len(self.blocks) - 1)))
        self.lib.page_free(start << 12, order)
        self.doomed |= {p for p in range(start, start + (1 << order)) if p in self.pins}

    @precondition(lambda self: self.blocks)
    @rule(data=st.data())
    def pin(self, data: st.DataObject) -> None:
        start, order = data.draw(st.sampled_from(self.blocks))
        page = data.draw(st.integers(start, start + (1 << order) - 1))
        self.lib.frame_pin(page << 12)
        self.pins[page] = self.pins.get(page, 0) + 1

    @precondition(lambda self: self.pins)
    @rule(data=st.data())
    def unpin(self, data: st.DataObject) -> None:
        page = data.draw(st.sampled_from(sorted(self.pins)))
        self.lib.frame_unpin(page << 12)
        self.pins[page] -= 1
        if not self.pins[page]:
            del self.pins[page]
            self.doomed.discard(page)

    @invariant()
    def every_page_is_accounted(self) -> None:
        count = totals(self.unit)
        held = sum(1 for _ in self.pages())
        assert count[self.lib.FRAME_GUEST] == held
        rest = count[self.lib.FRAME_FREE] + count[self.lib.FRAME_CACHE]
        assert rest == self.free_at_first - held


def test_pages_against_the_model(unit: cunit.Unit) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Pages.unit = unit
    run_state_machine_as_test(Pages, settings=settings(max_examples=40, deadline=None))
