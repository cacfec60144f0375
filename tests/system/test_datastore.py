# SPDX-License-Identifier: Apache-2.0
"""A datastore on an NVMe disk: made, filled and mounted by the console, read by the checker."""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.shell.datastore.check import check
from tepui.shell.datastore.device import ImageFile
from tepui.shell.datastore.partitions import DATASTORE, OS_DATA
from tepui.shell.datastore.volume import Volume
from tests.gpt import Part, gpt, part_guid
from tests.system.installed import PASSWORD
from tests.system.machine import Machine
from tests.system.shell import Shell

MIB = 1 << 20
DISKS = "/dev/disks"


def new_disk(path: Path, size: int) -> tuple[str, str]:
    with path.open("wb") as f:
        f.truncate(size)
    return "-drive", f"if=none,id={path.name},format=raw,file={path}"


@pytest.mark.slow
def test_block_nodes(boot: Callable[..., Machine], tmp_path: Path) -> None:
    """A table written with dd shows its partitions; what is mounted is not to be written."""
    parts = [Part(1, 2048, 2048), Part(6, 8192, 48 * 2048, DATASTORE)]
    (tmp_path / "table").write_bytes(gpt(parts, 128 * 2048))
    target, source = (
        new_disk(tmp_path / "disk", 128 * MIB),
        f"if=none,id=t,format=raw,file={tmp_path}/table",
    )
    devices = ("-device", "nvme,drive=disk,serial=S1", "-device", "virtio-blk-pci,drive=t")
    shell = Shell(boot(cpus=2, memory=1024, arguments=(*target, "-drive", source, *devices)))
    names = {d["Vendor"]: d["Device"] for d in shell.json("storage core device list")}
    assert len(names) == 2, names
    table, disk = (f"{DISKS}/{name}" for name in sorted(names.values()))
    for command, status, pattern in (
        (f"ls -l {DISKS}/", 0, r"(?m)^brw-------.* mpx"),
        (
            f"dd if={table} of={disk} bs=1M && blockdev --rereadpt {disk} && ls {disk}:*",
            0,
            r":1\s+\S+:6\n",
        ),
        (f"blockdev --getsize64 {disk}:6", 0, rf"^{48 * MIB}\n"),
        (f"printf hello | dd of={disk}:1 bs=1 seek=1021 conv=notrunc,fsync", 0, ""),
        (f"tail -c +1022 {disk}:1 | head -c 5", 0, "hello"),
        (f"esxcli storage filesystem create -m -d {disk.split('/')[-1]}:6 -l ds", 0, ""),
        (f"printf x >{disk}:6", 1, "busy"),
        (f"printf x >{disk}", 1, "busy"),
        (f"head -c 10 {disk}:6", 0, "TDS1"),
        (f"printf x >>{disk}:1 && blockdev --rereadpt {disk}", 0, ""),
        (f"dd if=/dev/zero of={disk} count=34", 1, "busy"),
    ):
        rc, text = shell.run(command)
        assert rc == status and re.search(pattern, text), (command, rc, text)
    shell.console.send("esxcli system shutdown poweroff -r test\r")
    assert shell.machine.wait_exit(60) == 0
    with (tmp_path / "disk").open("rb") as f:
        f.seek(2048 * 512)
        assert f.read(1026) == b"x" + bytes(1020) + b"hello"
    assert check(ImageFile(tmp_path / "disk", 8192 * 512)).problems == []


