# SPDX-License-Identifier: Apache-2.0
"""esxcli vm ...: the VMs that this host knows, made, changed, switched on and off by name."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from tepui.shell.command import FailedError, Flag, Opt, Pos, Role, UsageError, command
from tepui.shell.output import Style, named
from tepui.shell.run import Context
from tepui.shell.vm import control, disk, spec
from tepui.shell.vm.devices import Device, DeviceKind
from tepui.shell.vm.disk import Format
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.memory import MIB, size_of
from tepui.shell.vm.paths import SCRATCH, VOLUMES
from tepui.shell.vm.service import VmInfo, VmService
from tepui.shell.vm.spec import VmSpec

Who = Annotated[str, Pos("The VM: its name, Vmid or .vmx file.", complete="vm")]


@contextmanager
def for_people() -> Iterator[None]:
    """What went wrong with a VM, as the command's error."""
    try:
        yield
    except VmError as e:
        raise FailedError(str(e)) from e
    except OSError as e:
        raise FailedError(f"{e.filename}: {e.strerror}" if e.filename else str(e)) from e


def short(path: str) -> str:
    """[datastore1] web/web.vmx, as VMware writes paths on datastores."""
    p = Path(path)
    if not p.is_relative_to(VOLUMES) or len(p.parts) < 5:
        return path
    volume, *rest = p.relative_to(VOLUMES).parts
    labels = {str(x.readlink()): x.name for x in VOLUMES.iterdir() if x.is_symlink()}
    return f"[{labels.get(volume, volume)}] {'/'.join(rest)}"


@dataclass(frozen=True, slots=True)
class VmRow:
    vmid: int
    name: str
    state: str
    cpus: int = named("CPUs")
    memory: int = named("Memory (MiB)")
    autostart: bool = named("Autostart")
    file: str = named("File")


@command("vm list", "List the virtual machines of this host.", style=Style.TABLE, own=True)
def vm_list(ctx: Context) -> list[VmRow]:
    with for_people():
        return [
            VmRow(v.id, v.name, v.state, v.cpus, v.memory >> 20, v.autostart, short(v.vmx))
            for v in VmService().vms()
        ]


@dataclass(frozen=True, slots=True)
class VmDetails:
    name: str
    vmid: int
    disks: list[str]
    networks: list[str]
    uuid: str = named("UUID")
    state: str = named("State")
    world_id: int = named("World ID")
    last_end: str = named("Last End")
    cpus: int = named("CPUs")
    memory: int = named("Memory (MiB)")
    shares: str = named("CPU Shares, Min, Max")
    kernel: str = named("Kernel")
    initrd: str = named("Initrd")
    append: str = named("Append")
    autostart: bool = named("Autostart")
    file: str = named("File")


@command("vm show", "Show a virtual machine.", header="{Name}", own=True)
def show(ctx: Context, vm: Who) -> VmDetails:
    with for_people():
        v = VmService().find(vm)
        s = described(v)
    kinds = {k: [d.backend for d in s.devices if d.kind is k] for k in DeviceKind}
    return VmDetails(
        v.name, v.id, kinds[DeviceKind.DISK], kinds[DeviceKind.NETWORK], v.uuid, v.state,
        v.handle, v.last, v.cpus, v.memory >> 20,
        f"{s.sched.shares}, {s.sched.min_pct}%, {s.sched.max_pct or 'no '}%",
        str(s.kernel or ""), str(s.initrd or ""), s.append, v.autostart, v.vmx,
    )  # fmt: skip


def described(v: VmInfo) -> VmSpec:
    path = Path(v.vmx)
    return spec.parse(path.read_text(), path.parent)


def notes(vmx: Path) -> str:
    """What the VM asks for in vain, a line each."""
    return "".join(f"\nNot in this version: {what}." for what in spec.missing(vmx.read_text()))


@command("vm register", "Add the virtual machine of a .vmx file to this host.",
         role=Role.ADMINISTRATOR, own=True)  # fmt: skip
def register(ctx: Context, vmx: Annotated[str, Pos("The .vmx file.", complete="file")]) -> str:
    with for_people():
        number = VmService().register(Path(vmx))
        name = VmService().find(str(number)).name
        return (
            f"Registered {name}, Vmid {number}.{notes(Path(vmx))}\nNext: esxcli vm power on {name}"
        )


