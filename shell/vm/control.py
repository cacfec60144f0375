# SPDX-License-Identifier: Apache-2.0
"""VMs on a host, through its control socket: birth, power, state, console.

Handles are the vmkernel's; they are never reused while it runs.
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from uuid import UUID

from tepui.shell import abi
from tepui.shell.link import Link
from tepui.shell.vm import birth as protocol
from tepui.shell.vm import disk, paths
from tepui.shell.vm.devices import Device, DeviceKind
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.image import fill_config, fill_device
from tepui.shell.vm.memory import HIGH_BASE
from tepui.shell.vm.spec import Shares, VmSpec


class VmState(IntEnum):
    """enum vm_state."""

    CREATED = 0
    RUNNING = 1
    RESETTING = 2
    OFF = 3
    STOPPED = 4
    CRASHED = 5


@dataclass(frozen=True, slots=True)
class VmStatus:
    """started and used in ns, memory and overhead in bytes; reason: why it is in its state."""

    handle: int
    name: str
    state: VmState
    exit_code: int
    cpus: int
    memory: int
    started_ns: int
    used_ns: int
    exits: int
    overhead: int
    reason: str
    uuid: UUID


class Mapping:
    """A guest's memory through a mapping of its memory object."""

    def __init__(self, fd: int, size: int, low: int) -> None:
        self.size, self.low = size, low
        self.map = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def write(self, gpa: int, data: bytes) -> None:
        offset = gpa if gpa < self.low else gpa - HIGH_BASE + self.low
        if offset < 0 or offset + len(data) > self.size or gpa < self.low < gpa + len(data):
            raise VmError(f"{len(data)} bytes at {gpa:#x} are outside of the guest's memory")
        self.map[offset : offset + len(data)] = data


@contextmanager
def mapped(fd: int, size: int, low: int) -> Iterator[Mapping]:
    """The mapping for as long as the block lasts; takes the descriptor over."""
    try:
        memory = Mapping(fd, size, low)
    finally:
        os.close(fd)
    try:
        yield memory
    finally:
        memory.map.close()


def _handle(handle: int) -> bytes:
    return abi.pack("vm_handle", handle=handle)


def add_device(link: Link, handle: int, device: Device) -> int:
    """The PCI slot that it got. RefusedError: no such backend, or it is in use."""
    request = abi.ffi().new("struct vm_add_device *")
    request.handle = handle
    fill_device(request.device, device)
    payload = bytes(abi.ffi().buffer(request))
    reply = link.request(abi.lib().CTL_VM_ADD_DEVICE, payload)
    return int(abi.cast("vm_device_added", reply.payload).slot)


def located(device: Device, folder: Path) -> Device:
    """A disk that names a descriptor, with the path of its contents as the vmkernel wants it."""
    if device.kind is not DeviceKind.DISK or not device.backend.endswith(".vmdk"):
        return device
    path = folder / device.backend
    descriptor = disk.read(path)
    contents = paths.allowed(path.with_name(descriptor.extent), folder)
    return replace(device, backend=str(contents), thin=descriptor.thin)


def birth(link: Link, spec: VmSpec, *, start: bool = True) -> int:
    """Creates the VM, fills its memory and sets it running; its handle.

    VmError when there is nothing to boot, RefusedError when the host refuses; then no VM stays."""
    ffi, op = abi.ffi(), abi.lib()
    spec = paths.confined(spec)
    try:
        devices = [located(device, spec.folder) for device in spec.devices]
    except OSError as e:
        raise VmError(f"{spec.name}: {e.filename}: {e.strerror}") from None
    config = ffi.new("struct vm_config *")
    fill_config(config, spec)
    reply = link.request(op.CTL_VM_CREATE, bytes(ffi.buffer(config)))
    made = abi.cast("vm_created", reply.payload)
    handle = int(made.handle)
    try:
        with mapped(reply.fds[0], spec.memory, int(made.low)) as memory:
            state = protocol.prepare(spec, memory)
        for device in devices:
            add_device(link, handle, device)
        request = ffi.new("struct vm_set_vcpu *")
        request.handle = handle
        state.fill(request.state)
        link.request(op.CTL_VM_SET_VCPU, bytes(ffi.buffer(request)))
        if start:
            link.request(op.CTL_VM_START, _handle(handle))
    except BaseException:
        link.request(op.CTL_VM_DESTROY, _handle(handle))
        raise
    return handle


def start(link: Link, handle: int) -> None:
    link.request(abi.lib().CTL_VM_START, _handle(handle))


def stop(link: Link, handle: int) -> None:
    """At once, as by pulling the cord."""
    link.request(abi.lib().CTL_VM_STOP, _handle(handle))


def press_button(link: Link, handle: int) -> None:
    """The power button: the guest shuts itself down if it listens."""
    link.request(abi.lib().CTL_VM_BUTTON, _handle(handle))


def destroy(link: Link, handle: int) -> None:
    link.request(abi.lib().CTL_VM_DESTROY, _handle(handle))


def handles(link: Link) -> list[int]:
    payload = link.request(abi.lib().CTL_VM_LIST).payload
    return [int.from_bytes(payload[n : n + 8], "little") for n in range(0, len(payload), 8)]


def status(link: Link, handle: int) -> VmStatus:
    payload = link.request(abi.lib().CTL_VM_STATUS, _handle(handle)).payload
    c = abi.cast("vm_status", payload)
    return VmStatus(
        int(c.handle),
        abi.text(c.config.name),
        VmState(c.state),
        int(c.exit_code),
        int(c.config.cpus),
        int(c.config.memory),
        int(c.started),
        int(c.used_ns),
        int(c.exits),
        int(c.overhead),
        abi.text(c.reason),
        UUID(bytes=bytes(c.config.uuid)),
    )


def exits(link: Link, handle: int) -> dict[str, int]:
    """How often the guest left, by kind."""
    payload = link.request(abi.lib().CTL_VM_EXITS, _handle(handle)).payload
    rows = abi.ffi().from_buffer("struct vm_exit_count[]", payload)
    return {abi.text(row.name): int(row.count) for row in rows}


def set_shares(link: Link, handle: int, shares: Shares) -> None:
    request = abi.ffi().new("struct vm_set_sched *")
    request.handle = handle
    request.sched.shares = shares.shares
    request.sched.min_pct, request.sched.max_pct = shares.min_pct, shares.max_pct
    link.request(abi.lib().CTL_VM_SET_SCHED, bytes(abi.ffi().buffer(request)))


def console(link: Link, handle: int, index: int = 0) -> int:
    """A descriptor of the guest's console: reads are what it writes, 0 bytes at its end.

    index: 0 and 1 are the serial ports, from 2 on the console devices. The caller closes it."""
    payload = abi.pack("vm_open_console", handle=handle, index=index)
    return link.request(abi.lib().CTL_VM_CONSOLE, payload).fds[0]
