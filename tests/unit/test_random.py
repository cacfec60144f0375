# SPDX-License-Identifier: Apache-2.0
"""ChaCha20 against RFC 8439, and what the generator promises."""

from collections.abc import Iterator

import pytest

from tests.unit import cunit

SEAMS = """
#include "x86/entropy.h"
int test_hardware; uint64_t test_time, test_word = 0x1234567;
bool hardware_word(uint64_t *out) { *out = ++test_word; return test_hardware; }
uint64_t fine_time(void) { return test_time++; }
"""


@pytest.fixture
def unit() -> Iterator[cunit.Unit]:
    yield cunit.build(
        "random",
        sources=["vmkernel/x86/random.c", "vmkernel/lib/chacha.c"],
        headers=["vmk/random.h", "lib/chacha.h"],
        cdef="extern int test_hardware; extern uint64_t test_time;",
        code=SEAMS,
    )


def take(unit: cunit.Unit, count: int) -> bytes:
    out = unit.ffi.new("uint8_t[]", max(count, 1))
    unit.lib.random_bytes(out, count)
    return bytes(unit.ffi.buffer(out, count))


def test_rfc8439_block(unit: cunit.Unit) -> None:
    """RFC 8439 2.3.2."""
    key = unit.ffi.new("uint32_t[8]")
    unit.ffi.memmove(key, bytes(range(32)), 32)
    nonce = unit.ffi.new("uint32_t[3]")
    unit.ffi.memmove(nonce, bytes.fromhex("000000090000004a00000000"), 12)
    out = unit.ffi.new("uint8_t[64]")
    unit.lib.chacha20_block(key, 1, nonce, out)
    assert bytes(unit.ffi.buffer(out)) == bytes.fromhex(
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e"
    )


def test_rfc8439_zero_key(unit: cunit.Unit) -> None:
    """RFC 8439 A.1, test vector 1."""
    out = unit.ffi.new("uint8_t[64]")
    zero = unit.ffi.new("uint32_t[8]")
    unit.lib.chacha20_block(zero, 0, zero, out)
    assert bytes(unit.ffi.buffer(out))[:32] == bytes.fromhex(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
    )


def test_never_repeats(unit: cunit.Unit) -> None:
    seen = {take(unit, 32) for _ in range(1000)}
    assert len(seen) == 1000


def test_lengths(unit: cunit.Unit) -> None:
    """Every byte is written, none beyond; long requests are not a repeated block."""
    for count in (0, 1, 31, 63, 64, 65, 1000):
        out = unit.ffi.new("uint8_t[]", count + 16)
        unit.lib.random_bytes(out, count)
        assert bytes(unit.ffi.buffer(out))[count:] == bytes(16)
    data = take(unit, 64 * 64)
    assert len({data[i : i + 64] for i in range(0, len(data), 64)}) == 64
    ones = sum(byte.bit_count() for byte in take(unit, 100_000))
    assert abs(ones - 400_000) < 4_000


def test_ready_needs_entropy(unit: cunit.Unit) -> None:
    """Without an instruction for it the generator waits for 1,024 events."""
    if unit.lib.random_ready():
        pytest.fail("a fresh unit must not be ready")
    unit.lib.test_hardware = 0
    unit.lib.random_init()
    assert not unit.lib.random_ready()
    for _ in range(1023):
        unit.lib.random_add_event(7)
    assert not unit.lib.random_ready()
    unit.lib.random_add_event(7)
    assert unit.lib.random_ready()
