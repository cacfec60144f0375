# SPDX-License-Identifier: Apache-2.0
"""vmkfstools: virtual disks and datastores from the command line, with VMware's options."""

import argparse
import os
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from tepui.shell.client import Client
from tepui.shell.link import LinkError, RefusedError
from tepui.shell.run import FAILED, OK, USAGE, die
from tepui.shell.storageclient import Storage
from tepui.shell.vm import disk
from tepui.shell.vm.disk import Format, Progress
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.memory import size_of

HELP = """\
NAME
    vmkfstools - make and manage virtual disks and datastores

SYNOPSIS
    vmkfstools -c SIZE [-d FORMAT] DISK.vmdk
    vmkfstools -i SOURCE.vmdk [-d FORMAT] DISK.vmdk
    vmkfstools -X SIZE [-d FORMAT] DISK.vmdk
    vmkfstools -E OLD.vmdk NEW.vmdk
    vmkfstools -U DISK.vmdk
    vmkfstools --import IMAGE [-d FORMAT] DISK.vmdk
    vmkfstools --export IMAGE DISK.vmdk
    vmkfstools -x check | -g | -P DISK.vmdk or FOLDER
    vmkfstools -C vmfs6 -S LABEL DEVICE

DESCRIPTION
    A virtual disk is two files: DISK.vmdk describes it, DISK-flat.vmdk holds its contents.
    A disk that a virtual machine uses cannot be changed or copied.
    SIZE is a number with k, m, g, t (powers of 1,024) or s (sectors of 512 bytes); without
    one of them it counts bytes.

OPTIONS
    -c, --createvirtualdisk SIZE     Make a disk.
    -d, --diskformat FORMAT          thin: space is taken as it is written (the default);
                                     zeroedthick: taken at once, zeroed at the first write;
                                     eagerzeroedthick: taken and zeroed at once.
    -i, --clonevirtualdisk SOURCE    Copy a disk; without -d in the format that it has.
    -X, --extendvirtualdisk SIZE     Make a disk as large as SIZE.
    -E, --renamevirtualdisk OLD      Rename a disk with its contents.
    -U, --deletevirtualdisk          Delete a disk with its contents.
        --import IMAGE               Make a disk from a raw image. (Tepui's own)
        --export IMAGE               Write a disk's contents as a raw image. (Tepui's own)
    -x, --fix check                  Check a disk's files. `repair` is not in this version.
    -g, --geometry                   Show a disk's geometry.
    -P, --queryfs                    Show the datastore that holds FOLDER.
    -C, --createfs TYPE              Make a datastore on DEVICE: all on it is lost. Any VMFS
    -S, --setfsname LABEL            type makes ours; LABEL is its name.
    -h, --help                       This text.

EXAMPLES
    vmkfstools -c 8g -d thin /vmfs/volumes/datastore1/web/web.vmdk
    vmkfstools -i web.vmdk -d eagerzeroedthick copy.vmdk
    vmkfstools --import debian.raw /vmfs/volumes/datastore1/web/web.vmdk

EXIT STATUS
    0  done        1  could not be done        2  wrong usage
"""

#: Options of VMware's program that ask for what is not there yet.
MISSING = {
    "-k": "eagerzero", "-K": "punchzero", "-j": "inflatedisk", "-z": "createrdmpassthru",
    "-r": "createrdm", "-q": "queryrdm", "-e": "chainConsistent", "-D": "lock", "-L": "lock",
    "-N": "avoidnativeclone", "-T": "upgradevmfs", "-Z": "spanfs", "-G": "growfs", "-y": "reclaim",
}  # fmt: skip


class Parser(argparse.ArgumentParser):
    """argparse with our help and our words for errors."""

    def format_help(self) -> str:
        return HELP

    def error(self, message: str) -> None:  # type: ignore[override]
        print(f"Error: {message}\n\n{HELP.split('DESCRIPTION')[0].rstrip()}", file=sys.stderr)
        raise SystemExit(USAGE)


