# SPDX-License-Identifier: Apache-2.0
"""A guest ready to run in one boot module: struct vm_image and its segments.

    python -m tepui.shell.vm.image --kernel K --initrd I --append 'console=ttyS0' OUTPUT

GRUB loads it beside the vmkernel, whose option vmimage=NAME starts it: for machines without a
service console, and for tests of the vmkernel alone.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tepui.shell import abi
from tepui.shell.vm import birth, devices
from tepui.shell.vm.devices import Device
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.memory import MIB, Segments
from tepui.shell.vm.spec import VmSpec


def put_text(array: Any, text: str) -> None:
    """A terminated string into a char array; VmError when it does not fit."""
    raw = text.encode()
    if len(raw) >= len(array):
        raise VmError(f"{text!r} is longer than {len(array) - 1} bytes")
    abi.ffi().memmove(array, raw, len(raw))


def fill_config(c: Any, spec: VmSpec) -> None:
    """A description into struct vm_config."""
    put_text(c.name, spec.name)
    abi.ffi().memmove(c.uuid, spec.uuid.bytes, 16)
    c.cpus, c.flags, c.memory = spec.cpus, int(spec.flags), spec.memory
    c.sched.shares, c.sched.min_pct = spec.sched.shares, spec.sched.min_pct
    c.sched.max_pct = spec.sched.max_pct


def fill_device(c: Any, device: Device) -> None:
    """A device into struct vm_device."""
    c.kind = getattr(abi.lib(), devices.ROWS[device.kind].abi)
    c.queues = device.queues
    c.flags = abi.lib().VM_DEV_READ_ONLY if device.read_only else 0
    c.flags |= abi.lib().VM_DEV_THIN if device.thin else 0
    abi.ffi().memmove(c.mac, device.mac, len(device.mac))
    put_text(c.backend, device.backend)
    put_text(c.serial, device.serial)


def build(spec: VmSpec) -> bytes:
    """The module's bytes. VmError as for `birth.prepare`."""
    ffi, lib = abi.ffi(), abi.lib()
    memory = Segments(spec.memory)
    state = birth.prepare(spec, memory)
    if len(memory.parts) > lib.VM_SEGMENTS_MAX:
        raise VmError(f"{len(memory.parts)} pieces of memory: too many")
    header = ffi.new("struct vm_image *")
    header.magic, header.segments = lib.VM_IMAGE_MAGIC, len(memory.parts)
    header.devices = len(spec.devices)
    fill_config(header.config, spec)
    state.fill(header.vcpu)
    for n, device in enumerate(spec.devices):
        fill_device(header.device[n], device)
    offset = ffi.sizeof(header[0])
    for n, (gpa, data) in enumerate(memory.parts):
        segment = header.segment[n]
        segment.gpa, segment.offset, segment.length = gpa, offset, len(data)
        offset += len(data)
    return bytes(ffi.buffer(header)) + b"".join(data for _, data in memory.parts)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 with a message."""
    parser = argparse.ArgumentParser(prog="tepui.shell.vm.image", description=main.__doc__)
    parser.add_argument("--name", default="guest")
    parser.add_argument("--kernel", type=Path, required=True)
    parser.add_argument("--initrd", type=Path)
    parser.add_argument("--append", default="")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--memory", type=int, default=256, metavar="MIB")
    parser.add_argument("--device", type=devices.argument, action="append", default=[])
    parser.add_argument("output", type=Path)
    args = parser.parse_args(argv)
    try:
        spec = VmSpec(
            args.name,
            args.cpus,
            args.memory * MIB,
            kernel=args.kernel,
            initrd=args.initrd,
            append=args.append,
            devices=tuple(args.device),
        )
        args.output.write_bytes(build(spec))
    except VmError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
