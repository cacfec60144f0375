# SPDX-License-Identifier: Apache-2.0
"""`make demo`: the whole way on an emulated machine, with times.

The machine is checked against the compatibility list, an ISO is built with a kickstart file and
installs onto an empty NVMe disk; the machine boots from that disk; a workstation logs in over TLS
and makes a VM of Debian's kernel with a virtual disk and a NIC. The guest writes a random value,
new in each run, to its disk; after a reboot of the host it has started by itself and reads the
value back; at last the value is found in the powered-off host's disk image from outside.
"""

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tepui.iso import image
from tepui.iso.disk import Disk
from tepui.shell.datastore.device import ImageFile
from tepui.shell.datastore.volume import Volume
from tepui.shell.gpt import Type
from tests.system import guests, installed
from tests.system.console import SCALE
from tests.system.machine import ISO, READY, ROOT, Config, Machine
from tests.system.shell import Shell
from tests.system.test_net import free_port

LOGS = ROOT / "build/logs/demo"
DISK = ROOT / "build/demo.img"
TEPUI = Path(sys.executable).with_name("tepui")
SCRIPT = """
value=$(tr ' ' '\\n' </proc/cmdline | sed -n 's/^value=//p')
ip address add 10.0.2.77/24 dev eth0 && ip link set eth0 up
ping -c 2 -w 30 10.0.2.2 | grep -q ' 0% packet loss' && echo "guest: the outside answers"
if dd if=/dev/vda bs=512 count=1 2>/dev/null | grep -q $value; then echo "guest: read $value"
else echo $value | dd of=/dev/vda bs=512 conv=sync 2>/dev/null; sync; echo "guest: wrote $value"
fi
exec sh -i
"""
#: What the installer does at its end: the guest's kernel goes to the datastore.
POST = """%post --interpreter=busybox
set -e
esxcli storage filesystem automount
mkdir /vmfs/volumes/datastore1/debian
cp /boot/vmlinuz /boot/initrd /vmfs/volumes/datastore1/debian/
sync
"""
FILES = "/vmfs/volumes/datastore1/debian"


