# SPDX-License-Identifier: Apache-2.0
"""The ring log keeps the newest lines, whole and in order; boot options are words of a line."""

import functools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

CODE = """
#include "vmk/boot.h"
#include "vmk/console.h"
#include "vmk/time.h"
static const struct log_clock clock = { time_now, time_realtime };
bool log_panicking;
static char shown[1 << 16];
static size_t shown_len;
uint32_t cpu_world_id(void) { return 7; }
void console_write_whole(const char *text, size_t len)
{
	if (len <= sizeof shown - shown_len)
		__builtin_memcpy(shown + shown_len, text, len), shown_len += len;
}
void set_options(const char *line)
{
	__builtin_snprintf(boot_info.cmdline, sizeof boot_info.cmdline, "%s", line);
	log_init();
	log_set_clock(&clock);
}
size_t take_shown(char *out)
{
	size_t n = shown_len;
	__builtin_memcpy(out, shown, n);
	shown_len = 0;
	return n;
}
void put(int level, const char *module, const char *text)
{
	log_write(level, module, "%s", text);
}
"""
CDEF = """
void set_options(const char *line);
size_t take_shown(char *out);
void put(int level, const char *module, const char *text);
"""
SOURCES = [f"vmkernel/{name}.c" for name in ("log/log", "lib/printf", "lib/string", "lib/date")]
RING, RECORD = 256 * 1024, 40
LINE = re.compile(
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\w\w)\(\d+\) vmkernel: cpu0:7\)(\w+): (.*)$"
)


@functools.cache
def build() -> cunit.Unit:
    return cunit.build(
        "log",
        [*SOURCES, "vmkernel/early/options.c"],
        ["vmk/log.h", "vmk/boot.h"],
        CDEF,
        (),
        CODE,
    )


def read(seq: int, size: int) -> tuple[list[tuple[str, str, str]], int]:
    """The lines from `seq` on in pieces of `size` bytes: (level, module, text), next number."""
    unit = build()
    number = unit.ffi.new("uint64_t *", seq)
    buffer = unit.ffi.new("char[]", size)
    text = b""
    while n := unit.lib.log_read(number, buffer, size):
        assert n < size
        text += bytes(unit.ffi.buffer(buffer, n))
    lines = []
    for line in text.decode().splitlines():
        match = LINE.match(line)
        assert match, line
        lines.append((match[1], match[2], match[3]))
    return lines, number[0]


entry = st.tuples(
    st.integers(0, 3), st.text("abcdef", min_size=1, max_size=20), st.integers(0, 511)
)


@given(st.lists(entry, max_size=60), st.integers(1, 40), st.integers(700, 5000))
def test_the_newest_lines_are_kept(
    entries: list[tuple[int, str, int]], times: int, size: int
) -> None:
    unit = build()
    start = max(read(0, 4096)[1], 1)
    model = []
    for round_ in range(times):
        for level, module, length in entries:
            text = f"{round_} ".ljust(length, "x")[:length]
            unit.lib.put(level, module.encode(), text.encode())
            model.append((("Er", "Wa", "In", "Db")[level], module, text))
    lines, number = read(start, size)
    assert number == start + len(model)
    assert lines == model[len(model) - len(lines) :]
    # What was dropped did not fit, however the end of the ring was skipped.
    if len(lines) < len(model):
        held = sum(RECORD + len(module) + len(text) for _, module, text in lines)
        assert held > RING - 2 * (RECORD + 24 + 512 + 8) - 8 * len(lines)


def test_consoles_show_seconds_and_the_wanted_levels() -> None:
    unit = build()
    out = unit.ffi.new("char[]", 1 << 16)
    unit.lib.set_options(b"quiet")
    unit.lib.take_shown(out)
    unit.lib.put(2, b"disk", b"there it is")
    unit.lib.put(3, b"disk", b"nobody wants to know")
    text = bytes(unit.ffi.buffer(out, unit.lib.take_shown(out)))
    assert re.fullmatch(rb" *\d+\.\d{6} cpu0:7\)disk: there it is\n", text)
    assert read(0, 4096)[0][-1] == ("Db", "disk", "nobody wants to know")


word = st.text("ab=c1", max_size=6)


@given(st.lists(st.one_of(word, st.just("")), max_size=8), st.text("abc", min_size=1, max_size=2))
def test_options_are_words(words: list[str], name: str) -> None:
    unit = build()
    unit.lib.set_options(" ".join(words).encode())
    value = unit.ffi.new("char[32]", b"unchanged")
    found = [w for w in words if w == name or w.startswith(f"{name}=")]
    assert unit.lib.boot_option(name.encode(), value, 32) == bool(found)
    expected = found[-1].partition("=")[2] if found else "unchanged"
    assert unit.ffi.string(value).decode() == expected


@pytest.mark.parametrize(
    ("line", "number"), [("x=12", 12), ("x=0x10 y", 16), ("x=z", None), ("x", None), ("xx=1", None)]
)
def test_numbers_in_options(line: str, number: int | None) -> None:
    unit = build()
    unit.lib.set_options(line.encode())
    out = unit.ffi.new("uint64_t *", 99)
    assert unit.lib.boot_option_u64(b"x", out) == (number is not None)
    assert out[0] == (99 if number is None else number)
