# SPDX-License-Identifier: Apache-2.0
"""A Debian with systemd on a virtual disk: work that checks itself, reboots, the power button."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system import guests
from tests.system.console import Console
from tests.system.machine import Machine
from tests.system.shell import Shell

PACKAGES = "systemd-sysv,dbus,udev,stress-ng,fio,iproute2"
VMX = """\
displayName = "debian"
numvcpus = "2"
memsize = "1024"
tepui.kernel = "vmlinuz"
tepui.initrd = "initrd"
tepui.append = "console=ttyS0 quiet root=/dev/vda panic=-1"
scsi0:0.present = "TRUE"
scsi0:0.fileName = "vmhba0:C0:T0:L0"
"""
FIO = "fio --filename=/fio --size=32M --direct=1 --ioengine=libaio --verify=crc32c --name"
WORK = (
    "stress-ng --cpu 2 --vm 1 --vm-bytes 64M --switch 1 --verify --timeout 20 --log-brief",
    f"{FIO}=small --rw=randwrite --bs=4k --iodepth=1 --io_size=8M --minimal >/dev/null",
    f"{FIO}=mixed --rw=randwrite --bsrange=4k-1M --iodepth=32 --minimal >/dev/null",
    '! dmesg | grep -i "detected stalls\\|lockup\\|Call Trace"',
    "systemctl is-system-running",
)


def login(console: Console) -> None:
    console.send("until esxcli vm console debian; do sleep 1; done\r")
    console.expect("login: ", 600)
    console.send("root\r")
    console.expect("~# ", 120)


def leave(console: Console) -> None:
    console.send("\x1d")
    console.expect(r"\] ", 60)


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_debian_works_reboots_and_goes_off(boot: Callable[..., Machine], logs: Path) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    disk = guests.debian(logs / "debian.img", PACKAGES, 1 << 30)
    iso = guests.host_iso(logs / "host.iso", {"debian.vmx": VMX.encode()}, "false")
    drive = ("-drive", f"file={disk},format=raw,if=none,id=d", "-device", "nvme,drive=d,serial=d")
    machine = boot(iso=iso, cpus=2, memory=2560, threads="single", arguments=drive)
    shell, console = Shell(machine), machine.console
    rc, text = shell.run("esxcli vm register /guest/debian.vmx && esxcli vm power on debian")
    assert rc == 0, text
    login(console)
    for line in WORK:
        console.send(f"{line}; echo rc=$?\r")
        assert console.expect(r"\nrc=(\d+)", 600)[1] == "0", line

    console.send("systemctl reboot\r")
    leave(console)
    again = "until [ $(grep -c 'debian: powered on' /var/log/hostd.log) = 2 ]; do sleep 1; done"
    rc, text = shell.run(f"kill -KILL $(pidof hostd); {again}", 600)
    assert rc == 0, text
    login(console)
    leave(console)
    off = "until esxcli vm list | grep -q ' debian *off '; do sleep 1; done"
    rc, text = shell.run(f"esxcli vm shutdown debian && {off} && esxcli vm show debian", 600)
    assert rc == 0 and "the guest switched itself off" in text, text
    console.send("esxcli system shutdown poweroff -r test\r")
    machine.wait_exit(120)
    done = subprocess.run(
        ["e2fsck", "-f", "-n", str(disk)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
