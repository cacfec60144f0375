# SPDX-License-Identifier: Apache-2.0
"""Virtual disks: the C code over a datastore on a simulated disk, against a Python model."""

import errno
import random
from collections.abc import Iterator

import pytest

from tests.unit import cunit, dsvolume
from tests.unit.dsvolume import MIB, Disk, VirtualDisk
from tests.unit.test_datastore_crash import SECTOR, File, Workload, run, sectors


@pytest.fixture(scope="session")
def unit() -> cunit.Unit:
    return dsvolume.build()


@pytest.fixture
def disk(unit: cunit.Unit) -> Iterator[Disk]:
    d = Disk.fresh(unit).mount()
    yield d
    d.unmount()
    assert d.report().problems == []
    d.destroy()


def thin(disk: Disk, size: int, name: str = "a") -> int:
    """A file of that size without a block; its inode."""
    inode = disk.create(name)
    disk.truncate(inode, size)
    disk.close(inode)
    return inode


def eager(disk: Disk, size: int) -> int:
    inode = disk.create("a")
    for at in range(0, size, MIB):
        disk.write(inode, at, bytes(MIB))
    disk.close(inode)
    return inode


def test_a_disk_in_use_is_nobody_elses(disk: Disk) -> None:
    inode = thin(disk, 4 * MIB)
    v = VirtualDisk(disk, inode)
    with pytest.raises(OSError, match=str(errno.EBUSY)):
        VirtualDisk(disk, inode)
    v.close()
    disk.open(inode)
    with pytest.raises(OSError, match=str(errno.EBUSY)):
        VirtualDisk(disk, inode)
    disk.close(inode)
    VirtualDisk(disk, inode).close()


@pytest.mark.parametrize("size", [0, 100, MIB + 100])
def test_a_size_of_no_whole_sectors_is_refused(disk: Disk, size: int) -> None:
    with pytest.raises(OSError, match=str(errno.EINVAL)):
        VirtualDisk(disk, thin(disk, size))


def test_wrong_requests_are_refused(disk: Disk) -> None:
    v = VirtualDisk(disk, thin(disk, 2 * MIB), thin=False)
    for off, n in ((2 * MIB, 512), (MIB, 2 * MIB), (1, 512), (0, 100), (2**64 - 512, 1024)):
        with pytest.raises(OSError, match=str(errno.EINVAL)):
            v.zero(off, n)
    with pytest.raises(OSError, match=str(errno.EOPNOTSUPP)):
        v.discard(0, MIB)
    v.close()


def test_the_callers_pages_go_to_the_device(disk: Disk) -> None:
    """A first write and an overwrite, a read across blocks: the device gets the caller's pages."""
    v = VirtualDisk(disk, thin(disk, 8 * MIB))
    for _ in range(2):
        v.write(MIB - 8192, b"a" * 4096)
        assert disk.sim.last_pa == disk.lib.disk_pa
        assert v.read(MIB - 8192, 4096) == b"a" * 4096
        assert disk.sim.last_pa == disk.lib.disk_pa
    v.write(2 * MIB, b"b" * 2 * MIB)
    before = disk.sim.ops
    assert v.read(3 * MIB - 4096, 8192) == b"b" * 8192
    assert disk.sim.ops - before == 2  # one request of two pieces: the blocks lie side by side
    v.close()


def test_a_full_datastore_keeps_what_is_written(disk: Disk) -> None:
    v = VirtualDisk(disk, thin(disk, 256 * MIB))
    at = 0
    with pytest.raises(OSError, match=str(errno.ENOSPC)):
        for at in range(0, 256 * MIB, MIB):
            v.write(at, b"f" * 4096)
    assert at > 40 * MIB
    v.write(0, b"g" * 4096)
    assert v.read(0, 4096) == b"g" * 4096
    v.discard(MIB, at)
    v.flush()
    v.write(100 * MIB, b"h" * 4096)
    assert v.read(MIB, 4096) == bytes(4096)
    v.close()


