# SPDX-License-Identifier: Apache-2.0
"""Work whose every step is made durable, beside others: durable.py FOLDER MARKS WORKERS STEPS.

Each worker has a folder below FOLDER and follows a plan that its number determines. Before a step
and once fsync has returned behind it, a sector of the block device MARKS says so, so that a log of
the disk's writes tells what was acknowledged when. The host computes from the same plan what must
be there. Prints "durable: N acknowledged" at the end.
"""

import hashlib
import os
import random
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
APART = 8  # sectors from mark to mark: QEMU merges writes that touch
MARK = struct.Struct("<8s4sII32s")  # signature, "open" or "done", worker, step, hash
SIGNATURE = b"durable\n"


@dataclass(frozen=True)
class Step:
    """One change of the file `name`; offset and size in bytes."""

    kind: str
    name: str
    offset: int = 0
    data: bytes = b""


def contents(worker: int, step: int, sectors: int) -> bytes:
    """Sectors of which each names its maker and place."""
    return b"".join(struct.pack("<IIQ", worker + 1, step, i) * 32 for i in range(sectors))


def plan(worker: int, steps: int) -> Iterator[Step]:
    rng = random.Random(worker)
    for number in range(steps):
        kind = rng.choice(["replace", "replace", "write", "write", "append", "truncate", "unlink"])
        data = contents(worker, number, rng.choice([1, 5, 8, 40, 300]))
        offset = rng.choice([0, 4096, SECTOR * rng.randrange(700)])
        yield Step(kind, f"f{rng.randrange(5)}", offset, data)


def after(step: Step, before: bytes | None) -> bytes | None:
    """What a file holds once the step is done; None: it does not exist."""
    old = before or b""
    if step.kind == "unlink":
        return None
    if step.kind == "replace":
        return step.data
    if step.kind == "truncate":
        return old[: step.offset].ljust(step.offset, b"\0")
    offset = len(old) // SECTOR * SECTOR if step.kind == "append" else step.offset
    head = old[:offset].ljust(offset, b"\0")
    return head + step.data + old[offset + len(step.data) :]


def sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


def perform(step: Step, folder: Path) -> None:
    path = folder / step.name
    if step.kind == "unlink":
        path.unlink(missing_ok=True)
    else:
        target = folder / f"{step.name}.new" if step.kind == "replace" else path
        fd = os.open(target, os.O_RDWR | os.O_CREAT, 0o644)
        if step.kind == "truncate":
            os.ftruncate(fd, step.offset)
        else:
            size = os.fstat(fd).st_size // SECTOR * SECTOR
            at = {"append": size, "replace": 0}.get(step.kind, step.offset)
            assert os.pwrite(fd, step.data, at) == len(step.data)
        os.fsync(fd)
        os.close(fd)
        if target != path:
            target.rename(path)
    sync_folder(folder)


def work(root: str, marks: str, worker: int, steps: int) -> None:
    folder = Path(root, f"w{worker}")
    folder.mkdir()
    fd = os.open(marks, os.O_WRONLY)
    for number, step in enumerate(plan(worker, steps)):
        digest = hashlib.sha256(step.data).digest()
        for said in (b"open", b"done"):
            mark = MARK.pack(SIGNATURE, said, worker, number, digest)
            if said == b"done":
                perform(step, folder)
            os.pwrite(fd, mark.ljust(SECTOR, b"\0"), (worker + 1) * APART * SECTOR)
    os.close(fd)


def main() -> int:
    root, marks, workers, steps = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    children = []
    for worker in range(workers):
        child = os.fork()
        if child == 0:
            work(root, marks, worker, steps)
            os._exit(0)
        children.append(child)
    ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(f"durable: {ended.count(0) * steps} acknowledged")
    return any(ended)


if __name__ == "__main__":
    sys.exit(main())
