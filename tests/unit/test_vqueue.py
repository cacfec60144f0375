# SPDX-License-Identifier: Apache-2.0
"""Virtqueues against a driver in Python, honest and otherwise."""

import struct
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

CODE = """
#include <string.h>
static uint8_t ram[1 << 16];
void *gmem_ptr(struct gmem *g, gpa_t gpa, size_t len)
{
	return gpa < sizeof ram && len <= sizeof ram - gpa ? ram + gpa : NULL;
}
int gmem_read(struct gmem *g, gpa_t gpa, void *dst, size_t len)
{
	void *p = gmem_ptr(g, gpa, len);
	return p ? (memcpy(dst, p, len), 0) : -14;
}
int gmem_write(struct gmem *g, gpa_t gpa, const void *src, size_t len)
{
	void *p = gmem_ptr(g, gpa, len);
	return p ? (memcpy(p, src, len), 0) : -14;
}
static int pins;
int pin_count(void) { return pins; }
int gmem_pin(struct gmem *g, gpa_t gpa, size_t len, struct sg *sg, unsigned max)
{
	if (!max || !gmem_ptr(g, gpa, len))
		return max ? -14 : -7;
	pins++;
	sg[0] = (struct sg){ .pa = gpa, .len = len };
	return 1;
}
void gmem_unpin(struct gmem *g) { pins--; }
uint8_t *guest_ram(void) { return ram; }
"""
CDEF = "uint8_t *guest_ram(void); int pin_count(void);"
SIZE, RAM = 8, 1 << 16
DESC, AVAIL, USED, DATA = 0x0, 0x1000, 0x2000, 0x4000
NEXT, WRITE, INDIRECT = 1, 2, 4
PROTO = -71


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    sources = ["vmkernel/vdev/virtio/vqueue.c"]
    return cunit.build("vqueue", sources, ["vdev/virtio/vqueue.h"], CDEF, code=CODE)


class Driver:
    """The driver's side of one queue of SIZE."""

    def __init__(self, unit: cunit.Unit, *, event_index: bool = False) -> None:
        self.lib, self.ffi = unit.lib, unit.ffi
        self.ram = unit.ffi.buffer(unit.lib.guest_ram(), RAM)
        self.ram[:] = bytes(RAM)
        self.queue: Any = unit.ffi.new("struct vqueue *")
        self.queue.size_max = 256
        unit.lib.vqueue_reset(self.queue)
        q = self.queue
        q.size, q.desc, q.avail, q.used = SIZE, DESC, AVAIL, USED
        q.indirect, q.event_index = True, event_index
        assert unit.lib.vqueue_enable(q) == 0
        self.chain: Any = unit.ffi.new("struct vchain *")
        self.index = 0

    def descriptor(
        self, n: int, addr: int, length: int, flags: int, following: int, at: int = DESC
    ) -> None:
        struct.pack_into("<QIHH", self.ram, at + 16 * n, addr, length, flags, following)

    def offer(self, head: int) -> None:
        struct.pack_into("<H", self.ram, AVAIL + 4 + 2 * (self.index % SIZE), head)
        self.index = (self.index + 1) & 0xFFFF
        struct.pack_into("<H", self.ram, AVAIL + 2, self.index)

    def take(self) -> int:
        return int(self.lib.vqueue_next(self.queue, self.chain))

    def used(self) -> list[tuple[int, int]]:
        (count,) = struct.unpack_from("<H", self.ram, USED + 2)
        return [
            struct.unpack_from("<II", self.ram, USED + 4 + 8 * (n % SIZE)) for n in range(count)
        ]


