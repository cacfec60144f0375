# SPDX-License-Identifier: Apache-2.0
"""From the ISO onto an empty disk by a kickstart file, then a boot from that disk alone."""

import hashlib
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from tepui.iso import layout
from tepui.iso.disk import Disk
from tests.system import installed
from tests.system.machine import Firmware, Machine
from tests.system.shell import Shell
from tests.system.test_remote import Workstation
from tests.system.test_screen import await_row, display

Boot = Callable[..., Machine]


ALL = [
    pytest.param(*row, marks=() if row[:2] == ("nvme", "e1000e") else pytest.mark.soak)
    for row in product(installed.DISKS, ("e1000", "e1000e", "virtio-net-pci"), Firmware)
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "nic", "firmware"), ALL)
def test_unattended(boot: Boot, kind: str, nic: str, firmware: Firmware, tmp_path: Path) -> None:
    """Installs, boots, logs in, by UEFI with the ISO's key too; a disk that was not chosen has
    not changed by one byte."""
    disk, other = installed.empty(tmp_path / "disk"), tmp_path / "other"
    other.write_bytes(hashlib.shake_128(b"other").digest(1 << 20) * 8)
    before = hashlib.sha256(other.read_bytes()).hexdigest()
    text = installed.KICKSTART.replace("--firstdisk", f"--firstdisk={kind}")
    station = Workstation(tmp_path)
    key = station.key() if firmware is Firmware.UEFI else ""
    iso = installed.iso(tmp_path, text, "%post --interpreter=busybox\necho said-by-post\n", key)
    arguments = (*installed.disk(disk, kind=kind), "-nic", f"user,model={nic},{station.forward}")
    config = {"memory": 1024, "cpus": 2, "firmware": firmware}
    machine = boot(
        **config, iso=iso, entry="install", cd_index=1,
        arguments=(*arguments, *installed.disk(other, "S2", index=None)),
    )  # fmt: skip
    name = machine.console.expect(r"Disk: (\S+), \d+ MiB, empty", 240)[1]
    machine.console.expect(r"said-by-post", 240)
    machine.console.expect(re.escape(f"Tepui is installed on {name}"), 60)
    assert machine.wait_exit(60) == 0
    assert hashlib.sha256(other.read_bytes()).hexdigest() == before
    with Disk(disk) as d:
        assert [p.number for p in d.table().partitions] == list(range(1, layout.DATASTORE + 1))

    shell = Shell(boot(**config, boot="none", arguments=arguments), password=installed.PASSWORD)
    rc, text = shell.run("cat /proc/cmdline; echo; ls /vmfs/volumes")
    assert rc == 0 and "bootbank=" in text
    there = "esxcli network ip interface ipv4 get | grep -F 10.0.2.15"
    assert shell.run(f"until {there}; do sleep 1; done")[0] == 0
    if key:
        shell.run("until grep -q 'SSH on port' /var/log/hostd.log; do sleep 1; done", 120)
        done = station.openssh("esxcli system version get")
        assert done.returncode == 0 and "Product: Tepui" in done.stdout, done.stderr
        names = ("/memory/total_pages", "/memory/pages/free")
        total, free = (int(shell.run(f"vsish -e get {n}")[1]) for n in names)
        print(f"uses {(total - free) >> 8} MiB")
        assert (total - free) * 4096 <= 256 << 20


WRONG = {
    "unknown": ("frobnicate\n", r"ks\.cfg:1: unknown command 'frobnicate'"),
    "disks": (
        installed.KICKSTART.replace("--firstdisk", "--disk=t10*"),
        r"ks\.cfg:3: 't10\*' means 2 disks",
    ),
    "value": (installed.KICKSTART + "keyboard\n", r"ks\.cfg:6: keyboard: a value is missing"),
    "empty": ("", r"ks\.cfg: empty"),
    "binary": (installed.KICKSTART + "\0", r"ks\.cfg:6: not text"),
    "large": ("#" * (10 << 20), r"ks\.cfg: larger than 1024 KiB"),
}
LONG = [pytest.param(name, Firmware.BIOS, marks=pytest.mark.soak) for name in list(WRONG)[2:]]
SHORT = [("unknown", Firmware.BIOS), ("unknown", Firmware.UEFI), ("disks", Firmware.BIOS)]


@pytest.mark.slow
@pytest.mark.parametrize(("wrong", "firmware"), [*SHORT, *LONG])
def test_wrong_kickstart(boot: Boot, wrong: str, firmware: Firmware, tmp_path: Path) -> None:
    """One message, on serial and on the display; nothing written."""
    disk, other = installed.empty(tmp_path / "disk"), installed.empty(tmp_path / "other")
    text, message = WRONG[wrong]
    iso = installed.iso(tmp_path, text=text)
    arguments = (*installed.disk(disk), *installed.disk(other, "S2", index=None), *installed.NIC)
    machine = boot(
        iso=iso, entry="install", memory=1024, cpus=2, arguments=arguments, cd_index=1,
        firmware=firmware,
    )  # fmt: skip
    machine.console.expect(f"Error: /boot/{message}", 240)
    machine.console.expect(r"\] ", 60)
    rows = await_row(machine, lambda: display(machine), "A shell follows")
    assert any(re.match(f"Error: /boot/{message}", row) for row in rows), rows
    machine.console.send("exit\r")
    assert machine.wait_exit(60) == 0
    assert not any(path.stat().st_blocks for path in (disk, other))
