# SPDX-License-Identifier: Apache-2.0
"""ACPI machine language, as little of it as a DSDT of ours needs: encoders that return bytes.

Source: ACPI 6.4, chapter 20 (encoding) and 6.4 (resource descriptors).
"""

import struct


def _length(body: bytes) -> bytes:
    """PkgLength of what follows, itself included."""
    size = len(body) + 1
    if size < 0x40:
        return bytes([size])
    for count in (1, 2, 3):
        size = len(body) + 1 + count
        if size < 1 << (4 + 8 * count):
            return bytes([count << 6 | size & 15]) + (size >> 4).to_bytes(count, "little")
    raise ValueError("an AML package of more than 256 MiB")


def name(text: str) -> bytes:
    """A name of one segment, or several with dots; a leading backslash is the root."""
    root = b"\\" if text.startswith("\\") else b""
    parts = [part.ljust(4, "_").encode() for part in text.lstrip("\\").split(".")]
    if len(parts) == 1:
        return root + parts[0]
    return root + (b"\x2e" if len(parts) == 2 else bytes([0x2F, len(parts)])) + b"".join(parts)


def integer(value: int) -> bytes:
    if value in (0, 1):
        return bytes([value])
    for size, prefix in ((1, 0x0A), (2, 0x0B), (4, 0x0C), (8, 0x0E)):
        if value < 1 << (8 * size):
            return bytes([prefix]) + value.to_bytes(size, "little")
    raise ValueError(f"{value:#x} has more than 64 bits")


def eisa_id(text: str) -> bytes:
    """An id such as PNP0A08 as an integer."""
    a, b, c = (ord(letter) - 0x40 for letter in text[:3])
    vendor = a << 10 | b << 5 | c
    return b"\x0c" + struct.pack(">HH", vendor, int(text[3:], 16))


def package(items: list[bytes]) -> bytes:
    body = bytes([len(items)]) + b"".join(items)
    return b"\x12" + _length(body) + body


def buffer(data: bytes) -> bytes:
    body = integer(len(data)) + data
    return b"\x11" + _length(body) + body


def define(what: str, value: bytes) -> bytes:
    """Name (what, value)."""
    return b"\x08" + name(what) + value


def scope(what: str, *terms: bytes) -> bytes:
    body = name(what) + b"".join(terms)
    return b"\x10" + _length(body) + body


def device(what: str, *terms: bytes) -> bytes:
    body = name(what) + b"".join(terms)
    return b"\x5b\x82" + _length(body) + body


# Resource descriptors; `resources` joins them and adds the end tag.


def io_port(base: int, length: int) -> bytes:
    return struct.pack("<BBHHBB", 0x47, 1, base, base, 1, length)


def irq(line: int) -> bytes:
    """An ISA interrupt, edge-triggered."""
    return struct.pack("<BH", 0x22, 1 << line)


def _address(width: str, kind: int, flags: int, first: int, last: int) -> bytes:
    tag = {"H": 0x88, "I": 0x87, "Q": 0x8A}[width]
    body = struct.pack("<BBB", kind, 0x0C, flags)  # minimum and maximum fixed
    body += struct.pack(f"<5{width}", 0, first, last, 0, last - first + 1)
    return struct.pack("<BH", tag, len(body)) + body


def bus_numbers(first: int, last: int) -> bytes:
    return _address("H", 2, 0, first, last)


def port_window(first: int, last: int) -> bytes:
    return _address("H", 1, 3, first, last)


def memory_window(first: int, last: int) -> bytes:
    """Uncached, writable."""
    return _address("I", 0, 1, first, last)


def fixed_memory(base: int, length: int) -> bytes:
    return struct.pack("<BHBII", 0x86, 9, 1, base, length)


def resources(*descriptors: bytes) -> bytes:
    return buffer(b"".join(descriptors) + b"\x79\x00")
