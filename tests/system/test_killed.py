# SPDX-License-Identifier: Apache-2.0
"""The power fails while the installer writes: the machine boots what it had or installs again."""

import hashlib
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.iso import layout
from tepui.iso.disk import Disk
from tests.system import installed
from tests.system.console import SCALE
from tests.system.machine import Firmware, Machine

Boot = Callable[..., Machine]
#: Fewer than an installation on a disk of this size makes, and so slow that each can be met.
WRITES, EVERY = 165, 100  # requests; requests a second
LONG = [pytest.param(number, marks=pytest.mark.soak) for number in range(2, 10)]
FULL = bool(os.environ.get("TEPUI_SOAK"))


def writes(machine: Machine, drive: str) -> int:
    rows = machine.qmp.execute("query-blockstats")
    return next(int(row["stats"]["wr_operations"]) for row in rows if row["device"] == drive)


def cut(machine: Machine, moment: int) -> None:
    """Ends the machine at once when its disk has taken `moment` writes of the installer."""
    deadline = time.monotonic() + 240 * SCALE
    machine.console.expect("Disk: t10", 240)
    while writes(machine, "S1") < moment:
        assert time.monotonic() < deadline and machine.console.drain(0.001), "too few writes"
    assert machine.process
    machine.process.kill()
    machine.process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, *LONG])
def test_killed(boot: Boot, number: int, tmp_path: Path) -> None:
    """Odd numbers have an installation already, the second half boots by UEFI."""
    moment = (random.SystemRandom() if FULL else random.Random(number)).randrange(WRITES)
    print(f"killed after {moment} writes")
    disk, other = tmp_path / "disk", tmp_path / "other"
    if number % 2:
        installed.system(disk)
    else:
        installed.empty(disk)
    other.write_bytes(hashlib.shake_128(b"other").digest(1 << 20) * 8)
    before = hashlib.sha256(other.read_bytes()).hexdigest()
    iso = installed.iso(tmp_path)
    config = {"entry": "install", "memory": 1024, "cpus": 2, "iso": iso}
    config["firmware"] = Firmware.UEFI if number > 4 else Firmware.BIOS
    rest = (*installed.disk(other, "S2", index=None), *installed.NIC)
    slow = installed.disk(disk, index=1, more=f",throttling.iops-write={EVERY}")
    cut(boot(**config, arguments=(*slow, *rest)), moment)

    machine = boot(**config, arguments=(*installed.disk(disk), *rest), cd_index=1)
    found = machine.console.expect(r"Disk: t10\S+ \d+ MiB, (.+)\n|login: ", 240)
    print(found[0])
    if found[1]:
        machine.console.expect("Tepui is installed on t10", 240)
        assert machine.wait_exit(60) == 0
        with Disk(disk) as d:
            assert len(d.table().partitions) == layout.DATASTORE
    else:
        assert number % 2, "an empty disk booted"
    assert hashlib.sha256(other.read_bytes()).hexdigest() == before
