# SPDX-License-Identifier: Apache-2.0
"""The reader of QEMU's logs of writes, and the disks that power cuts leave."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.system.logwrites import SECTOR, Entry, Flag, Image, build, parse, power_cuts

SECTORS = 16


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    kind = draw(st.sampled_from([Flag(0), Flag(0), Flag.FLUSH, Flag.DISCARD]))
    if kind is Flag.FLUSH:
        return Entry(0, 0, kind)
    sector = draw(st.integers(0, SECTORS - 1))
    count = draw(st.integers(1, SECTORS - sector))
    data = b"" if kind else bytes([draw(st.integers(1, 255))]) * count * SECTOR
    return Entry(sector, count, kind, data)


@given(st.lists(entries(), max_size=12))
def test_round_trip(log: list[Entry]) -> None:
    assert parse(build(log)) == log


def test_a_log_that_ends_early() -> None:
    log = build([Entry(3, 2, Flag(0), bytes(2 * SECTOR))])
    with pytest.raises(ValueError, match="ends within an entry"):
        parse(log[:-1])


@given(st.lists(entries(), max_size=12), st.integers(0, 12), st.integers())
def test_what_a_flush_covers_survives(log: list[Entry], point: int, seed: int) -> None:
    """Each sector holds what it held at the last flush, or what was written to it since."""
    point = min(point, len(log))
    flushed = max((i + 1 for i, e in enumerate(log[:point]) if e.flags is Flag.FLUSH), default=0)
    image = Image(bytearray(SECTORS * SECTOR))
    versions: list[set[bytes]] = []
    for i, entry in enumerate([*log[:point], Entry(0, 0, Flag.FLUSH)]):
        if i == flushed:
            versions = [{image.read_at(s * SECTOR, SECTOR)} for s in range(SECTORS)]
        image.apply(entry)
        for s in range(entry.sector, entry.sector + entry.sectors) if versions else ():
            versions[s].add(image.read_at(s * SECTOR, SECTOR))
    base = Image(bytearray(SECTORS * SECTOR))
    ((_, after),) = power_cuts(base, log, [point], 0, random.Random(seed))
    assert all(after.read_at(s * SECTOR, SECTOR) in versions[s] for s in range(SECTORS))
