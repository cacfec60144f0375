# SPDX-License-Identifier: Apache-2.0
"""A .vmx names files of datastores or beside itself, whatever it says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tepui.shell import tree
from tepui.shell.vm import control, paths, spec
from tepui.shell.vm.errors import VmError


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A host with datastore1, the volume of its own data, and a file that no guest may see."""
    for folder in ("vmfs/volumes/1234/web", "vmfs/volumes/OSDATA-1/tepui", "etc", "guest"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "vmfs/volumes/datastore1").symlink_to("1234")
    (tmp_path / "scratch").symlink_to("vmfs/volumes/OSDATA-1")
    for name in ("etc/shadow", "scratch/tepui/accounts.json", "guest/vmlinuz"):
        (tmp_path / name).write_text("secret")
    for name in ("vmlinuz", "a-flat.vmdk"):
        (tmp_path / "vmfs/volumes/datastore1/web" / name).write_text("x")
    monkeypatch.setattr(paths, "VOLUMES", tmp_path / "vmfs/volumes")
    monkeypatch.setattr(paths, "SCRATCH", tmp_path / "scratch")
    yield tmp_path


def described(folder: Path, **keys: str) -> spec.VmSpec:
    lines = {"displayName": "web", "tepui.kernel": "vmlinuz"} | {
        k.replace("__", ":").replace("_", "."): v for k, v in keys.items()
    }
    return spec.parse("".join(f'{k} = "{v}"\n' for k, v in lines.items()), folder)


def test_what_lies_on_datastores(host: Path) -> None:
    folder = host / "vmfs/volumes/datastore1/web"
    disk = {"scsi0__0_present": "TRUE", "scsi0__0_fileName": "a-flat.vmdk"}
    vm = paths.confined(described(folder, **disk))
    there = host / "vmfs/volumes/1234/web"
    assert vm.kernel == there / "vmlinuz" and vm.devices[0].backend == str(there / "a-flat.vmdk")
    raw = {"scsi0__0_present": "TRUE", "scsi0__0_fileName": "vmhba0:C0:T1:L0"}
    assert paths.confined(described(folder, **raw)).devices[0].backend == "vmhba0:C0:T1:L0"


def test_a_vmx_elsewhere_brings_its_own_files(host: Path) -> None:
    assert paths.confined(described(host / "guest")).kernel == host / "guest/vmlinuz"


@pytest.mark.parametrize("way", ["absolute", "dots", "link", "folder link", "own data", "alias"])
@pytest.mark.parametrize("key", ["tepui_kernel", "tepui_initrd", "scsi0__0_fileName"])
def test_nothing_else_of_the_host(host: Path, way: str, key: str) -> None:
    folder = host / "vmfs/volumes/datastore1/web"
    (folder / "disk.vmdk").symlink_to(host / "etc/shadow")
    (folder / "out").symlink_to(host / "etc")
    name = {
        "absolute": str(host / "etc/shadow"),
        "dots": "../../../../etc/shadow" if key[0] == "t" else f"{folder}/../../../../etc/shadow",
        "link": "disk.vmdk",
        "folder link": "out/shadow" if key[0] == "t" else f"{folder}/out/shadow",
        "own data": str(host / "vmfs/volumes/OSDATA-1/tepui/accounts.json"),
        "alias": str(host / "scratch/tepui/accounts.json"),
    }[way]
    vm = described(folder, **{key: name, "scsi0__0_present": "TRUE", "scsi0__0_mode": "read-only"})
    with pytest.raises(VmError, match="on no datastore"):
        paths.confined(vm)
    with pytest.raises(VmError, match="on no datastore"):  # before anything is asked of the host
        control.birth(None, vm)  # type: ignore[arg-type]


def test_the_contents_of_a_disk_are_confined(host: Path) -> None:
    """The descriptor is in place, what it names is a link out."""
    folder = host / "vmfs/volumes/datastore1/web"
    (folder / "b.vmdk").write_text(
        '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="vmfs"\n'
        'RW 8 VMFS "b-flat.vmdk"\n'
    )
    (folder / "b-flat.vmdk").symlink_to(host / "etc/shadow")
    disk = {"scsi0__0_present": "TRUE", "scsi0__0_fileName": "b.vmdk"}
    with pytest.raises(VmError, match="on no datastore"):
        control.birth(None, described(folder, **disk))  # type: ignore[arg-type]


def test_neither_folders_nor_root_nor_what_is_missing(host: Path) -> None:
    with pytest.raises(VmError, match="not a file"):
        paths.allowed(host / "vmfs/volumes/1234/web", host)
    with pytest.raises(VmError, match="no datastore"):
        paths.allowed(host / "etc/shadow", Path("/"))
    with pytest.raises(VmError, match="No such file"):
        paths.allowed(host / "guest/none", host / "guest")


def test_running_a_vmx_registers_it() -> None:
    run, register = (tree.find(["vm", word]).command for word in ("run", "register"))
    assert run and register and run.role is register.role
