# SPDX-License-Identifier: Apache-2.0
"""Look-up of function names in the image's symbol table."""

import bisect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

OFFSETS = [0x0, 0x10, 0x11, 0x200, 0x9000]
BASE = 0xFFFFFFFF80000000
TABLE = f"""
const uint64_t ksym_base = {BASE:#x}, ksym_count = {len(OFFSETS)};
const uint32_t ksym_offsets[] = {{ {", ".join(map(str, OFFSETS))} }};
const uint32_t ksym_names[] = {{ {", ".join(str(3 * i) for i in range(len(OFFSETS)))} }};
const char ksym_strings[] = "{"".join(f"f{i}" + chr(92) + "0" for i in range(len(OFFSETS)))}";
"""


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build("ksym", ["vmkernel/lib/ksym.c"], headers=["vmk/ksym.h"], code=TABLE)


@given(st.integers(-0x20, 0x20000) | st.sampled_from(OFFSETS))
def test_an_address_belongs_to_the_function_below_it(unit: cunit.Unit, offset: int) -> None:
    distance = unit.ffi.new("uint64_t *")
    name = unit.lib.ksym_lookup((BASE + offset) % 2**64, distance)
    index = bisect.bisect_right(OFFSETS, offset) - 1
    if index < 0 or offset - OFFSETS[index] > 0x10000:
        assert name == unit.ffi.NULL
    else:
        assert unit.ffi.string(name) == f"f{index}".encode()
        assert distance[0] == offset - OFFSETS[index]