def parser() -> Parser:
    p = Parser(prog="vmkfstools", allow_abbrev=False)
    p.add_argument("-d", "--diskformat", choices=list(Format), type=Format)
    p.add_argument("-S", "--setfsname", default="")
    p.add_argument("-a", "--adaptertype")  # older scripts give it; every disk fits any adapter
    what = p.add_mutually_exclusive_group(required=True)
    for short, name in (("-c", "createvirtualdisk"), ("-X", "extendvirtualdisk"),
                        ("-i", "clonevirtualdisk"), ("-E", "renamevirtualdisk"),
                        ("-C", "createfs"), ("-x", "fix")):  # fmt: skip
        what.add_argument(short, f"--{name}")
    for short, name in (("-U", "deletevirtualdisk"), ("-g", "geometry"), ("-P", "queryfs")):
        what.add_argument(short, f"--{name}", action="store_true")
    what.add_argument("--import", dest="import_raw")
    what.add_argument("--export", dest="export_raw")
    p.add_argument("target")
    return p


def bar(what: str) -> Progress:
    """Shows how far a copy is, on a terminal as it goes, else at the end."""
    shown = -1

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = done * 100 // total
        if percent == shown or (percent < 100 and not sys.stdout.isatty()):
            return
        shown = percent
        marks = "#" * (percent // 4)
        start, end = ("\r", "") if sys.stdout.isatty() else ("", "")
        print(f"{start}{what}: [{marks:25}] {percent}% done.", end=end, flush=True)
        if percent == 100:
            print()

    return show


def query(folder: Path) -> None:
    st = os.statvfs(folder)
    real = folder.resolve()
    mount = next((p for p in (real, *real.parents) if p.is_mount()), Path("/"))
    size, free = st.f_blocks * st.f_frsize, st.f_bavail * st.f_frsize
    print(f"{mount}: {size >> 20} MiB, {free >> 20} MiB free, blocks of {st.f_frsize >> 10} KiB")


def make_datastore(device: str, label: str) -> None:
    if not label:
        raise VmError("a datastore needs a name: -S LABEL")
    identity = uuid.uuid4()
    storage = Storage(Client())
    storage.format(device, label, identity)
    storage.mount(device)
    print(f"Made the datastore {label}, {identity}, on {device}")


def perform(a: argparse.Namespace) -> int:
    """What the options ask for; VmError, OSError, LinkError, RefusedError."""
    path = Path(a.target)
    form: Format | None = a.diskformat
    if a.createvirtualdisk:
        size = size_of(a.createvirtualdisk)
        disk.create(path, size, form or Format.THIN, bar("Create"))
    elif a.extendvirtualdisk:
        disk.extend(path, size_of(a.extendvirtualdisk), form, bar("Grow"))
    elif a.clonevirtualdisk:
        disk.clone(Path(a.clonevirtualdisk), path, form, bar("Clone"))
    elif a.renamevirtualdisk:
        disk.rename(Path(a.renamevirtualdisk), path)
    elif a.deletevirtualdisk:
        disk.delete(path)
    elif a.import_raw:
        disk.import_raw(Path(a.import_raw), path, form or Format.THIN, bar("Import"))
    elif a.export_raw:
        disk.export_raw(path, Path(a.export_raw), bar("Export"))
    elif a.createfs:
        make_datastore(a.target, a.setfsname)
    elif a.queryfs:
        query(path)
    elif a.geometry:
        d = disk.read(path)
        print(f"Geometry information C/H/S is {d.sectors // 16065}/255/63, {d.sectors} sectors")
    elif a.fix != "check":
        raise VmError(f"-x {a.fix} is not in this version")
    elif problems := disk.check(path):
        print("\n".join(problems))
        return FAILED
    else:
        print("Disk is error free")
    return OK


def main(argv: Sequence[str] | None = None) -> int:
    args = list(sys.argv[1:] if argv is None else argv)
    for word in args:
        name = word.partition("=")[0]
        if name in MISSING or name.removeprefix("--") in MISSING.values():
            return die(f"{name} is not in this version")
    try:
        return perform(parser().parse_args(args))
    except (VmError, LinkError, RefusedError) as e:
        return die(str(e), getattr(e, "hint", ""))
    except OSError as e:
        return die(f"{e.filename or args[-1]}: {e.strerror}")
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
