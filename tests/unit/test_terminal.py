# SPDX-License-Identifier: Apache-2.0
"""The terminal on the screen: what control sequences do, and that no bytes break it."""

import functools

from hypothesis import given
from hypothesis import strategies as st

from tests.unit import cunit

COLUMNS, ROWS = 20, 6
CODE = """
#include "vmk/console.h"
enum { COLUMNS = 20, ROWS = 6 };
static struct cell shown[ROWS][COLUMNS];
static struct console *console;
static int cursor = -1;
void console_add(struct console *c) { console = c; }
static void draw(struct screen *s, unsigned row, unsigned first, unsigned last,
                 const struct cell *cells)
{
	for (unsigned c = first; c < last; c++)
		shown[row][c] = cells[c];
}
static void set_cursor(struct screen *s, unsigned row, unsigned column, const struct cell *cell)
{
	if (row >= ROWS || column >= COLUMNS)
		__builtin_trap();
	cursor = cell ? (int)(row * COLUMNS + column) : -1;
}
void start(void)
{
	static struct screen screen = { "test", COLUMNS, ROWS, draw, set_cursor };
	terminal_init(&screen);
}
static void show(void)
{
	while (console->draw(console))
		;
}
void feed(const char *text, size_t len) { console->write(console, text, len); show(); }
void begin_panic(void) { console->panic(console); show(); }
int where(void) { return cursor; }
struct cell *cell_at(unsigned row, unsigned column) { return &shown[row][column]; }
"""
CDEF = """
void start(void);
void feed(const char *text, size_t len);
void begin_panic(void);
int where(void);
struct cell *cell_at(unsigned row, unsigned column);
"""


@functools.cache
def build() -> cunit.Unit:
    unit = cunit.build("terminal", ["vmkernel/log/terminal.c"], ["vmk/screen.h"], CDEF, (), CODE)
    unit.lib.start()
    return unit


def feed(data: bytes) -> None:
    build().lib.feed(build().ffi.new("char[]", data), len(data))


def fresh(text: str) -> list[str]:
    """The rows after a reset and then the text, without blanks at their ends."""
    feed(b"\x1b[r\x1bc" + text.encode())
    cell = build().lib.cell_at
    rows = ("".join(chr(cell(r, c).code) for c in range(COLUMNS)).rstrip() for r in range(ROWS))
    lines = list(rows)
    while lines and not lines[-1]:
        lines.pop()
    return lines


def test_text_wraps_and_scrolls() -> None:
    assert fresh("one\ntwo\r\n\tx") == ["one", "two", "        x"]
    assert fresh("a" * COLUMNS + "b") == ["a" * COLUMNS, "b"]
    assert fresh("a" * COLUMNS + "\rb") == ["b" + "a" * (COLUMNS - 1)]
    assert fresh("\n".join("1234567")) == list("234567")
    assert fresh("ab\bc") == ["ac"]


def test_unicode() -> None:
    assert fresh("gr\u00fc\u00df \u2502\u20ac \U0001f600") == ["gr\u00fc\u00df \u2502\u20ac ?"]
    feed(b"\x1bc\xc3(\xff\x80")
    assert chr(build().lib.cell_at(0, 0).code) == "("


def test_the_cursor_moves() -> None:
    assert fresh("\033[3;5Hx\033[A\033[2Dy\033[2B\033[Cz") == ["", "   y", "    x", "     z"]
    assert fresh("\033[99;99Hx\033[Hy") == ["y", "", "", "", "", " " * 19 + "x"]
    assert fresh("ab\033[sc\033[ud\0337\033[5;5H\0338e") == ["abde"]
    assert fresh("\033[2;1H\033Mup\033M\033Mtop") == ["  top", "", "up"]
    fresh("\033[2;3H")
    assert build().lib.where() == COLUMNS + 2
    fresh("\033[?25l")
    assert build().lib.where() == -1
    feed(b"\033[?25h")


def test_erasing_and_shifting() -> None:
    assert fresh("abcdef\033[4G\033[K") == ["abc"]
    assert fresh("abcdef\033[3G\033[1K") == ["   def"]
    assert fresh("a\nb\nc\033[2;1H\033[J") == ["a"]
    assert fresh("abcdef\033[2G\033[2P") == ["adef"]
    assert fresh("abcdef\033[2G\033[2@") == ["a  bcdef"]
    assert fresh("abcdef\033[2G\033[3X") == ["a   ef"]
    assert fresh("1\n2\n3\033[2;1H\033[Lx") == ["1", "x", "2", "3"]
    assert fresh("1\n2\n3\033[1;1H\033[M") == ["2", "3"]


def test_a_region_scrolls_alone() -> None:
    assert fresh("1\n2\n3\n4\n5\033[2;4r\033[4;1H\nx") == ["1", "3", "4", "x", "5"]


def test_colours() -> None:
    fresh("\033[1;31;44mx\033[7my\033[0mz\033[38;5;9mv\033[97;100mw")
    cells = [build().lib.cell_at(0, c) for c in range(5)]
    colours = [(cell.fg, cell.bg) for cell in cells]
    assert colours == [(12, 1), (1, 12), (7, 0), (12, 0), (15, 8)]


def test_a_panic_is_white_on_purple() -> None:
    fresh("\033[2;4rbefore\033[1;3")
    build().lib.begin_panic()
    feed(b"PANIC")
    cell = build().lib.cell_at(0, 0)
    assert (chr(cell.code), cell.fg, cell.bg) == ("P", 15, 5)
    assert build().lib.cell_at(ROWS - 1, COLUMNS - 1).bg == 5
    fresh("")


sequence = st.builds(
    lambda p, c: b"\x1b[" + p + c, st.from_regex(rb"\A[0-9;?]{0,12}\Z"), st.binary(max_size=2)
)


@given(st.lists(st.one_of(sequence, st.binary(max_size=30)), max_size=30).map(b"".join))
def test_any_bytes_do_no_harm(data: bytes) -> None:
    feed(data)
    assert fresh("ok") == ["ok"]
