# SPDX-License-Identifier: Apache-2.0
"""The userworld image: Debian's CPython and busybox, unmodified, with Tepui's own packages.

    python -m tepui.iso.userworld --debs DIR --wheels DIR -o build/userworld.img

Packages are laid out in one tree (usr-merged), what nothing uses is left out, Python is compiled,
and the tree becomes a cpio archive, userworld.cpio beside the image. The image, which GRUB loads as
the module "userworld", is that archive as an LZ4 frame; the vmkernel unpacks it.
"""

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tepui.iso import cpio

#: Debian packages whose files ride in the image (pinned in packages.lock).
PACKAGES = (
    "busybox-static", "dosfstools", "libbz2-1.0", "libc6", "libcrypt1", "libexpat1", "libffi8",
    "libgcc-s1", "libkmod2", "liblzma5", "libncursesw6", "libpci3", "libpython3.11-minimal",
    "libpython3.11-stdlib", "libreadline8", "libsqlite3-0", "libssl3", "libtinfo6", "libudev1",
    "libusb-1.0-0", "libuuid1", "libzstd1", "mtools", "ncurses-base", "pci.ids", "pciutils",
    "python3.11", "python3.11-minimal", "readline-common", "zlib1g",
)  # fmt: skip

#: What nothing on the host uses, as globs below the root.
LEFT_OUT = (
    "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/info",
    "usr/share/applications", "usr/share/pixmaps", "usr/share/binfmts", "usr/share/initramfs-tools",
    "usr/share/bug", "usr/share/menu", "usr/share/apport", "usr/share/bash-completion",
    "usr/share/gcc", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/audit",
    "usr/lib/x86_64-linux-gnu/engines-3", "usr/lib/x86_64-linux-gnu/ossl-modules",
    "usr/lib/x86_64-linux-gnu/perl*", "usr/lib/systemd", "usr/lib/valgrind", "usr/lib/udev",
    "usr/lib/python3.11/idlelib", "usr/lib/python3.11/tkinter", "usr/lib/python3.11/turtledemo",
    "usr/lib/python3.11/test", "usr/lib/python3.11/config-3.11*", "usr/lib/python3.11/EXTERNALLY*",
    "usr/lib/python3.11/turtle.py", "etc/init.d/busybox*", "usr/lib/libmvec*",
    "usr/lib/x86_64-linux-gnu/libmvec*", "usr/lib/x86_64-linux-gnu/libnsl.so*",
    "usr/lib/x86_64-linux-gnu/libc_malloc_debug*", "usr/lib/x86_64-linux-gnu/libnss_hesiod*",
    "usr/lib/x86_64-linux-gnu/libthread_db*", "usr/lib/x86_64-linux-gnu/libmemusage*",
    "usr/lib/x86_64-linux-gnu/libpcprofile*", "usr/bin/pydoc*", "usr/bin/pygettext*",
    "usr/bin/py3*", "usr/bin/2to3*",
)  # fmt: skip

#: Directories that must be there though nothing lies in them.
EMPTY = (
    "dev",
    "proc",
    "sys",
    "tmp",
    "run",
    "var/log",
    "var/lib",
    "vmfs/volumes",
    "root",
    "mnt",
    "etc/tepui",
    "etc/shadow+",  # busybox writes its new shadow file under this name, and so it cannot
)

#: busybox's applets that read or write /etc/shadow, where no account's password is.
NO_APPLETS = ("addgroup", "adduser", "chpasswd", "delgroup", "deluser", "passwd", "sulogin")

#: Our commands: file in usr/bin -> "module:function" called with no arguments.
COMMANDS = {
    "esxcli": "tepui.shell.run:main",
    "vmsh": "tepui.shell.vmsh:main",
    "tepui": "tepui.shell.main:main",
    "hostd": "tepui.shell.hostd.main:main",
    "vmkfstools": "tepui.shell.vmkfstools:main",
    "pktcap-uw": "tepui.shell.pktcap:main",
    "vim-cmd": "tepui.shell.vimcmd:main",
    "tepui-setup": "tepui.iso.setup:main",
    "dcui": "tepui.shell.dcui:main",
    "login": "tepui.shell.login:main",
    "passwd": "tepui.shell.passwd:main",
    "vmtop": "tepui.shell.vmtop:main",
    "vsish": "tepui.shell.vsish:main",
}

DIST_PACKAGES = Path("usr/lib/python3/dist-packages")
MERGED = ("bin", "sbin", "lib", "lib64")


@dataclass(frozen=True, slots=True)
class Part:
    """How much of the tree one top folder takes."""

    name: str
    files: int
    size: int  # bytes


def run(*command: str | Path) -> None:
    """One external program; its failure is the build's."""
    subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL)


def _merge(source: Path, root: Path) -> None:
    """Moves source's files below root; /bin, /lib ... go below /usr."""
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if relative.parts[0] in MERGED:
            relative = Path("usr") / relative
        target = root / relative
        if path.is_dir() and not path.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.move(path, target)


def unpack(debs: Iterable[Path], root: Path) -> None:
    """Lays Debian packages out in root."""
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    for deb in debs:
        with tempfile.TemporaryDirectory(dir=root.parent) as scratch:
            run("dpkg-deb", "-x", deb, scratch)
            _merge(Path(scratch), root)


