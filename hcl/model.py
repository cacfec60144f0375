# SPDX-License-Identifier: Apache-2.0
"""The compatibility list and the machine it is held against, as plain data.

This module and those that the stand-alone checker carries keep to Python 3.8 and the standard
library.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Optional

LEVELS = ("BLOCKED", "SUPPORTED", "EMULATED", "TESTED")
CLASSES = {1: "block", 2: "net", 3: "input", 4: "serial", 5: "display", 6: "bridge", 7: "other"}
BY_PCI_ID, BY_PCI_CLASS = 1, 2


@dataclass(frozen=True)
class Row:
    """One row of a driver's match table. class_code is 0xCCSSPP; sub-ids 0 mean any."""

    kind: int
    level: str
    vendor: int
    device: int
    subvendor: int
    subdevice: int
    class_code: int
    name: str
    evidence: str = ""  # of an EMULATED or TESTED row: where it was seen to work


@dataclass(frozen=True)
class Driver:
    """A driver of the image."""

    name: str
    desc: str
    spec: str
    source: str
    kind: str  # block, net ...
    rows: List[Row]


@dataclass(frozen=True)
class Backend:
    """A CPU virtualization back end of the image: the CPUID bits that it needs."""

    name: str
    desc: str
    vendor: str
    level: str
    leaf: int
    reg: int
    bit: int
    need_leaf: int
    need_reg: int
    need_bit: int
    source: str = ""
    evidence: str = ""


@dataclass(frozen=True)
class HclList:
    """What an image supports."""

    version: str
    drivers: List[Driver]
    backends: List[Backend]

    def to_plain(self) -> Dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: Dict[str, Any]) -> "HclList":
        """Raises KeyError or TypeError for what is no list."""
        drivers = [Driver(**dict(d, rows=[Row(**r) for r in d["rows"]])) for d in plain["drivers"]]
        return cls(plain["version"], drivers, [Backend(**b) for b in plain["backends"]])


@dataclass(frozen=True)
class PciFunction:
    """A PCI function of a machine. exact: the programming interface is known."""

    address: str
    vendor: int
    device: int
    class_code: int
    subvendor: int = 0
    subdevice: int = 0
    exact: bool = True
    name: str = ""

    @property
    def base(self) -> int:
        return self.class_code >> 16

    @property
    def subclass(self) -> int:
        return self.class_code >> 8


@dataclass(frozen=True)
class Cpu:
    """What is known of the processor: flags by Linux's names, None where the source is silent."""

    vendor: str
    model: str = ""
    flags: Optional[frozenset] = None  # type: ignore[type-arg]
    threads: int = 0


@dataclass(frozen=True)
class UsbDevice:
    """A USB device. keyboard: an interface of it is a boot keyboard, as far as is known."""

    address: str  # "1-2", bus and device number
    vendor: int
    product: int
    name: str = ""
    keyboard: bool = False


@dataclass(frozen=True)
class Disk:
    """A disk that the machine's system sees; controller: its PCI address, or ""."""

    name: str
    size: int  # bytes
    controller: str = ""


@dataclass
class Machine:
    """A machine to judge. None, 0 or "": the source does not tell."""

    source: str
    pci: Optional[List[PciFunction]] = None
    cpu: Optional[Cpu] = None
    memory: int = 0  # bytes
    firmware: str = ""  # "UEFI", "BIOS"
    emulator: str = ""  # "QEMU" ... or "" on anything else
    disks: Optional[List[Disk]] = None
    usb: List[UsbDevice] = field(default_factory=list)
    usb_note: str = ""  # why USB was not looked at
    ps2_keyboard: Optional[bool] = None
    notes: List[str] = field(default_factory=list)
