# SPDX-License-Identifier: Apache-2.0
"""Emulated machines that boot the real ISO: QEMU, by TCG.

    with Machine(Config(cpus=2, firmware=Firmware.UEFI), log_folder) as machine:
        machine.console.expect(READY)
        machine.qmp.execute("inject-nmi")

The serial line and QMP are sockets that the machine inherits; nothing listens anywhere. Logs:
serial.log, qemu.log (its messages) and command in the folder given.
"""

import shlex
import shutil
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from tepui.iso import image
from tests.system.console import SCALE, Console
from tests.system.qmp import Qmp

ROOT = Path(__file__).resolve().parents[2]
ISO = ROOT / "build/tepui.iso"
#: With the kernel's own tests and measurements, for the boot options selftest=, bench= and so on.
TEST_ISO = ROOT / "build/test/tepui.iso"
OVMF = Path("/usr/share/OVMF")
#: No emulator outlives the tests, however they end.
DIES_WITH_US = ("setpriv", "--pdeathsig", "KILL")
#: Of <asm/socket.h>, which Python's socket module leaves out; and bytes.
SO_SNDBUFFORCE, ROOM = 32, 1 << 28
READY = r"vmkernel: ready in (?P<ms>\d+) ms, (?P<cpus>\d+) CPUs?, (?P<mib>\d+) MiB"


class Firmware(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"


@dataclass(frozen=True, slots=True)
class Config:
    """A machine. Memory in MiB; `arguments` go to QEMU as they are (devices, disks, networks)."""

    options: str = ""  # the vmkernel's boot options
    entry: str = "live"  # of the ISO's menu
    firmware: Firmware = Firmware.BIOS
    cpus: int = 1
    memory: int = 512
    nodes: int = 1  # NUMA; CPUs and memory are spread evenly
    cpu: str = "max"
    machine: str = "q35"
    icount: int | None = None  # a shift; one instruction is 2^shift ns
    threads: str = "multi"
    reboot: bool = False  # False: a reset of the guest ends QEMU
    cd_index: int = 0  # when the firmware tries the CD
    boot: str = "cd"  # where the ISO is: "cd", "usb", or "none" (not attached)
    display: str = "std"
    screen: str = ""  # GRUB's video mode: "text", or empty for a framebuffer
    arguments: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()  # a command that runs QEMU elsewhere, as in a network namespace
    iso: Path = ISO


def memory_arguments(config: Config) -> list[str]:
    """Memory that the host backs only where it is touched, spread over the NUMA nodes."""
    out = ["-m", f"{config.memory}M"]
    share = config.memory // config.nodes
    for node in range(config.nodes):
        backend = f"memory-backend-ram,id=ram{node},size={share}M,reserve=off"
        out += ["-object", backend]
        if config.nodes > 1:
            first = node * config.cpus // config.nodes
            last = (node + 1) * config.cpus // config.nodes - 1
            cpus = f",cpus={first}-{last}" if last >= first else ""
            out += ["-numa", f"node,nodeid={node},memdev=ram{node}{cpus}"]
    return out


def boot_arguments(config: Config, iso: Path) -> list[str]:
    drive = f"file={iso},format=raw,if=none,id=boot,readonly=on"
    match config.boot:
        case "cd":
            device = f"ide-cd,drive=boot,bootindex={config.cd_index}"
            return ["-drive", f"{drive},media=cdrom", "-device", device]
        case "usb":
            device = "usb-storage,drive=boot,bus=boot-xhci.0,bootindex=0"
            return ["-drive", drive, "-device", "qemu-xhci,id=boot-xhci", "-device", device]
        case _:
            return []


def roomy(stream: socket.socket) -> None:
    """Lets QEMU write to a serial line whose reader is late. Each character is a packet of its own,
    so that the usual room ends after some hundreds; then the machine waits for the reader."""
    try:
        stream.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, ROOM)
    except PermissionError:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)


class Machine:
    """A running QEMU. Leaving the context kills it; `wait_exit` waits for an end of its own."""

    def __init__(self, config: Config, logs: Path) -> None:
        self.config = config
        self.logs = logs
        self.folder = Path(tempfile.mkdtemp(prefix="tepui-"))
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, serial: int, monitor: int) -> list[str]:
        config = self.config
        iso = self.folder / "boot.iso"
        accelerator = "tcg" if config.icount is not None else f"tcg,thread={config.threads}"
        machine = config.machine + (",memory-backend=ram0" if config.nodes == 1 else "")
        out = [
            *DIES_WITH_US,
            *config.inside,
            "qemu-system-x86_64",
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
        ]
        out += ["-machine", machine, "-accel", accelerator, "-cpu", config.cpu]
        out += ["-smp", str(config.cpus), "-vga", config.display]
        out += memory_arguments(config)
        if config.boot != "none":
            shutil.copyfile(config.iso, iso)
            options = config.options
            if config.entry == "live" and "loglevel=" not in options:
                options += " loglevel=info"  # the tests read the log on the console to the end
            image.set_options(iso, options, config.screen, config.entry)
            out += boot_arguments(config, iso)
        if config.firmware is Firmware.UEFI:
            variables = self.folder / "vars.fd"
            shutil.copyfile(OVMF / "OVMF_VARS_4M.fd", variables)
            code = f"file={OVMF / 'OVMF_CODE_4M.fd'},readonly=on"
            out += ["-drive", f"if=pflash,format=raw,{code}"]
            out += ["-drive", f"if=pflash,format=raw,file={variables}"]
        if config.icount is not None:
            out += ["-icount", f"shift={config.icount},sleep=off"]
        if not config.reboot:
            out.append("-no-reboot")
        out += ["-chardev", f"socket,id=serial,fd={serial}", "-serial", "chardev:serial"]
        out += ["-chardev", f"socket,id=qmp,fd={monitor}", "-mon", "chardev=qmp,mode=control"]
        return [*out, *config.arguments]

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        serial, serial_there = socket.socketpair()
        roomy(serial_there)
        monitor, monitor_there = socket.socketpair()
        with serial_there, monitor_there, (self.logs / "qemu.log").open("wb") as log:
            fds = (serial_there.fileno(), monitor_there.fileno())
            command = self.command(*fds)
            (self.logs / "command").write_text(shlex.join(command) + "\n")
            self.process = subprocess.Popen(
                command,
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            )
        try:
            self.console = Console(serial, self.logs / "serial.log", self.alive)
            self.qmp = Qmp(monitor)
        except BaseException as error:
            self.close()
            raise AssertionError((self.logs / "qemu.log").read_text()) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        self.console.close()
        self.qmp.close()

    def close(self) -> None:
        assert self.process
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder)

    def alive(self) -> bool:
        assert self.process
        return self.process.poll() is None

    def wait_exit(self, timeout: float = 60) -> int:
        """QEMU's exit status once the machine has powered off (or reset, without `reboot`)."""
        assert self.process
        return self.process.wait(timeout * SCALE)

    def text_memory(self) -> bytes:
        """The VGA text screen, 25 rows of 80 cells: character and attribute."""
        dump = self.folder / "screen"
        self.qmp.execute("pmemsave", val=0xB8000, size=80 * 25 * 2, filename=str(dump))
        return dump.read_bytes()

    def screen_text(self) -> list[str]:
        """What the VGA text screen shows, row by row."""
        text = self.text_memory()[::2].decode("cp437")
        return [text[at : at + 80].rstrip() for at in range(0, len(text), 80)]

    def screenshot(self, path: Path) -> None:
        """The framebuffer as PNG."""
        self.qmp.execute("screendump", filename=str(path), format="png")
