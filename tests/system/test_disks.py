# SPDX-License-Identifier: Apache-2.0
"""Disk drivers on QEMU's models: a pattern over the whole device, compared on the image file.

Evidence level: EMULATED."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.machine import Machine

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
    console = boot(cpus=2, options="disktest=all", arguments=arguments).console
    console.expect(r"disktest: done, 1 disks", 150)
    last = re.search(r"disktest: \S+: ok, last pattern ([0-9a-f]+)", console.transcript)
    assert last, console.transcript[-2000:]
    assert image.read_bytes() == pattern(int(last[1], 16), SIZE)


@pytest.mark.parametrize("model", MODELS)
def test_media_error_is_reported_and_passes(boot: Boot, tmp_path: Path, model: str) -> None:
    """Each request of the first 100 reads fails once: the right error, and the driver lives on."""
    image = tmp_path / "disk"
    image.write_bytes(bytes(SIZE))
    backend = (
        f'{{"driver":"blkdebug","node-name":"disk","image":{{"driver":"file","filename":"{image}"}},'
        '"inject-error":[{"event":"none","iotype":"write","errno":5,"once":true,"sector":64}]}'
    )
    arguments = ("-blockdev", backend, *MODELS[model])
    console = boot(options="disktest=all", arguments=arguments).console
    console.expect(r"disktest: \S+: size 512 depth 1: error 5", 60)
    console.expect(r"disktest: done, 1 disks", 60)


@pytest.mark.parametrize("option", ["hcl.block=1b36:0010", "hcl.block=1234:5678,1b36:0010"])
def test_blocked_device_is_left_alone(boot: Boot, tmp_path: Path, option: str) -> None:
    image = tmp_path / "disk"
    image.write_bytes(bytes(SIZE))
    arguments = ("-drive", f"{DRIVE}{image}", *MODELS["nvme"])
    console = boot(options=f"{option} disktest=all", arguments=arguments).console
    console.expect(r"1b36:0010 class 010802: left alone: blocked by the boot option", 60)
    console.expect(r"disktest: done, 0 disks", 60)
