# SPDX-License-Identifier: Apache-2.0
"""Disk drivers on QEMU's models: a pattern over the whole device, compared on the image file.

Evidence level: EMULATED."""

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.machine import TEST_ISO, Machine

Boot = Callable[..., Machine]

DRIVE = "if=none,id=disk,format=raw,file="
#: QEMU's arguments, and the row of the compatibility list that the model stands for.
MODELS = {
    "nvme": ("-device", "nvme,drive=disk,serial=S1"),
    "virtio-blk": ("-device", "virtio-blk-pci,drive=disk,disable-legacy=on,num-queues=2"),
    "ahci": ("-device", "ide-hd,drive=disk,bus=ide.3"),
    "virtio-blk-legacy": ("-device", "virtio-blk-pci,drive=disk,disable-modern=on"),
}
ROWS = {
    "nvme": ("nvme", "1b36:0010"),
    "virtio-blk": ("virtio_blk", "1af4:1042"),
    "ahci": ("ahci", "8086:2922"),
    "virtio-blk-legacy": ("virtio_blk", "1af4:1001"),
}
PROVING = [pytest.param(model, marks=pytest.mark.proves(*ROWS[model])) for model in MODELS]
SIZE = 4 << 20 | 1 << 16  # more than the largest request


def pattern(word: int, size: int) -> bytes:
    return b"".join(struct.pack("<Q", offset ^ word) for offset in range(0, size, 8))


@pytest.mark.parametrize("model", PROVING)
def test_pattern_over_the_whole_disk(boot: Boot, tmp_path: Path, model: str) -> None:
    """Sizes 512 B to 4 MiB, depth 1 to the device's, written and read; then seen from outside."""
    image = tmp_path / "disk"
    image.write_bytes(bytes(SIZE))
    arguments = ("-drive", f"{DRIVE}{image}", *MODELS[model])
    console = boot(iso=TEST_ISO, cpus=2, options="disktest=all", arguments=arguments).console
    console.expect(r"disktest: done, 1 disks", 270)
    last = re.search(r"disktest: \S+: ok, last pattern ([0-9a-f]+)", console.transcript)
    assert last, console.transcript[-2000:]
    assert image.read_bytes() == pattern(int(last[1], 16), SIZE)


#: What blkdebug makes fail: a write at depth 1, once; or a read at depth 8, each time until the
#: flush behind the second pass's repetition. A state is counted by the flushes of the passes.
ERRORS = {
    "write": ({"event": "none", "iotype": "write", "once": True, "sector": 64},),
    "read-queued": (
        {"event": "flush_to_disk", "state": 2, "iotype": "read", "sector": 64},
        {"event": "flush_to_disk", "state": 3, "iotype": "read", "sector": 1 << 30},
    ),
}
DEPTH = {"write": 1, "read-queued": 8}


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("model", MODELS)
def test_media_error_is_reported_and_passes(
    boot: Boot, tmp_path: Path, model: str, error: str
) -> None:
    """A request fails: the right error for it alone, and the device works afterwards."""
    image = tmp_path / "disk"
    image.write_bytes(bytes(128 << 10))
    states = [{"event": "flush_to_disk", "state": n, "new_state": n + 1} for n in (1, 2, 3)]
    debug = {
        "driver": "blkdebug",
        "image": {"driver": "file", "filename": str(image)},
        "inject-error": [{"errno": 5, **rule} for rule in ERRORS[error]],
        "set-state": states,
    }
    backend = json.dumps({"driver": "raw", "node-name": "disk", "file": debug})
    arguments = ("-blockdev", backend, *MODELS[model])
    console = boot(iso=TEST_ISO, cpus=2, options="disktest=all", arguments=arguments).console
    console.expect(rf"disktest: \S+: size 512 depth {DEPTH[error]}: error 5", 60)
    console.expect(r"disktest: \S+: once more: error 0", 150)


def throttle(machine: Machine, rate: int) -> None:
    """Bytes a second that the disk gets; 0: as many as it can."""
    command = f"block_set_io_throttle disk {rate} 0 0 0 0 0"
    machine.qmp.execute("human-monitor-command", command_line=command)


@pytest.mark.soak
@pytest.mark.parametrize("model", ["nvme", "virtio-blk", "ahci"])
def test_stalled_requests_time_out(boot: Boot, tmp_path: Path, model: str) -> None:
    """A disk that answers once a minute: the driver resets it, the error is ETIMEDOUT; then all
    is well again. QEMU lets the stalled requests go when it resets the device."""
    image = tmp_path / "disk"
    image.write_bytes(bytes(SIZE))
    drive = f"{DRIVE}{image},throttling.iops-total=1000000,throttling.group=slow"
    machine = boot(
        iso=TEST_ISO, options="disktest=all", arguments=("-drive", drive, *MODELS[model])
    )
    machine.console.expect(r"disktest: \S+: writing", 90)
    throttle(machine, 8)
    machine.console.expect(r"passed its deadline", 120)
    machine.console.expect(r"disktest: \S+: size 512 depth 1: error 110", 120)
    throttle(machine, 0)
    machine.console.expect(r"disktest: \S+: once more: error 0", 90)


UNPLUG = ("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")
PORT = ("-device", "pcie-root-port,id=rp,slot=1,chassis=1")


@pytest.mark.parametrize("model", ["nvme,serial=S1", "virtio-blk-pci"])
def test_unplugging_during_io(boot: Boot, tmp_path: Path, model: str) -> None:
    """Native hot unplug: what was under way ends with an error, the other disk does not notice."""
    for name in ("disk", "other"):
        (tmp_path / name).write_bytes(bytes(SIZE))
    with (tmp_path / "disk").open("r+b") as file:
        file.truncate(1 << 30)  # it is not done before the button is pressed
    other = f"if=none,id=other,format=raw,file={tmp_path / 'other'}"
    devices = (f"{model},drive=disk,bus=rp,id=victim", "virtio-blk-pci,drive=other")
    arguments: tuple[str, ...] = (
        *UNPLUG,
        *PORT,
        "-drive",
        f"{DRIVE}{tmp_path / 'disk'}",
        "-drive",
        other,
    )
    arguments += tuple(word for d in devices for word in ("-device", d))
    machine = boot(iso=TEST_ISO, cpus=2, options="disktest=all", arguments=arguments)
    machine.console.expect(r"disktest: \S+: writing", 90)
    machine.qmp.execute("device_del", id="victim")
    machine.console.expect(r"disktest: done, 2 disks", 150)
    told = machine.console.transcript
    assert re.search(r"disktest: \S+: size 512 depth 1: error 19", told), "ENODEV for what it had"
    assert re.search(r"disktest: \S+: ok, last pattern", told), "the other disk"
    assert "is taken out" in told
    machine.qmp.await_event("DEVICE_DELETED")


@pytest.mark.parametrize("option", ["hcl.block=1b36:0010", "hcl.block=1234:5678,1b36:0010"])
def test_blocked_device_is_left_alone(boot: Boot, tmp_path: Path, option: str) -> None:
    image = tmp_path / "disk"
    image.write_bytes(bytes(SIZE))
    arguments = ("-drive", f"{DRIVE}{image}", *MODELS["nvme"])
    console = boot(iso=TEST_ISO, options=f"{option} disktest=all", arguments=arguments).console
    console.expect(r"1b36:0010 class 010802: left alone: blocked by the boot option", 60)
    console.expect(r"disktest: done, 0 disks", 60)
