# SPDX-License-Identifier: Apache-2.0
"""Space: sizes to 64 TiB, holes, allocating ahead, punching, discard, a volume without any left."""

import errno

import pytest

from tests.unit import cunit, dsvolume
from tests.unit.dsvolume import MIB, Disk

TIB = 1 << 40


@pytest.fixture(scope="session")
def unit() -> cunit.Unit:
    return dsvolume.build()


@pytest.mark.parametrize("size", [16 * MIB, TIB // 1024, 16 * TIB, 64 * TIB])
def test_sizes(unit: cunit.Unit, size: int) -> None:
    """A volume of that size, and a file as long as it, written at both ends and in the middle."""
    disk = Disk.fresh(unit, size).mount()
    inode = disk.create("long")
    places = [(0, b"first"), (size // 2 - 3, b"middle"), (size - 4, b"last")]
    for at, data in places:
        assert disk.write(inode, at, data) == len(data)
    with pytest.raises(OSError, match=str(errno.EFBIG)):
        disk.write(inode, 64 * TIB, b"x")
    assert disk.seek(inode, 5, hole=True) == 4096
    disk.unmount()
    disk.mount()
    inode = disk.find("long")
    for at, data in places:
        assert disk.read(inode, at, len(data)) == data
    assert disk.seek(inode, 4096, hole=False) == (size // 2 - 3) // 4096 * 4096
    assert disk.read(inode, size - 8, 100) == bytes(4) + b"last"
    disk.truncate(inode, 1)
    assert disk.read(inode, 0, 10) == b"f"
    disk.unmount()
    if size <= 16 * TIB:
        assert disk.report().problems == []
    disk.destroy()


def test_holes(unit: cunit.Unit) -> None:
    disk = Disk.fresh(unit).mount()
    inode = disk.create("a")
    disk.write(inode, 0, b"x")
    assert disk.seek(inode, 0, hole=False) == 0 and disk.seek(inode, 0, hole=True) == 1
    disk.truncate(inode, 10 * MIB)
    disk.write(inode, 8192, b"y" * 4096)
    disk.write(inode, 5 * MIB + 4096, b"z" * 4096)
    assert disk.extents(inode) == [(0, 4096), (8192, 12288), (5 * MIB + 4096, 5 * MIB + 8192)]
    disk.allocate(inode, 0, 8 * MIB)
    assert disk.extents(inode) == [(0, 4096), (8192, 12288), (5 * MIB + 4096, 5 * MIB + 8192)]
    for at in (10 * MIB, 10 * MIB + 1):
        with pytest.raises(OSError, match=str(errno.ENXIO)):
            disk.seek(inode, at, hole=True)
    disk.unmount()
    assert disk.report().problems == []
    disk.destroy()


def test_punch(unit: cunit.Unit) -> None:
    disk = Disk.fresh(unit).mount()
    inode = disk.create("a")
    data = bytearray(b"abcdefg" * MIB)
    disk.write(inode, 0, bytes(data))
    for at, size in ((100, 50), (MIB - 10, 3 * MIB), (6 * MIB + 5, 9 * MIB)):
        disk.punch(inode, at, size)
        end = min(at + size, len(data))
        data[at:end] = bytes(end - at)
        assert disk.read(inode, 0, 8 * MIB) == data
    assert disk.extents(inode) == [(0, MIB), (3 * MIB, 7 * MIB)]
    small = disk.create("small")
    disk.write(small, 0, b"0123456789")
    disk.punch(small, 2, 3)
    assert disk.read(small, 0, 99) == b"01\0\0\x0056789"
    disk.sync()
    assert disk.sim.discarded == 2 * MIB
    disk.unmount()
    assert disk.report().problems == []
    disk.destroy()


def test_discard_follows_the_commit(unit: cunit.Unit) -> None:
    disk = Disk.fresh(unit).mount()
    disk.write(disk.create("a"), 0, b"x" * 5 * MIB)
    disk.sync()
    disk.close_all()
    disk.unlink("a")
    disk.sync()
    assert disk.sim.discarded == 5 * MIB
    disk.unmount()
    disk.destroy()


def test_full_of_names_and_of_data(unit: cunit.Unit) -> None:
    """Until nothing more fits, in every way; nothing is torn, and what goes makes room again."""
    disk = Disk.fresh(unit, 16 * MIB).mount()
    big, at, names = disk.create("big"), 0, 0
    with pytest.raises(OSError, match=str(errno.ENOSPC)):
        while True:
            at += disk.write(big, at, b"b" * MIB)
    with pytest.raises(OSError, match=str(errno.ENOSPC)):
        while True:
            disk.create(f"{names:04}" + "n" * 200)
            names += 1
    with pytest.raises(OSError, match=str(errno.ENOSPC)):
        disk.write(disk.find("0000" + "n" * 200), 0, b"x" * 5000)
    with pytest.raises(OSError, match=str(errno.ENOSPC)):
        disk.allocate(disk.find("0001" + "n" * 200), 0, MIB)
    assert names > 50
    disk.unmount()
    assert disk.report().problems == []
    disk.mount()
    disk.truncate(disk.find("big"), MIB)
    disk.create("room")
    for i in range(names):
        disk.unlink(f"{i:04}" + "n" * 200)
    assert sorted(disk.names()) == ["big", "room"]
    disk.unmount()
    assert disk.report().problems == []
    disk.destroy()


def test_allocated_space_is_there(unit: cunit.Unit) -> None:
    disk = Disk.fresh(unit, 16 * MIB).mount()
    kept, other = disk.create("kept"), disk.create("other")
    disk.allocate(kept, 0, 4 * MIB)
    at = 0
    with pytest.raises(OSError, match=str(errno.ENOSPC)):
        while True:
            at += disk.write(other, at, b"o" * MIB)
    assert disk.read(kept, 0, MIB) == bytes(MIB)
    assert disk.write(kept, 0, b"k" * 4 * MIB) == 4 * MIB
    disk.unmount()
    assert disk.report().problems == []
    disk.destroy()
