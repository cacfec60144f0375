# SPDX-License-Identifier: Apache-2.0
"""Guests for system tests: Debian's kernel with a busybox initramfs, as a boot module.

Packages come from the archive that the machine is set up with, into build/guests/; the kernel is
used as it is.
"""

import re
import shutil
import subprocess
from pathlib import Path

from tepui.iso import cpio, image
from tepui.iso.workshop import apt
from tepui.shell.vm import image as vm_image
from tepui.shell.vm.memory import MIB
from tepui.shell.vm.spec import Device, VmSpec

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
)
INIT = """\
#!/bin/sh
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys
for m in {modules}; do insmod /lib/$m.ko; done
echo "guest: shell on $(nproc) CPUs, kernel $(uname -r)"
sh /test && echo "guest: passed" || echo "guest: failed"
poweroff -f
"""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def unpacked(package: str) -> Path:
    """The content of a binary package, fetched once."""
    target = FOLDER / package
    if target.exists():
        return target
    apt.update()
    download = FOLDER / f"{package}.download"
    shutil.rmtree(download, ignore_errors=True)
    download.mkdir(parents=True)
    subprocess.run(
        ["apt-get", *apt.options(), "-q", "download", package],
        cwd=download,
        check=True,
        capture_output=True,
    )
    (deb,) = download.glob("*.deb")
    made = FOLDER / f"{package}.new"
    shutil.rmtree(made, ignore_errors=True)
    run("dpkg-deb", "-x", str(deb), str(made))
    shutil.rmtree(download)
    return made.rename(target)


def linux() -> Path:
    """The package with Debian's kernel for clouds, unpacked."""
    apt.update()
    depends = run("apt-cache", *apt.options(), "depends", "linux-image-cloud-amd64")
    match = re.search(r"Depends: (linux-image-\S+)", depends)
    assert match, depends
    return unpacked(match[1])


def initramfs(kernel: Path, script: str) -> bytes:
    """An archive whose /init loads the virtio drivers, runs `script` and switches off."""
    root = FOLDER / "initramfs"
    shutil.rmtree(root, ignore_errors=True)
    for name in ("bin", "dev", "proc", "sys", "lib", "mnt"):
        (root / name).mkdir(parents=True)
    busybox = unpacked("busybox-static") / "bin/busybox"
    shutil.copy(busybox, root / "bin/busybox")
    (root / "bin/sh").symlink_to("busybox")
    names = []
    for module in MODULES:
        for path in kernel.glob(f"lib/modules/*/kernel/**/{module}.ko"):
            shutil.copy(path, root / "lib")
            names.append(path.stem)
    (root / "init").write_text(INIT.format(modules=" ".join(names)))
    (root / "init").chmod(0o755)
    (root / "test").write_text(script)
    archive = FOLDER / "initramfs.cpio"
    with archive.open("wb") as out:
        cpio.write(root, out, 0)
    return archive.read_bytes()


def iso(
    output: Path,
    script: str,
    *,
    cpus: int = 1,
    memory: int = 256,
    devices: tuple[Device, ...] = (),
) -> Path:
    """An ISO that starts a guest at boot; memory in MiB. `script` is a shell script: 0 passes."""
    package = linux()
    (kernel,) = package.glob("boot/vmlinuz-*")
    output.parent.mkdir(parents=True, exist_ok=True)
    initrd = output.with_suffix(".cpio")
    initrd.write_bytes(initramfs(package, script))
    spec = VmSpec(
        "guest",
        cpus,
        memory * MIB,
        kernel=kernel,
        initrd=initrd,
        append="console=ttyS0 quiet panic=-1",
        devices=devices,
    )
    module = output.with_suffix(".vm")
    module.write_bytes(vm_image.build(spec))
    image.build(output, KERNEL, {"guest": module})
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
    shutil.copy(kernel, root / "guest/vmlinuz")
    (root / "guest/initrd").write_bytes(initramfs(package, script))
    base = (ROOT / "build/userworld.img").read_bytes()
    end = base.rindex(b"070701", 0, base.rindex(cpio.TRAILER.encode()))
    userworld = output.with_suffix(".img")
    with userworld.open("wb") as out:
        out.write(base[:end] + bytes(-end % cpio.PAGE))
        cpio.write(root, out, 0)
    image.build(output, KERNEL, {"userworld": userworld})
    return output
