# SPDX-License-Identifier: Apache-2.0
"""Names of PCI and USB vendors, devices and classes from pci.ids and usb.ids (Debian packages)."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterable, Tuple

#: Where Debian, other distributions and the image have them; each may be gzipped.
PLACES = ("usr/share/misc", "usr/share/hwdata", "var/lib/usbutils")


@dataclass
class Ids:
    """Look-ups return a name made of the number when the file lacks it."""

    vendors: Dict[int, str] = field(default_factory=dict)
    devices: Dict[Tuple[int, int], str] = field(default_factory=dict)
    classes: Dict[Tuple[int, int], str] = field(default_factory=dict)

    def vendor(self, vendor: int) -> str:
        return self.vendors.get(vendor, f"Vendor {vendor:04x}")

    def device(self, vendor: int, device: int) -> str:
        return self.devices.get((vendor, device), f"Device {device:04x}")

    def both(self, vendor: int, device: int) -> str:
        """Vendor and device, or "" when the file knows neither."""
        if vendor not in self.vendors and (vendor, device) not in self.devices:
            return ""
        return f"{self.vendor(vendor)} {self.device(vendor, device)}"

    def class_name(self, code: int) -> str:
        """code: 0xCCSSPP."""
        base, sub = code >> 16, code >> 8 & 0xFF
        return (
            self.classes.get((base, sub))
            or self.classes.get((base, -1))
            or f"Class {code >> 8:04x}"
        )


def parse(lines: Iterable[str]) -> Ids:
    """The files' form: `vvvv  name`, tab `dddd  name`; `C cc  name`, tab `ss  name`."""
    ids = Ids()
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
            vendor = base = -1  # usb.ids goes on with lists of other kinds
    return ids


@lru_cache(maxsize=8)
def load(name: str = "pci.ids", root: Path = Path("/")) -> Ids:
    """The machine's file; empty where there is none."""
    for place in PLACES:
        for path in (root / place / name, root / place / f"{name}.gz"):
            if path.is_file():
                raw = path.read_bytes()
                text = gzip.decompress(raw) if path.suffix == ".gz" else raw
                return parse(text.decode("utf-8", "replace").splitlines())
    return Ids()
