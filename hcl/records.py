# SPDX-License-Identifier: Apache-2.0
"""Evidence: which test drove which row of the list, on which emulator and firmware, with which
source of the driver. Only `make evidence` writes the records, hcl/evidence/DRIVER.json."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tepui.hcl.model import BY_PCI_ID, HclList, Row

FOLDER = "hcl/evidence"
PROVEN = ("EMULATED", "TESTED")


@dataclass(frozen=True, order=True)
class Record:
    """One row's proof. machine: the emulator with its version, or the physical machine."""

    driver: str
    row: str  # "8086:10d3", "class 010802", or a back end's CPUID vendor
    test: str  # pytest's node id
    source: str  # digest(): of the driver's files
    firmware: str
    machine: str


def row_key(row: Row) -> str:
    """How records name a row of a driver."""
    if row.kind == BY_PCI_ID:
        return f"{row.vendor:04x}:{row.device:04x}"
    return f"class {row.class_code:06x}"


def sources(tree: Path, declared: str) -> list[Path]:
    """A driver's files: those beside its declaration whose names begin with the declaring file's,
    and every file of a folder of drivers/ that they include from (virtio/); and the layouts in
    vmkernel/include/hw that all these include."""
    first = tree / declared
    found = set(first.parent.glob(f"{first.stem}*.[chS]"))
    for path in sorted(found):
        for name in re.findall(r'^#include "(\w+)/\w+\.h"', path.read_text(), re.M):
            folder = tree / "drivers" / name
            if folder.is_dir() and folder != first.parent:
                found |= set(folder.glob("*.[ch]"))
    for path in sorted(found):
        for name in re.findall(r'^#include "(hw/\w+\.h)"', path.read_text(), re.M):
            found.add(tree / "vmkernel/include" / name)
    return sorted(found)


def digest(tree: Path, declared: str) -> str:
    """SHA-256 over names and contents of a driver's files."""
    total = hashlib.sha256()
    for path in sources(tree, declared):
        total.update(f"{path.relative_to(tree)}\0".encode() + path.read_bytes() + b"\0")
    return total.hexdigest()


def load(tree: Path) -> dict[tuple[str, str], Record]:
    """All records by driver and row."""
    records = {}
    for path in sorted((tree / FOLDER).glob("*.json")):
        for plain in json.loads(path.read_text()):
            record = Record(**plain)
            records[record.driver, record.row] = record
    return records


def save(tree: Path, records: Iterable[Record]) -> None:
    """Replaces the files of the drivers that the records are of."""
    kept = {**load(tree), **{(r.driver, r.row): r for r in records}}
    (tree / FOLDER).mkdir(exist_ok=True)
    for driver in {driver for driver, _ in kept}:
        mine = [asdict(kept[key]) for key in sorted(kept) if key[0] == driver]
        (tree / FOLDER / f"{driver}.json").write_text(json.dumps(mine, indent=1) + "\n")


def proven(hcl: HclList) -> Iterator[tuple[str, str, str]]:
    """Driver, row and declaring source of each row that needs a record."""
    for d in hcl.drivers:
        yield from ((d.name, row_key(r), d.source) for r in d.rows if r.level in PROVEN)
    for b in hcl.backends:
        if b.level in PROVEN:
            yield b.name, b.vendor, b.source


def stale(tree: Path, hcl: HclList) -> dict[tuple[str, str], str]:
    """Rows whose record is missing or of another source, with the reason."""
    records, reasons = load(tree), {}
    for driver, row, source in proven(hcl):
        record = records.get((driver, row))
        if record is None:
            reasons[driver, row] = "no record"
        elif record.source != digest(tree, source):
            reasons[driver, row] = "its driver's source has changed since"
    return reasons


def problems(tree: Path, hcl: HclList, tests: set[str]) -> list[str]:
    """What is wrong with the records; `tests`: the node ids that `make test` runs."""
    found = [f"{d} {row}: {why}" for (d, row), why in stale(tree, hcl).items()]
    known = {(driver, row) for driver, row, _ in proven(hcl)}
    for key, record in load(tree).items():
        if key not in known:
            found.append(f"{key[0]} {key[1]}: a record for no row that claims one")
        elif record.test not in tests:
            found.append(f"{key[0]} {key[1]}: {record.test} does not run")
    return found


def attach(tree: Path, hcl: HclList) -> HclList:
    """The list with each row's evidence in words: "QEMU 7.2.22, bios"."""
    records = load(tree)

    def words(driver: str, row: str) -> str:
        record = records.get((driver, row))
        return f"{record.machine}, {record.firmware}" if record else ""

    drivers = [
        replace(d, rows=[replace(r, evidence=words(d.name, row_key(r))) for r in d.rows])
        for d in hcl.drivers
    ]
    backends = [replace(b, evidence=words(b.name, b.vendor)) for b in hcl.backends]
    return replace(hcl, drivers=drivers, backends=backends)
