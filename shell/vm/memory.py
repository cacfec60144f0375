# SPDX-License-Identifier: Apache-2.0
"""A guest's memory before it runs: where it lies, and writing it piece by piece."""

import re
from dataclasses import dataclass, field
from typing import Protocol

from tepui.shell.vm.errors import VmError

MIB = 1 << 20
LOW_MAX = 0xC000_0000
HIGH_BASE = 1 << 32


UNITS = {"": 1, "s": 512, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def size_of(text: str) -> int:
    """Bytes of a size as people write it: 8G, 512m, 2048s, 1.5g; VmError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([skmgt]?)(?:i?b)?", text.strip().lower())
    if not match:
        raise VmError(f"not a size: {text!r}; a number with k, m, g or t is")
    return (
        int(float(match[1]) * UNITS[match[2]])
        if "." in match[1]
        else (int(match[1]) * UNITS[match[2]])
    )


class Memory(Protocol):
    """Guest-physical memory of `size` bytes: [0, low) and, above 4 GiB, the rest."""

    size: int

    def write(self, gpa: int, data: bytes) -> None: ...


def low_size(size: int) -> int:
    """Bytes below 4 GiB of a guest with `size` bytes."""
    return min(size, LOW_MAX)


@dataclass(slots=True)
class Segments:
    """Memory that remembers what was written: for boot modules and tests."""

    size: int
    parts: list[tuple[int, bytes]] = field(default_factory=list)

    def write(self, gpa: int, data: bytes) -> None:
        if gpa + len(data) > low_size(self.size):
            raise VmError(f"{len(data)} bytes at {gpa:#x} do not fit into {self.size >> 20} MiB")
        self.parts.append((gpa, data))
