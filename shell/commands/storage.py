# SPDX-License-Identifier: Apache-2.0
"""esxcli storage ...: adapters, devices, partitions, datastores."""

import uuid
from dataclasses import dataclass
from typing import Annotated

from tepui.hcl import ids
from tepui.shell import osdata
from tepui.shell.command import FailedError, Flag, Opt, Role, command
from tepui.shell.datastore.partitions import DATASTORE
from tepui.shell.link import RefusedError
from tepui.shell.output import Style, named
from tepui.shell.run import Context
from tepui.shell.storageclient import Block, MountedVolume, Storage

SSD, REMOVABLE, IN_USE = 2, 4, 16


@dataclass(frozen=True, slots=True)
class Adapter:
    hba_name: str = named("HBA Name")
    driver: str = named("Driver")
    link_state: str = named("Link State")
    uid: str = named("UID")
    capabilities: str = named("Capabilities")
    description: str = named("Description")


@command("storage core adapter list", "List all the storage adapters.", style=Style.TABLE)
def adapter_list(ctx: Context) -> list[Adapter]:
    names = ids.load()
    rows = []
    for p in ctx.host.pci():
        if p.vmk_name.startswith("vmhba"):
            text = f"({p.address}) {names.vendor(p.vendor)} {names.device(p.vendor, p.device)}"
            rows.append(Adapter(p.vmk_name, p.driver, "link-n/a", f"pci.{p.address}", "", text))
    return rows


@dataclass(frozen=True, slots=True)
class Device:
    id: str = named("Device")
    display_name: str = named("Display Name")
    size: int = named("Size")
    device_type: str = named("Device Type")
    devfs_path: str = named("Devfs Path")
    vendor: str = named("Vendor")
    model: str = named("Model")
    revision: str = named("Revision")
    status: str = named("Status")
    is_local: bool = named("Is Local")
    is_removable: bool = named("Is Removable")
    is_ssd: bool = named("Is SSD")
    is_offline: bool = named("Is Offline")
    queue_depth: int = named("Device Max Queue Depth")


def _device(b: Block) -> Device:
    name = f"Local {b.vendor} Disk ({b.id})".replace("  ", " ")
    return Device(
        b.id, name, b.size >> 20, "Direct-Access", f"/vmfs/devices/disks/{b.id}", b.vendor,
        b.model, b.revision, "on", True, bool(b.flags & REMOVABLE), bool(b.flags & SSD), False,
        b.depth,
    )  # fmt: skip


def _disks(ctx: Context, device: str) -> list[Block]:
    return [
        b for b in Storage(ctx.host).devices() if not b.partition and device in ("", b.id, b.node)
    ]


@command("storage core device list", "List the storage devices.", header="{Device}")
def device_list(
    ctx: Context, device: Annotated[str, Opt("-d", "Only this device.")] = ""
) -> list[Device]:
    return [_device(b) for b in _disks(ctx, device)]


@dataclass(frozen=True, slots=True)
class DeviceStats:
    device: str = named("Device")
    successful_commands: int = named("Successful Commands")
    blocks_read: int = named("Blocks Read")
    blocks_written: int = named("Blocks Written")
    read_operations: int = named("Read Operations")
    write_operations: int = named("Write Operations")
    flushes: int = named("Flush Operations")
    discards: int = named("Discard Operations")
    failed_commands: int = named("Failed Commands")
    retries: int = named("Retried Commands")
    timeouts: int = named("Timed Out Commands")
    queued: int = named("Commands In Flight")
    queued_most: int = named("Most Commands In Flight")
    median: int = named("Median Microseconds")
    slowest: int = named("Highest Microseconds")


def _latency(histogram: tuple[int, ...], share: float) -> int:
    """A power of two of microseconds within which that share of the requests ended; 0: none."""
    passed = 0
    for power, count in enumerate(histogram):
        passed += count
        if count and passed >= share * sum(histogram):
            return int(2 << power)
    return 0


