# SPDX-License-Identifier: Apache-2.0
"""The devices that a VM can be given: one row a kind, and nothing else in Python names a kind.

A row tells which kind of the kernel's it is (`enum vm_device_kind`), how it is read from the keys
of a .vmx and how it is written to them. Order in a VM, and so PCI slots: the order of the rows.

Source: VMware's keys for disks and NICs; ours begin with `tepui.`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tepui.shell.vm.errors import VmError

NICS = 10
Keys = Mapping[str, str]
Rows = Iterator[tuple[str, str]]


class DeviceKind(StrEnum):
    DISK = "disk"
    NETWORK = "network"
    CONSOLE = "console"
    RANDOM = "random"


@dataclass(frozen=True, slots=True)
class Device:
    """backend: a disk's file or block device, a NIC's port group. mac: six bytes or b"" (any).
    queues of a disk, pairs of queues of a NIC; 0: as many as the VM has CPUs."""

    kind: DeviceKind
    backend: str = ""
    mac: bytes = b""
    read_only: bool = False
    thin: bool = False  # set at birth, from the disk's descriptor
    queues: int = 0
    serial: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """abi: the enumerator of enum vm_device_kind. keys: a regular expression of the lower-case
    keys that belong to such devices. read: those that keys describe, in their order; VmError when
    one makes no sense. write: the keys of the VM's n-th device of the kind, counted from 0."""

    abi: str
    keys: str
    read: Callable[[Keys], Iterator[Device]]
    write: Callable[[int, Device], Rows]


def yes(keys: Keys, key: str) -> bool:
    return keys.get(key, "").upper() in ("TRUE", "YES", "1")


def mac_bytes(text: str) -> bytes:
    """Six bytes of "00:0c:29:..."; VmError for anything else and for group addresses."""
    try:
        mac = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        mac = b""
    if len(mac) != 6 or mac[0] & 1:
        raise VmError(f"not a MAC address of a station: {text!r}")
    return mac


def read_disks(keys: Keys) -> Iterator[Device]:
    """Disks by controller and unit; CD-ROM drives are not modelled."""
    for key in sorted(keys):
        if not re.fullmatch(r"(scsi|sata|ide|nvme)\d+:\d+\.filename", key):
            continue
        unit = key.removesuffix(".filename")
        cdrom = keys.get(f"{unit}.devicetype", "").startswith("cdrom")
        if yes(keys, f"{unit}.present") and not cdrom:
            read_only = keys.get(f"{unit}.mode", "") == "read-only"
            yield Device(DeviceKind.DISK, keys[key], read_only=read_only)


def write_disk(n: int, device: Device) -> Rows:
    yield f"scsi0:{n}.present", "TRUE"
    yield f"scsi0:{n}.fileName", device.backend
    if device.read_only:
        yield f"scsi0:{n}.mode", "read-only"


def read_nics(keys: Keys) -> Iterator[Device]:
    """NICs by number. An address that the VM was given goes before one that was generated."""
    for n in range(NICS):
        if yes(keys, f"ethernet{n}.present"):
            text = keys.get(f"ethernet{n}.address") or keys.get(f"ethernet{n}.generatedaddress", "")
            network = keys.get(f"ethernet{n}.networkname", "VM Network")
            yield Device(DeviceKind.NETWORK, network, mac_bytes(text) if text else b"")


def write_nic(n: int, device: Device) -> Rows:
    yield f"ethernet{n}.present", "TRUE"
    yield f"ethernet{n}.networkName", device.backend
    if device.mac:
        yield f"ethernet{n}.address", device.mac.hex(":")


def switch(kind: DeviceKind, abi: str) -> Row:
    """A device that a VM has once or not at all: the key tepui.KIND is "TRUE" where it has it."""

    def read(keys: Keys) -> Iterator[Device]:
        if yes(keys, f"tepui.{kind}"):
            yield Device(kind)

    def write(n: int, device: Device) -> Rows:
        yield f"tepui.{kind}", "TRUE"

    return Row(abi, rf"tepui\.{kind}", read, write)


ROWS = {
    DeviceKind.DISK: Row(
        "VM_DEV_VIRTIO_BLK", r"(scsi|sata|ide|nvme)\d+:\d+\..*", read_disks, write_disk
    ),
    DeviceKind.NETWORK: Row("VM_DEV_VIRTIO_NET", r"ethernet\d\..*", read_nics, write_nic),
    DeviceKind.CONSOLE: switch(DeviceKind.CONSOLE, "VM_DEV_VIRTIO_CONSOLE"),
    DeviceKind.RANDOM: switch(DeviceKind.RANDOM, "VM_DEV_VIRTIO_RNG"),
}
#: Keys of devices, for who asks whether a .vmx has keys that mean nothing here.
KEYS = "|".join(row.keys for row in ROWS.values())


def read_all(keys: Keys) -> tuple[Device, ...]:
    """The devices that the keys of a .vmx (lower case) describe. VmError as of a row's read."""
    return tuple(device for row in ROWS.values() for device in row.read(keys))


def write_all(devices: tuple[Device, ...]) -> Rows:
    """Keys and values of devices; `read_all` gives devices of one kind back in the same order."""
    count = dict.fromkeys(ROWS, 0)
    for device in devices:
        yield from ROWS[device.kind].write(count[device.kind], device)
        count[device.kind] += 1


def argument(text: str) -> Device:
    """KIND[:BACKEND], for example disk:vmhba0:C0:T0:L0. ValueError: no such kind."""
    kind, _, backend = text.partition(":")
    return Device(DeviceKind(kind), backend)
