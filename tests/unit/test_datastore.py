# SPDX-License-Identifier: Apache-2.0
"""The datastore's C code on a simulated disk: files against a Python model, errors, a full disk."""

import errno
import random
from collections.abc import Iterator

import pytest

from tests.unit import cunit, dsvolume
from tests.unit.dsvolume import MIB, Disk


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


def test_write_read_remount(disk: Disk) -> None:
    inode = disk.create("a")
    data = bytes(i * 7 & 0xFF for i in range(3 * MIB))
    disk.write(inode, 100, data)
    assert disk.read(inode, 0, 100) == bytes(100)
    assert disk.read(inode, 100, 4 * MIB) == data
    disk.unmount()
    reader = disk.reader()
    assert reader.read(reader.find("/a"), 0, 4 * MIB) == bytes(100) + data
    disk.mount()
    assert disk.read(disk.find("a"), 100, 4 * MIB) == data


def test_ten_thousand_names(disk: Disk) -> None:
    names = [f"file-{i}" for i in range(10_000)]
    for name in names:
        disk.create(name)
    assert sorted(disk.names()) == sorted(names)
    for name in names[:9_990]:
        disk.unlink(name)
    assert sorted(disk.names()) == sorted(names[9_990:])


def test_names_chosen_for_their_hashes(disk: Disk) -> None:
    """All in one bucket: it fills up, nothing else does, and nothing is damaged."""
    names = []
    for i in range(1_000_000):
        name = f"{i:x}".ljust(200, "z")
        if disk.lib.ds_hash(name.encode(), 200) % 256 == 0:
            names.append(name)
            if len(names) == 700:
                break
    made = []
    with pytest.raises(OSError, match=str(errno.ENOSPC)):
        for name in names:
            disk.create(name)
            made.append(name)
    assert len(made) > 500
    disk.create("another")
    assert sorted(disk.names()) == sorted([*made, "another"])
    with pytest.raises(OSError, match=str(errno.ENOSPC)):
        disk.rename("another", names[len(made)])
    for name in made:
        disk.unlink(name)
    for name in reversed(names[:500]):
        disk.create(name)
    assert not disk.ds.read_only


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "-", " "])
def test_names(disk: Disk, name: str) -> None:
    inode = disk.create(name)
    assert disk.find(name) == inode
    with pytest.raises(OSError, match=str(errno.EEXIST)):
        disk.ok(disk.lib.ds_dir_add(disk.ds, disk.root(), name.encode(), inode, 8))
    disk.rename(name, "short")
    assert disk.names() == ["short"]


def test_unlink_while_open(disk: Disk) -> None:
    inode = disk.create("a")
    disk.write(inode, 0, b"x" * 2 * MIB)
    disk.unlink("a")
    assert disk.read(inode, MIB, 3) == b"xxx"
    disk.close(inode)
    assert disk.names() == []


def test_full_disk(disk: Disk) -> None:
    inode = disk.create("a")
    kept = disk.create("kept")
    disk.write(kept, 0, b"k" * 5000)
    at = 0
    with pytest.raises(OSError, match=str(errno.ENOSPC)):
        while True:
            at += disk.write(inode, at, b"f" * MIB)
    assert at > 40 * MIB
    assert disk.read(kept, 0, 5000) == b"k" * 5000
    disk.close(inode)
    disk.unlink("a")
    again = disk.create("b")
    assert disk.write(again, 0, b"g" * 8 * MIB) == 8 * MIB


SIZES = [1, 511, 512, 4096, 5000, 70_000]
PLACES = [0, 1, 3900, 4096, 100_000, MIB - 1, MIB, 3 * MIB]


def forget(disk: Disk, name: str, model: dict[str, bytearray]) -> None:
    """The name is about to go: half of the files that are open stay so."""
    if name in model and (inode := disk.find(name)) in disk.open_files and inode % 2:
        disk.close(inode)


