# SPDX-License-Identifier: Apache-2.0
"""`tepui datastore` on volumes that the C code wrote: alone, in a partition, damaged."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tepui.shell.datastore import cli
from tepui.shell.datastore.partitions import DATASTORE, OS_DATA
from tests.gpt import BLOCK, Part, ends
from tests.unit import dsvolume
from tests.unit.dsvolume import MIB, Disk

SIZE = 32 * MIB
PARTS = [Part(1, 2048, 8), Part(5, 4096, 4096, OS_DATA), Part(6, 10240, SIZE // BLOCK, DATASTORE)]


@pytest.fixture(scope="module")
def volume() -> Iterator[bytes]:
    """/d/sparse: 3 MiB + 5 bytes, of which only [4 KiB, 8 KiB) and the end were written."""
    disk = Disk.fresh(dsvolume.build(), SIZE).mount()
    folder = disk.create("d", 0o40755)
    sparse = disk.create("sparse", parent=folder)
    disk.write(sparse, 4096, b"s" * 4096)
    disk.write(sparse, 3 * MIB, b"the e")
    disk.write(disk.create("small"), 0, b"small\n")
    disk.unmount()
    yield disk.peek(0, SIZE)
    disk.destroy()


@pytest.fixture
def image(volume: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(volume)
    return path


SPARSE = bytes(4096) + b"s" * 4096 + bytes(3 * MIB - 8192) + b"the e"


def test_check_ls_get(image: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["check", str(image)]) == 0
    assert "sound: 2 files, 2 folders" in capsys.readouterr().out
    assert cli.main(["ls", "-R", str(image), "/d"]) == 0
    assert "3145733" in (out := capsys.readouterr().out) and "/d/sparse" in out
    assert cli.main(["ls", str(image)]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["d", "small"]
    assert cli.main(["get", str(image), "/d/sparse", str(tmp_path)]) == 0
    assert (tmp_path / "sparse").read_bytes() == SPARSE
    assert (tmp_path / "sparse").stat().st_blocks < 100


def test_get_to_standard_output(image: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert cli.main(["get", str(image), "/d/sparse", "-"]) == 0
    assert capfdbinary.readouterr().out == SPARSE


def test_disk_with_partitions(
    volume: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk, blocks = tmp_path / "disk", 10240 + SIZE // BLOCK + 2048
    first, last = ends(PARTS, blocks)
    with disk.open("wb") as f:
        f.write(first)
        f.seek(10240 * BLOCK)
        f.write(volume)
        f.seek(blocks * BLOCK - len(last))
        f.write(last)
    assert cli.main(["ls", str(disk)]) == 0
    assert "small" in capsys.readouterr().out
    assert cli.main(["check", "-p", "6", str(disk)]) == 0
    assert cli.main(["check", str(disk)]) == 1  # partition 5 was never formatted
    out = capsys.readouterr().out
    assert f"{disk}:6: sound" in out and f"{disk}:5: no datastore" in out
    assert cli.main(["ls", "-p", "9", str(disk)]) == 1


def test_damage_and_wrong_usage(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["get", str(image), "/d", "-"]) == 2
    assert cli.main(["get", str(image), "/none", "-"]) == 4
    assert cli.main(["ls", f"{image}x"]) == 4
    data = bytearray(image.read_bytes())
    data[8 * 4096 + 100] ^= 1
    image.write_bytes(data)
    assert cli.main(["check", str(image)]) == 1
    assert "superblock 8 fails its checksum" in capsys.readouterr().out
    image.write_bytes(bytes(MIB))
    assert cli.main(["check", str(image)]) == 1
