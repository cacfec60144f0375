# SPDX-License-Identifier: Apache-2.0
"""The vmkernel's reader of the userworld archive: what iso.cpio writes comes back whole."""

import io
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.iso import cpio
from tests.unit import cunit

EINVAL = 22
NAMES = st.text("abcde.-_", min_size=1, max_size=12).filter(lambda n: n not in (".", ".."))


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build("cpio", ["vmkernel/fs/cpio.c"], ["fs/cpio.h"])


def read(unit: cunit.Unit, data: bytes) -> tuple[int, list[tuple[str, int, bytes]]]:
    """The last result and (name, mode, contents) of each entry. ASan watches the bounds."""
    memory = unit.ffi.new("uint8_t[]", data)
    state, entry = unit.ffi.new("struct cpio *"), unit.ffi.new("struct cpio_entry *")
    unit.lib.cpio_init(state, memory, len(data))
    found: list[tuple[str, int, bytes]] = []
    while (result := unit.lib.cpio_next(state, entry)) > 0:
        contents: Any = unit.ffi.buffer(entry.data, entry.size)
        name = unit.ffi.string(entry.name).decode(errors="replace")
        found.append((name, entry.mode, bytes(contents)))
    return result, found


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as folder:
        for name, contents in files.items():
            (Path(folder) / name).write_bytes(contents)
        cpio.write(Path(folder), out, 1)
    return out.getvalue()


FILES = st.dictionaries(NAMES, st.binary(max_size=5000), max_size=5)


@given(files=FILES)
def test_round_trip(unit: cunit.Unit, files: dict[str, bytes]) -> None:
    result, found = read(unit, archive(files))
    assert result == 0
    assert {name: contents for name, _, contents in found} == files
    assert all(stat.S_ISREG(mode) for _, mode, _ in found)


@given(files=FILES, data=st.data())
def test_damage_is_found_or_harmless(unit: cunit.Unit, files: dict[str, bytes], data: Any) -> None:
    good = bytearray(archive(files))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    result, _ = read(unit, bytes(good[: data.draw(st.integers(0, len(good)))]))
    assert result in (0, -EINVAL)


@given(junk=st.binary(max_size=400))
def test_junk_is_refused(unit: cunit.Unit, junk: bytes) -> None:
    assert read(unit, junk)[0] == -EINVAL or b"TRAILER!!!" in junk
    assert read(unit, cpio.MAGIC + b"f" * 104 + junk)[0] == -EINVAL
