# SPDX-License-Identifier: Apache-2.0
"""The VMs that a host knows: their numbers, .vmx files and whether they start with the host.

One JSON document, replaced as a whole; hostd alone writes it.

    {"next": 2, "vms": {"1": {"vmx": "/vmfs/volumes/.../web/web.vmx", "autostart": true}}}
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from tepui.shell import files
from tepui.shell.vm import spec
from tepui.shell.vm.errors import VmError

PATH = Path("/var/lib/tepui/vms.json")


def load(path: Path) -> dict[str, Any]:
    """A JSON object; {} when there is none. VmError when it is broken."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as e:
        raise VmError(f"{path}: {e}") from None
    if not isinstance(data, dict):
        raise VmError(f"{path}: not an object")
    return data


@dataclass(frozen=True, slots=True)
class Vm:
    """id: the Vmid of vim-cmd, never used again."""

    id: int
    vmx: Path
    autostart: bool = False

    def spec(self) -> spec.VmSpec:
        """The VM as its .vmx describes it now; VmError."""
        try:
            return spec.parse(self.vmx.read_text(), self.vmx.parent)
        except (OSError, UnicodeDecodeError) as e:
            raise VmError(f"{self.vmx}: {getattr(e, 'strerror', e)}") from None
        except VmError as e:
            raise VmError(f"{self.vmx}: {e}") from None

    @property
    def name(self) -> str:
        """displayName, or the file's name while it cannot be read."""
        try:
            return self.spec().name
        except VmError:
            return self.vmx.stem

    @property
    def uuid(self) -> UUID | None:
        """None while the .vmx cannot be read."""
        try:
            return self.spec().uuid
        except VmError:
            return None


@dataclass(slots=True)
class Inventory:
    """Not for several threads at once: its user locks."""

    path: Path = PATH
    following: int = 1
    vms: dict[int, Vm] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path = PATH) -> "Inventory":
        data = load(path)
        try:
            rows = {
                int(n): Vm(int(n), Path(v["vmx"]), bool(v.get("autostart")))
                for n, v in data.get("vms", {}).items()
            }
            return cls(path, int(data.get("next", 1)), rows)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise VmError(f"{path}: not an inventory of VMs") from None

    def write(self) -> None:
        vms = {str(v.id): {"vmx": str(v.vmx), "autostart": v.autostart} for v in self.vms.values()}
        text = json.dumps({"next": self.following, "vms": vms}, indent=1)
        files.replace(self.path, text + "\n")

    def put(self, vm: Vm) -> None:
        self.vms[vm.id] = vm
        self.following = max(self.following, vm.id + 1)
        self.write()

    def remove(self, vm: Vm) -> None:
        del self.vms[vm.id]
        self.write()

    def find(self, who: str) -> Vm:
        """By Vmid, .vmx file or name; VmError when there is none, or several have the name."""
        if who.isdigit() and int(who) in self.vms:
            return self.vms[int(who)]
        rows = [v for v in self.vms.values() if str(v.vmx) == who or v.name == who]
        if len(rows) > 1:
            raise VmError(f"several VMs are called {who}: use their Vmid")
        if not rows:
            raise VmError(f"no VM is called {who}")
        return rows[0]
