# SPDX-License-Identifier: Apache-2.0
"""What an upgrade finds in an ISO, whole or damaged."""

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.iso import digests, loader, upgrade
from tepui.iso.digests import DigestError
from tepui.iso.disk import Disk
from tepui.iso.upgrade import UpgradeError

CONTENT = {"vmkernel.elf": b"\x7fELF" + b"kernel" * 999, "userworld": bytes(range(256)) * 99}
FIRST, LAST = 16 * 2048, 32 * 2048  # where the volume's description and the folders lie


@pytest.fixture(scope="module")
def iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iso")
    (folder / "tree/boot").mkdir(parents=True)
    boot = folder / "tree/boot"
    for name, data in CONTENT.items():
        (boot / name).write_bytes(data)
    (boot / digests.NAME).write_text(digests.listing({n: boot / n for n in CONTENT}))
    command = ["xorriso", "-as", "mkisofs", "-r", "-o", f"{folder}/iso", f"{folder}/tree"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "iso"


def test_the_parts(iso: Path, tmp_path: Path) -> None:
    with Disk(iso) as disk:
        for name, (at, size) in upgrade.find(disk).items():
            upgrade.extract(disk, at, size, tmp_path / name)
            if name in CONTENT:
                assert (tmp_path / name).read_bytes() == CONTENT[name]
    digests.verify(tmp_path / digests.NAME, {n: tmp_path / n for n in CONTENT})


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


class Host:
    """A disk whose bank A runs; the other bank and the ESP are files of their own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bank, self.esp = folder / "bank-b", folder / "esp"
        with self.bank.open("wb") as f:
            f.write(b"old bank" * 512)
            f.truncate(256 << 20)
        self.esp.write_bytes(b"untouched" * 4096)
        monkeypatch.setattr(upgrade, "DISKS", folder)
        rows = SimpleNamespace(id="esp"), SimpleNamespace(id="bank-b")
        monkeypatch.setattr(upgrade, "here", lambda devices, options: ("A", *rows))
        monkeypatch.setattr(loader, "write_environment", self.environment)
        self.written: list[dict[str, str]] = []

    def environment(self, esp: Disk, values: dict[str, str]) -> None:
        self.written.append(values)


@pytest.mark.parametrize("name", CONTENT)
def test_zeros_in_an_image_are_refused(
    iso: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 kB of zeros in the kernel were installed."""
    data = bytearray(iso.read_bytes())
    with Disk(iso) as disk:
        at, size = upgrade.find(disk)[name]
    data[at + size // 2 : at + size // 2 + 100] = bytes(100)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(data)
    host = Host(tmp_path, monkeypatch)
    before = host.bank.read_bytes()[:8192], host.esp.read_bytes()
    with pytest.raises(DigestError, match=f"{name} is damaged"):
        upgrade.update([], "", damaged)
    assert (host.bank.read_bytes()[:8192], host.esp.read_bytes()) == before and not host.written


def test_a_whole_image_goes_with_its_digests(
    iso: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = Host(tmp_path, monkeypatch)
    assert upgrade.update([], "", iso) == "B"
    assert host.written == [{"bank": "A", "try": ""}, {"bank": "A", "try": "B"}]
    for name in (*CONTENT, digests.NAME):
        command = ["mcopy", "-i", host.bank, f"::/{name}", tmp_path / f"{name}.out"]
        subprocess.run([str(c) for c in command], check=True, capture_output=True)
    files = {name: tmp_path / f"{name}.out" for name in CONTENT}
    digests.verify(tmp_path / f"{digests.NAME}.out", files)
    assert files[digests.KERNEL].read_bytes() == CONTENT[digests.KERNEL]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no digest of vmkernel.elf"),
        ("x\n", "the digests are damaged"),
        (f"{'0' * 64}  vmkernel.elf\n" * 2, "the digests are damaged"),
        (f"{'0' * 64}  vmkernel.elf\n", "vmkernel.elf is damaged"),
        ("\u20ac", "no digests can be read"),
    ],
)
def test_digests_that_do_not_serve(text: str, problem: str, tmp_path: Path) -> None:
    kernel, path = tmp_path / "kernel", tmp_path / "digests"
    kernel.write_bytes(b"kernel")
    path.write_text(text)
    with pytest.raises(DigestError, match=problem):
        digests.verify(path, {digests.KERNEL: kernel})


def test_the_listing_is_sha256sum_s(tmp_path: Path) -> None:
    (tmp_path / "vmkernel.elf").write_bytes(b"kernel")
    (tmp_path / "digests").write_text(digests.listing({digests.KERNEL: tmp_path / "vmkernel.elf"}))
    subprocess.run(["sha256sum", "-c", "digests"], cwd=tmp_path, check=True, capture_output=True)
