# SPDX-License-Identifier: Apache-2.0
"""The block layer between its users and a slow device: shares, deadlines, what goes first."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit
from tests.unit.models.bench import PAGE, Bench, Block, Request

READ, WRITE, FLUSH = 0, 1, 2
ENODEV, ETIMEDOUT = -19, -110
SECOND = 10**9
DEPTH = 32
IOPS = 150
CODE = """
#include "vmk/errno.h"

static struct blk_req *taken[1024];
unsigned slow_count;
bool slow_busy;
static struct blk_dev slow;

static int slow_submit(struct blk_dev *d, unsigned q, struct blk_req *r)
{
	if (slow_busy)
		return -EBUSY;
	taken[slow_count++] = r;
	return 0;
}

static void slow_timeout(struct blk_dev *d, struct blk_req *r)
{
	for (unsigned i = 0; i < slow_count; i++) {
		if (taken[i] != r)
			continue;
		memmove(&taken[i], &taken[i + 1], (--slow_count - i) * sizeof(*taken));
		blk_complete(r, -ETIMEDOUT);
		return;
	}
}

/* The oldest request of the device's ends. */
void slow_finish(int status)
{
	struct blk_req *r = taken[0];

	memmove(taken, taken + 1, --slow_count * sizeof(*taken));
	blk_complete(r, status);
}

struct blk_dev *slow_open(unsigned depth)
{
	static const struct blk_ops ops = { .submit = slow_submit, .timeout = slow_timeout };

	slow = (struct blk_dev){ .id = "slow", .ops = &ops };
	slow.limits = (struct blk_limits){ .block_size = 512, .blocks = 1 << 20,
		.max_bytes = 1 << 20, .max_sg = 128, .sg_align = 1, .depth = (uint16_t)depth,
		.queues = 1 };
	slow_busy = true; /* no partition table is read from it */
	slow_count = 0;
	return blk_register(&slow) ? NULL : &slow;
}
"""
CDEF = """
extern unsigned slow_count;
extern bool slow_busy;
void slow_finish(int status);
struct blk_dev *slow_open(unsigned depth);
"""


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    names = ("blk", "blk_stats", "flow", "split", "sync", "registry", "part")
    return cunit.build(
        "blk",
        sources=[*(f"vmkernel/storage/{name}.c" for name in names), "vmkernel/lib/crc.c"],
        headers=["vmk/blk.h", "vmk/mm.h", "vmk/cpu.h", "vmk/string.h"],
        cdef=CDEF,
        code=CODE,
    )


class Slow:
    """A disk that ends IOPS requests a second, one after the other."""

    def __init__(self, unit: cunit.Unit, depth: int = DEPTH) -> None:
        self.unit, self.lib = unit, unit.lib
        self.bench = Bench(unit)
        self.lib.seam_cpus, self.lib.seam_cpu = 1, 0
        self.device = self.lib.slow_open(depth)
        assert self.device != unit.ffi.NULL
        self.lib.slow_busy = False
        self.block = Block(self.bench, self.device)
        self.memory = self.bench.pages(1)

    def submit(self, op: int, owner: int, size: int = PAGE, **more: int) -> Request:
        pieces = [(self.memory, PAGE)] * (size // PAGE)
        request = self.block.submit(op, 0, pieces, owner=owner, **more)
        self.bench.run()
        return request

    def step(self) -> None:
        """The device ends one request."""
        self.lib.seam_advance(SECOND // IOPS)
        if self.lib.slow_count:
            self.lib.slow_finish(0)
        self.bench.run()

    def close(self) -> None:
        self.lib.slow_busy = False
        while self.lib.slow_count:
            self.step()
        self.lib.blk_unregister(self.device)
        self.bench.run()
        self.lib.page_free(self.memory, 0)


@pytest.fixture
def slow(unit: cunit.Unit) -> Iterator[Slow]:
    disk = Slow(unit)
    yield disk
    disk.close()


def test_one_owners_backlog_fails_nobody(slow: Slow) -> None:
    """5,000 reads at 150 IOPS take 33 s: another's write ends within a second, and no read fails,
    since a deadline runs from the hand-over to the driver."""
    reads = [slow.submit(READ, owner=1) for _ in range(5_000)]
    for _ in range(IOPS):
        slow.step()
    began = slow.lib.seam_now
    write = slow.submit(WRITE, owner=2)
    while write.status is None:
        slow.step()
    assert write.status == 0
    assert slow.lib.seam_now - began < SECOND
    while reads[-1].status is None:
        slow.step()
    assert {read.status for read in reads} == {0}


def test_the_journal_goes_first(slow: Slow) -> None:
    """Before all owners' requests that wait, but not before those that the device has."""
    others = [slow.submit(READ, owner=n % 10 + 1) for n in range(1_000)]
    urgent = slow.submit(WRITE, owner=77, flags=slow.lib.BLK_URGENT)
    for _ in range(DEPTH + 1):
        slow.step()
    assert urgent.status == 0
    assert sum(other.status == 0 for other in others) == DEPTH


