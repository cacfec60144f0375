# SPDX-License-Identifier: Apache-2.0
"""What a person at the machine sees and types: the screens, purple too, and the PS/2 keyboard."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tepui.iso.workshop import font
from tests.system.machine import READY, Machine

Boot = Callable[..., Machine]
FONT = Path("/usr/share/grub/unicode.pf2")
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
            row += shapes.get(bytes(lines), "?")
        rows.append(row.rstrip())
    return rows, paper


def test_the_framebuffer_shows_log_and_panic(boot: Boot, tmp_path: Path) -> None:
    machine = boot(options="panictest=pagefault")
    machine.console.expect(r"The host has stopped", 120, panic=True)
    machine.qmp.execute("screendump", filename=str(tmp_path / "panic.ppm"))
    rows, paper = read_framebuffer(tmp_path / "panic.ppm")
    red, green, blue = paper
    assert red > green < blue, "not purple"
    assert any(row.startswith("PANIC: #PF page fault writing") for row in rows), rows
    assert any(row.startswith("Backtrace for cpu0") for row in rows)
    assert any(row.startswith("build ") for row in rows)


def test_the_vga_text_screen_shows_log_and_panic(boot: Boot) -> None:
    machine = boot(options="loglevel=info selftest=locks", screen="text")
    machine.console.expect(r"selftest: done, 0 failed", 120)
    assert any("selftest: done, 0 failed" in row for row in machine.screen_text())
    machine = boot(options="panictest=pagefault", screen="text")
    machine.console.expect(r"The host has stopped", 120, panic=True)
    rows = machine.screen_text()
    assert any(row.startswith("PANIC: #PF page fault writing") for row in rows), rows
    assert set(machine.text_memory()[1::2]) == {PURPLE_CELL}


def test_a_panic_reboots_when_it_is_told_to(boot: Boot) -> None:
    machine = boot(options="panictest=assert panicreboot=1", reboot=True)
    machine.console.expect(r"^PANIC: .*panictest\.c", 120, panic=True)
    machine.console.expect(r"The host resets in 1 s", 30, panic=True)
    machine.console.expect(READY, 120)
