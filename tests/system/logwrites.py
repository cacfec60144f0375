# SPDX-License-Identifier: Apache-2.0
"""The log of QEMU's blklogwrites driver, and what a power cut may have left of a disk.

The format is Linux's (drivers/md/dm-log-writes.c): a superblock in the first sector; then per entry
one sector with its head and, but for discards, the data. QEMU appends an entry when the operation
has been done and before the guest hears of it, and renews the superblock's count at each flush.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import Any

from construct import Const, Int32ul, Int64ul, Struct

SECTOR = 512

Super: Any = Struct(
    "magic" / Const(0x6A736677736872, Int64ul),
    "version" / Const(1, Int64ul),
    "entries" / Int64ul,
    "sector_size" / Const(SECTOR, Int32ul),
)
Head: Any = Struct(
    "sector" / Int64ul, "sectors" / Int64ul, "flags" / Int64ul, "data_length" / Int64ul
)


class Flag(IntFlag):
    FLUSH = 1
    FUA = 2
    DISCARD = 4
    MARK = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """A write, a flush (no sectors) or a discard; `data` is empty for the last two."""

    sector: int
    sectors: int
    flags: Flag
    data: bytes = b""


def parse(log: bytes) -> list[Entry]:
    """The entries up to the last flush, which is as far as the superblock counts."""
    entries, at = [], SECTOR
    for _ in range(Super.parse(log).entries):
        head = Head.parse(log[at : at + SECTOR])
        at += SECTOR
        size = 0 if head.flags & Flag.DISCARD else head.sectors * SECTOR
        data = log[at : at + size]
        if len(data) != size:
            raise ValueError(f"the log ends within an entry at {at}")
        entries.append(Entry(head.sector, head.sectors, Flag(head.flags), data))
        at += size
    return entries


def build(entries: list[Entry]) -> bytes:
    out = [Super.build({"entries": len(entries)}).ljust(SECTOR, b"\0")]
    for e in entries:
        head = {"sector": e.sector, "sectors": e.sectors, "flags": e.flags, "data_length": 0}
        out += [Head.build(head).ljust(SECTOR, b"\0"), e.data]
    return b"".join(out)


class Image:
    """A disk in memory (a Device of the datastore's reader), seen from the byte `start` on."""

    def __init__(self, data: bytearray, start: int = 0) -> None:
        self.data, self.start = data, start

    @classmethod
    def read(cls, path: Path) -> "Image":
        return cls(bytearray(path.read_bytes()))

    def read_at(self, offset: int, length: int) -> bytes:
        data = bytes(self.data[self.start + offset : self.start + offset + length])
        if len(data) != length:
            raise OSError(f"{length} bytes at {offset}: the image ends")
        return data

    def apply(self, entry: Entry, first: int = 0, end: int | None = None) -> None:
        """All of an entry, or a torn write's sectors from `first` to before `end`."""
        data = bytes(entry.sectors * SECTOR) if entry.flags & Flag.DISCARD else entry.data
        part = data[first * SECTOR : None if end is None else end * SECTOR]
        at = (entry.sector + first) * SECTOR
        self.data[at : at + len(part)] = part

    def copy(self, start: int) -> "Image":
        return Image(bytearray(self.data), start)


def survive(image: Image, entry: Entry, rng: random.Random) -> None:
    """A write that no flush covers: there, not there, or torn at a sector."""
    how = rng.randrange(4)
    if how == 0:
        return
    cut = rng.randrange(entry.sectors + 1) if how == 1 else entry.sectors
    if how == 1 and rng.random() < 0.5:
        image.apply(entry, first=cut)
    else:
        image.apply(entry, end=cut)


def power_cuts(
    base: Image, entries: list[Entry], points: list[int], start: int, rng: random.Random
) -> Iterator[tuple[int, Image]]:
    """(point, disk) of power cuts behind entry number `point` - 1, for rising points.

    What the last flush covers is there; of the rest everything, nothing, or what chance leaves."""
    done = 0
    for point in points:
        flushed = point
        while flushed > done and not entries[flushed - 1].flags & Flag.FLUSH:
            flushed -= 1
        for entry in entries[done:flushed]:
            base.apply(entry)
        done = max(done, flushed)
        image = base.copy(start)
        how = rng.choice(["all", "none", "some", "some", "some"])
        for entry in entries[done:point]:
            if how == "all":
                image.apply(entry)
            elif how == "some":
                survive(image, entry, rng)
        yield point, image