class Demo:
    def __init__(self) -> None:
        self.secret, self.port = secrets.token_hex(16), free_port()
        self.machine: Machine | None = None
        self.thumbprint = ""

    def hardware(self) -> tuple[str, ...]:
        forward = f"user,id=n,hostfwd=tcp:127.0.0.1:{self.port}-:443"
        nic = ("-netdev", forward, "-device", "e1000e,netdev=n")
        return (*installed.disk(DISK), *nic)

    def config(self, **more: Any) -> Config:
        given = {"cpus": 2, "memory": 2048, "threads": "single", "arguments": self.hardware()}
        return Config(**{**given, **more})

    def tepui(self, *words: str, patience: float = 0) -> str:
        """A workstation's command over TLS, tried again until the clock shows `patience`."""
        host = ("--host", f"127.0.0.1:{self.port}", "--thumbprint", self.thumbprint)
        env = os.environ | {"HOME": str(LOGS), "TEPUI_PASSWORD": installed.PASSWORD}
        done = subprocess.run(
            [str(TEPUI), *host, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        if done.returncode and time.monotonic() < patience:
            time.sleep(1)
            return self.tepui(*words, patience=patience)
        if done.returncode:
            raise SystemExit(f"tepui {' '.join(words)}: {done.stderr}")
        return done.stdout.strip()

    def check(self) -> str:
        installed.empty(DISK, 2 << 30)
        with Machine(self.config(iso=ISO, entry="check", cd_index=1), LOGS / "check") as machine:
            verdict = machine.console.expect(r"^(WILL INSTALL|INSTALLS WITH WARNINGS)", 240)[1]
            machine.console.expect("Nothing was written", 60)
        return verdict.lower()

    def build(self) -> str:
        package = guests.linux()
        (kernel,) = package.glob("boot/vmlinuz-*")
        initrd = guests.initramfs(package, SCRIPT, LOGS / "initrd")
        kickstart = LOGS / "ks.cfg"
        kickstart.write_text(installed.KICKSTART + POST)
        modules = {"userworld": ROOT / "build/userworld.img", "ks.cfg": kickstart}
        modules |= {"vmlinuz": kernel, "initrd": initrd}
        image.build(LOGS / "install.iso", ROOT / "build/vmkernel.elf", modules, entry="install")
        size = (LOGS / "install.iso").stat().st_size
        without = ISO.stat().st_size / 2**20
        return f"{without:.1f} MiB, {size / 2**20:.1f} with the guest's kernel"

    def install(self) -> str:
        config = self.config(iso=LOGS / "install.iso", entry="install", cd_index=1)
        with Machine(config, LOGS / "install") as machine:
            disk = machine.console.expect(r"Disk: (t10\.NVMe\S+), (\d+ MiB), empty", 240)
            machine.console.expect("Tepui is installed on", 600)
            machine.wait_exit(60)
        return f"{disk[2]} NVMe, two boot banks, datastore1"

    def boot(self) -> str:
        config = self.config(boot="none", reboot=True)
        self.machine = Machine(config, LOGS / "host").__enter__()
        return self.machine.console.expect(READY, 120)[0]

    def login(self) -> str:
        assert self.machine
        shell = Shell(self.machine, booted=True, password=installed.PASSWORD)
        wait = "until grep -q 'listening on' /var/log/hostd.log; do sleep 1; done"
        _, text = shell.run(f"{wait}; cat /var/log/hostd.log", 240)
        found = re.findall(r"certificate SHA-256 (\S+)", text)
        if not found:
            raise SystemExit(text)
        self.thumbprint = found[-1]
        soon = time.monotonic() + 120 * SCALE
        return self.tepui("system", "version", "get", patience=soon).split("\n")[1].strip()

    def create(self) -> str:
        append = f"console=ttyS0 quiet panic=-1 value={self.secret}"
        words = ["-k", f"{FILES}/vmlinuz", "-i", f"{FILES}/initrd", "-a", append]
        words += ["-m", "256M", "-d", "64M", "-n", "VM Network", "--autostart"]
        self.tepui("vm", "create", "web", *words)
        return self.tepui("vm", "power", "on", "web").split("\n")[0]

    def console(self, wanted: str) -> str:
        """The guest's console, on the host's, until it shows the shell's prompt."""
        assert self.machine
        console = self.machine.console
        console.send("until esxcli vm console web; do sleep 1; done\r")
        console.expect("guest: the outside answers", 300)
        line = console.expect(wanted, 60)[0]
        console.expect(r"# ", 60)
        console.send("\x1d")
        console.expect(r"\] ", 60)
        return line

    def reboot(self) -> str:
        assert self.machine
        self.machine.console.send("\resxcli system shutdown reboot -r demo\r")
        Shell(self.machine, password=installed.PASSWORD)
        return self.console(f"guest: read {self.secret}")

    def off(self) -> str:
        assert self.machine
        self.machine.console.send("\resxcli system shutdown poweroff -r demo\r")
        self.machine.wait_exit(120)
        self.machine.__exit__(None, None, None)
        self.machine = None
        with Disk(DISK) as disk:
            store = disk.table().find(Type.DATASTORE)
            assert store
        reader = Volume(ImageFile(DISK, store.first * 512))
        found = reader.read(reader.find("/web/web-flat.vmdk"), 0, 32).decode("ascii", "replace")
        if found != self.secret:
            raise SystemExit(f"the guest's disk holds {found!r}, not {self.secret!r}")
        return f"{found} found from outside"


def step(text: str, action: Callable[[], str]) -> None:
    """Prints what happens, then its result and the seconds that it took."""
    print(f"{text:<46}", end="", flush=True)
    start = time.monotonic()
    result = action()
    print(f"{time.monotonic() - start:6.1f} s   {result}", flush=True)


def main(argv: list[str]) -> int:
    """With --install only as far as the installed disk, for `make run`."""
    LOGS.mkdir(parents=True, exist_ok=True)
    demo = Demo()
    steps: list[tuple[str, Callable[[], str]]] = [
        ("Check the machine against the HCL", demo.check),
        ("Build the ISO with a kickstart file", demo.build),
        ("Install onto the empty disk", demo.install),
        ("Boot from the disk", demo.boot),
        ("Log in from here over TLS", demo.login),
        ("Make a VM, power it on", demo.create),
        ("Its console, to the shell prompt", lambda: demo.console(f"guest: wrote {demo.secret}")),
        ("Reboot the host; the VM starts by itself", demo.reboot),
        ("Power off; read the disk image from outside", demo.off),
    ]
    try:
        for text, action in steps[:3] if "--install" in argv else steps:
            step(text, action)
    finally:
        if demo.machine:
            demo.machine.__exit__(None, None, None)
    print(f"What the consoles showed: {LOGS.relative_to(ROOT)}. Onto its console: make run")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
