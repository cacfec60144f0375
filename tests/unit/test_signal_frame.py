# SPDX-License-Identifier: Apache-2.0
"""Where signal frames go, and that their layout is the one the C library was built for."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

CODE = """
struct frame_place place(uint64_t sp, size_t bytes);
struct frame_place place(uint64_t sp, size_t bytes) { return signal_frame_place(sp, bytes); }
"""


@pytest.fixture(scope="module")
def unit() -> cunit.Unit:
    return cunit.build(
        "signal_frame",
        sources=[],
        headers=["proc/signal_frame.h"],
        cdef="struct frame_place place(uint64_t sp, size_t bytes);",
        code=CODE,
    )


@given(sp=st.integers(1 << 20, 1 << 46), fpu=st.integers(512, 11000))
def test_place(unit: cunit.Unit, sp: int, fpu: int) -> None:
    at = unit.lib.place(sp, fpu)
    assert at.fpstate % 64 == 0 and at.fpstate + fpu <= sp
    assert at.frame % 16 == 8 and at.frame + 440 <= at.fpstate
    assert sp - at.frame < fpu + 440 + 64 + 16 + 16


def test_layout_is_glibcs(unit: cunit.Unit, tmp_path: Path) -> None:
    """The C library that the userworlds bring has the same offsets."""
    ffi = unit.ffi
    theirs = {"flags": "uc_flags", "stack": "uc_stack"}
    theirs |= {"mc": "uc_mcontext", "sigmask": "uc_sigmask"}
    lines = ["#include <stddef.h>", "#include <signal.h>", "#include <ucontext.h>"]
    for ours, name in theirs.items():
        offset = ffi.offsetof("struct ucontext", ours)
        lines.append(f'_Static_assert(offsetof(ucontext_t, {name}) == {offset}, "{name}");')
    lines.append(f'_Static_assert(sizeof(siginfo_t) == {ffi.sizeof("struct siginfo")}, "info");')
    for member, name in {"pid": "si_pid", "status": "si_status", "addr": "si_addr"}.items():
        offset = ffi.offsetof("struct siginfo", member)
        lines.append(f'_Static_assert(offsetof(siginfo_t, {name}) == {offset}, "{name}");')
    source = tmp_path / "layout.c"
    source.write_text("\n".join(lines) + "\n")
    cunit.run_compiler(["-D_GNU_SOURCE", "-fsyntax-only", str(source)])
