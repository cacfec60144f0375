# SPDX-License-Identifier: Apache-2.0
"""Power cuts of a loaded system: QEMU's log of the datastore's disk, replayed to points between
flushes. Each image is checked, and holds what was acknowledged before the cut."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tepui.shell.datastore.check import check
from tepui.shell.datastore.partitions import DATASTORE
from tepui.shell.datastore.volume import Volume
from tests.gpt import Part, gpt
from tests.system.logwrites import SECTOR, Entry, Image, parse, power_cuts
from tests.system.machine import Machine
from tests.system.programs import durable
from tests.system.shell import PROGRAMS, Shell

MIB = 1 << 20
SIZE = 64 * MIB
MARKS, START = 2048, 8192  # where the partitions begin, in sectors
WORKERS = 3
Files = dict[str, bytes]


def loaded_run(machine: Machine, steps: int) -> None:
    """A datastore is made and mounted; the workers work; the machine does not end in order."""
    shell = Shell(machine)
    disk = shell.json("storage core device list")[0]["Device"]
    program = shell.put(PROGRAMS / "durable.py")
    for command in (
        f"esxcli storage filesystem create -m -d {disk}:6 -l ds",
        f"python3 {program} /vmfs/volumes/ds /dev/disks/{disk}:1 {WORKERS} {steps}",
    ):
        rc, text = shell.run(command, 600)
        assert rc == 0, text
    assert f"durable: {WORKERS * steps} acknowledged" in text, text


class History:
    """What one worker had acknowledged, and begun, at each entry of the log."""

    def __init__(self, worker: int, steps: int, entries: list[Entry]) -> None:
        self.folder = f"/w{worker}"
        self.steps = list(durable.plan(worker, steps))
        self.states: list[Files] = [{}]
        for step in self.steps:
            files = dict(self.states[-1])
            new = durable.after(step, files.pop(step.name, None))
            self.states.append(files if new is None else {**files, step.name: new})
        self.begun, self.done = [0], [0]  # by entry
        for e in entries:
            begun, done = self.begun[-1], self.done[-1]
            if e.sector == MARKS + (worker + 1) * durable.APART and e.data.startswith(
                durable.SIGNATURE
            ):
                _, said, _, number, _ = durable.MARK.unpack_from(e.data)
                assert number == done and begun == done + (said == b"done"), "the log's order"
                begun, done = number + 1, number + (said == b"done")
            self.begun.append(begun)
            self.done.append(done)

    def wrong(self, point: int, found: Files) -> list[str]:
        """What is missing from or foreign to the files found behind a cut."""
        before, after = self.states[self.done[point]], self.states[self.begun[point]]
        step = self.steps[self.begun[point] - 1] if self.begun[point] > self.done[point] else None
        out = []
        for name in found.keys() | before.keys() | after.keys():
            if step and name == f"{step.name}.new" and step.kind == "replace":
                continue
            old, new, here = before.get(name), after.get(name), found.get(name)
            if here not in (old, new) and not (step and between(step, old, new, here)):
                out.append(f"point {point}: {self.folder}/{name}: neither {before} nor {step}")
        return out


def between(step: durable.Step, old: bytes | None, new: bytes | None, here: bytes | None) -> bool:
    """Half of a step in place: each sector as it was or as it will be."""
    if step.kind in ("replace", "unlink") or here is None:
        return False
    sizes = sorted((len(old or b""), len(new or b"")))
    versions = [(v or b"").ljust(sizes[1], b"\0") for v in (old, new)]
    return sizes[0] <= len(here) <= sizes[1] and all(
        here[at : at + SECTOR] in {v[at : min(at + SECTOR, len(here))] for v in versions}
        for at in range(0, len(here), SECTOR)
    )


def problems(image: Image, histories: list[History], point: int) -> list[str]:
    report = check(image)
    if report.problems:
        return [f"point {point}: {problem}" for problem in report.problems]
    volume, out = Volume(image), []
    found = {path: inode for path, inode in volume.walk() if path.count("/") == 2}
    for history in histories:
        here = f"{history.folder}/"
        files = {
            path.removeprefix(here): volume.read(inode, 0, inode.size)
            for path, inode in found.items()
            if path.startswith(here)
        }
        out += history.wrong(point, files)
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "steps", "points"),
    [
        ("nvme,serial=S1", 15, 20),
        pytest.param("nvme,serial=S1", 150, 400, marks=pytest.mark.soak),
        pytest.param("virtio-blk-pci", 150, 300, marks=pytest.mark.soak),
        pytest.param("ide-hd,bus=ide.3", 150, 300, marks=pytest.mark.soak),
    ],
)
def test_power_cuts(
    boot: Callable[..., Machine], tmp_path: Path, model: str, steps: int, points: int
) -> None:
    disk, log = tmp_path / "disk", tmp_path / "log"
    parts = [Part(1, MARKS, 2048), Part(6, START, 48 * 2048, DATASTORE)]
    disk.write_bytes(gpt(parts, SIZE // SECTOR))
    log.touch()
    base = Image.read(disk)
    backend = f"driver=blklogwrites,node-name=disk,discard=unmap,file.filename={disk}"
    backend += f",file.driver=file,file.discard=unmap,log.driver=file,log.filename={log}"
    arguments = ("-blockdev", backend, "-device", f"{model},drive=disk")
    machine = boot(cpus=2, memory=1024, arguments=arguments)
    loaded_run(machine, steps)
    machine.qmp.execute("quit")
    machine.wait_exit()

    entries = parse(log.read_bytes())
    histories = [History(worker, steps, entries) for worker in range(WORKERS)]
    first = min(history.begun.index(1) for history in histories)
    rng = random.Random(os.urandom(8) if points > 20 else 1)
    cuts = [*sorted(rng.choices(range(first, len(entries) + 1), k=points - 1)), len(entries)]
    lost = base.copy(START * SECTOR)
    wrong = []
    for point, image in power_cuts(base, entries, cuts, START * SECTOR, rng):
        wrong += problems(image, histories, point)
    assert wrong == []
    # What an acknowledged step wrote, left out, is missed.
    end = histories[0].done.index(steps)
    for entry in entries[: histories[0].begun.index(steps)]:
        lost.apply(entry)
    assert problems(lost, histories, end)
    # The reader has read the log: all of it is the disk as QEMU left it.
    for entry in entries:
        base.apply(entry)
    assert base.data == disk.read_bytes()
