# SPDX-License-Identifier: Apache-2.0
"""Guests for system tests: Debian's kernel with a busybox initramfs, as boot modules.

Packages come from the archive that the machine is set up with, into build/guests/; the kernel is
used as it is.
"""

import fcntl
import lzma
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tepui.iso import cpio, image
from tepui.iso.workshop import apt
from tepui.shell.vm import image as vm_image
from tepui.shell.vm.devices import Device
from tepui.shell.vm.memory import MIB
from tepui.shell.vm.spec import VmSpec

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build/guests"
KERNEL = ROOT / "build/vmkernel.elf"

#: In the order in which insmod wants them.
MODULES = (
    "virtio/virtio_ring",
    "virtio/virtio",
    "virtio/virtio_pci_legacy_dev",
    "virtio/virtio_pci_modern_dev",
    "virtio/virtio_pci",
    "block/virtio_blk",
    "char/hw_random/virtio-rng",
    "core/failover",
    "net/net_failover",
    "net/virtio_net",
    "char/virtio_console",
    "acpi/button",
    "input/evdev",
)
CLOUD = "linux-image-cloud-amd64"
INIT = """\
#!/bin/sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
for m in {modules}; do insmod /lib/$m.ko; done
grep -q root= /proc/cmdline && mount /dev/vda /mnt && exec switch_root /mnt /sbin/init
acpid -f -l /dev/console &
echo "guest: shell on $(nproc) CPUs, kernel $(uname -r)"
sh /test && echo "guest: passed" || {{ dmesg | tail -30; echo "guest: failed"; }}
poweroff -f
"""
#: What busybox's acpid runs when the power button is pressed.
BUTTON = """\
#!/bin/sh
echo "guest: the power button" >/dev/console
sync; poweroff -f
"""


@dataclass(frozen=True, slots=True)
class Guest:
    """memory in MiB. `script` is a shell script: 0 passes. package: of the kernel's metapackage.
    trees: folders whose lib, lib64 and usr go into the initramfs, as unpacked packages have."""

    script: str
    name: str = "guest"
    cpus: int = 1
    memory: int = 256
    devices: tuple[Device, ...] = ()
    append: str = ""
    package: str = CLOUD
    trees: tuple[Path, ...] = ()


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def unpacked(package: str) -> Path:
    """The content of a binary package, fetched once. NAME/SUITE: from that suite."""
    target = FOLDER / package.replace("/", "@")
    if target.exists():
        return target
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:  # tests run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        return target if target.exists() else fetched(package, target)


def fetched(package: str, target: Path) -> Path:
    apt.update()
    download = target.with_name(f"{target.name}.download")
    shutil.rmtree(download, ignore_errors=True)
    download.mkdir(parents=True)
    subprocess.run(
        ["apt-get", *apt.options(), "-q", "download", package],
        cwd=download,
        check=True,
        capture_output=True,
    )
    (deb,) = download.glob("*.deb")
    made = target.with_name(f"{target.name}.new")
    shutil.rmtree(made, ignore_errors=True)
    run("dpkg-deb", "-x", str(deb), str(made))
    shutil.rmtree(download)
    return made.rename(target)


def linux(package: str = CLOUD) -> Path:
    """The package with the kernel that a metapackage (NAME or NAME/SUITE) names, unpacked."""
    apt.update()
    name, _, suite = package.partition("/")
    release = ("-t", suite) if suite else ()
    shown = run("apt-cache", *apt.options(), *release, "show", "--no-all-versions", name)
    match = re.search(r"^Depends: (linux-image-\S+)", shown, re.MULTILINE)
    assert match, shown
    return unpacked(f"{match[1]}/{suite}" if suite else match[1])


def debian(output: Path, packages: str, size: int, *hooks: str) -> Path:
    """A disk of that many bytes with Debian in ext4 on all of it; root has no password.
    `hooks` are mmdebstrap's, "$1" being the root."""
    apt.update()
    tools = unpacked("mmdebstrap") / "usr/bin"  # its helpers are found by PATH
    root, tar = output.with_suffix(".root"), output.with_suffix(".tar")
    shutil.rmtree(root, ignore_errors=True)
    path = f"PATH={tools.resolve()}:{os.environ['PATH']}"
    sources = str(apt.HOME / "sources.list")
    run("env", path, "mmdebstrap", "--variant=apt", f"--include={packages}",
        "--customize-hook=chroot $1 passwd -d root", *(f"--customize-hook={h}" for h in hooks),
        "bookworm", str(tar), sources)  # fmt: skip
    root.mkdir(parents=True)
    run("tar", "-xf", str(tar), "-C", str(root), "--exclude=./dev/*")
    tar.unlink()
    with output.open("wb") as f:
        f.truncate(size)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-d", str(root), str(output))
    shutil.rmtree(root)
    return output


