# SPDX-License-Identifier: Apache-2.0
"""From the ISO onto an empty disk by a kickstart file, then a boot from that disk alone."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.iso import layout
from tepui.iso.disk import Disk
from tests.system import installed
from tests.system.machine import Firmware, Machine
from tests.system.shell import Shell

Boot = Callable[..., Machine]


@pytest.mark.slow
@pytest.mark.parametrize("firmware", Firmware)
def test_unattended(boot: Boot, firmware: Firmware, tmp_path: Path) -> None:
    """Installs, boots, logs in; a disk that was not chosen has not changed by one byte."""
    disk, other = installed.empty(tmp_path / "disk"), tmp_path / "other"
    other.write_bytes(hashlib.shake_128(b"other").digest(1 << 20) * 8)
    before = hashlib.sha256(other.read_bytes()).hexdigest()
    iso = installed.iso(tmp_path, post="%post --interpreter=busybox\necho said-by-post\n")
    arguments = (*installed.nvme(disk), *installed.nvme(other, "S2", index=None))
    machine = boot(
        iso=iso, entry="install", memory=1024, cpus=2, firmware=firmware,
        arguments=(*arguments, *installed.NIC), cd_index=1,
    )  # fmt: skip
    machine.console.expect(r"Disk: t10\.NVMe.*S1_.* MiB, empty", 240)
    machine.console.expect(r"said-by-post", 240)
    machine.console.expect(r"Tepui is installed on t10\.NVMe", 60)
    assert machine.wait_exit(60) == 0
    assert hashlib.sha256(other.read_bytes()).hexdigest() == before
    with Disk(disk) as d:
        assert [p.number for p in d.table().partitions] == list(range(1, layout.DATASTORE + 1))

    machine = boot(
        boot="none", memory=1024, cpus=2, firmware=firmware, arguments=installed.nvme(disk)
    )
    shell = Shell(machine)
    rc, text = shell.run("cat /proc/cmdline; echo; ls /vmfs/volumes")
    assert rc == 0 and "bootbank=" in text


WRONG = {
    "unknown": ("frobnicate\n", r"ks\.cfg:1: unknown command 'frobnicate'"),
    "disks": (
        installed.KICKSTART.replace("--firstdisk", "--disk=t10*"),
        r"ks\.cfg:3: 't10\*' means 2 disks",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_kickstart(boot: Boot, wrong: str, tmp_path: Path) -> None:
    """One message, nothing written."""
    disk, other = installed.empty(tmp_path / "disk"), installed.empty(tmp_path / "other")
    text, message = WRONG[wrong]
    iso = installed.iso(tmp_path, text=text)
    arguments = (*installed.nvme(disk), *installed.nvme(other, "S2", index=None), *installed.NIC)
    machine = boot(iso=iso, entry="install", memory=1024, cpus=2, arguments=arguments, cd_index=1)
    machine.console.expect(f"Error: /boot/{message}", 240)
    machine.console.expect(r"\] ", 60)
    machine.console.send("exit\r")
    assert machine.wait_exit(60) == 0
    assert not any(path.stat().st_blocks for path in (disk, other))
