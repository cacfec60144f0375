# SPDX-License-Identifier: Apache-2.0
"""Which partition holds the host's own data, and how its folders come to lie there."""

import uuid
from pathlib import Path

import pytest

from tepui.shell import osdata
from tepui.shell.datastore.partitions import OS_DATA
from tepui.shell.storageclient import Block

BANK = uuid.UUID(int=0xB0)
OTHER = uuid.UUID(int=0xB1)
ZERO = bytes(16)
DISK = Block("a", "a", "", "", "", "", "", "", "", 9, 0, 512, 0, 1, 0, ZERO, ZERO, "")


def part(disk: str, number: int, own: uuid.UUID, kind: uuid.UUID = OTHER) -> Block:
    guids = kind.bytes_le, own.bytes_le
    return DISK._replace(
        id=f"{disk}:{number}", partition=number, type_guid=guids[0], part_guid=guids[1]
    )


DEVICES = [
    DISK,
    part("a", 1, OTHER),
    part("a", 5, uuid.uuid4(), OS_DATA),
    DISK._replace(id="mpx.vmhba1:C0:T0:L0"),
    part("mpx.vmhba1:C0:T0:L0", 1, BANK),
    part("mpx.vmhba1:C0:T0:L0", 5, uuid.uuid4(), OS_DATA),
]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (f"quiet bootbank={BANK} x", "mpx.vmhba1:C0:T0:L0:5"),
        (f"bootbank={str(OTHER).upper()}", "a:5"),
        (f"bootbank={uuid.UUID(int=7)}", None),
        (f"xbootbank={BANK}", None),
        ("bootbank=", None),
        ("", None),
    ],
)
def test_the_boot_disk_has_it(options: str, found: str | None) -> None:
    block = osdata.find(DEVICES, options)
    assert (block.id if block else None) == found


def test_attach(tmp_path: Path) -> None:
    root, volume = tmp_path / "root", tmp_path / "volume"
    (root / "var/log/old").mkdir(parents=True)
    (root / "var/log/early").write_text("written before")
    (root / "var/log/old/a").write_text("fresh")
    (volume / "log/old").mkdir(parents=True)
    (volume / "log/old/a").write_text("kept")
    (root / "var/lib").mkdir()
    for _ in range(2):
        osdata.attach(volume, root)
        assert (root / "var/log").readlink() == volume / "log"
        assert (volume / "log/early").read_text() == "written before"
        assert (volume / "log/old/a").read_text() == "kept"
        assert (root / "var/lib/tepui").resolve() == volume / "tepui"
        assert (root / "scratch/log/early").exists()
