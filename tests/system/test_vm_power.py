# SPDX-License-Identifier: Apache-2.0
"""A VM from the service console, through its whole life: made with a virtual disk, started, reset
while hostd is dead, switched off by itself, started with the host; its data read by Python. And
one that is switched on and off again and again."""

import json
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.shell.datastore.check import check
from tepui.shell.datastore.device import ImageFile
from tepui.shell.datastore.volume import Volume
from tests.system import guests
from tests.system.machine import ROOT, Machine
from tests.system.shell import PROGRAMS, Shell

MIB = 1 << 20
#: Its first life writes and resets, the second one reads and switches off.
SCRIPT = """
if dd if=/dev/vda bs=512 count=1 2>/dev/null | grep -q {secret}; then
  dd if=/dev/vda bs=1M skip=3 count=8 2>/dev/null | md5sum | cut -c1-32 >/sum
  dd if=/dev/vda bs=1M skip=20 count=1 2>/dev/null | head -c 33 | cmp - /sum || exit 1
  echo "guest: life 2, $(cat /sys/block/vda/size) sectors"
  exit 0
fi
dd if=/dev/urandom of=/data bs=1M count=8 2>/dev/null
dd if=/data of=/dev/vda bs=1M seek=3 2>/dev/null
md5sum </data | cut -c1-32 | dd of=/dev/vda bs=1M seek=20 conv=sync 2>/dev/null
echo {secret} | dd of=/dev/vda bs=512 conv=sync 2>/dev/null
sync
echo "guest: life 1 ends"
reboot -f
"""
WARM, CYCLES = (300, 1000) if "TEPUI_SOAK" in os.environ else (40, 50)
#: How many pages more each owner may have: what slabs and their magazines keep. hostd has a pool of
#: up to 4 threads; malloc keeps what its greatest requests took, about 1.4 MiB, and the table of
#: interned strings, of 0.9 MiB, doubles once.
FEW = 24
MORE = {"userworlds": 768, "hostd": 768, "worlds": 0, "threads": 4, "descriptors": 0}
#: Its guest waits for frames.
SMALL = b"""\
displayName = "small"
memsize = "64"
tepui.kernel = "testguest.elf"
tepui.append = "echo"
tepui.console = "TRUE"
tepui.random = "TRUE"
ethernet0.present = "TRUE"
"""
HOSTD = "$(pidof hostd)"
ON_LIST = "esxcli vm list | grep -q"


def wait_for(shell: Shell, state: str, seconds: int = 240) -> None:
    """Until the VM list shows web in that state."""
    line = f"until {ON_LIST} ' web *{state} '; do sleep 1; done"
    rc, text = shell.run(line, seconds)
    assert rc == 0, text


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_vm_lives_on_a_datastore(boot: Callable[..., Machine], logs: Path) -> None:
    secret = secrets.token_hex(16)
    image = logs / "disk.img"
    image.parent.mkdir(parents=True, exist_ok=True)
    with image.open("wb") as f:
        f.truncate(256 * MIB)
    drive = ("-drive", f"file={image},format=raw,if=none,id=d", "-device", "nvme,drive=d,serial=d")
    iso = guests.host_iso(logs / "host.iso", {}, SCRIPT.format(secret=secret))
    machine = boot(iso=iso, cpus=2, memory=1536, threads="single", arguments=drive)
    shell = Shell(machine)
    device = shell.json("storage core device list")[0]["Device"]
    rc, text = shell.run(f"esxcli storage filesystem create -m -d '{device}' -l datastore1")
    assert rc == 0, text
    rc, text = shell.run(
        "esxcli vm create web --disk 64M --kernel /guest/vmlinuz --initrd /guest/initrd"
        " --append 'console=ttyS0 quiet panic=-1'"
    )
    assert rc == 0 and "Next: esxcli vm power on web" in text, text
    folder = "/vmfs/volumes/datastore1/web"
    rc, text = shell.run(f"vmkfstools -x check {folder}/web.vmdk && vim-cmd vmsvc/getallvms")
    assert rc == 0 and re.search(r"1 +web +\[datastore1\] web/web.vmx", text), text
    # hostd stands still while the guest resets; what resumes is another hostd.
    rc, text = shell.run(f"esxcli vm power on web && kill -STOP {HOSTD}", 240)
    assert rc == 0, text
    rc, text = shell.run(f"cat {folder}/web-flat.vmdk; vmkfstools -U {folder}/web.vmdk")
    assert rc == 1 and "busy" in text and "in use by a virtual machine" in text, text
    shell.run("esxcli vm console -w 1", 240)
    rc, text = shell.run("esxcli system syslog list | grep 'vm: web: '")
    assert "the guest wrote the reset register" in text, text
    rc, text = shell.run("esxcli vm process list", 240)
    assert "Display Name: web" in text and "World ID: 1" in text, text
    rc, text = shell.run(f"kill -KILL {HOSTD}")
    wait_for(shell, "off")
    rc, text = shell.run("esxcli vm show web")
    assert "the guest switched itself off" in text, text
    rc, text = shell.run("vim-cmd vmsvc/power.getstate 1")
    assert text.split("\n")[-2:] == ["Powered off", ""], text

    # As at a boot: what starts with the host does.
    rc, text = shell.run("esxcli vm set web --autostart true --memory 300M")
    assert rc == 0, text
    rc, text = shell.run(f"rm /run/tepui/autostarted; kill -KILL {HOSTD}")
    births = "until [ $(grep -c 'web: powered on' /var/log/hostd.log) = 3 ]; do sleep 1; done"
    rc, text = shell.run(births, 240)
    wait_for(shell, "off")
    rc, text = shell.run("esxcli vm show web")
    assert "the guest switched itself off" in text, text

    machine.console.send("esxcli system shutdown poweroff -r test\r")
    machine.wait_exit(120)
    assert check(ImageFile(image)).problems == []
    reader = Volume(ImageFile(image))
    flat = reader.find("/web/web-flat.vmdk")
    assert reader.read(flat, 0, 32).decode() == secret


@pytest.mark.slow  # longer in `make soak`
@pytest.mark.timeout(60 * CYCLES)
def test_power_cycles_leave_nothing(boot: Callable[..., Machine], logs: Path) -> None:
    """However many there were, the host holds what it held before."""
    contents = (ROOT / "build/testguest.elf", PROGRAMS / "held.py")
    files = {path.name: path.read_bytes() for path in contents} | {"small.vmx": SMALL}
    iso = guests.host_iso(logs / "host.iso", files, ":")
    shell = Shell(boot(iso=iso, cpus=2, memory=1536, threads="single"))

    def cycles(count: int) -> dict[str, int]:
        lines = f"for n in $(seq {count}); do echo vm power on small; echo vm power off small; done"
        rc, text = shell.run(f"{lines} | vmsh | grep -c 'Powered on small'", 10 * count)
        assert rc == 0 and int(text.split()[-1]) == count, text  # behind lines of the log
        rc, text = shell.run(f"python3 /guest/held.py {HOSTD}")
        assert rc == 0, text
        held: dict[str, int] = json.loads(text[text.rindex("{") :])
        return held

    rc, text = shell.run("esxcli vm register /guest/small.vmx")
    assert rc == 0, text
    before, after = cycles(WARM), cycles(CYCLES)
    print(f"{WARM} cycles: {before}\n{CYCLES} more: {after}")
    for name, most in MORE.items():
        assert after.pop(name) - before.pop(name) <= most, name
    assert all(after[name] - pages <= FEW for name, pages in before.items())
