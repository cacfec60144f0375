# SPDX-License-Identifier: Apache-2.0
"""Which files of the host a VM may be given: those on datastores, and those beside its .vmx.

A .vmx comes from somewhere else, so what it names is not trusted: a kernel or disk that is really
the accounts of the host would be read inside the guest. Names are resolved first, so no symbolic
link leads out; the volume of the host's own data is none for VMs.
"""

import stat
from dataclasses import replace
from pathlib import Path

from tepui.shell.vm.devices import Device, DeviceKind
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.spec import VmSpec

VOLUMES = Path("/vmfs/volumes")
SCRATCH = Path("/scratch")  # leads to the volume of the host's own data


def allowed(path: Path, folder: Path) -> Path:
    """The file that a path means, resolved; folder: the .vmx's, where it is no datastore's.

    VmError when it is not there, no regular file, or outside."""
    try:
        real = path.resolve(strict=True)
        regular = stat.S_ISREG(real.stat().st_mode)
    except (OSError, RuntimeError) as e:
        raise VmError(f"{path}: {getattr(e, 'strerror', None) or e}") from None
    beside = folder.resolve()
    own = SCRATCH.resolve()
    # The root directory contains everything: a .vmx there brings only what is on datastores.
    there = real.is_relative_to(VOLUMES.resolve()) or (
        real.is_relative_to(beside) and beside != Path("/")
    )
    if not there or (own != SCRATCH and real.is_relative_to(own)):
        raise VmError(f"{path}: is on no datastore")
    if not regular:
        raise VmError(f"{path}: not a file")
    return real


def is_file(device: Device) -> bool:
    """Whether a device's backend is a file; else a disk's is a block device's name."""
    return device.kind is DeviceKind.DISK and (
        device.backend.startswith("/") or device.backend.endswith(".vmdk")
    )


def confined(spec: VmSpec) -> VmSpec:
    """The VM with resolved paths of kernel, initrd and disks. VmError."""

    def within(path: Path) -> Path:
        return allowed(path, spec.folder)

    return replace(
        spec,
        kernel=within(spec.kernel) if spec.kernel else None,
        initrd=within(spec.initrd) if spec.initrd else None,
        devices=tuple(
            replace(d, backend=str(within(spec.folder / d.backend))) if is_file(d) else d
            for d in spec.devices
        ),
    )
