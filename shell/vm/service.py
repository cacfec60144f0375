# SPDX-License-Identifier: Apache-2.0
"""Asking hostd for a VM's power transitions, from any process of the host.

One connection to /run/hostd-vm.sock is one request: a line of JSON {"call", "arguments"}, answered
by {"result"} or {"error"}. The socket is root's alone; hostd's side is `tepui.shell.hostd.vms`.
"""

import json
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tepui.shell.vm.errors import VmError

SOCKET = Path("/run/hostd-vm.sock")
#: Seconds that a hostd which is just starting is waited for.
WAIT = 30.0


class NoHostdError(VmError):
    """hostd does not answer."""


@dataclass(frozen=True, slots=True)
class VmInfo:
    """A VM of the inventory. state: of enum vm_state in lower case, "off" or "invalid" (its .vmx
    cannot be read). handle: the vmkernel's, 0 when it is off. memory in bytes. last: why it went
    off last time or could not start."""

    id: int
    name: str
    vmx: str
    uuid: str
    state: str
    handle: int
    cpus: int
    memory: int
    autostart: bool
    last: str

    @property
    def power(self) -> str:
        """In VMware's words."""
        return "Powered on" if self.on else "Powered off"

    @property
    def on(self) -> bool:
        return self.state in ("running", "resetting")


class VmService:
    """Each method is one request. VmError: refused, with a text for people; NoHostdError."""

    def __init__(self, path: Path | None = None, wait: float | None = None) -> None:
        self.path, self.wait = path or SOCKET, WAIT if wait is None else wait

    def call(self, name: str, **arguments: Any) -> Any:
        try:
            with self.connect() as s, s.makefile("rw", encoding="utf-8") as stream:
                stream.write(json.dumps({"call": name, "arguments": arguments}) + "\n")
                stream.flush()
                line = stream.readline()
        except OSError as e:
            raise NoHostdError(f"hostd does not answer: {e.strerror or e}") from None
        if not line:
            raise NoHostdError("hostd ended while it worked on this: see /var/log/hostd.log")
        answer = json.loads(line)
        if "error" in answer:
            raise VmError(answer["error"])
        return answer["result"]

    def connect(self) -> socket.socket:
        deadline = time.monotonic() + self.wait
        while True:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                s.connect(str(self.path))
                return s
            except (FileNotFoundError, ConnectionRefusedError):
                s.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def vms(self) -> list[VmInfo]:
        return [VmInfo(**row) for row in self.call("vms")]

    def find(self, who: str) -> VmInfo:
        """By Vmid, name or .vmx file."""
        return VmInfo(**self.call("find", who=who))

    def register(self, vmx: Path) -> int:
        """The new Vmid."""
        return int(self.call("register", vmx=str(vmx.absolute())))

    def unregister(self, who: str) -> None:
        self.call("unregister", who=who)

    def power(self, who: str, action: str) -> int:
        """action: on, off, shutdown, reset. The vmkernel's handle after `on`, else 0."""
        return int(self.call("power", who=who, action=action))

    def edit(self, who: str, changes: dict[str, str | None], autostart: bool | None = None) -> None:
        """Keys of the .vmx (None removes one), and whether it starts with the host."""
        self.call("edit", who=who, changes=changes, autostart=autostart)

    def kill(self, handle: int, *, soft: bool) -> None:
        """By the vmkernel's handle; also what is not in the inventory."""
        self.call("kill", handle=handle, soft=soft)

    def down(self, seconds: float, *, reboot: bool) -> None:
        """Guests shut down, for at most that long, then the host; the reply comes before."""
        self.call("down", seconds=seconds, reboot=reboot)
