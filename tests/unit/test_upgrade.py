# SPDX-License-Identifier: Apache-2.0
"""What an upgrade finds in an ISO, whole or damaged."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.iso import upgrade
from tepui.iso.disk import Disk
from tepui.iso.upgrade import UpgradeError

CONTENT = {"vmkernel.elf": b"\x7fELF" + b"kernel" * 999, "userworld": bytes(range(256)) * 99}
FIRST, LAST = 16 * 2048, 32 * 2048  # where the volume's description and the folders lie


@pytest.fixture(scope="module")
def iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iso")
    (folder / "tree/boot").mkdir(parents=True)
    for name, data in CONTENT.items():
        (folder / "tree/boot" / name).write_bytes(data)
    command = ["xorriso", "-as", "mkisofs", "-r", "-o", f"{folder}/iso", f"{folder}/tree"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "iso"


def test_the_parts(iso: Path, tmp_path: Path) -> None:
    with Disk(iso) as disk:
        for name, (at, size) in upgrade.find(disk).items():
            upgrade.extract(disk, at, size, tmp_path / name)
            assert (tmp_path / name).read_bytes() == CONTENT[name]


@given(
    st.lists(st.tuples(st.integers(FIRST, LAST), st.integers(0, 255)), min_size=1), st.booleans()
)
def test_damage_is_refused_or_harmless(
    iso: Path, changes: list[tuple[int, int]], cut: bool
) -> None:
    data = bytearray(iso.read_bytes())
    for at, value in changes:
        data[at] = value
    path = iso.with_name("damaged")
    path.write_bytes(data[: changes[0][0]] if cut else data)
    with Disk(path) as disk:
        try:
            found = upgrade.find(disk)
        except UpgradeError as e:
            assert str(path) in str(e)
        else:
            assert all(at + size <= len(data) for at, size in found.values())