def test_shares_are_of_bytes(slow: Slow) -> None:
    """Two owners with requests of 128 KiB and of 32 KiB: each gets about half of the bytes."""
    sizes = {1: 32 * PAGE, 2: 8 * PAGE}
    requests = [(n, slow.submit(READ, n, size)) for _ in range(600) for n, size in sizes.items()]
    for _ in range(500):
        slow.step()
    done = Counter[int]()
    for owner, request in requests:
        done[owner] += sizes[owner] * (request.status == 0)
    assert 0.8 < done[1] / done[2] < 1.25


MANY = st.lists(st.integers(1, 200), min_size=1, max_size=300)
FEW = st.lists(st.integers(1, 8), min_size=1, max_size=300)


@given(st.one_of(FEW, MANY), st.integers(1, 8))
def test_each_owners_requests_keep_their_order(
    unit: cunit.Unit, owners: list[int], depth: int
) -> None:
    """With few owners; with more than there are flows, still nothing is lost or done twice."""
    slow = Slow(unit, depth)
    requests = [(owner, slow.submit(READ, owner * 4096)) for owner in owners]
    while any(request.status is None for _, request in requests):
        before = {id(r) for _, r in requests if r.status is None}
        slow.step()
        for owner in {o for o, r in requests if id(r) in before and r.status is not None}:
            if len(set(owners)) > 8:
                continue
            mine = [r.status is None for o, r in requests if o == owner]
            assert mine == sorted(mine)
    assert all(request.calls == 1 and request.status == 0 for _, request in requests)
    slow.close()


def test_a_driver_that_never_takes_anything(slow: Slow) -> None:
    """What waits while nothing moves fails in the end, also when it is very much."""
    slow.lib.slow_busy = True
    requests = [slow.submit(READ, owner=n % 3 + 1) for n in range(2_000)]
    slow.lib.seam_advance(50 * SECOND)
    slow.bench.run()
    assert all(request.status is None for request in requests)
    slow.block.finish(*requests)
    assert {request.status for request in requests} == {ETIMEDOUT}


def test_a_busy_driver_is_tried_again(slow: Slow) -> None:
    """A driver that says -EBUSY and forgets its kick loses no request."""
    slow.lib.slow_busy = True
    request = slow.submit(READ, owner=1)
    slow.lib.slow_busy = False
    slow.lib.seam_advance(SECOND)
    slow.bench.run()
    slow.step()
    assert request.status == 0


def test_deadline_from_the_hand_over(slow: Slow) -> None:
    """A request of one second waits for three, then has its second; a hung one ends."""
    for _ in range(3 * IOPS):
        slow.submit(READ, owner=1)
    late = slow.submit(READ, owner=1, timeout=SECOND)
    for _ in range(3 * IOPS + 1):
        slow.step()
    assert late.status == 0
    hung = slow.submit(READ, owner=1, timeout=SECOND)
    slow.lib.seam_advance(3 * SECOND)
    slow.bench.run()
    assert hung.status == ETIMEDOUT


def test_removal_ends_what_waits(unit: cunit.Unit) -> None:
    slow = Slow(unit)
    slow.lib.slow_busy = True
    requests = [slow.submit(READ, owner=n + 1) for n in range(100)]
    slow.close()
    assert {request.status for request in requests} == {ENODEV}
