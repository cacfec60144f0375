# SPDX-License-Identifier: Apache-2.0
"""Typed calls on block devices and datastores (vmkernel/include/abi/storage.h)."""

import uuid
from pathlib import Path

from tepui.shell import abi, records
from tepui.shell.client import Client
from tepui.shell.records import BlkWorld, StorageStats


class Block(records.Blk):
    """A disk or a partition; start in bytes, size in blocks of block_size bytes."""

    __slots__ = ()

    @property
    def disk(self) -> str:
        """The id of the whole disk."""
        return self.id.rpartition(":")[0] if self.partition else self.id

    @property
    def size(self) -> int:
        """Bytes."""
        return self.blocks * self.block_size

    @property
    def type(self) -> uuid.UUID:
        return uuid.UUID(bytes_le=self.type_guid)


class MountedVolume(records.Volume):
    """A datastore that is mounted; sizes in bytes."""

    __slots__ = ()

    @property
    def identity(self) -> str:
        """The UUID as the mount point has it."""
        digits = self.uuid.hex()
        return "-".join((digits[:8], digits[8:16], digits[16:20], digits[20:]))

    @property
    def path(self) -> Path:
        return Path("/vmfs/volumes") / self.identity


class Storage:
    """The storage operations of a host."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def devices(self) -> list[Block]:
        """Disks, each followed by its partitions."""
        op = self.client.op.CTL_STORAGE_DEVICES
        rows = self.client.pages(op, "ctl_storage_devices", "blk")
        return [Block.of(c) for c in rows]

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

    def unmount(self, device: str) -> None:
        """Everything is durable then. Refused while a file of it is in use."""
        op = self.client.op.CTL_STORAGE_UNMOUNT
        self.client.call(op, None, abi.pack("ctl_storage_device", id=device))

    def volumes(self) -> list[MountedVolume]:
        op = self.client.op.CTL_STORAGE_VOLUMES
        rows = self.client.pages(op, "ctl_storage_volumes", "volume")
        return [MountedVolume.of(c) for c in rows]

    def stats(self, device: str) -> StorageStats:
        """Of a whole disk since it was found. ops and bytes: read, write, flush, discard, write
        zeroes; latency_us_log2: requests whose microseconds had that logarithm."""
        op, req = self.client.op.CTL_STORAGE_STATS, abi.pack("ctl_storage_device", id=device)
        return StorageStats.of(self.client.call(op, "ctl_storage_stats", req))

    def worlds(self, device: str) -> list[BlkWorld]:
        """Each world's requests to a disk. Name "": it has ended; id 0: several that have."""
        op, req = self.client.op.CTL_STORAGE_WORLDS, abi.pack("ctl_storage_device", id=device)
        c = self.client.call(op, "ctl_storage_worlds", req)
        return [BlkWorld.of(c.world[i]) for i in range(c.count)]
