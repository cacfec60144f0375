# SPDX-License-Identifier: Apache-2.0
"""Guest memory: layout, copies, pins, and a model of vCPUs' TLBs that finds a missing flush."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.unit import cunit

CODE = """
#include <string.h>
#include "vmk/memobj.h"
const struct npt_format *format(void)
{
	static const struct npt_format f = { .table = 7, .leaf = 7, .large = 0x80 };
	return &f;
}
/* What the nested tables say about gpa: the machine address, or PA_NONE. */
pa_t npt_lookup(struct gmem *g, gpa_t gpa)
{
	uint64_t *table = pa_to_va(gmem_root(g));

	for (int level = 3; level >= 0; level--) {
		uint64_t e = table[gpa >> (12 + 9 * level) & 511], span = 1ull << (12 + 9 * level);

		if (!(e & 1))
			return PA_NONE;
		if (level == 0 || (level < 3 && (e & 0x80)))
			return (e & BITS(51, 12) & ~(span - 1)) | (gpa & (span - 1));
		table = pa_to_va(e & BITS(51, 12));
	}
	return PA_NONE;
}
/* Memory objects without mappings: what is asked of them here. */
void memobj_init(struct memobj *o, const struct memobj_ops *ops, uint64_t pages)
{
	o->ops = ops;
	o->pages = pages;
	o->refs = 1;
}
void memobj_revoke(struct memobj *o) { o->revoked = true; }
void memobj_put(struct memobj *o) { if (--o->refs == 0) o->ops->release(o); }
static void kicked(struct gmem_cpu *c);
struct cpu { struct gmem_cpu c; struct gmem *g; bool kicked; } cpus[3];
static void kicked(struct gmem_cpu *c)
{
	struct cpu *cpu = container_of(c, struct cpu, c);
	cpu->kicked = true;
	gmem_leave(cpu->g, c);
}
void cpus_make(struct gmem *g)
{
	memset(cpus, 0, sizeof cpus);
	for (int i = 0; i < 3; i++) {
		cpus[i].g = g;
		cpus[i].c.kick = kicked;
		gmem_cpu_add(g, &cpus[i].c);
	}
}
bool cpu_enter(unsigned i) { return gmem_enter(cpus[i].g, &cpus[i].c); }
void cpu_leave(unsigned i) { gmem_leave(cpus[i].g, &cpus[i].c); }
bool cpu_inside(unsigned i) { return cpus[i].c.in_guest; }
"""
CDEF = """
const struct npt_format *format(void);
pa_t npt_lookup(struct gmem *, gpa_t);
void cpus_make(struct gmem *);
bool cpu_enter(unsigned); void cpu_leave(unsigned); bool cpu_inside(unsigned);
"""
LARGE = 2 << 20
SIZE = 6 * LARGE
NONE = (1 << 64) - 1
#: So few that a translation which should be gone is soon looked for.
PAGES = [7, 512 + 7]


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build(
        "gmem", ["vmkernel/vmm/gmem.c"], ["vmk/gmem.h", "seam.h", "vmk/mm.h"], CDEF, code=CODE
    )


@pytest.fixture
def gmem(unit: cunit.Unit) -> Iterator[Any]:
    before = unit.lib.seam_pages_live, unit.lib.seam_heap_live
    out = unit.ffi.new("struct gmem **")
    assert unit.lib.gmem_create(SIZE, unit.lib.format(), out) == 0
    yield out[0]
    unit.lib.gmem_destroy(out[0])
    assert (unit.lib.seam_pages_live, unit.lib.seam_heap_live) == before


def test_copies_cross_pages_and_stop_at_the_end(unit: cunit.Unit, gmem: Any) -> None:
    data = bytes(range(256)) * 32
    assert unit.lib.gmem_write(gmem, LARGE - 100, data, len(data)) == 0
    back = unit.ffi.new("uint8_t[]", len(data))
    assert unit.lib.gmem_read(gmem, LARGE - 100, back, len(data)) == 0
    assert bytes(back) == data
    assert unit.lib.gmem_write(gmem, SIZE - 10, data, 11) < 0
    assert unit.lib.gmem_read(gmem, NONE - 3, back, 8) < 0
    assert unit.lib.gmem_ptr(gmem, SIZE, 1) == unit.ffi.NULL


def test_pins_name_the_machine_addresses(unit: cunit.Unit, gmem: Any) -> None:
    sg = unit.ffi.new("struct sg[4]")
    count = unit.lib.gmem_pin(gmem, LARGE - 8, 16, sg, 4)
    assert 1 <= count <= 2
    assert sum(sg[i].len for i in range(count)) == 16
    assert unit.lib.gmem_pin(gmem, SIZE - 8, 16, sg, 4) < 0
    unit.lib.gmem_unpin(gmem)


def test_every_failing_allocation_leaves_nothing(unit: cunit.Unit) -> None:
    before = unit.lib.seam_pages_live, unit.lib.seam_heap_live
    out = unit.ffi.new("struct gmem **")
    for successes in range(100):
        unit.lib.seam_fail_after(successes)
        err = unit.lib.gmem_create(SIZE, unit.lib.format(), out)
        unit.lib.seam_fail_after(-1)
        if err == 0:
            unit.lib.gmem_destroy(out[0])
        assert (unit.lib.seam_pages_live, unit.lib.seam_heap_live) == before
        if err == 0:
            return
    raise AssertionError("it never succeeded")


class Translations(RuleBasedStateMachine):
    """vCPUs enter, touch memory through a TLB, and leave, while ranges are unmapped."""

    unit: cunit.Unit

    def __init__(self) -> None:
        super().__init__()
        lib, ffi = self.unit.lib, self.unit.ffi
        out = ffi.new("struct gmem **")
        assert lib.gmem_create(SIZE, lib.format(), out) == 0
        self.gmem = out[0]
        lib.cpus_make(self.gmem)
        self.tlb: list[dict[int, int]] = [{} for _ in range(3)]

    def teardown(self) -> None:
        for cpu in range(3):
            self.unit.lib.cpu_leave(cpu)
        self.unit.lib.gmem_destroy(self.gmem)

    @rule(cpu=st.integers(0, 2))
    def enter(self, cpu: int) -> None:
        if not self.unit.lib.cpu_inside(cpu) and self.unit.lib.cpu_enter(cpu):
            self.tlb[cpu].clear()

    @rule(cpu=st.integers(0, 2))
    def leave(self, cpu: int) -> None:
        self.unit.lib.cpu_leave(cpu)

    @precondition(lambda self: any(self.unit.lib.cpu_inside(i) for i in range(3)))
    @rule(cpu=st.integers(0, 2), page=st.sampled_from(PAGES))
    def touch(self, cpu: int, page: int) -> None:
        lib, gpa = self.unit.lib, page * 4096
        if not lib.cpu_inside(cpu):
            return
        current = lib.npt_lookup(self.gmem, gpa)
        if page in self.tlb[cpu]:
            assert self.tlb[cpu][page] == current, "a stale translation was used"
        elif current != NONE:
            self.tlb[cpu][page] = current
        else:
            lib.cpu_leave(cpu)
            assert lib.gmem_fault(self.gmem, gpa) == 0
            assert lib.npt_lookup(self.gmem, gpa) != NONE
            self.enter(cpu)
            self.tlb[cpu][page] = lib.npt_lookup(self.gmem, gpa)

    @rule(first=st.integers(0, 2), count=st.integers(1, 6))
    def unmap(self, first: int, count: int) -> None:
        length = min(count, 6 - first) * LARGE
        self.unit.lib.gmem_unmap(self.gmem, first * LARGE, length)
        for gpa in range(first * LARGE, first * LARGE + length, LARGE):
            assert self.unit.lib.npt_lookup(self.gmem, gpa) == NONE


def test_no_stale_translation(unit: cunit.Unit) -> None:
    Translations.unit = unit
    case = Translations.TestCase
    case.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
    case().runTest()
