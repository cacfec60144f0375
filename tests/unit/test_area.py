# SPDX-License-Identifier: Apache-2.0
"""The tree of areas against a model that keeps one entry for every page."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.unit import cunit

PAGE = 4096
LOW, HIGH = 16, 16 + 64  # pages
WRITE, SHARED, GROWSDOWN = 2, 8, 16


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return build()


@cache
def build() -> cunit.Unit:
    return cunit.build(
        "area", sources=["vmkernel/mm/area.c", "vmkernel/lib/tree.c"], headers=["mm/area.h"]
    )


@dataclass
class Model:
    """flags and object page by page number; None where nothing is mapped."""

    pages: dict[int, tuple[int, int | None]] = field(default_factory=dict)

    def free(self, first: int, count: int) -> bool:
        return not any(page in self.pages for page in range(first, first + count))

    def gap(self, count: int, below: int) -> int | None:
        """The highest start of a free run that ends at or below `below`."""
        for start in range(min(below, HIGH) - count, LOW - 1, -1):
            if self.free(start, count):
                return start
        return None


class AreaMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.unit = build()
        self.ffi, self.lib = self.unit.ffi, self.unit.lib
        self.tree = self.ffi.new("struct area_tree *")
        self.lib.area_tree_init(self.tree, LOW * PAGE, HIGH * PAGE)
        self.model = Model()
        self.alive: list[Any] = []
        self.object = self.ffi.cast("struct memobj *", 0x1000)

    def new_area(self) -> Any:
        area = self.ffi.new("struct area *")
        self.alive.append(area)
        return area

    def areas(self) -> Iterator[Any]:
        area = self.lib.area_find_from(self.tree, 0)
        while area != self.ffi.NULL:
            yield area
            area = self.lib.area_next(area)

    @rule(
        first=st.integers(LOW, HIGH - 1),
        count=st.integers(1, 12),
        flags=st.sampled_from([1, 3, 5, WRITE | SHARED]),
        obj_page=st.none() | st.integers(0, 100),
    )
    def insert(self, first: int, count: int, flags: int, obj_page: int | None) -> None:
        count = min(count, HIGH - first)
        free = self.lib.area_range_free(self.tree, first * PAGE, (first + count) * PAGE)
        assert free == self.model.free(first, count)
        if not free:
            return
        area = self.new_area()
        area.start, area.end, area.flags = first * PAGE, (first + count) * PAGE, flags
        if obj_page is not None:
            area.obj, area.obj_page = self.object, obj_page
        self.lib.area_insert(self.tree, area)
        for i in range(count):
            page = None if obj_page is None else obj_page + i
            self.model.pages[first + i] = (flags, page)

    @rule(page=st.integers(LOW, HIGH - 1))
    def find(self, page: int) -> None:
        area = self.lib.area_find(self.tree, page * PAGE + 5)
        assert (area != self.ffi.NULL) == (page in self.model.pages)
        if area != self.ffi.NULL:
            assert area.start <= page * PAGE < area.end

    @rule(page=st.integers(LOW, HIGH - 1))
    def split(self, page: int) -> None:
        area = self.lib.area_find(self.tree, page * PAGE)
        if area == self.ffi.NULL or area.start == page * PAGE:
            return
        self.lib.area_split(self.tree, area, page * PAGE, self.new_area())

    @rule(page=st.integers(LOW, HIGH - 1))
    def remove(self, page: int) -> None:
        area = self.lib.area_find(self.tree, page * PAGE)
        if area == self.ffi.NULL:
            return
        self.lib.area_remove(self.tree, area)
        for gone in range(area.start // PAGE, area.end // PAGE):
            del self.model.pages[gone]

    @rule(page=st.integers(LOW, HIGH - 1), flags=st.sampled_from([0, 1, 3, 7]))
    def set_flags(self, page: int, flags: int) -> None:
        area = self.lib.area_find(self.tree, page * PAGE)
        if area == self.ffi.NULL:
            return
        self.lib.area_set_flags(self.tree, area, flags)
        for each in range(area.start // PAGE, area.end // PAGE):
            self.model.pages[each] = (flags, self.model.pages[each][1])

    @rule(page=st.integers(LOW, HIGH - 1))
    def merge(self, page: int) -> None:
        area = self.lib.area_find(self.tree, page * PAGE)
        if area == self.ffi.NULL:
            return
        after = self.lib.area_next(area)
        if after == self.ffi.NULL or not self.lib.area_can_merge(area, after):
            return
        end = after.end
        self.lib.area_remove(self.tree, after)
        self.lib.area_resize(self.tree, area, area.start, end)

    @rule(page=st.integers(LOW, HIGH - 1), down=st.integers(1, 4))
    def grow_down(self, page: int, down: int) -> None:
        area = self.lib.area_find(self.tree, page * PAGE)
        if area == self.ffi.NULL or area.obj != self.ffi.NULL:
            return
        first = area.start // PAGE
        if first - down < LOW or not self.model.free(first - down, down):
            return
        self.lib.area_resize(self.tree, area, (first - down) * PAGE, area.end)
        for new in range(first - down, first):
            self.model.pages[new] = (area.flags, None)

    @rule(count=st.integers(1, 70), below=st.integers(1, HIGH + 10))
    def gap(self, count: int, below: int) -> None:
        found = self.lib.area_gap(self.tree, count * PAGE, below * PAGE)
        expected = self.model.gap(count, below)
        assert found == (0 if expected is None else expected * PAGE)

    @invariant()
    def same_pages(self) -> None:
        seen: dict[int, tuple[int, int | None]] = {}
        last_end = 0
        for area in self.areas():
            assert last_end <= area.start < area.end
            last_end = area.end
            for i, page in enumerate(range(area.start // PAGE, area.end // PAGE)):
                seen[page] = (area.flags, area.obj_page + i if area.obj else None)
        assert seen == self.model.pages
        assert self.tree.pages == len(seen)
        private = [flags for flags, _ in seen.values() if flags & (WRITE | SHARED) == WRITE]
        assert self.tree.committed == len(private)


AreaMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestAreas = AreaMachine.TestCase


def test_stack_keeps_its_room(unit: cunit.Unit) -> None:
    """A gap never lies where a stack may still grow."""
    tree = unit.ffi.new("struct area_tree *")
    unit.lib.area_tree_init(tree, LOW * PAGE, HIGH * PAGE)
    stack = unit.ffi.new("struct area *")
    stack.start, stack.end = (HIGH - 2) * PAGE, HIGH * PAGE
    stack.flags, stack.grow_limit = WRITE | GROWSDOWN, (HIGH - 10) * PAGE
    unit.lib.area_insert(tree, stack)
    assert unit.lib.area_gap(tree, 4 * PAGE, HIGH * PAGE) == (HIGH - 14) * PAGE
    upper = unit.ffi.new("struct area *")
    unit.lib.area_split(tree, stack, (HIGH - 1) * PAGE, upper)
    assert stack.flags & GROWSDOWN and not upper.flags & GROWSDOWN
