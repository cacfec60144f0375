# SPDX-License-Identifier: Apache-2.0
"""A death of the installer at any write leaves nothing that boots half, also on a disk that held
an earlier installation."""

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tepui.iso import digests, install, layout, loader
from tepui.iso.digests import DigestError
from tepui.iso.disk import Disk
from tepui.iso.install import Source
from tepui.shell import gpt

SIZE = layout.DISK_MIN << 20
CONTENT = {"vmkernel.elf": b"kernel" * 9000, "userworld": bytes(range(256)) * 20000}


class DiedError(Exception):
    pass


class Dying(Disk):
    """Dies at the write number `last`, of which half arrives."""

    last = 1 << 30
    count = 0

    def write(self, offset: int, data: bytes) -> None:
        self.count += 1
        if self.count > self.last:
            super().write(offset, data[: len(data) // 2])
            raise DiedError
        super().write(offset, data)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    folder = tmp_path_factory.mktemp("install")
    boot = bytearray(512)
    core = bytearray(4096)
    core[loader.BLOCK_LIST + 8 : loader.BLOCK_LIST + 12] = b"\x07\x00\x20\x08"
    boot[:4] = b"BOOT"
    for name, data in ("boot.img", boot), ("core.img", core), ("BOOTX64.EFI", b"EFI" * 40000):
        (folder / name).write_bytes(data)
    for name, data in CONTENT.items():
        (folder / name).write_bytes(data)
    yield Source(folder / "vmkernel.elf", folder / "userworld", folder, folder)


def run(source: Source, last: int) -> int:
    """Installs on the disk that is there; returns the number of writes."""
    with Dying(source.scratch / "disk", writable=True) as disk:
        disk.last = last
        table = layout.plan(disk.block_size, disk.blocks)
        with contextlib.suppress(DiedError):
            install.install(disk, table, source, "", lambda: None, lambda done, total, what: None)
        return disk.count


def file(path: Path, partition: int, name: str) -> bytes:
    """A file's content, b"" where no file system has it."""
    with Disk(path) as disk:
        start = disk.table().partitions[partition - 1].first * disk.block_size
    command = ["mtype", "-i", f"{path}@@{start}", f"::/{name}"]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.stdout if done.returncode == 0 else b""


def state(path: Path) -> tuple[bool, bool, bool]:
    """Whether BIOS would start GRUB, UEFI would, and bank A is whole."""
    with Disk(path) as disk:
        bios = disk.read(0, 4) == b"BOOT"
        bank = all(file(path, layout.BANK_A, n) == d for n, d in CONTENT.items())
    return bios, bool(file(path, layout.ESP, "EFI/BOOT/BOOTX64.EFI")), bank


@settings(max_examples=8)
@given(data=st.data(), again=st.booleans())
def test_death_at_any_write(source: Source, data: st.DataObject, again: bool) -> None:
    path = source.scratch / "disk"
    with path.open("wb") as f:
        f.truncate(SIZE)
    if again:
        run(source, 1 << 30)
        assert state(path) == (True, True, True)
    run(source, data.draw(st.integers(0, 24)))
    try:
        bios, uefi, bank = state(path)
    except gpt.GptError:
        return
    assert bank or not (bios or uefi)
    if bios:
        assert uefi and file(path, layout.ESP, "grub/grub.cfg")


def test_a_whole_installation(source: Source) -> None:
    path = source.scratch / "disk"
    with path.open("wb") as f:
        f.truncate(SIZE)
    assert run(source, 1 << 30) < 24
    assert state(path) == (True, True, True)
    with Disk(path) as disk:
        table = disk.table()
        start = table.partitions[layout.BIOS_BOOT - 1].first * 512
        assert disk.read(start, 4096) == loader.core(loader.Images.load(source.grub), table)


def test_damaged_modules_are_not_installed(source: Source) -> None:
    """Nothing of the disk changes where the modules are not what the image says."""
    folder = source.scratch
    sums = folder / "digests"
    checked = replace(source, digests=sums)
    for name in CONTENT:
        sums.write_text(digests.listing(source.files()))
        whole = (folder / name).read_bytes()
        try:
            (folder / name).write_bytes(whole[:-1] + b"?")
            with pytest.raises(DigestError, match=f"{name} is damaged"):
                attempt(checked)
        finally:
            (folder / name).write_bytes(whole)
    sums.unlink()
    with pytest.raises(DigestError, match="no digests"):
        attempt(checked)


def attempt(source: Source) -> None:
    """Installs on a disk that takes no write."""
    path = source.scratch / "untouched"
    with path.open("wb") as f:
        f.truncate(1 << 30)
    with Dying(path, writable=True) as disk:
        disk.last = 0
        table = layout.plan(disk.block_size, disk.blocks)
        install.install(disk, table, source, "", lambda: None, lambda done, total, what: None)
