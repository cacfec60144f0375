# SPDX-License-Identifier: Apache-2.0
"""hostd's end of the socket of `tepui.shell.vm.service`: requests become the Keeper's calls."""

import json
import os
import socketserver
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tepui.shell.hostd.keeper import Keeper, Known, say
from tepui.shell.link import LinkError, RefusedError
from tepui.shell.vm import control
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.service import SOCKET, VmInfo

LINE_MAX = 1 << 20


def info(known: Known) -> VmInfo:
    vm, status = known.vm, known.status
    try:
        spec = vm.spec()
    except VmError as e:
        return VmInfo(vm.id, vm.vmx.stem, str(vm.vmx), "", "invalid", 0, 0, 0, vm.autostart, str(e))
    state = status.state.name.lower() if status else "off"
    handle = status.handle if status else 0
    last = known.last or (status.reason if status and not known.on else "")
    return VmInfo(
        vm.id, spec.name, str(vm.vmx), str(spec.uuid), state, handle, spec.cpus, spec.memory,
        vm.autostart, last,
    )  # fmt: skip


class Calls:
    """What may be asked for: each public method is a call with JSON's values."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper

    def vms(self) -> list[dict[str, Any]]:
        return [asdict(info(k)) for k in self.keeper.known()]

    def find(self, who: str) -> dict[str, Any]:
        return asdict(info(self.keeper.state(self.keeper.find(who))))

    def register(self, vmx: str) -> int:
        return self.keeper.register(Path(vmx)).id

    def unregister(self, who: str) -> None:
        self.keeper.unregister(self.keeper.find(who))

    def power(self, who: str, action: str) -> int:
        vm, k = self.keeper.find(who), self.keeper
        if action == "on":
            return k.power_on(vm)
        {"off": k.power_off, "shutdown": k.shutdown, "reset": k.reset}[action](vm)
        return 0

    def edit(self, who: str, changes: dict[str, str | None], autostart: bool | None) -> None:
        vm = self.keeper.find(who)
        if changes:
            self.keeper.edit(vm, changes)
        if autostart is not None:
            self.keeper.set_autostart(vm, autostart)

    def kill(self, handle: int, soft: bool) -> None:
        vm = self.keeper.by_handle(handle)
        if vm:
            (self.keeper.shutdown if soft else self.keeper.power_off)(vm)
            return
        with self.keeper.connect() as link:
            if soft:
                control.press_button(link, handle)
            else:
                control.destroy(link, handle)

    def down(self, seconds: float, reboot: bool) -> None:
        self.keeper.go_down(seconds, reboot=reboot)


class Handler(socketserver.StreamRequestHandler):
    """One request."""

    def handle(self) -> None:
        answer: dict[str, Any]
        try:
            request = json.loads(self.rfile.readline(LINE_MAX))
            name = request["call"]
            if name.startswith("_") or not hasattr(Calls, name):
                raise VmError(f"no call {name}")
            server = self.server
            assert isinstance(server, Server)
            answer = {"result": getattr(server.calls, name)(**request["arguments"])}
        except (VmError, RefusedError, LinkError) as e:
            answer = {"error": str(e)}
        except OSError as e:
            answer = {"error": f"{e.filename}: {e.strerror}" if e.filename else str(e)}
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            answer = {"error": f"a request that is none: {e!r}"}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def __init__(self, keeper: Keeper, path: Path = SOCKET) -> None:
        path.unlink(missing_ok=True)
        self.calls = Calls(keeper)
        before = os.umask(0o177)
        try:
            super().__init__(str(path), Handler)
        finally:
            os.umask(before)


def begin(state: Path, run_: Path) -> None:
    """Starts keeping VMs in threads of their own: hostd serves meanwhile."""

    def run() -> None:
        try:
            keeper = Keeper(state / "vms.json", run_ / "tepui")
            server = Server(keeper, run_ / SOCKET.name)
        except (VmError, LinkError, RefusedError, OSError) as e:
            say(f"virtual machines are not kept: {e}")
            return
        threading.Thread(target=server.serve_forever, name="vm calls", daemon=True).start()
        threading.Thread(target=keeper.watch, name="vm events", daemon=True).start()
        if not keeper.finish_down():
            keeper.start_with_host()

    threading.Thread(target=run, name="vm start", daemon=True).start()
