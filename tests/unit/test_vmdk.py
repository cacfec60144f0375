# SPDX-License-Identifier: Apache-2.0
"""VMDK descriptors, virtual disks as files, and vmkfstools."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tepui.shell import vmkfstools
from tepui.shell.vm import disk, vmdk
from tepui.shell.vm.disk import Format
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.memory import MIB, size_of

names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x2FF, blacklist_characters='"/'),
                min_size=1, max_size=20).map(lambda n: n + "-flat.vmdk")  # fmt: skip

ESXI = """\
# Disk DescriptorFile
version=4
encoding="UTF-8"
CID=6c0a1b2d
parentCID=ffffffff
createType="vmfs"

# Extent description
RW 83886080 VMFS "web-flat.vmdk"

# Change Tracking File
changeTrackPath="web-ctk.vmdk"

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "5221"
ddb.thinProvisioned = "1"
ddb.uuid = "60 00 C2 9a 0f"
"""


@given(st.integers(1, 1 << 40), names, st.booleans(), st.integers(0, 0xFFFFFFFE))
def test_descriptor_round_trip(sectors: int, name: str, thin: bool, content: int) -> None:
    made = vmdk.Descriptor(sectors, name, thin, content, (("ddb.uuid", "60 00"),))
    assert vmdk.parse(vmdk.build(made)) == made


def test_a_descriptor_of_esxi() -> None:
    d = vmdk.parse(ESXI)
    assert (d.sectors, d.extent, d.thin) == (83886080, "web-flat.vmdk", True)
    assert ("ddb.uuid", "60 00 C2 9a 0f") in d.ddb
    assert "ddb.uuid" in vmdk.build(d)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("vmfs", "vmfsSparse", "not in this version"),
        ("parentCID=ffffffff", "parentCID=12345678", "snapshots"),
        ("RW 83886080", "RW 0", "none beside"),
        ("web-flat", "../web-flat", "none beside"),
        ("VMFS", "SPARSE", "not in this version"),
        ("# Disk", "# A", "not a VMDK"),
        ("6c0a1b2d", "xyz", "CID is not a number"),
    ],
)
def test_what_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(VmError, match=message):
        vmdk.parse(ESXI.replace(old, new))


def test_sizes() -> None:
    assert [size_of(t) for t in ("512", "8G", "1.5g", "3 MiB", "4s", "2tb")] == [
        512, 8 << 30, 3 << 29, 3 * MIB, 2048, 2 << 40]  # fmt: skip
    for wrong in ("", "g", "-1", "8x", "1,5g"):
        with pytest.raises(VmError):
            size_of(wrong)


@pytest.mark.parametrize("form", list(Format))
def test_create_extend_clone_rename_delete(tmp_path: Path, form: Format) -> None:
    a, b, c = (tmp_path / f"{n}.vmdk" for n in "abc")
    disk.create(a, 3 * MIB, form)
    data = os.urandom(MIB)
    with disk.opened(disk.flat(a), os.O_RDWR) as fd:
        disk.write_all(fd, data, 2 * MIB)
    assert disk.read(a).thin == (form is Format.THIN) and disk.check(a) == []
    disk.extend(a, 5 * MIB)
    want = bytes(2 * MIB) + data + bytes(2 * MIB)
    assert disk.flat(a).read_bytes() == want
    disk.clone(a, b, form)
    disk.rename(b, c)
    assert disk.flat(c).name == "c-flat.vmdk" and disk.flat(c).read_bytes() == want
    assert not b.exists()
    with pytest.raises(FileExistsError):
        disk.create(c, MIB)
    with pytest.raises(VmError, match="do not shrink"):
        disk.extend(c, MIB)
    disk.delete(c)
    disk.delete(a)
    assert list(tmp_path.iterdir()) == []


def test_a_thin_copy_leaves_zeros_out(tmp_path: Path) -> None:
    a, b = tmp_path / "a.vmdk", tmp_path / "b.vmdk"
    disk.create(a, 64 * MIB, Format.EAGER_ZEROED_THICK)
    disk.clone(a, b, Format.THIN)
    assert disk.flat(a).stat().st_blocks * 512 >= 64 * MIB
    assert disk.flat(b).stat().st_blocks * 512 < MIB
    assert disk.flat(b).stat().st_size == 64 * MIB


def test_raw_images_come_and_go(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, out, d = tmp_path / "i.raw", tmp_path / "o.raw", tmp_path / "d.vmdk"
    raw.write_bytes(os.urandom(2 * MIB + 512))
    assert vmkfstools.main(["--import", str(raw), str(d)]) == 0
    assert vmkfstools.main(["--export", str(out), str(d)]) == 0
    assert out.read_bytes() == raw.read_bytes() + bytes(MIB - 512)
    assert "Import: [" in capsys.readouterr().out


def test_a_failed_creation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes, offset: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "write_all", full)
    with pytest.raises(OSError, match="No space"):
        disk.create(tmp_path / "a.vmdk", MIB, Format.EAGER_ZEROED_THICK)
    assert list(tmp_path.iterdir()) == []


def test_vmkfstools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = str(tmp_path / "a.vmdk"), str(tmp_path / "b.vmdk")
    for words, status, said in (
        (["-c", "2m", "-d", "thin", a], 0, ""),
        (["-c", "2m", a], 1, "File exists"),
        (["-X", "3m", a], 0, ""),
        (["-x", "check", a], 0, "Disk is error free"),
        (["-x", "repair", a], 1, "not in this version"),
        (["-g", a], 0, "6144 sectors"),
        (["-E", a, b], 0, ""),
        (["-i", b, "-d", "thin", a], 0, "Clone: ["),
        (["-U", b], 0, ""),
        (["-U", b], 1, "No such file"),
        (["-K", a], 1, "not in this version"),
        (["-c", "huge", a], 1, "not a size"),
        (["-P", str(tmp_path)], 0, "free"),
    ):
        assert vmkfstools.main(words) == status, words
        captured = capsys.readouterr()
        assert said in captured.out + captured.err, words
    for words, status in ((["-h"], 0), ([], 2), (["-d", "fat", "-c", "1m", a], 2)):
        with pytest.raises(SystemExit) as end:
            vmkfstools.main(words)
        assert end.value.code == status
