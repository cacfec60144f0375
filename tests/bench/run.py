# SPDX-License-Identifier: Apache-2.0
"""`make bench`: figures that repeat exactly, into build/bench.json.

The vmkernel measures itself (boot option bench=NAME) on one CPU under -icount shift=0, where one
instruction is one nanosecond and the TSC counts instructions. It prints `bench: NAME VALUE UNIT` a
figure and `bench: done` at the end. The file has `commit`, `date` and `figures`, each of which has
name, value, unit, better ("lower" or "higher"), target or null, peer or null ({name, value}).
What the figures mean: README.md.
"""

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from elftools.elf.elffile import ELFFile

from tepui.iso import image
from tepui.shell.vm import image as vm_image
from tepui.shell.vm.devices import Device, DeviceKind
from tepui.shell.vm.memory import MIB
from tepui.shell.vm.spec import Flags, VmSpec
from tests.bench import kvm, linux, userworld
from tests.bench.steady import allowed, steady
from tests.bench.targets import GOALS, KVM, SHARE, THIRDS, Goal
from tests.system.machine import ROOT, Config

OUTPUT = ROOT / "build/bench.json"
LOGS = ROOT / "build/logs/bench"
FIGURE = re.compile(r"bench: (?P<name>[\w.]+) +(?P<value>-?\d+(?:\.\d+)?) *(?P<unit>\S*)$", re.M)
#: Disks that cost nothing, and NICs in pairs on one wire.
DISKS = ("nvme,serial=S1", "virtio-blk-pci", "ide-hd,bus=ide.3")
NICS = ("virtio-net-pci", "e1000", "e1000e")


def devices() -> tuple[str, ...]:
    """One disk of each model, two NICs of each model on a hub."""
    out: list[str] = []
    for number, disk in enumerate(DISKS):
        drive = f"driver=null-co,size=64M,read-zeroes=on,if=none,id=disk{number}"
        out += ["-drive", drive, "-device", f"{disk},drive=disk{number}"]
    for number in range(2 * len(NICS)):
        hub = f"hubport,id=net{number},hubid={number % len(NICS)}"
        out += ["-netdev", hub]
    for model, nic in enumerate(NICS):
        for number in (model, model + len(NICS)):
            out += ["-device", f"{nic},netdev=net{number}"]
    return tuple(out)


def datastores(folder: Path) -> tuple[str, ...]:
    """Two NVMe disks in sparse files of 1 GiB and 16 TiB."""
    out: list[str] = []
    for number, size in enumerate((1 << 30, 16 << 40)):
        path = folder / f"disk{number}"
        with path.open("wb") as file:
            file.truncate(size)
        drive = f"if=none,id=disk{number},format=raw,cache=unsafe,discard=unmap,file={path}"
        out += ["-drive", drive, "-device", f"nvme,serial=S{number},drive=disk{number}"]
    return tuple(out)


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: float
    unit: str
    beside: float | None = None  # the same on Debian's kernel in the same run
    peer: float | None = None  # the same under KVM in the same run

    @property
    def goal(self) -> Goal:
        if self.beside is not None:
            share = self.beside / SHARE.get(self.name, 1.0)
            return Goal(target=share, peer=(userworld.PEER, self.beside))
        goal = GOALS.get(self.name, Goal())
        if self.peer is None:
            return goal
        target = self.peer / 3 if self.name in THIRDS else goal.target
        return replace(goal, target=target, peer=(KVM, self.peer))

    @property
    def missed(self) -> bool:
        target = self.goal.target
        if target is None:
            return False
        return self.value > target if self.goal.better == "lower" else self.value < target

    def row(self) -> dict[str, object]:
        peer = self.goal.peer
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "better": self.goal.better,
            "target": self.goal.target,
            "peer": None if peer is None else {"name": peer[0], "value": peer[1]},
        }


def parse(transcript: str) -> list[Figure]:
    """The figures in a console's transcript."""
    return [Figure(m["name"], float(m["value"]), m["unit"]) for m in FIGURE.finditer(transcript)]


def image_figures() -> list[Figure]:
    """Bytes that the image takes in memory and in its file, symbols left out."""
    with (ROOT / "build/vmkernel.elf").open("rb") as file:
        loads = [s for s in ELFFile(file).iter_segments() if s["p_type"] == "PT_LOAD"]
        return [
            Figure("image.bytes", sum(s["p_filesz"] for s in loads), "bytes"),
            Figure("image.memory", sum(s["p_memsz"] for s in loads), "bytes"),
        ]