def add_wheels(wheels: Iterable[Path], root: Path) -> None:
    """Unpacks wheels into dist-packages, without their tests and metadata beyond the version."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(root / DIST_PACKAGES)


def add_tepui(source: Path, abi_module: Path, grub: Path, root: Path) -> None:
    """Our packages, the compiled ABI, GRUB's images, the commands and the files of iso/root."""
    package = root / DIST_PACKAGES / "tepui"
    unused = ("__pycache__", "*.pyc", "*.pyi", "root", "workshop", "*.md", "*.mk")
    ignore = shutil.ignore_patterns(*unused)
    for name in ("hcl", "shell", "iso"):
        shutil.copytree(source / name, package / name, ignore=ignore)
    shutil.copy2(abi_module, package / "shell" / "_abi.py")
    shutil.copytree(source / "iso" / "root", root, dirs_exist_ok=True)
    shutil.copytree(grub, root / "usr/lib/tepui/grub")
    for name, target in COMMANDS.items():
        module, _, function = target.partition(":")
        script = root / "usr/bin" / name
        script.write_text(
            f"#!/usr/bin/python3 -I\nimport sys\nfrom {module} import {function}\n"
            f"sys.exit({function}())\n"
        )
        script.chmod(0o755)


def add_busybox(root: Path) -> None:
    """A link for each of busybox's applets that works here and that nothing else provides."""
    busybox = root / "usr/bin/busybox"
    listing = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    for applet in sorted(set(listing.stdout.split()) - set(NO_APPLETS)):
        if not any((root / "usr" / d / applet).exists() for d in ("bin", "sbin")):
            (root / "usr/bin" / applet).symlink_to("busybox")
    (root / "usr/sbin/init").unlink(missing_ok=True)
    (root / "usr/sbin/init").symlink_to("../bin/busybox")


def trim(root: Path) -> None:
    """Removes what nothing uses."""
    for pattern in LEFT_OUT:
        for path in root.glob(pattern):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def compile_python(root: Path) -> None:
    """Every .py below the library folders becomes a .pyc beside it; the source goes.

    Scripts that are run by path and data templates keep their source.
    """
    for folder in (root / "usr/lib/python3.11", root / DIST_PACKAGES):
        ok = compileall.compile_dir(
            folder, quiet=2, legacy=True, force=True, workers=0, stripdir=str(root), prependdir="/",
            optimize=0, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )  # fmt: skip
        for source in sorted(folder.rglob("*.py")):
            if source.with_suffix(".pyc").exists():
                source.unlink()
            elif ok:
                raise RuntimeError(f"{source}: was not compiled")
        for cache in list(folder.rglob("__pycache__")):
            shutil.rmtree(cache)


def parts(root: Path) -> list[Part]:
    """Sizes by top folder below usr/lib and elsewhere, largest first."""
    sums: dict[str, tuple[int, int]] = {}
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        relative = path.relative_to(root).parts
        depth = 4 if relative[:2] == ("usr", "lib") and len(relative) > 4 else 2
        name = "/".join(relative[: min(depth, len(relative) - 1)]) or "/"
        files, size = sums.get(name, (0, 0))
        sums[name] = files + 1, size + path.stat().st_size
    rows = [Part(name, files, size) for name, (files, size) in sums.items()]
    return sorted(rows, key=lambda p: -p.size)


def build(
    debs: Path, wheels: Path, source: Path, abi_module: Path, grub: Path, out: Path, epoch: int
) -> int:
    """Builds the image; returns its size in bytes."""
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        root = Path(scratch) / "root"
        root.mkdir()
        unpack(sorted(debs.glob("*.deb")), root)
        add_wheels(sorted(wheels.glob("*.whl")), root)
        (root / "usr/bin/python3").unlink(missing_ok=True)
        (root / "usr/bin/python3").symlink_to("python3.11")
        trim(root)
        add_tepui(source, abi_module, grub, root)
        compile_python(root)
        # Last of the programs: an applet is linked only where no package brings the program.
        add_busybox(root)
        for name in EMPTY:
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "tmp").chmod(0o1777)
        run("/sbin/ldconfig", "-r", root, "-X")
        shutil.rmtree(root / "var/cache", ignore_errors=True)
        for p in parts(root)[:12]:
            print(f"  {p.size / 2**20:7.1f} MiB {p.files:5} files  {p.name}")
        archive = out.with_suffix(".cpio")
        with archive.open("wb") as f:
            cpio.write(root, f, epoch)
    run("lz4", "-12", "-q", "-f", "--content-size", "--no-frame-crc", archive, out)
    return out.stat().st_size


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tepui.iso.userworld", description=__doc__)
    parser.add_argument("--debs", type=Path, required=True, help="folder of .deb files")
    parser.add_argument("--wheels", type=Path, required=True, help="folder of wheels")
    parser.add_argument("--abi", type=Path, required=True, help="_abi.py made by tepui.shell.abi")
    parser.add_argument("--grub", type=Path, required=True, help="folder of GRUB's images")
    parser.add_argument("--source", type=Path, default=Path(), help="the project's folder")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args(argv)
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    size = build(args.debs, args.wheels, args.source, args.abi, args.grub, args.output, epoch)
    print(f"  {size / 2**20:7.1f} MiB in all: {args.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