def busybox(root: Path, applets: str) -> None:
    """Debian's busybox and links to it for `applets` (names) in root's bin."""
    shutil.copy(unpacked("busybox-static") / "bin/busybox", root / "bin/busybox")
    for applet in applets.split():
        (root / "bin" / applet).symlink_to("busybox")


def initramfs(
    kernel: Path,
    script: str,
    archive: Path,
    modules: tuple[str, ...] = MODULES,
    trees: tuple[Path, ...] = (),
) -> Path:
    """An archive whose /init loads drivers, runs `script` and switches off; so does the button."""
    root = archive.with_suffix(".tree")
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "dev", "proc", "sys", "lib", "mnt", "tmp"):
        (root / name).mkdir(parents=True)
    busybox(root, "sh")
    for tree in trees:
        for name in ("lib", "lib64", "usr/bin", "usr/lib"):
            if (tree / name).is_dir():
                shutil.copytree(tree / name, root / name, True, dirs_exist_ok=True)
    names = []
    for module in modules:
        for path in kernel.glob(f"lib/modules/*/kernel/**/{module}.ko*"):
            data = path.read_bytes()
            name = path.name.removesuffix(".xz")
            (root / "lib" / name).write_bytes(lzma.decompress(data) if name != path.name else data)
            names.append(name.removesuffix(".ko"))
    (root / "etc/acpi/PWRF").mkdir(parents=True)
    scripts = {"init": INIT.format(modules=" ".join(names)), "etc/acpi/PWRF/00000080": BUTTON}
    for name, text in scripts.items():
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    (root / "test").write_text(script)
    with archive.open("wb") as out:
        cpio.write(root, out, 0)
    return archive


def module(guest: Guest, output: Path) -> Path:
    """The guest as a boot module."""
    package = linux(guest.package)
    (kernel,) = package.glob("boot/vmlinuz-*")
    archive = output.with_suffix(f"{output.suffix}.cpio")
    initrd = initramfs(package, guest.script, archive, trees=guest.trees)
    spec = VmSpec(
        guest.name,
        guest.cpus,
        guest.memory * MIB,
        kernel=kernel,
        initrd=initrd,
        append=f"console=ttyS0 quiet panic=-1 {guest.append}",
        devices=guest.devices,
    )
    output.write_bytes(vm_image.build(spec))
    return output


def iso(output: Path, *guests: Guest) -> Path:
    """An ISO with guests that start at boot by the option vmimage=NAME,..."""
    output.parent.mkdir(parents=True, exist_ok=True)
    modules = {guest.name: module(guest, output.with_suffix(f".{guest.name}")) for guest in guests}
    image.build(output, KERNEL, modules)
    return output


def host_iso(output: Path, files: dict[str, bytes], script: str) -> Path:
    """The host's ISO with a folder /guest in its userworld: `files`, and Debian's kernel and the
    initramfs as vmlinuz and initrd."""
    package = linux()
    (kernel,) = package.glob("boot/vmlinuz-*")
    root = output.with_suffix(".root")
    shutil.rmtree(root, ignore_errors=True)
    (root / "guest").mkdir(parents=True)
    for name, data in files.items():
        (root / "guest" / name).write_bytes(data)
        (root / "guest" / name).chmod(0o755 if data.startswith(b"#!") else 0o644)
    shutil.copy(kernel, root / "guest/vmlinuz")
    initramfs(package, script, output.with_suffix(".cpio")).rename(root / "guest/initrd")
    more = output.with_suffix(".more")
    with more.open("wb") as out:
        cpio.write(root, out, 0)
    modules = {"userworld": ROOT / "build/userworld.img", "userworld.guest": more}
    image.build(output, KERNEL, modules)
    return output
