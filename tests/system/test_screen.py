# SPDX-License-Identifier: Apache-2.0
"""What a person at the machine sees and types: the screens, purple too, and the PS/2 keyboard."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.iso.workshop import font
from tests.system.console import SCALE
from tests.system.machine import READY, TEST_ISO, Firmware, Machine

Boot = Callable[..., Machine]
FONT = Path("/usr/share/grub/unicode.pf2")
STOPPED = "The host has stopped"  # the purple screen's last line
PURPLE_CELL = 5 << 4 | 15  # VGA attribute: white on magenta


def read_framebuffer(path: Path) -> tuple[list[str], bytes]:
    """A screendump (PPM) as rows of text and its most frequent colour; needs no reading skills
    beyond the font that the vmkernel draws with."""
    kind, size, _, pixels = path.read_bytes().split(b"\n", 3)
    assert kind == b"P6"
    width, height = map(int, size.split())
    glyphs = font.glyphs(FONT.read_bytes())
    shapes = {glyphs[code]: chr(code) for code in sorted(glyphs, reverse=True)}
    colours = [pixels[at : at + 3] for at in range(0, len(pixels), 3)]
    paper = Counter(colours).most_common(1)[0][0]
    rows = []
    for top in range(0, height - font.HEIGHT + 1, font.HEIGHT):
        row, strip = "", colours[top * width : (top + font.HEIGHT) * width]
        own = Counter(strip).most_common(1)[0][0]
        for left in range(0, width - font.WIDTH + 1, font.WIDTH):
            lines = bytearray()
            for y in range(top, top + font.HEIGHT):
                dots = colours[y * width + left : y * width + left + font.WIDTH]
                lines.append(sum((dot != own) << (7 - x) for x, dot in enumerate(dots)))
            plain, reverse = bytes(lines), bytes(line ^ 0xFF for line in lines)
            # A bar over a part of the row is in reverse; its blanks are no full blocks.
            row += shapes.get(plain if any(reverse) else reverse) or shapes.get(reverse, "?")
        rows.append(row.rstrip())
    return rows, paper


def display(machine: Machine) -> list[str]:
    """What the framebuffer shows, row by row."""
    dump = machine.folder / "display.ppm"
    machine.qmp.execute("screendump", filename=str(dump))
    return read_framebuffer(dump)[0]


def await_row(machine: Machine, read: Callable[[], list[str]], text: str) -> list[str]:
    """The screen's rows once one holds the text: serial gets every piece of a line first."""
    deadline = time.monotonic() + 60 * SCALE
    while True:
        rows = read()
        if any(text in row for row in rows):
            return rows
        assert time.monotonic() < deadline and machine.console.drain(0.1), "\n".join(rows)


@pytest.mark.parametrize("firmware", Firmware)
def test_the_framebuffer_shows_log_and_panic(boot: Boot, firmware: Firmware) -> None:
    machine = boot(iso=TEST_ISO, options="panictest=pagefault", firmware=firmware)
    machine.console.expect(STOPPED, 120, panic=True)
    rows = await_row(machine, lambda: display(machine), STOPPED)
    _, paper = read_framebuffer(machine.folder / "display.ppm")
    red, green, blue = paper
    assert red > green < blue, "not purple"
    assert any(row.startswith("PANIC: #PF page fault writing") for row in rows), rows
    assert any(row.startswith("Backtrace for cpu0") for row in rows)
    assert any(row.startswith("build ") for row in rows)


def test_the_vga_text_screen_shows_log_and_panic(boot: Boot) -> None:
    machine = boot(iso=TEST_ISO, options="loglevel=info selftest=locks init=none", screen="text")
    machine.console.expect(r"selftest: done, 0 failed", 120)
    await_row(machine, machine.screen_text, "selftest: done, 0 failed")
    machine = boot(iso=TEST_ISO, options="panictest=pagefault", screen="text")
    machine.console.expect(STOPPED, 120, panic=True)
    rows = await_row(machine, machine.screen_text, STOPPED)
    assert any(row.startswith("PANIC: #PF page fault writing") for row in rows), rows
    assert set(machine.text_memory()[1::2]) == {PURPLE_CELL}


def test_a_panic_reboots_when_it_is_told_to(boot: Boot) -> None:
    machine = boot(iso=TEST_ISO, options="panictest=assert panicreboot=1", reboot=True)
    machine.console.expect(r"^PANIC: .*panictest\.c", 120, panic=True)
    machine.console.expect(r"The host resets in 1 s", 30, panic=True)
    machine.console.expect(READY, 120)
