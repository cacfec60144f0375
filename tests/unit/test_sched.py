# SPDX-License-Identifier: Apache-2.0
"""The scheduler's deciding code on simulated CPUs, against water-filling in floating point."""

import errno
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.unit import cunit

SOURCES = [
    *(f"vmkernel/sched/{name}.c" for name in ("timeline", "share", "fill", "group", "balance")),
    "vmkernel/lib/tree.c",
    "vmkernel/lib/string.c",
    "tests/unit/sched_sim.c",
]
SLICE = 4_000_000
SECOND = 1_000_000_000


@dataclass
class Node:
    """A group or a world of the model; rates in CPUs."""

    shares: int = 1000
    min_pct: int = 0
    max_pct: int = 0
    demand: float = 1.0
    children: list["Node"] = field(default_factory=list)
    level: int = 0
    rate: float = 0.0
    index: int = -1

    @property
    def want(self) -> float:
        limit = self.max_pct / 100 if self.max_pct else float("inf")
        return min(limit, sum(c.want for c in self.children) if self.children else self.demand)

    @property
    def need(self) -> float:
        return min(self.want, max(self.min_pct / 100, sum(c.need for c in self.children)))

    def leaves(self) -> list["Node"]:
        return [x for c in self.children for x in c.leaves()] if self.children else [self]


def fill(node: Node, capacity: float) -> None:
    """Entitlements below node: shares * level in [need, want], by bisection of the level."""
    node.rate = capacity
    wants = [c.want for c in node.children]
    needs = [c.need for c in node.children]
    if sum(needs) > capacity:
        needs = [n * capacity / sum(needs) for n in needs]

    def parts(level: float) -> list[float]:
        shares = [c.shares for c in node.children]
        return [max(n, min(w, s * level)) for n, w, s in zip(needs, wants, shares, strict=True)]

    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(parts(middle)) < capacity else (low, middle)
    for child, part in zip(node.children, parts(high), strict=True):
        fill(child, part)


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build("sched", SOURCES, headers=["tests/unit/sched_sim.h", "sched/timeline.h"])


def build(
    unit: cunit.Unit, node: Node, index: int, pattern: Callable[[Node], tuple[int, int]]
) -> None:
    """Makes the groups and worlds of the model below group `index`."""
    for child in node.children:
        child.level = node.level + 1
        if child.children:
            at = unit.lib.sim_group(index, child.shares, child.min_pct, child.max_pct)
            assert at >= 0
            build(unit, child, at, pattern)
        else:
            burst, sleep = pattern(child)
            child.index = unit.lib.sim_world(
                index, child.shares, child.min_pct, child.max_pct, burst, sleep
            )


def always(_: Node) -> tuple[int, int]:
    return 0, 0


def check(unit: cunit.Unit, root: Node, cpus: int, seconds: float) -> None:
    """Each leaf within 1% or two slices a level of what the model entitles it to."""
    fill(root, min(cpus, root.want))
    off = []
    for leaf in root.leaves():
        right = leaf.rate * seconds * SECOND
        error = unit.lib.sim_used(leaf.index) - right
        if abs(error) > max(right / 100, 2 * SLICE * leaf.level):
            off.append((leaf.index, leaf.rate, leaf.level, error / SLICE))
    assert not off, (
        f"{len(off)} of {len(root.leaves())} leaves (index, rate, level, slices): {off[:20]}"
    )


