# SPDX-License-Identifier: Apache-2.0
"""Crashes of the datastore: what a power cut may leave on the disk, mounted, checked and compared.

A workload runs on a simulated disk that logs every write and flush. What was flushed is there; of
the writes behind the last flush any subset may be, in any order, torn at a sector. Each such state
must mount, pass the Python checker, and hold everything that was acknowledged. Every 512 bytes of
data name their file and version, so a stray sector shows itself.
"""

import contextlib
import errno
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.unit import cunit, dsvolume
from tests.unit.dsvolume import MIB, Disk

SECTOR = 512
SIZE = 32 * MIB


def sectors(tag: int, version: int, count: int) -> bytes:
    return struct.pack("<QQ", tag, version) * (SECTOR // 16) * count


@dataclass
class File:
    """A file as the model knows it: each sector's version, 0 for zeros."""

    tag: int
    versions: list[int] = field(default_factory=list)
    #: Per sector every version since the last acknowledged flush.
    pending: dict[int, set[int]] = field(default_factory=dict)
    touched: bool = False  # named, renamed, truncated or grown since then


@dataclass
class Acknowledged:
    """What must be there once this much of the log is: name -> (tag, versions)."""

    event: int
    files: dict[str, tuple[int, tuple[int, ...]]]
    #: Operations that came later may have been done: names, and versions of sectors by file.
    later_names: set[str] = field(default_factory=set)
    later: dict[int, dict[int, set[int]]] = field(default_factory=dict)
    later_sizes: set[int] = field(default_factory=set)


class Workload:
    """Random operations with their acknowledgements."""

    size = SIZE

    def __init__(self, unit: cunit.Unit, seed: int) -> None:
        self.disk = Disk.fresh(unit, self.size).mount()
        if seed % 4 >= 2:  # what a freed block held stays there for its next owner
            self.disk.dev.limits.discard_max = 0
        self.base = unit.lib.sim_clone(self.disk.sim)
        self.disk.sim.recording = True
        self.rng = random.Random(seed)
        self.files: dict[str, File] = {}
        self.bore: dict[str, set[int]] = {}  # every tag that a name ever stood for
        self.version = self.tags = 0
        self.acks = [Acknowledged(0, {})]

    def named(self, name: str, file: File) -> None:
        self.files[name] = file
        self.bore.setdefault(name, set()).add(file.tag)

    def note(self, name: str) -> None:
        self.acks[-1].later_names.add(name)

    def write(self, name: str) -> None:
        f = self.files[name]
        at = self.rng.randrange(0, 2200)
        count = self.rng.choice([1, 3, 8, 16, 300])
        self.version += 1
        data = sectors(f.tag, self.version, count)
        # A full volume takes a part, or refuses it all and changes nothing.
        done = self.disk.write(self.disk.find(name), at * SECTOR, data) // SECTOR
        f.versions.extend([0] * (at + done - len(f.versions)))
        later = self.acks[-1].later.setdefault(f.tag, {})
        for i in range(at, at + done):
            f.versions[i] = self.version
            later.setdefault(i, set()).add(self.version)
        self.acks[-1].later_sizes.add(f.tag)

    def truncate(self, name: str) -> None:
        f = self.files[name]
        size = self.rng.randrange(0, 2200)
        self.note(name)
        self.disk.truncate(self.disk.find(name), size * SECTOR)
        del f.versions[size:]
        f.versions.extend([0] * (size - len(f.versions)))

    def close(self, name: str) -> None:
        inode = self.disk.find(name)
        if inode in self.disk.open_files:
            self.disk.close(inode)

    def create(self, name: str) -> None:
        self.note(name)
        self.tags += 1
        self.disk.create(name)
        self.named(name, File(self.tags))

    def unlink(self, name: str) -> None:
        self.note(name)
        self.close(name)
        self.disk.unlink(name)
        del self.files[name]

    def many(self) -> None:
        """The folder grows by more buckets than one, or shrinks to what it was."""
        long = [n for n in sorted(self.files) if len(n) > 99]
        for name in long:
            self.unlink(name)
        for _ in range(0 if long else 24):
            self.create(f"m{self.tags}{'x' * 200}")

    def step(self) -> None:
        try:
            self.act()
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise

    def act(self) -> None:
        names = sorted(self.files)
        kind = self.rng.choice(["create", "write", "write", "write", "truncate", "unlink", "rename",
                                "sync", "many"])  # fmt: skip
        if kind == "create" or not names:
            name = f"f{self.rng.randrange(12)}"
            if name not in self.files:
                self.create(name)
            return
        if kind == "many":
            self.many()
            return
        name = self.rng.choice(names)
        if kind == "write":
            self.write(name)
        elif kind == "truncate":
            self.truncate(name)
        elif kind == "unlink":
            self.unlink(name)
        elif kind == "rename":
            other = f"f{self.rng.randrange(12)}"
            if other != name:
                self.note(name)
                self.note(other)
                if other in self.files:
                    self.close(other)
                self.disk.rename(name, other)
                self.named(other, self.files.pop(name))
        else:
            self.disk.sync()
            self.acknowledge()

    def acknowledge(self) -> None:
        held = {n: (f.tag, tuple(f.versions)) for n, f in self.files.items()}
        self.acks.append(Acknowledged(int(self.disk.sim.events), held))

    def close_all(self) -> None:
        """Before the unmount."""


class FullWorkload(Workload):
    """On a volume that is full most of the time."""

    size = 16 * MIB


def verify(ack: Acknowledged, disk: Disk, bore: dict[str, set[int]]) -> list[str]:
    """What is missing or foreign in a state that has at least what `ack` promises."""
    wrong = []
    reader = disk.reader()
    found = {path[1:]: inode for path, inode in reader.walk() if path != "/"}
    for name, inode in found.items():
        data = reader.read(inode, 0, inode.size)
        tags = {struct.unpack_from("<Q", data, i)[0] for i in range(0, len(data) - 15, SECTOR)}
        if len(tags - {0}) > 1 or not tags - {0} <= bore.get(name, set()):
            wrong.append(f"{name}: holds data of files {tags}")
    for name, (tag, versions) in ack.files.items():
        if name in ack.later_names:
            continue
        if name not in found:
            wrong.append(f"{name}: is gone")
            continue
        inode = found[name]
        data = reader.read(inode, 0, inode.size)
        later = ack.later.get(tag, {})
        if len(data) < len(versions) * SECTOR:
            wrong.append(f"{name}: has {len(data)} bytes of {len(versions) * SECTOR}")
            continue
        for i in range(len(data) // SECTOR):
            allowed = later.get(i, set()) | {versions[i] if i < len(versions) else 0}
            sector = data[i * SECTOR : (i + 1) * SECTOR]
            if not any(sector == (sectors(tag, v, 1) if v else bytes(SECTOR)) for v in allowed):
                wrong.append(f"{name}: sector {i} holds {sector[:16].hex()}, not {allowed}")
                break
    return wrong


def crash_states(
    work: Workload, rng: random.Random, count: int
) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """(flush, now, [(event, sectors)]): the power went after `now` events; those before `flush`
    are all there, and of those behind it these."""
    log = work.disk.sim
    kinds = [log.event[i].op for i in range(log.events)]
    flush_op = work.disk.lib.BLK_FLUSH
    flushes = [-1, *(i for i, k in enumerate(kinds) if k == flush_op)]
    epochs = []
    for start, end in zip(flushes, [*flushes[1:], len(kinds)], strict=True):
        epochs.append((start, list(range(start + 1, end))))
    whole = 1 << 30
    # By its events: a checkpoint's one long epoch has as many states as all its writes make.
    weights = [1 + len(events) for _, events in epochs]
    for start, events in rng.choices(epochs, weights, k=count):
        style = rng.randrange(4)
        if style != 2:
            events = events[: rng.randint(0, len(events))]
        if not events or style == 0:
            chosen = [(e, whole) for e in events]
        elif style == 1:
            chosen = [(rng.choice(events), whole)]
        elif style == 2:
            missing = rng.choice(events)
            chosen = [(e, whole) for e in events if e != missing]
        else:
            chosen = [
                (e, rng.choice([whole, whole, 1, 3, 8, 9])) for e in events if rng.random() < 0.6
            ]
        yield start + 1, start + 1 + len(events), chosen


def examine(
    work: Workload, flush: int, now: int, chosen: list[tuple[int, int]], rng: random.Random
) -> list[str]:
    """Builds a crash state, mounts it (one in four crashes again in the replay), checks it."""
    lib = work.disk.lib
    sim = lib.sim_clone(work.base)
    for e in range(flush):
        lib.sim_apply(sim, work.disk.sim, e, 1 << 30)
    for e, length in chosen:
        lib.sim_apply(sim, work.disk.sim, e, length)
    disk = Disk(work.disk.unit, sim)
    wrong = []
    try:
        if rng.random() < 0.25:
            sim.fail_at = rng.randrange(60)
            with contextlib.suppress(OSError):
                disk.mount()
            disk.abandon()
            sim.fail_at = -1
        wrong += disk.report().problems
        disk.mount()
        if disk.ds.read_only:
            wrong.append(disk.ffi.string(disk.ds.damage).decode())
        disk.unmount()
        wrong += disk.report().problems
        ack = [a for a in work.acks if a.event <= now][-1]
        wrong += verify(ack, disk, work.bore)
    except Exception as e:
        wrong.append(f"{type(e).__name__}: {e}")
    disk.destroy()
    return wrong


def merge_later(acks: list[Acknowledged]) -> None:
    """What may have happened behind an acknowledgement includes all that came later still."""
    for i in range(len(acks) - 2, -1, -1):
        here, after = acks[i], acks[i + 1]
        here.later_names |= after.later_names
        for tag, by_sector in after.later.items():
            mine = here.later.setdefault(tag, {})
            for sector, versions in by_sector.items():
                mine.setdefault(sector, set()).update(versions)


def failures(
    unit: cunit.Unit, seed: int, steps: int, states: int, kind: type[Workload] = Workload
) -> Iterator[str]:
    """A workload and its crash states; what is wrong, as it is found."""
    work = kind(unit, seed)
    for _ in range(steps):
        work.step()
    merge_later(work.acks)
    rng = random.Random(seed + 1000)
    for flush, now, chosen in crash_states(work, rng, states):
        for w in examine(work, flush, now, chosen, rng):
            yield f"seed {seed}, flush {flush}: {w}"
    work.close_all()
    work.disk.unmount()
    unit.lib.sim_destroy(work.base)
    work.disk.destroy()


def run(
    unit: cunit.Unit, seed: int, steps: int, states: int, kind: type[Workload] = Workload
) -> list[str]:
    """All that is wrong with a workload's crash states."""
    return list(failures(unit, seed, steps, states, kind))


@pytest.fixture(scope="session")
def unit() -> cunit.Unit:
    return dsvolume.build()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_crashes(unit: cunit.Unit, seed: int) -> None:
    kind = FullWorkload if seed % 4 == 3 else Workload
    # The long ones fill the journal, so that it is emptied on the way.
    assert run(unit, seed, steps=60 if seed < 10 else 250, states=100, kind=kind) == []


def test_crashes_quickly(unit: cunit.Unit) -> None:
    assert run(unit, 99, steps=40, states=20) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 600))
def test_many_crashes(unit: cunit.Unit, seed: int) -> None:
    kind = FullWorkload if seed % 4 == 3 else Workload
    assert run(unit, seed, steps=300, states=200, kind=kind) == []
