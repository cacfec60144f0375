# SPDX-License-Identifier: Apache-2.0
"""The host seams themselves: they catch what the vmkernel would."""

import pytest

from tests.unit import cunit

HEADERS = ["vmk/mm.h", "vmk/lock.h", "vmk/time.h", "vmk/wait.h", "vmk/io.h", "vmk/log.h"]


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build(
        "seams",
        [],
        headers=HEADERS,
        cdef="void boom(int n); int wait_for(struct waitq *q, ns_t deadline);",
        code="""
        void boom(int n) { panic("boom %d", n); }
        int wait_for(struct waitq *q, ns_t deadline) { return wait_event_until(q, 0, deadline); }
        """,
    )


def test_a_panic_is_told_by_its_message(unit: cunit.Unit) -> None:
    assert unit.panic_of(lambda: unit.lib.boom(7)) == "boom 7"
    assert unit.panic_of(lambda: unit.lib.kfree(unit.ffi.NULL)) is None


def test_locks_out_of_order_are_a_panic(unit: cunit.Unit) -> None:
    inner, outer = unit.ffi.new("struct spinlock *"), unit.ffi.new("struct spinlock *")
    unit.lib.spin_init(inner, unit.ffi.NULL, unit.lib.RANK_LEAF)
    unit.lib.spin_init(outer, unit.ffi.NULL, unit.lib.RANK_OUTER)

    def wrong() -> None:
        unit.lib.spin_lock(inner)
        unit.lib.spin_lock(outer)

    assert "rank" in (unit.panic_of(wrong) or "")
    unit.lib.spin_lock(outer)
    unit.lib.spin_lock(inner)
    unit.lib.spin_unlock(outer)
    assert unit.lib.spin_held(inner)
    unit.lib.spin_unlock(inner)


def test_allocations_fail_on_demand(unit: cunit.Unit) -> None:
    unit.lib.seam_fail_after(1)
    first = unit.lib.kmalloc(10)
    assert first != unit.ffi.NULL
    assert unit.lib.kmalloc(10) == unit.ffi.NULL
    unit.lib.seam_fail_after(-1)
    unit.lib.kfree(first)
    assert unit.lib.seam_heap_live == 0


def test_a_pinned_page_outlives_its_free(unit: cunit.Unit) -> None:
    pa = unit.lib.page_alloc(2, unit.lib.FRAME_DMA, unit.lib.ALLOC_ZERO)
    assert pa % (4096 << 2) == 0
    assert bytes(unit.ffi.buffer(unit.lib.pa_to_va(pa), 16384)) == bytes(16384)
    unit.lib.frame_pin(pa)
    unit.lib.page_free(pa, 2)
    assert unit.lib.seam_pages_live == 4
    unit.lib.frame_unpin(pa)
    assert unit.lib.seam_pages_live == 0


def test_timers_fire_in_order_of_their_deadlines(unit: cunit.Unit) -> None:
    fired: list[int] = []

    @unit.ffi.callback("void(struct timer *)")  # type: ignore[untyped-decorator]
    def fire(timer: object) -> None:
        fired.append(unit.lib.seam_now)

    start = unit.lib.seam_now
    timers = [unit.ffi.new("struct timer *") for _ in range(2)]
    for timer, delay in zip(timers, (300, 100), strict=True):
        unit.lib.timer_init(timer, fire)
        unit.lib.timer_set(timer, start + delay)
    unit.lib.seam_advance(1000)
    assert [at - start for at in fired] == [100, 300]
    assert unit.lib.seam_now == start + 1000


def test_a_wait_ends_at_its_deadline(unit: cunit.Unit) -> None:
    queue = unit.ffi.new("struct waitq *")
    unit.lib.waitq_init(queue, unit.ffi.NULL)
    assert unit.lib.wait_for(queue, unit.lib.seam_now + 50) < 0


def test_registers_are_answered_by_python(unit: cunit.Unit) -> None:
    unit_read = unit.ffi.callback("uint64_t(uint64_t, unsigned)", lambda a, width: a + width)
    unit.lib.seam_mmio_read = unit_read
    assert unit.lib.mmio_read32(unit.ffi.cast("void *", 0x1000)) == 0x1004
    unit.lib.seam_mmio_read = unit.ffi.NULL
    assert unit.panic_of(lambda: unit.lib.mmio_read32(unit.ffi.NULL)) is not None
