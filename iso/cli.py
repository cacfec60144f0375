# SPDX-License-Identifier: Apache-2.0
"""`tepui iso`: build the ISO, or change the boot options inside one."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tepui.iso import image
from tepui.shell.hostd.sshkeys import KEY


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="tepui iso", description="Build and change the ISO.")
    commands = top.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="build the ISO")
    build.add_argument(
        "--kernel", type=Path, default=Path("build/vmkernel.elf"), metavar="FILE",
        help="the vmkernel as make built it; without: %(default)s",
    )  # fmt: skip
    build.add_argument(
        "--module",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a file that GRUB loads beside the vmkernel, under this name; without any: userworld, "
        "the userworld.img beside the kernel",
    )
    build.add_argument("--kickstart", type=Path, metavar="FILE", help="install by this file")
    build.add_argument(
        "--ssh-key", type=Path, metavar="FILE", help="root's public keys; switches SSH on"
    )
    build.add_argument(
        "--manifest", type=Path, metavar="FILE",
        help="SPDX, goes inside; without: manifest.spdx.json beside the kernel, if any",
    )  # fmt: skip
    build.add_argument("--options", default="", help="the vmkernel's boot options")
    build.add_argument("-o", "--output", type=Path, default=Path("build/tepui.iso"), metavar="FILE")
    options = commands.add_parser("options", help="change the boot options in an ISO or stick")
    options.add_argument("iso", type=Path)
    options.add_argument("options")
    options.add_argument("--entry", default="", help="what boots: install, live, check")
    options.add_argument("--screen", default="", help="GRUB's gfxpayload, for example text")
    return top


def check_keys(path: Path) -> None:
    """Raises IsoError for what the host would not take."""
    for number, line in enumerate(path.read_text(errors="replace").splitlines() or [""], 1):
        if not KEY.fullmatch(line):
            raise image.IsoError(f"{path}:{number}: not a public key as OpenSSH writes it")


def check_built(option: str, path: Path) -> None:
    """Raises IsoError where `path`, which `option` may name, is not there."""
    if not path.is_file():
        raise image.IsoError(
            f"there is no {path}: run this in a tree that `make iso` has built, or name the file "
            f"with {option}"
        )


def main(argv: Sequence[str]) -> int:
    """Exit status: 0, 1 for a failure, 2 for wrong usage."""
    arguments = parser().parse_args(argv)
    try:
        if arguments.command == "build":
            usual = [f"userworld={arguments.kernel.with_name('userworld.img')}"]
            modules = dict(row.split("=", 1) for row in arguments.module or usual)
            paths = {name: Path(path) for name, path in modules.items()}
            if arguments.kickstart:
                paths["ks.cfg"] = arguments.kickstart
            if arguments.ssh_key:
                check_keys(arguments.ssh_key)
                paths["ssh.keys"] = arguments.ssh_key
            kernel, options = arguments.kernel, arguments.options
            check_built("--kernel", kernel)
            for name in modules:
                check_built(f"--module {name}=FILE", paths[name])
            beside = kernel.with_name("manifest.spdx.json")
            output = arguments.output
            manifest = arguments.manifest or (beside if beside.exists() else None)
            image.build(output, kernel, paths, options, entry="install", manifest=manifest)
            print(f"  {output.stat().st_size / 2**20:7.1f} MiB  {output}")
        else:
            image.set_options(arguments.iso, arguments.options, arguments.screen, arguments.entry)
    except (image.IsoError, OSError) as error:
        print(f"tepui iso: {error}", file=sys.stderr)
        return 1
    return 0