@pytest.mark.slow
def test_files_survive(boot: Callable[..., Machine], tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.touch()
    with image.open("r+b") as f:
        f.truncate(128 * MIB)
    drive = f"if=none,id=disk,format=raw,file={image}"
    arguments = ("-drive", drive, "-device", "nvme,drive=disk,serial=S1")

    shell = Shell(boot(cpus=2, memory=1024, arguments=arguments))
    disk = shell.json("storage core device list")[0]
    assert disk["Size"] == 128
    rc, text = shell.run(f"esxcli storage filesystem create -m -d '{disk['Device']}' -l datastore1")
    assert rc == 0, text
    volume = shell.json("storage filesystem list")[0]
    assert volume["VolumeName"] == "datastore1" and volume["UUID"] in text
    fill = "head -c 5000000 /dev/urandom > a && mkdir d && echo small > d/b && ln -s d/b c"
    rc, text = shell.run(f"cd /vmfs/volumes/datastore1 && {fill} && sync && sha256sum a")
    assert rc == 0, text
    found = re.search(r"^([0-9a-f]{64})  a$", text, re.M)
    assert found, text
    digest = found[1]
    stats = shell.json(f"storage core device stats get -d {disk['Device']}")[0]
    assert stats["BlocksWritten"] * 512 > 5_000_000 and stats["FailedCommands"] == 0
    assert stats["FlushOperations"]
    assert 0 < stats["MedianMicroseconds"] <= stats["HighestMicroseconds"]
    worlds = shell.json("storage core device world list")
    assert sum(w["BytesWritten"] for w in worlds) == stats["BlocksWritten"] * 512
    assert max(w["BytesWritten"] for w in worlds) >= 5_000_000
    # Four writers at the end of one file, each line a call of its own: none is lost.
    writers = "for w in 1 2 3 4; do (for i in $(seq 60); do echo $w.$i; done >>log) & done; wait"
    rc, text = shell.run(f"{writers}; sort log | uniq | wc -l; wc -l <log")
    assert (rc, text.split()[-2:]) == (0, ["240", "240"]), text
    shell.console.send("esxcli system shutdown poweroff -r test\r")
    assert shell.machine.wait_exit(60) == 0

    assert check(ImageFile(image)).problems == []
    reader = Volume(ImageFile(image))
    assert hashlib.sha256(reader.read(reader.find("/a"), 0, 1 << 30)).hexdigest() == digest
    assert reader.read(reader.find("/d/b"), 0, 100) == b"small\n"

    shell = Shell(boot(cpus=2, memory=1024, arguments=arguments))
    rc, text = shell.run(
        "esxcli storage filesystem automount && sha256sum /vmfs/volumes/datastore1/a"
    )
    assert rc == 0 and digest in text
    rc, text = shell.run("cat /vmfs/volumes/datastore1/c")
    assert (rc, text) == (0, "small\n")


@pytest.mark.slow
def test_os_data_survives_a_reset(boot: Callable[..., Machine], tmp_path: Path) -> None:
    """Accounts, the certificate and the log of the first boot, without an orderly end."""
    blocks = 64 * 2048
    for name in ("one", "two"):
        parts = [Part(1, 2048, 2048), Part(5, 4096, 48 * 2048, OS_DATA)]
        (tmp_path / name).write_bytes(gpt(parts, blocks, seed=name))
    drives = (f"if=none,id={n},format=raw,file={tmp_path / n}" for n in ("one", "two"))
    arguments = [word for drive in drives for word in ("-drive", drive)]
    arguments += ["-device", "virtio-blk-pci,drive=one", "-device", "virtio-blk-pci,drive=two"]
    # What an installation leaves: the volume, with accounts in which root has a password. Without
    # them an installed host lets nobody in.
    shell = Shell(boot(cpus=2, memory=1024, arguments=tuple(arguments)))
    disk = shell.json("storage core device list")[1]["Device"]
    volume = "/vmfs/volumes/OSDATA"
    for command in (
        f"esxcli storage filesystem create -m -d {disk}:5 -l OSDATA",
        f"esxcli system account set -i root -p {PASSWORD}",
        f"mkdir {volume}/tepui && cp /var/lib/tepui/accounts.json {volume}/tepui/ && sync",
    ):
        rc, text = shell.run(command)
        assert rc == 0, (command, text)
    shell.console.send("esxcli system shutdown poweroff -r test\r")
    assert shell.machine.wait_exit(60) == 0

    option = f"bootbank={part_guid(1, 'two')}"
    config = {"options": option, "arguments": tuple(arguments)}
    machine = boot(cpus=2, memory=1024, reboot=True, **config)
    shell = Shell(machine, password=PASSWORD)
    for command in (
        "until grep -q listening /var/log/hostd.log; do sleep 1; done",
        "ls -l /var/log",
        "esxcli system account add -i ada -p Correct-horse -r operator",
        "until grep ' ready in ' /var/log/vmkernel.log; do sleep 1; done; sync",
    ):
        rc, text = shell.run(command)
        assert rc == 0, (command, text)
    _, certificate = shell.run("sha256sum /var/lib/tepui/ssl/*")
    machine.qmp.execute("system_reset")

    shell = Shell(machine, password=PASSWORD)
    assert [a["UserID"] for a in shell.json("system account list")] == ["root", "ada"]
    assert shell.run("sha256sum /var/lib/tepui/ssl/*") == (0, certificate)
    rc, text = shell.run(
        "until [ $(grep -c ' ready in ' /scratch/log/vmkernel.log) = 2 ]; do sleep 1; done"
    )
    assert rc == 0, text
    assert [v["VolumeName"] for v in shell.json("storage filesystem list")] == ["OSDATA"]
    shell.console.send("esxcli system shutdown poweroff -r test\r")
    assert machine.wait_exit(60) == 0
    found = check(ImageFile(tmp_path / "two", 4096 * 512))
    assert found.problems == [] and found.replayed == 0
    reader = Volume(ImageFile(tmp_path / "two", 4096 * 512))
    log = reader.read(reader.find("/log/vmkernel.log"), 0, MIB)
    assert log.count(b" ready in ") == 2 and b"power off" in log.splitlines()[-1]
