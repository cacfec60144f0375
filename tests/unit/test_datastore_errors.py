# SPDX-License-Identifier: Apache-2.0
"""Devices that fail: any request at any time, or a place for good. The caller hears of it, the
volume stays sound or goes read-only, and what was synced before is there afterwards."""

import errno
import random

import pytest

from tests.unit import cunit, dsvolume
from tests.unit.dsvolume import MIB, Disk
from tests.unit.test_datastore import step

EXPECTED = {errno.EIO, errno.EROFS, errno.ENOSPC}


@pytest.fixture(scope="session")
def unit() -> cunit.Unit:
    return dsvolume.build()


def work_until(disk: Disk, rng: random.Random, model: dict[str, bytearray], steps: int) -> int:
    """Steps until one fails as it should, or all; the error or 0."""
    for _ in range(steps):
        try:
            step(disk, rng, model)
        except OSError as e:
            assert e.errno in EXPECTED, e
            if e.errno != errno.ENOSPC:
                return e.errno
    return 0


def power_cut(disk: Disk) -> None:
    disk.close_all()
    disk.sim.fail_at = 0  # what the unmount would still write is lost
    with pytest.raises(OSError, match="error"):
        disk.sync()
    disk.lib.ds_unmount(disk.ds)
    disk.ds = None
    disk.sim.fail_at, disk.sim.bad_len = -1, 0


def settle(disk: Disk, synced: dict[str, bytes]) -> None:
    """After a crash, on a good device: sound, and what nobody touched since the sync is there."""
    assert disk.report().problems == []
    disk.mount()
    assert not disk.ds.read_only
    for name in set(synced) - disk.touched:
        assert disk.read(disk.find(name), 0, len(synced[name]) + 1) == synced[name]
    disk.unmount()
    assert disk.report().problems == []


@pytest.mark.parametrize("seed", range(60))
def test_one_request_fails(unit: cunit.Unit, seed: int) -> None:
    """Read, write or flush number N after a sync fails once; the work goes on as far as it can."""
    disk, rng = Disk.fresh(unit).mount(), random.Random(seed)
    model: dict[str, bytearray] = {}
    work_until(disk, rng, model, 40)
    disk.sync()
    disk.touched.clear()
    synced = {name: bytes(data) for name, data in model.items()}
    disk.sim.fail_at = rng.randrange(60)
    work_until(disk, rng, model, 40)
    disk.sim.fail_at = -1
    if disk.ds.read_only:
        assert disk.ffi.string(disk.ds.damage)
        with pytest.raises(OSError, match=str(errno.EROFS)):
            disk.create("refused")
    power_cut(disk)
    settle(disk, synced)
    disk.destroy()


@pytest.mark.parametrize("seed", range(20))
def test_a_place_fails_for_good(unit: cunit.Unit, seed: int) -> None:
    disk, rng = Disk.fresh(unit).mount(), random.Random(seed)
    model: dict[str, bytearray] = {}
    work_until(disk, rng, model, 30)
    disk.sync()
    disk.touched.clear()
    synced = {name: bytes(data) for name, data in model.items()}
    disk.sim.bad, disk.sim.bad_len = rng.randrange(64 * MIB // 4096) * 4096, rng.choice([512, MIB])
    for _ in range(5):
        work_until(disk, rng, model, 20)
    power_cut(disk)
    settle(disk, synced)
    disk.destroy()


def test_bad_metadata_names_itself(unit: cunit.Unit) -> None:
    disk = Disk.fresh(unit).mount()
    inode = disk.create("a")
    disk.unmount()
    page = disk.ffi.new("uint8_t[]", b"junk")
    disk.lib.sim_poke(disk.sim, inode * 4096 + 100, page, 4)
    disk.mount()
    with pytest.raises(OSError, match=str(errno.EIO)):
        disk.open(inode)
    assert disk.ds.read_only
    assert f"page {inode} of type 7 fails its check" in disk.ffi.string(disk.ds.damage).decode()
    disk.unmount()
    assert f"page {inode} (INODE) fails its checksum" in str(disk.report().problems)
    disk.destroy()


def test_both_tails_gone_leaves_it_readable(unit: cunit.Unit) -> None:
    disk = Disk.fresh(unit).mount()
    disk.write(disk.create("a"), 0, b"x" * 5000)
    disk.unmount()
    page = disk.ffi.new("uint8_t[]", b"junk")
    for tail in (256, 257):
        disk.lib.sim_poke(disk.sim, tail * 4096 + 40, page, 4)
    disk.mount()
    assert disk.ds.read_only and b"tails" in disk.ffi.string(disk.ds.damage)
    assert disk.read(disk.find("a"), 0, 5000) == b"x" * 5000
    disk.unmount()
    disk.destroy()