def measure(name: str, arguments: tuple[str, ...] = ()) -> list[Figure]:
    """Boots the vmkernel alone on a machine with these devices, to measure itself."""
    options = f"bench={name} init=none tsc=reliable watchdog=0"
    iso = LOGS / "bench.iso"
    image.build(iso, ROOT / "build/test/vmkernel.elf", {})
    config = Config(cpus=1, memory=1024, icount=0, options=options, arguments=arguments, iso=iso)
    with steady(config, LOGS / name) as machine:
        machine.console.expect(r"bench: done", 600)
        return parse(machine.console.transcript)


def small_guests(arguments: tuple[str, ...], **devices: tuple[Device, ...]) -> list[Figure]:
    """What the last of the small guests (tests/guest/), by the words that tell them what to do,
    finds in instructions on a vmkernel with these devices."""
    kernel, flags = ROOT / "build/testguest.elf", Flags.KVM_LEAVES | Flags.DEBUG_EXIT
    folder = LOGS / f"vm-{[*devices][-1]}"
    folder.mkdir(parents=True, exist_ok=True)
    modules = {name: folder / name for name in devices}
    for name, path in modules.items():
        spec = VmSpec(name, 1, 64 * MIB, flags=flags, kernel=kernel, append=name,
                      devices=devices[name])  # fmt: skip
        path.write_bytes(vm_image.build(spec))
    image.build(folder / "iso", ROOT / "build/vmkernel.elf", modules)
    options = f"vmimage={','.join(devices)} tsc=reliable"
    iso = folder / "iso"
    config = Config(cpus=1, memory=512, icount=0, options=options, arguments=arguments, iso=iso)
    with steady(config, folder) as machine:
        machine.console.expect(r"bench: done", 600)
        return parse(machine.console.transcript)


def measure_guest() -> list[Figure]:
    """What small guests measure, alone and with devices; and the same under KVM."""
    nics = [Device(DeviceKind.NETWORK, "VM Network", kvm.MAC + bytes([n])) for n in (1, 2)]
    disk = Device(DeviceKind.DISK, "vmhba0:C0:T0:L0")
    ours = small_guests((), bench=())
    with kvm.devices() as arguments:
        ours += small_guests(arguments, echo=(nics[1],), devices=(nics[0], disk))
    theirs = {figure.name: figure.value for figure in parse(kvm.transcript(LOGS))}
    return [replace(figure, peer=theirs[figure.name]) for figure in ours]


def userworld_figures() -> list[Figure]:
    """What system calls, processes and TCP cost, beside Debian's kernel."""
    ours, theirs = (parse(text) for text in userworld.transcripts(LOGS))
    others = {figure.name: figure.value for figure in theirs}
    return [replace(figure, beside=others[figure.name]) for figure in ours]


def linux_figures() -> list[Figure]:
    """What a VM takes: of its time, of the host's memory."""
    share = Figure("vm.host_share", linux.host_share(LOGS), "ppm")
    names = ("vm.overhead.first", "vm.overhead.second")
    sizes = zip(names, linux.overheads(LOGS), strict=True)
    return [share, *(Figure(name, size, "bytes") for name, size in sizes)]


def report(figures: list[Figure]) -> list[Figure]:
    """Prints all figures; returns those that miss their targets."""
    for figure in figures:
        target = "" if figure.goal.target is None else f"target {figure.goal.target:,.0f}"
        peer = (
            "" if figure.goal.peer is None else f"{figure.goal.peer[0]} {figure.goal.peer[1]:,.0f}"
        )
        print(f"{figure.name:<36}{figure.value:>16,.0f} {figure.unit:<14}{target:<18}{peer}")
    return [figure for figure in figures if figure.missed]


def commit() -> str:
    """What was measured; "+" behind it: with changes that are not committed."""
    words = ("git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def write(figures: list[Figure]) -> None:
    date = datetime.now(UTC).isoformat(timespec="seconds")
    run = {"commit": commit(), "date": date, "figures": [figure.row() for figure in figures]}
    OUTPUT.write_text(json.dumps(run, indent=1) + "\n")


def main() -> int:
    if not allowed():
        print("no right to real-time priorities: figures of devices will vary", file=sys.stderr)
    figures = image_figures()
    figures += measure("ground") + measure("drivers", devices())
    # In memory: file systems on disks often end before 16 TiB.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        figures += measure("storage", datastores(Path(folder)))
    figures += measure("net")
    figures += measure_guest() + linux_figures()
    figures += userworld_figures()
    if absent := (GOALS.keys() | THIRDS) - {figure.name for figure in figures}:
        raise SystemExit(f"not measured: {', '.join(sorted(absent))}; logs in {LOGS}")
    write(figures)
    missed = report(figures)
    print(f"wrote {Path(OUTPUT).relative_to(ROOT)}: {len(figures)} figures")
    print(f"targets missed: {', '.join(figure.name for figure in missed) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
