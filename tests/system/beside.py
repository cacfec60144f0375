# SPDX-License-Identifier: Apache-2.0
"""The same userworld image, with files of a test's own, on the vmkernel and on Debian's kernel.

The image, the tests' files and QEMU are the same; so is what runs first: `/beside/init`, which
mounts what the kernel has not mounted itself and then runs a script, or a shell on the serial line
whose prompt is "ready> ".
"""

from dataclasses import replace
from pathlib import Path

from tepui.iso import cpio, image
from tests.system import guests
from tests.system.machine import ROOT, Config

USERWORLD = ROOT / "build/userworld.img"
#: What is in it.
ARCHIVE = USERWORLD.with_suffix(".cpio")
SHELL = """while :; do
    setsid -c sh -c 'PS1="ready> " exec sh </dev/ttyS0 >/dev/ttyS0 2>&1'
done
"""
INIT = """\
#!/bin/sh
export PATH=/usr/bin:/usr/sbin HOME=/root TERM=dumb
for m in "proc /proc" "sysfs /sys" "devtmpfs /dev"; do
    mount -t ${m% *} none ${m#* } 2>/dev/null
done
mkdir -p /dev/pts /dev/shm
mount -t devpts none /dev/pts 2>/dev/null
if ! [ -S /run/vmkernel.sock ]; then
    for d in /dev/shm /tmp /run; do mount -t tmpfs none $d; done
    ip link set lo up
    ln -s /proc/self/fd/0 /dev/stdin
    dmesg -n 1
fi
hostname tepui
"""


def archive(root: Path, script: str = SHELL) -> Path:
    """The tests' files below `root` as an archive beside it; `script` follows the mounts."""
    (root / "beside").mkdir(parents=True, exist_ok=True)
    init = root / "beside/init"
    init.write_text(INIT + script)
    init.chmod(0o755)
    out = root.with_suffix(".cpio")
    with out.open("wb") as file:
        cpio.write(root, file, 0)
    return out


def tepui(module: Path, config: Config) -> Config:
    """A machine that boots the vmkernel with the archive as a second userworld module."""
    iso = module.with_suffix(".iso")
    modules = {"userworld": USERWORLD, "userworld.tests": module}
    image.build(iso, ROOT / "build/vmkernel.elf", modules)
    options = f"init=/beside/init loglevel=warning {config.options}"
    return replace(config, iso=iso, options=options)


def debian(module: Path, config: Config) -> Config:
    """The same machine with Debian's kernel; its initramfs is the two archives in one file."""
    (kernel,) = guests.linux().glob("boot/vmlinuz-*")
    base = ARCHIVE.read_bytes()
    initrd = module.with_suffix(".initrd")
    initrd.write_bytes(base + bytes(-len(base) % cpio.PAGE) + module.read_bytes())
    append = f"console=ttyS0 quiet panic=-1 rdinit=/beside/init {config.options}"
    arguments = ("-kernel", str(kernel), "-initrd", str(initrd), "-append", append)
    return replace(config, boot="none", options="", arguments=(*config.arguments, *arguments))
