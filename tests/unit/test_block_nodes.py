# SPDX-License-Identifier: Apache-2.0
"""Disks as files: any range of bytes against a bytearray, names, sizes, who may open."""

import errno
import os
import stat
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit import fs_unit
from tests.unit.fs_unit import Files

DISKS = "/vmfs/devices/disks"
BLOCKS = {512: 1400, 4096: 175}
SIZE = 512 * 1400


@pytest.fixture(scope="module")
def files() -> Files:
    return Files(fs_unit.build())


@pytest.fixture(params=BLOCKS)
def memory(files: Files, request: pytest.FixtureRequest) -> Iterator[Any]:
    """What the disk "d" of SIZE bytes holds; beside it stands the disk "d:1"."""
    data = files.ffi.new("uint8_t[]", SIZE)
    files.lib.test_disk(0, b"d", data, request.param, BLOCKS[request.param])
    files.lib.test_disk(1, b"d:1", data, request.param, 1)
    yield data
    assert files.lib.test_disk_opens == 0
    files.lib.test_disk_held = False


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, SIZE + 10),
                                st.one_of(st.integers(0, 5000), st.integers(0, SIZE)),
                                st.integers(1, 255)), max_size=8))  # fmt: skip
def test_ranges(files: Files, memory: Any, steps: list[tuple[bool, int, int, int]]) -> None:
    model = bytearray(files.ffi.buffer(memory, SIZE))
    disk = files.open(f"{DISKS}/d", os.O_RDWR)
    for write, at, size, fill in steps:
        fits = min(size, max(0, SIZE - at))
        if not write:
            assert files.read(disk, size, at) == model[at : at + fits]
        elif size and not fits:
            with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                files.write(disk, bytes([fill]) * size, at)
        else:
            assert files.write(disk, bytes([fill]) * size, at) == fits
            model[at : at + fits] = bytes([fill]) * fits
    files.close(disk)
    assert files.ffi.buffer(memory, SIZE)[:] == model


def test_names_and_sizes(files: Files, memory: Any) -> None:
    assert files.names(DISKS) == files.names("/dev/disks") == {"d", "d:1"}
    assert stat.S_ISBLK(files.stat(f"{DISKS}/d:1")[1])
    disk = files.open("/dev/disks/d")
    assert files.lib.file_seek(disk, 0, os.SEEK_END) == SIZE
    before = files.lib.test_flushes
    assert files.lib.test_fsync(disk) == 0 and files.lib.test_flushes == before + 1
    files.close(disk)
    with pytest.raises(OSError, match=os.strerror(errno.ENOENT)):
        files.open("/dev/disks/e")


def test_one_who_holds_it_alone(files: Files, memory: Any) -> None:
    holder = files.open("/dev/disks/d", os.O_RDWR | os.O_EXCL)
    files.close(files.open("/dev/disks/d"))
    for flags in (os.O_RDWR, os.O_RDONLY | os.O_EXCL):
        with pytest.raises(OSError, match=os.strerror(errno.EBUSY)):
            files.open("/dev/disks/d", flags)
    files.close(holder)
    files.close(files.open("/dev/disks/d", os.O_WRONLY))
