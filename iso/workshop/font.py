# SPDX-License-Identifier: Apache-2.0
"""The screen font: 8x16 glyphs out of GRUB's copy of GNU Unifont (PFF2), as a C header.

usage: font.py FONT.pf2 OUT.h

Format: GRUB manual, "GRUB font format (PFF2)": sections {name, size}, numbers big-endian.
"""

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

WIDTH, HEIGHT = 8, 16
#: ASCII, Latin-1, arrows, mathematics that code page 437 has, lines, blocks, shapes, ticks.
WANTED = (
    *range(0x20, 0x7F),
    *range(0xA0, 0x180),
    0x192,
    *range(0x391, 0x3CA),
    *range(0x2010, 0x2028),
    0x20AC,
    *range(0x2190, 0x219A),
    *(0x2219, 0x221A, 0x221E, 0x2229, 0x2248, 0x2261, 0x2264, 0x2265, 0x2310, 0x2320, 0x2321),
    *range(0x2500, 0x2600),
    *(0x2713, 0x2717),
)


def sections(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, offset, size) of each section; the glyphs' own says no size."""
    at = 0
    while at + 8 <= len(data):
        name, size = struct.unpack_from(">4sI", data, at)
        yield name, at + 8, size
        if name == b"DATA":
            return
        at += 8 + size


def glyph(data: bytes, at: int, baseline: int) -> bytes | None:
    """One byte a line, or None for a glyph wider than a cell."""
    width, height, left, bottom, _ = struct.unpack_from(">HHhhh", data, at)
    top = baseline - height - bottom
    if left < 0 or left + width > WIDTH or top < 0 or top + height > HEIGHT:
        return None
    bits = data[at + 10 : at + 10 + (width * height + 7) // 8]
    lines = bytearray(HEIGHT)
    for y in range(height):
        for x in range(width):
            place = y * width + x
            if bits[place // 8] >> (7 - place % 8) & 1:
                lines[top + y] |= 0x80 >> (left + x)
    return bytes(lines)


def glyphs(data: bytes) -> dict[int, bytes]:
    found = {name: (at, size) for name, at, size in sections(data)}
    at, size = found[b"CHIX"]
    (ascent,) = struct.unpack_from(">H", data, found[b"ASCE"][0])
    entries = struct.iter_unpack(">IBI", data[at : at + size])
    index = {code: offset for code, _, offset in entries}
    made = ((code, glyph(data, index[code], ascent)) for code in WANTED if code in index)
    return {code: lines for code, lines in made if lines is not None}


def header(font: dict[int, bytes]) -> str:
    codes = ", ".join(f"{code:#x}" for code in sorted(font))
    rows = "".join(f"\t{{ {', '.join(map(hex, font[code]))} }},\n" for code in sorted(font))
    return (
        "#pragma once\n#include <stdint.h>\n"
        f"enum {{ FONT_WIDTH = {WIDTH}, FONT_HEIGHT = {HEIGHT} }};\n"
        f"static const uint16_t font_code[] = {{ {codes} }};\n"
        f"static const uint8_t font_glyph[][FONT_HEIGHT] = {{\n{rows}}};\n"
    )


def main(argv: list[str]) -> int:
    source, target = map(Path, argv)
    text = header(glyphs(source.read_bytes()))
    if not target.exists() or target.read_text() != text:
        target.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
