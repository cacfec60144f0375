# SPDX-License-Identifier: Apache-2.0
"""The vDSO as it is built: what a dynamic linker sees, and its functions, run in this process."""

import ctypes
import errno
import mmap
import time
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from tests.unit.cunit import ROOT

IMAGE = ROOT / "build/gen/vdso.so"
PAGE = 4096
SECOND = 10**9
REALTIME, MONOTONIC, CPU, RAW, REALTIME_COARSE, MONOTONIC_COARSE, BOOTTIME = 0, 1, 2, 4, 5, 6, 7
NAMES = {f"__vdso_{name}" for name in ("clock_gettime", "gettimeofday", "time", "getcpu")}


def section(elf: ELFFile, name: str) -> Any:
    return elf.get_section_by_name(name)


class TimePage(ctypes.Structure):
    """struct time_page of vmk/time.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in ("tsc_base", "tsc_mult", "realtime_offset")]


class Vdso:
    """The image behind a page of times, as the vmkernel maps it."""

    def __init__(self, image: Path) -> None:
        data = image.read_bytes()
        size = PAGE + -(-len(data) // PAGE) * PAGE
        self.memory = mmap.mmap(-1, size, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.memory[PAGE : PAGE + len(data)] = data
        self.page = TimePage.from_buffer(self.memory)
        base = ctypes.addressof(self.page) + PAGE
        with image.open("rb") as file:
            symbols = section(ELFFile(file), ".dynsym").iter_symbols()
            self.at = {s.name: base + s["st_value"] for s in symbols}

    def call(self, name: str, *arguments: object) -> int:
        return int(ctypes.CFUNCTYPE(ctypes.c_long)(self.at[f"__vdso_{name}"])(*arguments))

    def clock(self, which: int) -> int:
        """Nanoseconds."""
        ts = (ctypes.c_int64 * 2)(-1, -1)
        assert self.call("clock_gettime", which, ts) == 0 and 0 <= ts[1] < SECOND
        return ts[0] * SECOND + ts[1]


@pytest.fixture
def vdso() -> Vdso:
    return Vdso(IMAGE)


def test_a_dynamic_linker_can_read_it() -> None:
    """Name and versions are Linux's; one segment, not writable; nothing to relocate."""
    with IMAGE.open("rb") as file:
        elf = ELFFile(file)
        segments = {s["p_type"]: (s["p_flags"], s["p_offset"]) for s in elf.iter_segments()}
        assert segments["PT_LOAD"] == (5, 0) and segments["PT_DYNAMIC"][0] == 4
        assert len(segments) == 2
        dynamic = list(section(elf, ".dynamic").iter_tags())
        assert [t.soname for t in dynamic if t["d_tag"] == "DT_SONAME"] == ["linux-vdso.so.1"]
        assert not any("REL" in str(t["d_tag"]) for t in dynamic)
        numbers = section(elf, ".gnu.version")
        symbols = section(elf, ".dynsym").iter_symbols()
        defined = {
            s.name: numbers.get_symbol(i)["ndx"]
            for i, s in enumerate(symbols)
            if s["st_shndx"] not in ("SHN_UNDEF", "SHN_ABS")
        }
        versions = {
            next(names).name: version["vd_ndx"]
            for version, names in section(elf, ".gnu.version_d").iter_versions()
        }
    assert defined == dict.fromkeys(NAMES, versions["LINUX_2.6"])


def test_times_follow_the_page(vdso: Vdso) -> None:
    """With a counter that stands still every time is known exactly."""
    vdso.page.realtime_offset = 1_700_000_000 * SECOND + 123_456_789
    for realtime in (REALTIME, REALTIME_COARSE):
        assert vdso.clock(realtime) == vdso.page.realtime_offset
    assert [vdso.clock(c) for c in (MONOTONIC, RAW, MONOTONIC_COARSE, BOOTTIME)] == [0] * 4
    tv, zone, seconds = (ctypes.c_int64 * 2)(), (ctypes.c_int32 * 2)(7, 7), ctypes.c_int64()
    assert vdso.call("gettimeofday", tv, zone) == 0
    assert (list(tv), list(zone)) == ([1_700_000_000, 123_456], [0, 0])
    assert vdso.call("gettimeofday", None, None) == 0
    assert vdso.call("time", None) == 1_700_000_000
    assert vdso.call("time", ctypes.byref(seconds)) == seconds.value == 1_700_000_000
    vdso.page.realtime_offset += SECOND
    assert vdso.call("time", None) == 1_700_000_001


def test_the_counter_is_scaled(vdso: Vdso) -> None:
    """ns = (TSC - base) * mult >> 32: the same counter in ticks and in thirds of them."""
    vdso.page.tsc_mult = 1 << 32
    ticks = vdso.clock(MONOTONIC)
    vdso.page.tsc_base = ticks
    past = [vdso.clock(MONOTONIC) for _ in range(100)]
    assert past == sorted(past) and past[-1] > 0
    vdso.page.tsc_mult = (1 << 32) // 3
    low = past[-1] // 3
    assert low <= vdso.clock(MONOTONIC) <= low + 60 * SECOND
    vdso.page.realtime_offset = 5 * SECOND
    monotonic = vdso.clock(MONOTONIC)
    assert 0 <= vdso.clock(REALTIME) - 5 * SECOND - monotonic < 60 * SECOND


def test_other_clocks_are_the_kernels(vdso: Vdso) -> None:
    before = time.process_time_ns()
    assert before <= vdso.clock(CPU) <= time.process_time_ns()
    assert vdso.call("clock_gettime", 99, (ctypes.c_int64 * 2)()) == -errno.EINVAL
