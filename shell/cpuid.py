# SPDX-License-Identifier: Apache-2.0
"""What CPUID says of a processor, decoded from its registers.

Source: Intel SDM vol. 2A, CPUID; AMD APM vol. 3, appendix E.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

#: (leaf, subleaf) -> (eax, ebx, ecx, edx)
Read = Callable[[int, int], tuple[int, int, int, int]]


@dataclass(frozen=True, slots=True)
class Cache:
    level: int
    size: int  # bytes
    ways: int  # -1: fully associative
    line: int  # bytes
    sharing: int  # logical CPUs that share it


@dataclass(frozen=True, slots=True)
class Processor:
    vendor: str
    brand: str
    family: int
    model: int
    stepping: int
    type: int
    caches: tuple[Cache, ...]
    threads: int  # logical CPUs a core
    logical: int  # logical CPUs a package

    def cache(self, level: int) -> Cache | None:
        return next((c for c in self.caches if c.level == level), None)


def _caches(read: Read, leaf: int) -> tuple[Cache, ...]:
    """Deterministic cache parameters (leaf 4; AMD: 0x8000001D), without instruction caches."""
    found = []
    for sub in range(16):
        eax, ebx, ecx, _ = read(leaf, sub)
        kind = eax & 0x1F
        if kind == 0:
            break
        if kind == 2:
            continue
        line, parts, ways, sets = (
            (ebx & 0xFFF) + 1,
            (ebx >> 12 & 0x3FF) + 1,
            (ebx >> 22) + 1,
            ecx + 1,
        )
        found.append(
            Cache(
                eax >> 5 & 7,
                line * parts * ways * sets,
                -1 if eax >> 9 & 1 else ways,
                line,
                (eax >> 14 & 0xFFF) + 1,
            )
        )
    return tuple(found)


def processor(read: Read) -> Processor:
    """Identity and caches of the processor that `read` asks."""
    top, b, c, d = read(0, 0)
    vendor = struct.pack("<III", b, d, c).decode("ascii", "replace")
    sig, misc = read(1, 0)[:2]
    family, model = sig >> 8 & 15, sig >> 4 & 15
    # The extended fields count only for these families (Intel SDM 2A, CPUID; AMD APM 3, E.3.2).
    if family in (6, 15):
        model += (sig >> 16 & 15) << 4
    if family == 15:
        family += sig >> 20 & 0xFF
    extended = read(0x80000000, 0)[0]
    brand = ""
    if extended >= 0x80000004:
        raw = b"".join(struct.pack("<IIII", *read(0x80000002 + i, 0)) for i in range(3))
        brand = raw.split(b"\0")[0].decode("ascii", "replace").strip()
    # AMD describes its caches in a leaf of its own, of the same layout.
    leaf = 4 if top >= 4 and "AMD" not in vendor else 0x8000001D
    caches = _caches(read, leaf) if leaf == 4 or extended >= leaf else ()
    threads = 1
    if top >= 0xB:
        threads = max(1, read(0xB, 0)[1] & 0xFFFF)
    return Processor(
        vendor,
        brand,
        family,
        model,
        sig & 15,
        sig >> 12 & 3,
        caches,
        threads,
        max(1, misc >> 16 & 0xFF),
    )