@command("vm unregister", "Take a virtual machine off the list; its files stay.",
         role=Role.ADMINISTRATOR, own=True)  # fmt: skip
def unregister(ctx: Context, vm: Who) -> None:
    with for_people():
        VmService().unregister(vm)


def power(vm: str, action: str) -> None:
    with for_people():
        VmService().power(vm, action)


@command("vm power on", "Switch a virtual machine on.", role=Role.OPERATOR, own=True)
def power_on(ctx: Context, vm: Who) -> str:
    power(vm, "on")
    return f"Powered on {vm}.\nNext: esxcli vm console {vm}"


@command("vm power off", "Switch a virtual machine off at once.", role=Role.OPERATOR, own=True)
def power_off(ctx: Context, vm: Who) -> None:
    power(vm, "off")


@command("vm power get", "Whether a virtual machine is on.", own=True)
def power_get(ctx: Context, vm: Who) -> str:
    with for_people():
        return VmService().find(vm).power


@command("vm shutdown", "Press a virtual machine's power button.", role=Role.OPERATOR, own=True)
def shutdown(ctx: Context, vm: Who) -> None:
    power(vm, "shutdown")


@command("vm reset", "Reset a virtual machine at once.", role=Role.OPERATOR, own=True)
def reset(ctx: Context, vm: Who) -> None:
    power(vm, "reset")


@dataclass(frozen=True, slots=True)
class VmStats:
    name: str
    state: str
    exits_by_kind: dict[str, str]
    uptime: str = named("Uptime (s)")
    cpu_used: str = named("CPU Used (s)")
    overhead: int = named("Overhead (KiB)")
    exits: int = named("Exits")


@command("vm stats", "Show what a virtual machine uses.", header="{Name}", own=True)
def stats(ctx: Context, vm: Who) -> VmStats:
    with for_people():
        v = VmService().find(vm)
    if not v.handle:
        raise FailedError(f"{v.name} is powered off")
    link = ctx.host.link
    s = control.status(link, v.handle)
    up = ctx.host.info().uptime_ns - s.started_ns
    kinds = {k: str(n) for k, n in control.exits(link, v.handle).items() if n}
    return VmStats(
        v.name, v.state, kinds, f"{up / 1e9:.1f}", f"{s.used_ns / 1e9:.1f}", s.overhead >> 10,
        s.exits,
    )  # fmt: skip


