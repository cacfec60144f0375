# SPDX-License-Identifier: Apache-2.0
"""esxcli vm ... and vim-cmd, down to hostd's keeper over a vmkernel that a test plays."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from tepui.shell import run, vimcmd
from tepui.shell.commands import vm as processes
from tepui.shell.commands import vms as commands
from tepui.shell.hostd import vms
from tepui.shell.hostd.keeper import Keeper
from tepui.shell.vm import disk, inventory, service
from tests.unit import test_keeper
from tests.unit.test_keeper import Kernel

kernel = test_keeper.kernel
hostd = test_keeper.hostd
Esxcli = Callable[..., tuple[int, str]]


@pytest.fixture
def esxcli(
    tmp_path: Path,
    hostd: Callable[[], Keeper],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Esxcli]:
    """Runs a line with a hostd behind it: exit status, what it printed."""
    socket = tmp_path / "sock"
    server = vms.Server(hostd(), socket)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(service, "SOCKET", socket)
    monkeypatch.setattr(commands, "VOLUMES", tmp_path / "volumes")
    monkeypatch.setattr(commands, "SCRATCH", tmp_path / "scratch")
    monkeypatch.setattr(inventory, "PATH", tmp_path / "vms.json")
    (tmp_path / "volumes/uuid").mkdir(parents=True)
    (tmp_path / "volumes/ds1").symlink_to("uuid")
    for name in ("vmlinuz", "initrd"):
        (tmp_path / name).write_text(name)

    def call(*words: str, program: Callable[..., int] = run.main) -> tuple[int, str]:
        status = program(list(words))
        captured = capsys.readouterr()
        lines = (captured.out + captured.err).splitlines(keepends=True)
        return status, "".join(line for line in lines if not line.startswith("hostd: "))

    yield call
    server.shutdown()
    server.server_close()


def create(esxcli: Esxcli, tmp_path: Path, *more: str) -> tuple[int, str]:
    files = ("--kernel", str(tmp_path / "vmlinuz"), "--initrd", str(tmp_path / "initrd"))
    return esxcli("vm", "create", "web", "--cpus", "2", "--memory", "1G", *files, *more)


def test_a_vm_from_its_making_to_its_end(esxcli: Esxcli, tmp_path: Path, kernel: Kernel) -> None:
    status, text = create(esxcli, tmp_path, "--disk", "8G", "--disk", "1m", "-n", "VM Network")
    assert status == 0 and text.endswith("Next: esxcli vm power on web\n"), text
    folder = tmp_path / "volumes/uuid/web"
    names = {p.name for p in folder.iterdir()}
    assert names == {"web.vmx", "web.vmdk", "web-flat.vmdk", "web_1.vmdk", "web_1-flat.vmdk",
                     "vmlinuz", "initrd"}  # fmt: skip
    assert disk.read(folder / "web.vmdk").sectors == 8 << 21
    assert create(esxcli, tmp_path)[0] == 1
    status, text = esxcli("vm", "list")
    assert "web" in text and "[ds1] web/web.vmx" in text and "1024" in text
    status, text = esxcli("vm", "power", "on", "web")
    assert status == 0 and "Next: esxcli vm console web" in text
    assert "Powered on" in esxcli("vm", "power", "get", "1")[1]
    assert "is powered on" in esxcli("vm", "set", "web", "--cpus", "4")[1]
    assert "is powered on" in esxcli("vm", "delete", "web")[1]
    assert esxcli("vm", "reset", "web")[0] == 0 and kernel.births == ["web", "web"]
    assert esxcli("vm", "shutdown", "web")[0] == 0 and kernel.pressed == [2]
    assert esxcli("vm", "power", "off", "web")[0] == 0 and kernel.vms == {}
    assert (
        esxcli("vm", "set", "web", "--cpus", "4", "--append", 'a="b"', "--autostart=true")[0] == 0
    )
    status, text = esxcli("vm", "show", "web")
    assert "CPUs: 4" in text and 'Append: a="b"' in text and "Autostart: true" in text
    assert "Disks: web.vmdk, web_1.vmdk" in text and "Networks: VM Network" in text
    assert esxcli("vm", "set", "web", "--cpus", "400")[0] == 1
    assert esxcli("vm", "delete", "web") == (0, "")
    assert not folder.exists() and esxcli("vm", "list")[1].count("\n") == 2


def test_a_creation_that_fails_leaves_nothing(
    esxcli: Esxcli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert create(esxcli, tmp_path, "--disk", "1g", "--disk", "1k")[0] == 1
    assert list((tmp_path / "volumes/uuid").iterdir()) == []
    assert "no datastore x" in create(esxcli, tmp_path, "--datastore", "x")[1]
    (tmp_path / "volumes/uuid2").mkdir()
    (tmp_path / "volumes/ds2").symlink_to("uuid2")
    assert "which datastore" in create(esxcli, tmp_path)[1]


def test_the_hosts_own_data_is_no_datastore(esxcli: Esxcli, tmp_path: Path) -> None:
    (tmp_path / "volumes/own").mkdir()
    (tmp_path / "volumes/OSDATA").symlink_to("own")
    (tmp_path / "scratch").symlink_to("volumes/OSDATA")
    assert create(esxcli, tmp_path)[0] == 0
    assert [p.name for p in (tmp_path / "volumes/uuid").iterdir()] == ["web"]


def test_register_says_what_is_not_there(esxcli: Esxcli, tmp_path: Path) -> None:
    vmx = tmp_path / "old.vmx"
    vmx.write_text(
        'displayName = "old"\nfirmware = "efi"\nsvga.present = "TRUE"\nide1:0.present = "TRUE"\n'
        'ide1:0.deviceType = "cdrom-image"\nide1:0.fileName = "x.iso"\n'
    )
    status, text = esxcli("vm", "register", str(vmx))
    assert status == 0
    for what in ("CD-ROM drives (ide1:0)", "booting by firmware", "graphics (svga)"):
        assert f"Not in this version: {what}" in text
    assert "cdrom-image" in vmx.read_text()
    assert esxcli("vm", "unregister", "old") == (0, "")
    assert vmx.exists()


def test_vim_cmd(esxcli: Esxcli, tmp_path: Path, kernel: Kernel) -> None:
    def vim(*words: str) -> tuple[int, str]:
        return esxcli(*words, program=vimcmd.main)

    status, text = vim("vmsvc/getallvms")
    assert text.split() == ["Vmid", "Name", "File", "Guest", "OS", "Version", "Annotation"]
    create(esxcli, tmp_path)
    status, text = vim("vmsvc/getallvms")
    assert text.split("\n")[1].split()[:4] == ["1", "web", "[ds1]", "web/web.vmx"]
    assert vim("vmsvc/power.on", "1") == (0, "Powering on VM:\n")
    assert vim("vmsvc/power.getstate", "1") == (0, "Retrieved runtime info\nPowered on\n")
    assert 'powerState = "poweredOn"' in vim("vmsvc/get.summary", "1")[1]
    assert vim("vmsvc/power.reset", "1") == (0, "Reset VM:\n")
    assert vim("vmsvc/power.off", "1") == (0, "Powering off VM:\n")
    assert vim("vmsvc/power.off", "1")[0] == 1
    status, text = vim("vmsvc/power.on", "7")
    assert status == 1 and "vim.fault.NotFound" in text and 'corresponding to "7"' in text
    assert vim("vmsvc/snapshot.create", "1")[1] == (
        "Error: vmsvc/snapshot.create is not in this version\n"
    )
    assert vim("vmsvc/power.on")[0] == 2 and vim()[0] == 2
    vmx = str(tmp_path / "volumes/uuid/web/web.vmx")
    assert vim("vmsvc/unregister", "1") == (0, "")
    assert vim("solo/registervm", vmx) == (0, "2\n")
    assert vim("vmsvc/destroy", "2") == (0, "")
    assert not Path(vmx).exists()


def test_uuids_as_vmware_writes_them() -> None:
    text = processes.in_pairs(UUID("564d0000-1111-2222-3333-444455556666"))
    assert text == "56 4d 00 00 11 11 22 22-33 33 44 44 55 55 66 66"


def test_without_hostd_there_is_a_plain_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(service, "SOCKET", tmp_path / "none")
    monkeypatch.setattr(service, "WAIT", 0)
    assert run.main(["vm", "list"]) == 1
    assert "hostd does not answer" in capsys.readouterr().err
