# SPDX-License-Identifier: Apache-2.0
"""Writes the first ten minutes of a user at the service console into shell/README.md.

    python -m tests.system.transcript

It logs in to a real run in QEMU, types the lines below, each of which must succeed, and puts what
the console showed between the README's markers. {disk} is the name of the machine's disk.
"""

import re
import sys
from pathlib import Path

from tests.system.machine import ROOT, Config, Machine
from tests.system.shell import Shell

README = ROOT / "shell/README.md"
BEGIN, END = "<!-- transcript: generated -->\n", "<!-- end of transcript -->\n"
LINES = (
    "uname -a",
    "esxcli system version get",
    "esxcli hardware cpu list | head -12",
    "esxcli hardware memory get",
    "esxcli network ip interface ipv4 get",
    "esxcli storage core device list | head -8",
    "esxcli storage filesystem create -m -d {disk} -l datastore1",
    "esxcli storage filesystem list",
    "echo hello > /vmfs/volumes/datastore1/note && ls -l /vmfs/volumes/datastore1",
    "esxcli --formatter=csv system module list | head -5",
    "esxcli sched world list | head -8",
    "vmtop -b -d 1 -n 1 | cut -c1-72",
    "vsish -e cat /memory/pages | head -6",
    "vsish -e get /sched/timer/fired",
    "python3 -c 'import sys; print(sys.version)'",
    "ps",
    "lspci -nn | cut -c1-78",
    "esxcli system --help | head -20",
)


def record(shell: Shell) -> str:
    """The session as the terminal showed it."""
    (disk,) = {device["Device"] for device in shell.json("storage core device list")}
    parts = []
    for line in (each.replace("{disk}", disk) for each in LINES):
        status, text = shell.run(line, 300)
        if status:
            raise RuntimeError(f"{line}: {status}: {text}")
        parts.append(f"[root@tepui:~] {line}\n{text.rstrip()}\n")
    return "\n".join(parts)


def main() -> int:
    disk = ROOT / "build/logs/transcript/disk.img"
    disk.parent.mkdir(parents=True, exist_ok=True)
    with disk.open("wb") as file:
        file.truncate(256 << 20)
    drive = ("-drive", f"if=none,id=d,format=raw,file={disk}", "-device", "nvme,drive=d,serial=1")
    nic = ("-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n")
    config = Config(cpus=2, memory=1024, arguments=(*drive, *nic))
    with Machine(config, Path(disk.parent)) as machine:
        text = record(Shell(machine))
    fresh = f"{BEGIN}```\n{text}```\n{END}"
    old = README.read_text()
    README.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: fresh, old, flags=re.DOTALL))
    return 0


if __name__ == "__main__":
    sys.exit(main())