@given(
    st.lists(st.tuples(st.integers(1, 64), st.booleans()), min_size=1, max_size=SIZE),
    st.booleans(),
)
def test_chains_arrive_as_they_were_offered(
    unit: cunit.Unit, parts: list[tuple[int, bool]], indirect: bool
) -> None:
    driver = Driver(unit)
    parts.sort(key=lambda part: part[1])  # readable first
    table = DATA + 0x8000 if indirect else DESC
    for n, (length, write) in enumerate(parts):
        flags = (NEXT if n + 1 < len(parts) else 0) | (WRITE if write else 0)
        driver.descriptor(n, DATA + 256 * n, length, flags, n + 1, table)
    if indirect:
        driver.descriptor(0, table, 16 * len(parts), INDIRECT, 0)
    driver.offer(0)
    assert driver.take() == 1
    chain = driver.chain
    got = [
        (chain.piece[n].gpa, chain.piece[n].len, n >= chain.readable) for n in range(chain.count)
    ]
    assert got == [(DATA + 256 * n, length, write) for n, (length, write) in enumerate(parts)]
    assert driver.take() == 0
    writable = b"".join(bytes([n + 1]) * length for n, (length, write) in enumerate(parts) if write)
    if writable:
        assert unit.lib.vchain_write(driver.queue.gmem, chain, 0, writable, len(writable)) == len(
            writable
        )
    for n, (length, write) in enumerate(parts):
        at = DATA + 256 * n
        assert driver.ram[at : at + length] == (bytes([n + 1]) if write else b"\0") * length
    sg = unit.ffi.new("struct sg[16]")
    if chain.read_bytes > 1:
        pieces = unit.lib.vchain_pin(
            driver.queue.gmem, chain, False, 1, chain.read_bytes - 1, sg, 16
        )
        assert sum(sg[n].len for n in range(pieces)) == chain.read_bytes - 1
        assert unit.lib.pin_count() == 1
        unit.lib.gmem_unpin(driver.queue.gmem)
    assert unit.lib.vqueue_done(driver.queue, chain.head, 7) == 0
    assert driver.used() == [(0, 7)]


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([(DATA, 8, NEXT, 0)], "a loop"),
        ([(DATA, 8, NEXT, SIZE)], "an index outside"),
        ([(DATA, 8, WRITE | NEXT, 1), (DATA, 8, 0, 0)], "readable behind writable"),
        ([(DATA, 17, INDIRECT, 0)], "an indirect table of odd length"),
        ([(RAM * 4, 16, INDIRECT, 0)], "an indirect table outside of memory"),
        ([(DATA, 16 * 300, INDIRECT, 0)], "an indirect table larger than the queue"),
        ([(DATA, 0xFFFF_FFFF, NEXT, 1), (DATA, 8, 0, 0)], "lengths that wrap"),
    ],
)
def test_a_mistake_is_an_error(
    unit: cunit.Unit, rows: list[tuple[int, int, int, int]], what: str
) -> None:
    driver = Driver(unit)
    for n, row in enumerate(rows):
        driver.descriptor(n, *row)
    driver.offer(0)
    assert driver.take() == PROTO, what


def test_an_available_index_too_far_ahead_is_an_error(unit: cunit.Unit) -> None:
    driver = Driver(unit)
    struct.pack_into("<H", driver.ram, AVAIL + 2, SIZE + 1)
    assert driver.take() == PROTO


def test_nested_indirect_is_an_error(unit: cunit.Unit) -> None:
    driver = Driver(unit)
    driver.descriptor(0, DATA, 16, INDIRECT, 0)
    driver.descriptor(0, DATA, 16, INDIRECT, 0, DATA)
    driver.offer(0)
    assert driver.take() == PROTO


@given(st.integers(0, 1 << 32), st.booleans())
def test_random_rings_end(unit: cunit.Unit, seed: int, event_index: bool) -> None:
    """Whatever memory holds: at most a queue of chains, each within its bounds."""
    driver = Driver(unit, event_index=event_index)
    random = Random(seed)
    driver.ram[:USED] = random.randbytes(USED)
    for n in range(0, SIZE * 16, 16):  # some of them plausible
        driver.descriptor(
            n // 16,
            random.choice((DATA, DESC, RAM - 8)),
            random.randrange(64),
            random.randrange(8),
            1,
        )
    struct.pack_into("<H", driver.ram, AVAIL + 2, random.randrange(SIZE + 2))
    for _ in range(SIZE + 1):
        got = driver.take()
        if got <= 0:
            break
        chain = driver.chain
        assert chain.readable <= chain.count <= 66
        unit.lib.vqueue_done(driver.queue, chain.head, 0)
        unit.lib.vqueue_wants_signal(driver.queue)
        unit.lib.vqueue_kicks(driver.queue, True)


@given(st.integers(0, 0xFFFF), st.integers(0, SIZE - 1), st.integers(1, SIZE))
def test_event_index_signals_once_it_is_passed(
    unit: cunit.Unit, start: int, ahead: int, batch: int
) -> None:
    driver = Driver(unit, event_index=True)
    q = driver.queue
    q.next_used = q.signalled = start
    q.signalled_valid = True
    event = (start + ahead) & 0xFFFF
    struct.pack_into("<H", driver.ram, AVAIL + 4 + 2 * SIZE, event)
    assert unit.lib.vqueue_publish(q, batch) == 0
    assert unit.lib.vqueue_wants_signal(q) == (ahead < batch)


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0},
        {"size": 3},
        {"size": 512},
        {"desc": 8},
        {"avail": 1},
        {"used": 2},
        {"desc": RAM},
        {"used": RAM - 8},
    ],
)
def test_a_queue_that_cannot_be_is_refused(unit: cunit.Unit, change: dict[str, int]) -> None:
    q: Any = unit.ffi.new("struct vqueue *")
    q.size_max = 256
    unit.lib.vqueue_reset(q)
    q.size, q.desc, q.avail, q.used = SIZE, DESC, AVAIL, USED
    for name, value in change.items():
        setattr(q, name, value)
    assert unit.lib.vqueue_enable(q) < 0
