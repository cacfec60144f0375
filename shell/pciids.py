# SPDX-License-Identifier: Apache-2.0
"""Names of PCI vendors, devices and classes from pci.ids (Debian package pci.ids)."""

import gzip
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

#: Where Debian's and the image's file may be.
PLACES = (
    Path("/usr/share/misc/pci.ids"),
    Path("/usr/share/hwdata/pci.ids"),
    Path("/usr/share/misc/pci.ids.gz"),
)


@dataclass(slots=True)
class PciIds:
    """Look-ups return a name made of the number when the file lacks it."""

    vendors: dict[int, str] = field(default_factory=dict)
    devices: dict[tuple[int, int], str] = field(default_factory=dict)
    classes: dict[tuple[int, int], str] = field(default_factory=dict)

    def vendor(self, vendor: int) -> str:
        return self.vendors.get(vendor, f"Vendor {vendor:04x}")

    def device(self, vendor: int, device: int) -> str:
        return self.devices.get((vendor, device), f"Device {device:04x}")

    def class_name(self, code: int) -> str:
        """code: 0xCCSSPP."""
        base, sub = code >> 16, code >> 8 & 0xFF
        return (
            self.classes.get((base, sub))
            or self.classes.get((base, -1))
            or f"Class {code >> 8:04x}"
        )


def parse(lines: Iterable[str]) -> PciIds:
    """The file's form: `vvvv  name`, tab `dddd  name`; `C cc  name`, tab `ss  name`."""
    ids = PciIds()
    vendor = base = -1
    for line in lines:
        text = line.rstrip("\n")
        if not text.strip() or text.startswith(("#", "\t\t")):
            continue
        number, _, name = text.strip().partition("  ")
        try:
            if text.startswith("C "):
                vendor, base = -1, int(number[2:], 16)
                ids.classes[base, -1] = name.strip()
            elif not text.startswith("\t"):
                vendor, base = int(number, 16), -1
                ids.vendors[vendor] = name.strip()
            elif vendor >= 0:
                ids.devices[vendor, int(number, 16)] = name.strip()
            elif base >= 0:
                ids.classes[base, int(number, 16)] = name.strip()
        except ValueError:
            continue
    return ids


@cache
def load() -> PciIds:
    """The machine's file; empty where there is none."""
    for place in PLACES:
        if place.is_file():
            opener = gzip.open if place.suffix == ".gz" else open
            with opener(place, "rt", encoding="utf-8", errors="replace") as f:
                return parse(f)
    return PciIds()
