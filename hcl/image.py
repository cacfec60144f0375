# SPDX-License-Identifier: Apache-2.0
"""Reads the list out of a linked vmkernel image: the .drivers and .hvm sections, through the same
header (abi/hcl.h) that the kernel was compiled with."""

from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from tepui.hcl.model import CLASSES, LEVELS, Backend, Driver, HclList, Row
from tepui.shell import abi

#: CPUID feature bits by name live in the rows themselves; the sections' names are the kernel's.
DRIVERS, BACKENDS = ".drivers", ".hvm_backends"


class ImageError(Exception):
    """The file is no vmkernel image, or one without a list."""


class Image:
    """A linked image; addresses are virtual."""

    def __init__(self, elf: Any) -> None:
        self.segments = [
            (s["p_vaddr"], s.data()) for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"
        ]
        self.sections = {s.name: bytes(s.data()) for s in elf.iter_sections()}

    def bytes_at(self, address: int, length: int) -> bytes:
        for start, data in self.segments:
            if start <= address and address + length <= start + len(data):
                return bytes(data[address - start : address - start + length])
        raise ImageError(f"{length} bytes at {address:#x} lie outside of the image")

    def text_at(self, address: int) -> str:
        if not address:
            return ""
        for start, data in self.segments:
            if start <= address < start + len(data):
                return bytes(data[address - start :]).split(b"\0", 1)[0].decode()
        raise ImageError(f"text at {address:#x} lies outside of the image")

    def entries(self, section: str, kind: str) -> list[Any]:
        """Every `struct kind` of a section."""
        raw = self.sections.get(section, b"")
        size = abi.ffi().sizeof(f"struct {kind}")
        if len(raw) % size:
            raise ImageError(f"{section}: {len(raw)} bytes are no multiple of {size}")
        return [abi.cast(kind, raw[i : i + size]) for i in range(0, len(raw), size)]


def address(pointer: Any) -> int:
    """A pointer member as an image address."""
    return int(abi.ffi().cast("uintptr_t", pointer))


def _row(image: Image, c: Any) -> Row:
    return Row(
        c.kind, LEVELS[c.level], c.vendor, c.device, c.subvendor, c.subdevice, c.class_code,
        image.text_at(address(c.name)),
    )  # fmt: skip


def _driver(image: Image, c: Any) -> Driver:
    size = abi.ffi().sizeof("struct hcl_match")
    table = address(c.match)
    rows = [
        _row(image, abi.cast("hcl_match", image.bytes_at(table + i * size, size)))
        for i in range(c.match_count)
    ]
    text = [image.text_at(address(p)) for p in (c.name, c.desc, c.spec, c.source)]
    return Driver(text[0], text[1], text[2], text[3], CLASSES[getattr(c, "class")], rows)


def _backend(image: Image, c: Any) -> Backend:
    return Backend(
        image.text_at(address(c.name)), image.text_at(address(c.desc)),
        image.text_at(address(c.vendor)), LEVELS[c.level], c.cpuid_leaf, c.cpuid_reg, c.cpuid_bit,
        c.need_leaf, c.need_reg, c.need_bit, image.text_at(address(c.source)),
    )  # fmt: skip


def read(path: Path, version: str) -> HclList:
    """The list of an image; raises ImageError."""
    try:
        with path.open("rb") as f:
            image = Image(ELFFile(f))
    except OSError as e:
        raise ImageError(f"{path}: {e.strerror}") from e
    except ELFError as e:
        raise ImageError(f"{path}: not an ELF image ({e})") from e
    drivers = [_driver(image, c) for c in image.entries(DRIVERS, "hcl_driver")]
    backends = [_backend(image, c) for c in image.entries(BACKENDS, "hcl_hvm")]
    return HclList(version, sorted(drivers, key=lambda d: d.name), backends)
