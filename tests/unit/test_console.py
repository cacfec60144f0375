# SPDX-License-Identifier: Apache-2.0
"""The consoles: lines come out whole though interrupts come, and log, between their pieces."""

import functools

from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

CODE = """
#include "vmk/boot.h"
#include "vmk/console.h"
#include "vmk/cpu.h"
static char shown[1 << 16];
static size_t shown_len, drawn;
static unsigned left, most;
static const char *inner;
static void put(struct console *c, const char *text, size_t len)
{
	most = len > most ? len : most;
	__builtin_memcpy(shown + shown_len, text, len);
	shown_len += len;
}
/* One byte at a time: a slow device. */
static bool draw(struct console *c)
{
	if (drawn == shown_len)
		return false;
	drawn++;
	return true;
}
static struct console line = { .name = "com1", .write = put, .draw = draw };
/* Interrupts are on here: one comes, and its handler has something to say. */
void irq_restore(uint64_t flags)
{
	const char *text = inner;
	if (!text || left-- > 0)
		return;
	inner = NULL;
	console_write_whole(text, __builtin_strlen(text));
}
void start(void) { console_add(&line); }
size_t go(bool whole, const char *text, unsigned after, const char *interrupt, char *out)
{
	shown_len = drawn = most = 0;
	left = after;
	inner = interrupt;
	if (whole)
		console_write_whole(text, __builtin_strlen(text));
	else
		console_write(CONSOLE_LINE, text, __builtin_strlen(text));
	__builtin_memcpy(out, shown, shown_len);
	return drawn == shown_len ? shown_len : 0;
}
unsigned longest(void) { return most; }
"""
CDEF = """
void start(void);
size_t go(bool whole, const char *text, unsigned after, const char *interrupt, char *out);
unsigned longest(void);
"""
STEP = 16


@functools.cache
def build() -> cunit.Unit:
    sources = [f"vmkernel/{name}.c" for name in ("log/console", "lib/string", "early/options")]
    unit = cunit.build("console", sources, ["vmk/types.h"], CDEF, (), CODE)
    unit.lib.start()
    return unit


def go(whole: bool, text: str, after: int, interrupt: str) -> str:
    unit = build()
    out = unit.ffi.new("char[]", 1 << 16)
    keep = unit.ffi.new("char[]", interrupt.encode())
    n = unit.lib.go(whole, text.encode(), after, keep, out)
    assert unit.lib.longest() <= STEP
    return bytes(unit.ffi.buffer(out, n)).decode()


text = st.text("ab ", max_size=300)


@given(text, st.integers(0, 400), text)
def test_a_line_is_whole_whenever_an_interrupt_logs(line: str, after: int, inner: str) -> None:
    ours, theirs = f"<{line}>\n", f"[{inner}]\n"
    assert go(True, ours, after, theirs) in (ours, ours + theirs, theirs + ours)


@given(text, st.integers(0, 400), text)
def test_a_log_line_is_whole_among_what_a_program_writes(
    program: str, after: int, inner: str
) -> None:
    line = f"[{inner}]\n"
    shown = go(False, f"{program}\n", after, line)
    assert shown.replace(line, "", 1) == f"{program}\n"