def random_tree(rng: random.Random, worlds: int, depth: int) -> Node:
    """Nested groups with random shares, minima and maxima."""
    root = Node()
    groups = [(root, 0)]
    for _ in range(max(3, worlds // 25)):
        parent, level = rng.choice([g for g in groups if g[1] < depth])
        group = Node(shares=rng.randint(500, 4000))
        if rng.random() < 0.2:
            group.max_pct = rng.randint(20, 150)
        if rng.random() < 0.2:
            group.min_pct = rng.randint(1, group.max_pct or 30)
        parent.children.append(group)
        groups.append((group, level + 1))
    for _ in range(worlds):
        world = Node(shares=rng.randint(200, 4000))
        if rng.random() < 0.1:
            world.max_pct = rng.randint(1, 100)
        if rng.random() < 0.1:
            world.min_pct = rng.randint(1, min(2, world.max_pct or 2))
        rng.choice(groups)[0].children.append(world)
    for group, _ in groups:
        if not group.children:
            group.children.append(Node())
    return root


@pytest.mark.parametrize("seed", [1, 4, 2002])
def test_a_thousand_worlds_get_what_they_are_entitled_to(unit: cunit.Unit, seed: int) -> None:
    root = random_tree(random.Random(seed), 1000, 3)
    unit.lib.sim_start(8)
    try:
        build(unit, root, 0, always)
        unit.lib.sim_run(10 * SECOND, True)
        check(unit, root, 8, 10)
        leaves = root.leaves()
        bound = 2 * (len(leaves) // 8 + 1) * SLICE
        uncapped = [x for x in leaves if not x.max_pct]
        worst = max(unit.lib.sim_worst_wait(x.index) for x in uncapped)
        assert worst <= bound
        total = sum(unit.lib.sim_used(x.index) for x in leaves)
        assert total > 0.999 * 8 * 10 * SECOND
    finally:
        unit.lib.sim_end()


@pytest.mark.parametrize("cpus", [1, 2, 4])
@pytest.mark.parametrize("worlds", [1, 2, 3, 5, 7])
def test_a_few_equal_worlds_share_all_cpus(unit: cunit.Unit, cpus: int, worlds: int) -> None:
    root = Node(children=[Node() for _ in range(worlds)])
    unit.lib.sim_start(cpus)
    try:
        build(unit, root, 0, always)
        unit.lib.sim_run(10 * SECOND, False)
        check(unit, root, cpus, 10)
    finally:
        unit.lib.sim_end()


def test_worlds_that_sleep_get_their_demand(unit: cunit.Unit) -> None:
    """Half of the worlds want less than their share; the others divide what that leaves."""
    rng = random.Random(7)
    root = Node()
    for i in range(40):
        world = Node(shares=rng.randint(500, 2000))
        if i % 2:
            world.demand = 0.02
        root.children.append(world)
    unit.lib.sim_start(4)
    try:
        build(unit, root, 0, lambda n: (400_000, 19_600_000) if n.demand < 1 else (0, 0))
        unit.lib.sim_run(10 * SECOND, False)
        fill(root, 4)
        for leaf in root.leaves():
            right = leaf.rate * 10 * SECOND
            used = unit.lib.sim_used(leaf.index)
            # A late wake-up costs a sleeper a little of its demand.
            assert used == pytest.approx(right, rel=0.05, abs=4 * SLICE)
    finally:
        unit.lib.sim_end()


def test_a_sleeper_is_not_kept_waiting(unit: cunit.Unit) -> None:
    root = Node(children=[Node() for _ in range(20)] + [Node(demand=0.01)])
    unit.lib.sim_start(1)
    try:
        build(unit, root, 0, lambda n: (100_000, 9_900_000) if n.demand < 1 else (0, 0))
        unit.lib.sim_run(SECOND, False)  # until its habits are known
        unit.lib.sim_run(9 * SECOND, True)
        assert unit.lib.sim_worst_wait(20) <= 2 * SLICE
    finally:
        unit.lib.sim_end()


def groups(unit: cunit.Unit) -> dict[int, Any]:
    out = unit.ffi.new("struct group_info[64]")
    return {out[i].id: out[i] for i in range(unit.lib.sim_groups(out, 64))}


def test_groups_say_and_take_their_settings(unit: cunit.Unit) -> None:
    """Ids, parents, settings and time used; a maximum set by id binds, nonsense is refused."""
    lib, params = unit.lib, unit.ffi.new("struct sched_params *")

    def set_to(number: int, *values: int) -> int:
        params.shares, params.min_pct, params.max_pct = values
        return int(lib.group_set_by_id(number, params))

    lib.sim_start(2)
    try:
        before = groups(unit)
        outer = lib.sim_group(0, 2000, 7, 33)
        lib.sim_group(outer, 0, 0, 0)
        first, second = sorted(groups(unit).keys() - before.keys())[-2:]
        w = lib.sim_world(outer + 1, 0, 0, 0, 0, 0)
        lib.sim_run(10 * SECOND, False)
        seen = groups(unit)
        got = seen[first].sched
        assert (got.shares, got.min_pct, got.max_pct) == (2000, 7, 33)
        assert (seen[second].sched.shares, seen[second].sched.max_pct) == (1000, 0)
        assert (seen[first].parent, seen[second].parent) == (0, first)
        assert (seen[first].members, seen[second].members) == (1, 1)
        assert seen[0].members == sum(g.parent == 0 for number, g in seen.items() if number)
        used = lib.sim_used(w)
        assert seen[first].used == seen[second].used == used
        assert used == pytest.approx(3.3 * SECOND, rel=0.02)
        assert unit.ffi.string(seen[1].name) == b"system" and seen[1].parent == 0

        assert set_to(first, 500, 0, 50) == 0
        lib.sim_run(10 * SECOND, False)
        got = groups(unit)[first].sched
        assert (got.shares, got.min_pct, got.max_pct) == (500, 0, 50)
        assert lib.sim_used(w) - used == pytest.approx(5 * SECOND, rel=0.02)
        assert set_to(first, 500, 60, 50) == set_to(first, 1000001, 0, 0) == -errno.EINVAL
        assert set_to(0, 1000, 0, 50) == -errno.EINVAL
        assert set_to(second + 1, 1000, 0, 50) == -errno.ENOENT
        used = lib.sim_used(w)
    finally:
        lib.sim_end()
    assert groups(unit)[0].used == before[0].used + used  # also of those that have ended


def test_a_decision_costs_log_n(unit: cunit.Unit) -> None:
    cost = {n: unit.lib.sim_decision_steps(n, 200_000) for n in (10, 1000, 100_000)}
    for small, large in ((10, 1000), (1000, 100_000)):
        assert cost[large] / cost[small] <= 1.2 * math.log(large) / math.log(small), cost


class Line(RuleBasedStateMachine):
    """The treap against a sorted list."""

    unit: cunit.Unit

    def __init__(self) -> None:
        super().__init__()
        self.tree = self.unit.ffi.new("struct timeline *")
        self.nodes: list[Any] = []

    @rule(start=st.integers(0, 50), deadline=st.integers(0, 50))
    def insert(self, start: int, deadline: int) -> None:
        node = self.unit.ffi.new("struct tl_node *", {"start": start, "deadline": deadline})
        self.unit.lib.tl_insert(self.tree, node)
        self.nodes.append(node)

    @precondition(lambda self: self.nodes)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        node = self.nodes.pop(data.draw(st.integers(0, len(self.nodes) - 1)))
        self.unit.lib.tl_remove(self.tree, node)

    @rule(now=st.integers(-1, 51))
    def ask(self, now: int) -> None:
        node = self.unit.lib.tl_earliest(self.tree, now)
        eligible = [n.deadline for n in self.nodes if n.start <= now]
        assert (node.deadline if node else None) == min(eligible, default=None)
        assert not node or node.start <= now

    @invariant()
    def in_order(self) -> None:
        seen, node = [], self.unit.lib.tl_first(self.tree)
        while node:
            seen.append(node.start)
            node = self.unit.lib.tl_next(node)
        assert seen == sorted(n.start for n in self.nodes)
        assert self.tree.count == len(self.nodes)


def test_timeline_against_a_list(unit: cunit.Unit) -> None:
    Line.unit = unit
    run_state_machine_as_test(Line, settings=settings(max_examples=60, deadline=None))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32), cpus=st.integers(1, 8), worlds=st.integers(1, 60))
def test_random_trees(unit: cunit.Unit, seed: int, cpus: int, worlds: int) -> None:
    root = random_tree(random.Random(seed), worlds, 3)
    unit.lib.sim_start(cpus)
    try:
        build(unit, root, 0, always)
        unit.lib.sim_run(10 * SECOND, False)
        check(unit, root, cpus, 10)
    finally:
        unit.lib.sim_end()
