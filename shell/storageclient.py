# SPDX-License-Identifier: Apache-2.0
"""Typed calls on block devices and datastores (vmkernel/include/abi/storage.h)."""

import uuid
from dataclasses import dataclass

from tepui.shell import abi
from tepui.shell.client import Client


@dataclass(frozen=True, slots=True)
class Block:
    """A disk or a partition; start in bytes, size in blocks of block_size bytes."""

    id: str
    node: str
    vendor: str
    model: str
    serial: str
    revision: str
    adapter: str
    driver: str
    pci: str
    blocks: int
    start: int
    block_size: int
    partition: int
    depth: int
    flags: int
    type_guid: tuple[int, ...]
    part_guid: tuple[int, ...]
    part_name: str

    @property
    def size(self) -> int:
        """Bytes."""
        return self.blocks * self.block_size

    @property
    def type(self) -> uuid.UUID:
        return uuid.UUID(bytes_le=bytes(self.type_guid))


class Storage:
    """The storage operations of a host."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def devices(self) -> list[Block]:
        """Disks, each followed by its partitions."""
        op = self.client.op.CTL_STORAGE_DEVICES
        rows = self.client.pages(op, "ctl_storage_devices", "blk")
        return [abi.decode(Block, c) for c in rows]

    def rescan(self, device: str) -> None:
        op = self.client.op.CTL_STORAGE_RESCAN
        self.client.call(op, None, abi.pack("ctl_storage_device", id=device))

    def format(self, device: str, label: str, identity: uuid.UUID) -> None:
        """Makes a datastore; everything on the device is lost."""
        req = abi.pack("ctl_storage_format", id=device, label=label, uuid=list(identity.bytes))
        self.client.call(self.client.op.CTL_STORAGE_FORMAT, None, req)

    def mount(self, device: str) -> None:
        """Mounts the datastore on a device below /vmfs/volumes."""
        op = self.client.op.CTL_STORAGE_MOUNT
        self.client.call(op, None, abi.pack("ctl_storage_device", id=device))