@command("storage core device stats get", "Display counters of devices.", header="{Device}")
def device_stats(
    ctx: Context, device: Annotated[str, Opt("-d", "Only this device.")] = ""
) -> list[DeviceStats]:
    rows = []
    for b in _disks(ctx, device):
        s = Storage(ctx.host).stats(b.id)
        read, written = (n // b.block_size for n in s.bytes[:2])
        rows.append(
            DeviceStats(
                b.id, sum(s.ops) - s.errors, read, written, s.ops[0], s.ops[1], s.ops[2], s.ops[3],
                s.errors, s.retries, s.timeouts, s.inflight, s.max_inflight,
                _latency(s.latency_us_log2, 0.5), _latency(s.latency_us_log2, 1),
            )
        )  # fmt: skip
    return rows


@dataclass(frozen=True, slots=True)
class DeviceWorld:
    device: str = named("Device")
    world: int = named("World ID")
    name: str = named("World Name")
    commands: int = named("Commands")
    failed: int = named("Failed")
    read: int = named("Bytes Read")
    written: int = named("Bytes Written")
    mean: int = named("Mean Microseconds")


@command("storage core device world list", "List the worlds that used devices.", style=Style.TABLE)
def device_worlds(
    ctx: Context, device: Annotated[str, Opt("-d", "Only this device.")] = ""
) -> list[DeviceWorld]:
    return [
        DeviceWorld(
            b.id,
            w.id,
            w.name or "ended",
            w.ops,
            w.errors,
            w.bytes_read,
            w.bytes_written,
            w.time_ns // max(w.ops, 1) // 1000,
        )
        for b in _disks(ctx, device)
        for w in sorted(Storage(ctx.host).worlds(b.id), key=lambda w: w.id)
    ]


@dataclass(frozen=True, slots=True)
class Partition:
    device: str = named("Device")
    partition: int = named("Partition")
    start_sector: int = named("Start Sector")
    end_sector: int = named("End Sector")
    type: str = named("Type GUID")
    size: int = named("Size")


@command("storage core device partition list", "List the partitions.", style=Style.TABLE)
def partition_list(ctx: Context) -> list[Partition]:
    return [
        Partition(
            b.id,
            b.partition,
            b.start // b.block_size,
            b.start // b.block_size + b.blocks - 1,
            str(b.type),
            b.size,
        )
        for b in Storage(ctx.host).devices()
        if b.partition
    ]


@dataclass(frozen=True, slots=True)
class Filesystem:
    mount_point: str = named("Mount Point")
    volume_name: str = named("Volume Name")
    uuid: str = named("UUID")
    mounted: bool = named("Mounted")
    type: str = named("Type")
    size: int = named("Size")
    free: int = named("Free")


@command("storage filesystem list", "List the volumes known to the host.", style=Style.TABLE)
def filesystem_list(ctx: Context) -> list[Filesystem]:
    return [
        Filesystem(str(v.path), v.label, v.identity, True, "TepuiDS-1", v.size, v.free)
        for v in Storage(ctx.host).volumes()
    ]


def _may_hold_datastore(b: Block, divided: set[str]) -> bool:
    """A partition that says so or says nothing (MBR), or a disk without partitions."""
    if not b.partition:
        return b.id not in divided
    return b.type in (DATASTORE, uuid.UUID(int=0))


@command("storage filesystem automount", "Mount every datastore that is found.", role=Role.OPERATOR)
def filesystem_automount(ctx: Context) -> None:
    storage = Storage(ctx.host)
    devices = storage.devices()
    own = osdata.find(devices, ctx.host.options())
    divided = {b.disk for b in devices if b.partition}
    for b in devices:
        if b.flags & IN_USE or not (b is own or _may_hold_datastore(b, divided)):
            continue
        try:
            storage.mount(b.id)
        except RefusedError as e:
            if "holds no datastore" not in str(e) or b is own:
                ctx.host.log_mark(f"{b.id}: not mounted: {e}")
    for v in storage.volumes():
        if own and v.device == own.id:
            osdata.attach(v.path)


Label = Annotated[str, Opt("-l", "The volume's name.", name="volume-label")]
Uuid = Annotated[str, Opt("-u", "The volume's UUID.", name="volume-uuid")]


def _volume(storage: Storage, label: str, identity: str) -> MountedVolume:
    for v in storage.volumes():
        if (label and v.label == label) or (identity and v.identity == identity):
            return v
    raise FailedError(f"No volume '{label or identity}'", "`storage filesystem list` shows them")


@command("storage filesystem unmount", "Unmount a volume.", role=Role.OPERATOR)
def filesystem_unmount(ctx: Context, label: Label = "", identity: Uuid = "") -> None:
    storage = Storage(ctx.host)
    storage.unmount(_volume(storage, label, identity).device)


@command(
    "storage filesystem create", "Make a datastore on a device.", role=Role.ADMINISTRATOR, own=True
)
def filesystem_create(
    ctx: Context,
    device: Annotated[str, Opt("-d", "The device; everything on it is lost.")],
    label: Annotated[str, Opt("-l", "The datastore's name.")],
    mount: Annotated[bool, Flag("-m", "Mount it as well.")] = False,
) -> str:
    identity = uuid.uuid4()
    storage = Storage(ctx.host)
    storage.format(device, label, identity)
    if mount:
        storage.mount(device)
    digits = identity.hex
    return "-".join((digits[:8], digits[8:16], digits[16:20], digits[20:]))