def datastore(name: str) -> Path:
    """The folder of a datastore, or of the only one."""
    if name:
        if not (VOLUMES / name).is_dir() or "/" in name:
            raise FailedError(
                f"there is no datastore {name}", "`storage filesystem list` shows them"
            )
        return VOLUMES / name
    there = sorted(p for p in VOLUMES.iterdir() if p.is_symlink()) if VOLUMES.is_dir() else []
    found = [p for p in there if p.resolve() != SCRATCH.resolve()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise FailedError(
            "there is no datastore", "`storage filesystem create -m -d DEVICE -l NAME` makes one"
        )
    raise FailedError("which datastore? " + ", ".join(p.name for p in found), "use --datastore")


@command("vm create", "Make a virtual machine.", role=Role.ADMINISTRATOR, own=True)
def create(
    ctx: Context,
    name: Annotated[str, Pos("The VM's name, and its folder's.")],
    kernel: Annotated[str, Opt("-k", "A kernel on this host; it is copied beside the VM.")],
    initrd: Annotated[str, Opt("-i", "Its initial RAM disk; copied as well.")] = "",
    append: Annotated[str, Opt("-a", "The kernel's command line.")] = "console=ttyS0",
    cpus: Annotated[int, Opt("-c", "Virtual CPUs.")] = 1,
    memory: Annotated[str, Opt("-m", "Memory, for example 1G.")] = "256M",
    disk_size: Annotated[
        tuple[str, ...], Opt("-d", "A disk's size; may be repeated.", "disk")
    ] = (),
    disk_format: Annotated[Format, Opt("-f", "How disks take their space.")] = Format.THIN,
    network: Annotated[tuple[str, ...], Opt("-n", "A NIC's port group; may be repeated.")] = (),
    datastore_name: Annotated[str, Opt("", "Where its files go.", "datastore")] = "",
    autostart: Annotated[bool, Flag("", "Start it with the host.")] = False,
) -> str:
    if not re.fullmatch(r"[^/.\x00-\x1f][^/\x00-\x1f]*", name):
        raise UsageError(f"not a name for a VM: {name!r}")
    with for_people():
        folder = datastore(datastore_name) / name
        files = [Path(f) for f in (kernel, initrd) if f]
        for f in files:
            if not f.is_file():
                raise FailedError(f"{f}: no such file")
        sizes = [size_of(d) for d in disk_size]
        names = [f"{name}{f'_{n}' if n else ''}.vmdk" for n in range(len(sizes))]
        parts = [Device(DeviceKind.DISK, n) for n in names]
        parts += [Device(DeviceKind.NETWORK, n) for n in network]
        parts.append(Device(DeviceKind.RANDOM))
        made = VmSpec(
            name, cpus, size_of(memory) // (2 * MIB) * 2 * MIB, uuid4(),
            kernel=Path(Path(kernel).name), initrd=Path(Path(initrd).name) if initrd else None,
            append=append, devices=tuple(parts),
        )  # fmt: skip
        # Everything was checked before; what fails from here on leaves no folder behind.
        folder.mkdir()
        try:
            for f in files:
                shutil.copyfile(f, folder / f.name)
            for n, size in zip(names, sizes, strict=True):
                disk.create(folder / n, size, disk_format)
            vmx = folder / f"{name}.vmx"
            vmx.write_text(spec.format_vmx(made))
            number = VmService().register(vmx)
        except BaseException:
            shutil.rmtree(folder)
            raise
        if autostart:
            VmService().edit(str(number), {}, True)
    return f"Created {name}, Vmid {number}: {vmx}\nNext: esxcli vm power on {name}"


@command("vm delete", "Delete a virtual machine with its disks.",
         role=Role.ADMINISTRATOR, own=True)  # fmt: skip
def delete(ctx: Context, vm: Who) -> None:
    with for_people():
        v = VmService().find(vm)
        described_as, folder = described(v), Path(v.vmx).parent
        VmService().unregister(str(v.id))
        for d in described_as.devices:
            path = folder / d.backend
            if d.kind is DeviceKind.DISK and d.backend.endswith(".vmdk") and path.exists():
                disk.delete(path)
        for file in (described_as.kernel, described_as.initrd, Path(v.vmx)):
            if file and file.parent == folder:
                file.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()


@command("vm set", "Change a virtual machine; it must be off, but for --autostart.",
         role=Role.ADMINISTRATOR, own=True)  # fmt: skip
def vm_set(
    ctx: Context,
    vm: Who,
    cpus: Annotated[int | None, Opt("-c", "Virtual CPUs.")] = None,
    memory: Annotated[str | None, Opt("-m", "Memory, for example 1G.")] = None,
    kernel: Annotated[str | None, Opt("-k", "The kernel, relative to the .vmx.")] = None,
    initrd: Annotated[str | None, Opt("-i", "The initial RAM disk.")] = None,
    append: Annotated[str | None, Opt("-a", "The kernel's command line.")] = None,
    shares: Annotated[int | None, Opt("-s", "Shares of CPU time; 1000 is normal.")] = None,
    cpu_min: Annotated[int | None, Opt("", "Percent of one CPU that it has for certain.")] = None,
    cpu_max: Annotated[int | None, Opt("", "Percent of one CPU at most; 0: no limit.")] = None,
    autostart: Annotated[bool | None, Opt("", "Whether it starts with the host.")] = None,
) -> None:
    megabytes = None
    with for_people():
        if memory is not None:
            megabytes = size_of(memory) // (2 * MIB) * 2
        given = {
            "numvcpus": cpus, "memSize": megabytes, "tepui.kernel": kernel, "tepui.initrd": initrd,
            "tepui.append": append, "sched.cpu.shares": shares, "sched.cpu.minPct": cpu_min,
            "sched.cpu.maxPct": cpu_max,
        }  # fmt: skip
        changes: dict[str, str | None] = {k: str(v) for k, v in given.items() if v is not None}
        v = VmService().find(vm)
        if changes and v.on:
            raise FailedError(f"{v.name} is powered on")
        VmService().edit(vm, changes, autostart)
