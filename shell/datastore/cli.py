# SPDX-License-Identifier: Apache-2.0
"""tepui datastore: checks and reads datastores on images and devices, independently of the kernel.

IMAGE is a datastore, or a disk with a GPT: then --partition chooses, and without it the partition
that holds a datastore (check: every one). Nothing is ever written to IMAGE.

exit status: 0 done, and check found nothing; 1 damaged; 2 wrong usage; 4 cannot be read
"""

import argparse
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from tepui.shell import gpt
from tepui.shell.datastore.check import check
from tepui.shell.datastore.device import ImageFile
from tepui.shell.datastore.layout import SIGNATURE, SUPERS
from tepui.shell.datastore.partitions import DATASTORE, OS_DATA
from tepui.shell.datastore.volume import DamageError, Volume

SOUND, DAMAGED, USAGE, UNREADABLE = 0, 1, 2, 4


class UsageError(Exception):
    """The image leaves open which datastore is meant."""


def _starts(image: ImageFile, partition: int | None) -> list[tuple[str, int]]:
    """(name, byte offset) of the datastores on an image, those of type DATASTORE first."""
    if partition is None and any(
        image.read_at(page * 4096 + 32, len(SIGNATURE)) == SIGNATURE for page in SUPERS
    ):
        return [(str(image.path), 0)]
    parts = sorted(_table(image), key=lambda p: (p[1].type != DATASTORE, p[1].number))
    chosen = [
        (f"{image.path}:{p.number}", p.first * block)
        for block, p in parts
        if (p.type in (DATASTORE, OS_DATA) if partition is None else p.number == partition)
    ]
    if not chosen:
        raise DamageError("no datastore" if partition is None else f"no partition {partition}")
    return chosen


def _table(image: ImageFile) -> list[tuple[int, gpt.Partition]]:
    """(bytes of a block, partition) of a disk; [] without a table."""
    for block in (512, 4096):
        with suppress(gpt.GptError):
            table = gpt.parse(image.read_at, block, image.size() // block)
            return [(block, p) for p in table.partitions]
    return []


@contextmanager
def _volume(args: argparse.Namespace) -> Iterator[Volume]:
    """The one datastore that a command reads."""
    with ImageFile(args.image) as image:
        starts = _starts(image, args.partition)
    with ImageFile(args.image, starts[0][1]) as image:
        yield Volume(image)


def _check(args: argparse.Namespace) -> int:
    status = SOUND
    with ImageFile(args.image) as image:
        starts = _starts(image, args.partition)
    for name, start in starts:
        with ImageFile(args.image, start) as image:
            try:
                r = check(image)
            except DamageError as e:
                print(f"{name}: {e}")
                status = DAMAGED
                continue
        for problem in r.problems:
            print(f"{name}: {problem}")
        verdict = f"DAMAGED, {len(r.problems)} problems" if r.problems else "sound"
        replay = f", {r.replayed} transactions to replay" if r.replayed else ""
        print(
            f"{name}: {verdict}: {r.files} files, {r.directories} folders, "
            f"{r.blocks_used} of {r.blocks} MiB used{replay}"
        )
        status = DAMAGED if r.problems else status
    return status


def _line(volume: Volume, inode: Any, name: str) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(inode.mtime // 10**9))
    link = f" -> {_target(volume, inode)}" if stat.S_ISLNK(inode.mode) else ""
    return f"{stat.filemode(inode.mode)} {inode.nlink:3} {inode.size:16} {when} {name}{link}"


def _target(volume: Volume, inode: Any) -> str:
    return volume.read(inode, 0, inode.size).decode("utf-8", "surrogateescape")


def _ls(args: argparse.Namespace) -> int:
    with _volume(args) as volume:
        top = volume.find(args.path)
        if not stat.S_ISDIR(top.mode):
            print(_line(volume, top, args.path))
        elif args.recursive:
            for path, inode in sorted(volume.walk(), key=lambda row: row[0]):
                if path.startswith(args.path.rstrip("/") + "/"):
                    print(_line(volume, inode, path))
        else:
            for e in sorted(volume.entries(top), key=lambda e: e.name):
                name = e.name.decode("utf-8", "surrogateescape")
                print(_line(volume, volume.inode(e.inode), name))
    return SOUND


def _stream(volume: Volume, inode: Any, out: BinaryIO) -> None:
    """Contents to something that cannot seek: holes as zeros."""
    at = 0
    for offset, data in chain(volume.pieces(inode), [(inode.size, b"")]):
        while at < offset:
            at += out.write(bytes(min(1 << 20, offset - at)))
        at += out.write(data)
    out.flush()


def _get(args: argparse.Namespace) -> int:
    with _volume(args) as volume:
        inode = volume.find(args.path)
        if not stat.S_ISREG(inode.mode):
            raise UsageError(f"{args.path} is not a file")
        if str(args.destination) == "-":
            _stream(volume, inode, sys.stdout.buffer)
            return SOUND
        target = args.destination or Path(Path(args.path).name)
        if target.is_dir():
            target = target / Path(args.path).name
        with target.open("wb") as out:
            for offset, data in volume.pieces(inode):
                out.seek(offset)
                out.write(data)
            out.truncate(inode.size)  # what was not written stays a hole
    return SOUND


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="tepui datastore",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-p", "--partition", type=int, help="the partition's number")
    common.add_argument("image", metavar="IMAGE", type=Path)
    commands = p.add_subparsers(required=True, metavar="COMMAND")
    c = commands.add_parser("check", parents=[common], help="verify every structure")
    c.set_defaults(run=_check)
    c = commands.add_parser("ls", parents=[common], help="list a folder")
    c.add_argument("path", nargs="?", default="/", metavar="PATH")
    c.add_argument("-R", "--recursive", action="store_true", help="with all that is below")
    c.set_defaults(run=_ls)
    c = commands.add_parser("get", parents=[common], help="copy a file out")
    c.add_argument("path", metavar="PATH")
    c.add_argument("destination", nargs="?", type=Path, help='"-" is standard output')
    c.set_defaults(run=_get)
    return p


def main(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except UsageError as e:
        print(f"Error: {e}", file=sys.stderr)
        return USAGE
    except DamageError as e:
        print(f"Error: {args.image}: {e}", file=sys.stderr)
        return DAMAGED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SOUND
    except OSError as e:
        print(f"Error: {e.filename or args.image}: {e.strerror or e}", file=sys.stderr)
        return UNREADABLE
    return status