def step(disk: Disk, rng: random.Random, model: dict[str, bytearray]) -> None:
    """One random operation on the disk and on the model."""
    names = sorted(model)
    kind = rng.choice(["create", "write", "write", "write", "read", "read", "truncate", "unlink",
                       "rename", "sync", "punch", "allocate", "holes"])  # fmt: skip
    name = rng.choice(names) if names else ""
    size = rng.choice(SIZES) if rng.random() < 0.97 else rng.choice([MIB, 2 * MIB])
    at = rng.choice(PLACES)
    disk.touched.add(name)
    if kind == "create" or not names:
        name = f"n{rng.randrange(40)}"
        if name not in model:
            disk.create(name)
            model[name] = bytearray()
    elif kind == "write":
        data = rng.randbytes(size)
        if disk.write(disk.find(name), at, data) != size:
            raise OSError(errno.EIO, "a part of it only")
        old = model[name]
        old.extend(bytes(max(0, at + size - len(old))))
        old[at : at + size] = data
    elif kind == "read":
        assert disk.read(disk.find(name), at, size) == model[name][at : at + size]
    elif kind == "truncate":
        disk.truncate(disk.find(name), at)
        old = model[name]
        del old[at:]
        old.extend(bytes(at - len(old)))
    elif kind == "punch":
        disk.punch(disk.find(name), at, size)
        end = min(at + size, len(model[name]))
        model[name][at:end] = bytes(max(0, end - at))
    elif kind == "allocate":
        disk.allocate(disk.find(name), at, size)
        model[name].extend(bytes(max(0, at + size - len(model[name]))))
    elif kind == "holes":
        covered = 0
        for start, end in disk.extents(disk.find(name)):
            assert covered <= start < end <= len(model[name])
            assert not any(model[name][covered:start])
            covered = end
        assert not any(model[name][covered:])
    elif kind == "unlink":
        forget(disk, name, model)
        disk.unlink(name)
        del model[name]
    elif kind == "rename":
        other = rng.choice([*names, "fresh"])
        disk.touched.add(other)
        if other != name:
            forget(disk, other, model)
            disk.rename(name, other)
            model[other] = model.pop(name)
    else:
        disk.sync()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_random_operations(unit: cunit.Unit, seed: int) -> None:
    """2,500 steps a seed against a model; now and then all is closed, checked and mounted again."""
    disk = Disk.fresh(unit, 256 * MIB).mount()
    rng = random.Random(seed)
    model: dict[str, bytearray] = {}
    for i in range(2500):
        if sum(map(len, model.values())) > 60 * MIB:
            name = max(model, key=lambda n: len(model[n]))
            disk.truncate(disk.find(name), 0)
            model[name] = bytearray()
        step(disk, rng, model)
        if i % 500 == 499:
            disk.unmount()
            assert disk.report().problems == []
            disk.mount()
    assert sorted(disk.names()) == sorted(model)
    for name, contents in model.items():
        assert disk.read(disk.find(name), 0, len(contents) + 1) == contents
    disk.unmount()
    disk.destroy()


def test_rename_over_an_open_file(disk: Disk) -> None:
    old, new = disk.create("old"), disk.create("new")
    disk.write(old, 0, b"o" * 2 * MIB)
    disk.write(new, 0, b"n" * 10)
    disk.rename("new", "old")
    assert disk.find("old") == new and disk.names() == ["old"]
    assert disk.read(old, MIB, 5) == b"ooooo"
    disk.write(old, 0, b"still")
    assert disk.read(new, 0, 99) == b"n" * 10


def test_empty_files_and_reads_beyond_the_end(disk: Disk) -> None:
    inode = disk.create("empty")
    assert disk.read(inode, 0, 10) == b"" == disk.read(inode, MIB, 10)
    assert disk.write(inode, 0, b"") == 0
    disk.truncate(inode, 0)
    disk.truncate(inode, 5 * MIB)
    assert disk.read(inode, 5 * MIB - 2, 10) == bytes(2)
    with pytest.raises(OSError, match=str(errno.ENAMETOOLONG)):
        disk.create("x" * 256)
