# SPDX-License-Identifier: Apache-2.0
"""`make demo`: shows, on an emulated machine, what Tepui can do so far, with times.

A host boots from the ISO into its service console; a datastore is made on an NVMe disk, written
to, and read back from the powered-off image; then a host makes a VM with Debian's kernel, which
writes a new random value to its virtual disk, where this side finds it in the datastore.
"""

import secrets
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tepui.shell.datastore.device import ImageFile
from tepui.shell.datastore.volume import Volume
from tests.system import guests
from tests.system.machine import ISO, READY, Config, Firmware, Machine
from tests.system.shell import Shell

LOGS = Path("build/logs/demo").resolve()
MIB = 1 << 20


def step(text: str, action: Callable[[], str]) -> None:
    """Prints what happens, then its result and the seconds that it took."""
    print(f"{text:<58}", end="", flush=True)
    start = time.monotonic()
    result = action()
    print(f"{time.monotonic() - start:6.1f} s   {result}", flush=True)


def disk(name: str, size: int) -> tuple[Path, tuple[str, ...]]:
    """An empty image and QEMU's arguments for an NVMe disk on it."""
    image = LOGS / name
    image.unlink(missing_ok=True)
    image.touch()
    with image.open("r+b") as f:
        f.truncate(size)
    drive = f"if=none,id=disk,format=raw,file={image}"
    return image, ("-drive", drive, "-device", "nvme,drive=disk,serial=demo")


def boot(firmware: Firmware) -> str:
    config = Config(cpus=2, memory=1024, firmware=firmware)
    with Machine(config, LOGS / firmware) as machine:
        return machine.console.expect(READY, 120).group()


def console(secret: str) -> str:
    """Logs in, makes a datastore, writes to it, powers off; then reads the image."""
    image, arguments = disk("host.img", 128 * MIB)
    with Machine(Config(cpus=2, memory=1024, arguments=arguments), LOGS / "console") as machine:
        shell = Shell(machine)
        device = shell.json("storage core device list")[0]["Device"]
        create = f"esxcli storage filesystem create -m -d '{device}' -l datastore1"
        write = f"echo {secret} > /vmfs/volumes/datastore1/value && sync"
        status, text = shell.run(f"{create} && {write}")
        if status:
            raise SystemExit(text)
        machine.console.send("esxcli system shutdown poweroff -r demo\r")
        machine.wait_exit(60)
    reader = Volume(ImageFile(image))
    found = reader.read(reader.find("/value"), 0, 100).decode().strip()
    if found != secret:
        raise SystemExit(f"the datastore holds {found!r}, not {secret!r}")
    return f"{device}: {found} found in the image"


def guest(secret: str) -> str:
    """A VM made on the host writes a value to its virtual disk on the host's datastore."""
    image, arguments = disk("guest.img", 128 * MIB)
    script = f"echo {secret} | dd of=/dev/vda bs=512 conv=sync && sync"
    iso = guests.host_iso(LOGS / "guest.iso", {}, script)
    config = Config(iso=iso, cpus=2, memory=1536, threads="single", arguments=arguments)
    with Machine(config, LOGS / "guest") as machine:
        shell = Shell(machine)
        made = "esxcli storage filesystem create -m -d vmhba0:C0:T0:L0 -l datastore1"
        made += " && esxcli vm create web --disk 64M --kernel /guest/vmlinuz --initrd /guest/initrd"
        made += " --append 'console=ttyS0 quiet' && esxcli vm power on web"
        status, text = shell.run(made, 240)
        if status:
            raise SystemExit(text)
        status, text = shell.run("esxcli vm console -w 1", 240)
        if "guest: passed" not in text:
            raise SystemExit(text)
        machine.console.send("esxcli system shutdown poweroff -r demo\r")
        machine.wait_exit(120)
    reader = Volume(ImageFile(image))
    found = reader.read(reader.find("/web/web-flat.vmdk"), 0, len(secret)).decode()
    if found != secret:
        raise SystemExit(f"the guest's virtual disk holds {found!r}, not {secret!r}")
    line = next(line for line in text.splitlines() if "shell on" in line)
    return f"{line.removeprefix('guest: ').strip()}; {found} found on its virtual disk"


def main() -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    print(f"The ISO: {ISO} ({ISO.stat().st_size / 1e6:.1f} MB)")
    for firmware in Firmware:
        name = {"bios": "SeaBIOS", "uefi": "OVMF"}[firmware]
        step(f"Power on, {name}, 2 CPUs, 1 GiB, CD", partial(boot, firmware))
    step(
        "Service console: log in, make a datastore, write, off",
        partial(console, secrets.token_hex(16)),
    )
    step(
        "Guest: Debian's kernel under Tepui, on a virtual disk",
        partial(guest, secrets.token_hex(16)),
    )
    print(f"What the consoles showed: {LOGS}")
    print("The tepui command: build/venv/bin/tepui. Try it yourself: make run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