@pytest.mark.parametrize("piece", [512, 4096])
@pytest.mark.parametrize("start", [thin, eager])
def test_random_requests(disk: Disk, piece: int, start: type) -> None:
    size = 8 * MIB
    inode = start(disk, size)
    rng = random.Random(piece)
    model = bytearray(size)
    v = VirtualDisk(disk, inode, piece=piece)
    for _ in range(400):
        off = rng.randrange(size // SECTOR) * SECTOR
        if rng.random() < 0.5:
            off -= off % 4096
        n = min(rng.choice([1, 3, 8, 9, 64, 1000, 5000]) * SECTOR, size - off)
        match rng.choice(["read", "write", "write", "zero", "discard", "flush"]):
            case "read":
                assert v.read(off, n) == model[off : off + n]
            case "write":
                model[off : off + n] = data = rng.randbytes(n)
                v.write(off, data)
            case "zero":
                model[off : off + n] = bytes(n)
                v.zero(off, n)
            case "discard":
                v.discard(off, n)
                first, end = -(-off // MIB) * MIB, (off + n) // MIB * MIB
                if end > first:
                    model[first:end] = bytes(end - first)
            case "flush":
                v.flush()
    assert v.read(0, size) == model
    v.close()
    disk.unmount()
    reader = disk.reader()
    assert reader.read(reader.find("/a"), 0, size) == model
    disk.mount()


def test_errors_of_the_device_come_back(disk: Disk) -> None:
    """A failure at each of the first operations of a sequence: an error at most, never harm."""
    for n in range(24):
        inode = thin(disk, 4 * MIB, f"n{n}")
        v = VirtualDisk(disk, inode)
        disk.sim.fail_at = n
        failed = False
        try:
            v.write(512, b"x" * 137 * SECTOR)
            v.read(0, 137 * SECTOR)
            v.zero(0, 4096)
            v.flush()
        except OSError:
            failed = True
        assert failed == (disk.sim.fail_at == -1) or disk.ds.read_only
        disk.sim.fail_at = -1
        v.close()
        if disk.ds.read_only:  # a commit failed: the volume says so; mounted again it is whole
            disk.abandon()
            assert disk.report().problems == []
            disk.mount()


class DiskWork(Workload):
    """Writes, zeroes, discards and flushes of three virtual disks."""

    SECTORS = 3 * MIB // SECTOR

    def __init__(self, unit: cunit.Unit, seed: int) -> None:
        super().__init__(unit, seed)
        self.vdisks: dict[str, VirtualDisk] = {}
        for name in ("a", "b", "c"):
            inode = thin(self.disk, self.SECTORS * SECTOR, name)
            self.tags += 1
            self.named(name, File(self.tags, [0] * self.SECTORS))
            self.vdisks[name] = VirtualDisk(self.disk, inode)
        self.disk.sync()
        self.acknowledge()

    def set(self, name: str, at: int, count: int, version: int) -> None:
        f = self.files[name]
        later = self.acks[-1].later.setdefault(f.tag, {})
        for i in range(at, at + count):
            f.versions[i] = version
            later.setdefault(i, set()).add(version)

    def step(self) -> None:
        name = self.rng.choice(sorted(self.files))
        v = self.vdisks[name]
        at = self.rng.randrange(self.SECTORS)
        count = min(self.rng.choice([1, 3, 8, 16, 300, 2100]), self.SECTORS - at)
        match self.rng.choice(["write", "write", "write", "zero", "discard", "flush"]):
            case "write":
                self.version += 1
                v.write(at * SECTOR, sectors(self.files[name].tag, self.version, count))
                self.set(name, at, count, self.version)
            case "zero":
                v.zero(at * SECTOR, count * SECTOR)
                self.set(name, at, count, 0)
            case "discard":
                block = MIB // SECTOR
                v.discard(at * SECTOR, count * SECTOR)
                first, end = -(-at // block) * block, (at + count) // block * block
                self.set(name, first, max(end - first, 0), 0)
            case "flush":
                v.flush()
                self.acknowledge()

    def close_all(self) -> None:
        for v in self.vdisks.values():
            v.close()


@pytest.mark.parametrize("seed", range(2))
def test_crashes_quickly(unit: cunit.Unit, seed: int) -> None:
    assert run(unit, seed, steps=40, states=12, kind=DiskWork) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 13))
def test_crashes(unit: cunit.Unit, seed: int) -> None:
    assert run(unit, seed, steps=60, states=50, kind=DiskWork) == []
