# SPDX-License-Identifier: Apache-2.0
"""tepui hcl: the compatibility list, and whether a machine fits it.

exit status of check: 0 will install, 3 installs with warnings, 1 will not install, 4 cannot tell,
2 wrong usage
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Optional, Sequence

from tepui.hcl import dumps, linux, report, usb
from tepui.hcl.check import CANNOT_TELL, check
from tepui.hcl.model import HclList, Machine
from tepui.hcl.precheck import packaged

#: Of an editable installation, where images are built and their evidence stands.
TREE = Path(__file__).resolve().parents[1]


class ListError(Exception):
    """There is no list where one was said to be."""


def load_list(path: Optional[Path] = None) -> HclList:
    """An image's own list, an hcl.json, or the one of this package; raises ListError."""
    try:
        if path is None:
            return packaged()
        if path.suffix == ".json":
            return HclList.from_plain(json.loads(path.read_text()))
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ListError(f"{path or 'hcl.json'}: no compatibility list ({e})") from e
    from importlib.metadata import version

    from tepui.hcl import image, records

    try:
        return records.attach(TREE, image.read(path, version("tepui")))
    except image.ImageError as e:
        raise ListError(str(e)) from e


def _read(name: str) -> str:
    """A dump's text; never more of a long file than tells that it is too long."""
    if name == "-":
        return dumps.decode(sys.stdin.buffer.read(dumps.SIZE_MAX + 1), name)
    with Path(name).open("rb") as stream:
        return dumps.decode(stream.read(dumps.SIZE_MAX + 1), name)


def _machine(args: argparse.Namespace) -> Machine:
    """The machine that the options name; raises DumpError, OSError."""
    if args.lspci:
        machine = Machine(args.lspci, dumps.lspci(_read(args.lspci)))
    elif args.esxcli:
        machine = Machine(args.esxcli, dumps.esxcli(_read(args.esxcli)))
    else:
        machine = linux.collect(with_usb=not args.lsusb)
    if args.cpuinfo:
        machine.cpu = dumps.cpuinfo(_read(args.cpuinfo))
    if args.lsusb:
        machine.usb = usb.lsusb(_read(args.lsusb))
    return machine


def _check(args: argparse.Namespace) -> int:
    try:
        verdict = check(load_list(args.list), _machine(args), args.allow_legacy_cpu)
    except (dumps.DumpError, ListError) as e:
        print(f"Error: {e}", file=sys.stderr)
        return CANNOT_TELL
    except OSError as e:
        print(f"Error: {e.filename}: {e.strerror}", file=sys.stderr)
        return CANNOT_TELL
    if args.format == "text":
        print(report.text(verdict, sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    else:
        print(report.FORMATS[args.format](verdict))
    return verdict.status


def _list(args: argparse.Namespace) -> int:
    try:
        hcl = load_list(args.list)
    except ListError as e:
        print(f"Error: {e}", file=sys.stderr)
        return 1
    if args.format == "json":
        print(json.dumps(hcl.to_plain(), indent=2))
        return 0
    for b in hcl.backends:
        print(f"cpu    {b.name:12} {b.level:10} {b.desc} ({b.vendor})")
    for d in hcl.drivers:
        if args.kind and d.kind != args.kind:
            continue
        for r in d.rows:
            ids = f"{r.vendor:04x}:{r.device:04x}" if r.kind == 1 else f"class {r.class_code:06x}"
            print(f"{d.kind:6} {d.name:12} {r.level:10} {ids:14} {r.name}")
    return 0


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="tepui hcl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sub = p.add_subparsers(dest="command", required=True)
    one = sub.add_parser("check", help="judge this machine, or a dump of another")
    source = one.add_mutually_exclusive_group()
    source.add_argument("--lspci", metavar="FILE", help="output of lspci -nn (or -vmmnn, -xxx ...)")
    source.add_argument("--esxcli", metavar="FILE", help="output of esxcli hardware pci list")
    one.add_argument("--cpuinfo", metavar="FILE", help="a copy of /proc/cpuinfo")
    one.add_argument("--lsusb", metavar="FILE", help="output of lsusb or lsusb -v")
    one.add_argument(
        "--allow-legacy-cpu", action="store_true", help="a CPU error becomes a warning"
    )
    one.add_argument("--format", choices=sorted(report.FORMATS), default="text")
    one.set_defaults(run=_check)
    two = sub.add_parser("list", help="show what an image supports")
    two.add_argument("--class", dest="kind", help="block, net ...")
    two.add_argument("--format", choices=("text", "json"), default="text")
    two.set_defaults(run=_list)
    for s in (one, two):
        s.add_argument("--list", type=Path, metavar="FILE", help="a vmkernel image or an hcl.json")
    return p


def main(argv: Optional[Sequence[str]] = None) -> int:
    args: Any = parser().parse_args(argv)
    status: int = args.run(args)
    return status


if __name__ == "__main__":
    sys.exit(main())
