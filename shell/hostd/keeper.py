# SPDX-License-Identifier: Apache-2.0
"""hostd's keeping of VMs: every power transition, from whoever asked for it, is made here.

What a VM is comes from its .vmx; whether it runs, from the vmkernel, which knows VMs by UUID. The
only thing remembered beside is the wish that a VM be on (in /run, so it ends with the boot): a VM
whose birth, reset or hostd was interrupted is found by it and born again. So a restart of hostd
changes nothing for guests, and each step may be repeated.
"""

import errno
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID, uuid4

from tepui.shell import abi, files
from tepui.shell.client import Client
from tepui.shell.link import Link, LinkError, RefusedError
from tepui.shell.vm import control, inventory, spec
from tepui.shell.vm.control import VmState, VmStatus
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.inventory import Inventory, Vm

RUN = Path("/run/tepui")
#: In RUN: the host is to go down.
DOWN = "down.json"
#: Seconds between two looks at guests that are to shut down, and after a lost control socket.
LOOK, RETRY = 0.5, 2.0
ENDED = (VmState.OFF, VmState.STOPPED, VmState.CRASHED)


@dataclass(frozen=True, slots=True)
class Known:
    """A VM of the inventory with what the vmkernel says of it (None: it is off)."""

    vm: Vm
    status: VmStatus | None
    last: str  # why it went off last time, "" when unknown

    @property
    def on(self) -> bool:
        return self.status is not None and self.status.state in (
            VmState.RUNNING,
            VmState.RESETTING,
        )


def say(text: str) -> None:
    """A line of hostd's log."""
    print(f"hostd: vm: {text}", flush=True)


def on_host() -> Link:
    return Link.connect(timeout=None)


class Keeper:
    """Thread-safe. The inventory has a lock; each VM has one, held during its transitions."""

    def __init__(
        self,
        path: Path = inventory.PATH,
        run: Path = RUN,
        connect: Callable[[], Link] = on_host,
    ) -> None:
        self.run, self.connect = run, connect
        self.lock = threading.RLock()
        self.locks: dict[int, threading.RLock] = {}
        self.inventory = Inventory.read(path)
        self.wanted = {int(n) for n in inventory.load(run / "on.json").get("on", [])}
        self.last: dict[int, str] = {}
        self.workers = ThreadPoolExecutor(4, "vm")
        self.closing = False

    # The inventory and the state.

    def find(self, who: str) -> Vm:
        with self.lock:
            return self.inventory.find(who)

    def vms(self) -> list[Vm]:
        with self.lock:
            return sorted(self.inventory.vms.values(), key=lambda v: v.id)

    def known(self, vms: list[Vm] | None = None) -> list[Known]:
        """All VMs, or these, by Vmid."""
        with self.connect() as link:
            running = {s.uuid: s for s in statuses(link)}
        rows = self.vms() if vms is None else vms
        return [Known(v, running.get(v.uuid or UUID(int=0)), self.last.get(v.id, "")) for v in rows]

    def state(self, vm: Vm) -> Known:
        return self.known([vm])[0]

    @contextmanager
    def locked(self, vm: Vm) -> Iterator[Link]:
        """The VM's lock and a link; VmError when it was unregistered meanwhile."""
        with self.lock:
            lock = self.locks.setdefault(vm.id, threading.RLock())
        with lock, self.connect() as link:
            if vm.id not in self.inventory.vms:
                raise VmError(f"{vm.vmx}: not registered")
            yield link

    def set_wanted(self, vm: Vm, on: bool) -> None:
        with self.lock:
            self.wanted = self.wanted | {vm.id} if on else self.wanted - {vm.id}
            text = "{" + f'"on": {sorted(self.wanted)}' + "}\n"
            files.replace(self.run / "on.json", text)

    # Registration.

    def register(self, vmx: Path) -> Vm:
        """VmError. A .vmx without an identity, or with another VM's, gets one of its own."""
        vmx = vmx.resolve()
        with self.lock:
            if any(v.vmx == vmx for v in self.inventory.vms.values()):
                raise VmError(f"{vmx}: is registered already")
            vm = Vm(self.inventory.following, vmx)
            described = vm.spec()
            taken = {v.uuid for v in self.inventory.vms.values()}
            keys = spec.parse_lines(vmx.read_text())
            if "uuid.bios" not in keys or described.uuid in taken:
                self.edit(vm, {"uuid.bios": str(uuid4())})
            self.inventory.put(vm)
        return vm

    def unregister(self, vm: Vm) -> None:
        """Its files stay. VmError while it is on."""
        with self.locked(vm):
            self.need_off(vm)
            with self.lock:
                self.inventory.remove(vm)
                self.locks.pop(vm.id, None)
                self.last.pop(vm.id, None)

    def need_off(self, vm: Vm) -> None:
        if self.state(vm).on:
            raise VmError(f"{vm.name} is powered on")

    def edit(self, vm: Vm, changes: dict[str, str | None]) -> None:
        """Sets keys of the .vmx; VmError when it would not be one any more."""
        try:
            text = spec.edit(vm.vmx.read_text(), changes)
            spec.parse(text, vm.vmx.parent)
            files.replace(vm.vmx, text)
        except OSError as e:
            raise VmError(f"{vm.vmx}: {e.strerror}") from None

    def set_autostart(self, vm: Vm, on: bool) -> None:
        with self.lock:
            self.inventory.put(replace(self.inventory.vms[vm.id], autostart=on))

    # Power.

    def power_on(self, vm: Vm) -> int:
        """The vmkernel's handle. VmError, RefusedError, LinkError; then it is off."""
        with self.locked(vm) as link:
            self.need_off(vm)
            return self.create(link, vm)

    def create(self, link: Link, vm: Vm) -> int:
        """Destroys what is left of the VM's last run, creates and starts it. Under its lock."""
        self.clear(link, vm)
        self.set_wanted(vm, True)
        try:
            handle = control.birth(link, vm.spec())
        except BaseException:
            self.set_wanted(vm, False)
            raise
        self.last.pop(vm.id, None)
        say(f"{vm.name}: powered on")
        return handle

    def clear(self, link: Link, vm: Vm) -> None:
        uuid = vm.uuid
        for s in statuses(link):
            if s.uuid == uuid:
                control.destroy(link, s.handle)

    def power_off(self, vm: Vm) -> None:
        """At once. VmError when it is off."""
        with self.locked(vm) as link:
            if not self.state(vm).on:
                raise VmError(f"{vm.name} is powered off")
            self.set_wanted(vm, False)
            self.clear(link, vm)
            self.last[vm.id] = "powered off"
            say(f"{vm.name}: powered off")

    def shutdown(self, vm: Vm) -> None:
        """Presses the power button; the guest takes its time."""
        with self.locked(vm) as link:
            known = self.state(vm)
            if not known.on or known.status is None:
                raise VmError(f"{vm.name} is powered off")
            control.press_button(link, known.status.handle)

    def reset(self, vm: Vm) -> None:
        with self.locked(vm) as link:
            if not self.state(vm).on:
                raise VmError(f"{vm.name} is powered off")
            self.create(link, vm)

    def by_handle(self, handle: int) -> Vm | None:
        """None: the vmkernel's VM is none of the inventory's."""
        return next((k.vm for k in self.known() if k.status and k.status.handle == handle), None)

    # Events of the vmkernel, and the host's own start and end.

    def reconcile(self, vm: Vm) -> None:
        """Makes the vmkernel's state of a VM and the wanted one agree."""
        with self.locked(vm) as link:
            status = self.state(vm).status
            wanted = vm.id in self.wanted
            if status and status.state in ENDED:
                self.set_wanted(vm, False)
                self.last[vm.id] = status.reason
                say(f"{vm.name}: {status.reason}")
                self.clear(link, vm)
            elif status and status.state is VmState.RUNNING:
                self.set_wanted(vm, True)
            elif (status and status.state is VmState.RESETTING) or wanted:
                say(f"{vm.name}: is created again")
                self.create(link, vm)
            elif status:  # created, never started: hostd ended in between
                self.clear(link, vm)

    def try_reconcile(self, vm: Vm) -> None:
        try:
            self.reconcile(vm)
        except (VmError, RefusedError, LinkError, OSError) as e:
            self.last[vm.id] = str(e)
            say(f"{vm.name}: {e}")

    def watch(self) -> None:
        """Follows the vmkernel's events until `closing`; a lost socket is opened again."""
        while not self.closing:
            try:
                with self.connect() as link:
                    events = link.subscribe()
                    self.reconcile_all()  # what happened before; later events are kept
                    for event in events:
                        if event.kind == abi.lib().CTL_VM_EVENT:
                            self.happened(event.payload)
                        elif event.kind == abi.lib().CTL_EVENT:  # some were dropped
                            self.reconcile_all()
            except (LinkError, RefusedError) as e:
                say(f"events: {e}")
                time.sleep(RETRY)

    def happened(self, payload: bytes) -> None:
        e = abi.cast("vm_event", payload)
        if VmState(e.state) in (VmState.RESETTING, *ENDED):
            vm = self.by_handle(int(e.handle))
            if vm:
                self.workers.submit(self.try_reconcile, vm)

    def reconcile_all(self) -> None:
        for future in [self.workers.submit(self.try_reconcile, vm) for vm in self.vms()]:
            future.result()

    def start_with_host(self) -> None:
        """Powers on what starts with the host, once a boot, in the order of the Vmids."""
        marker = self.run / "autostarted"
        if marker.exists():
            return
        for vm in self.vms():
            if vm.autostart:
                try:
                    if not self.state(vm).on:
                        self.power_on(vm)
                except (VmError, RefusedError, LinkError, OSError) as e:
                    self.last[vm.id] = str(e)
                    say(f"{vm.name}: autostart: {e}")
        self.run.mkdir(parents=True, exist_ok=True)
        marker.touch()

    def stop_with_host(self, seconds: float) -> None:
        """Power buttons first; what still runs after that long is switched off."""
        for k in self.known():
            if k.on:
                with suppress(VmError, RefusedError):
                    self.shutdown(k.vm)
        deadline = time.monotonic() + seconds
        while (left := [k.vm for k in self.known() if k.on]) and time.monotonic() < deadline:
            time.sleep(LOOK)
        for vm in left:
            with suppress(VmError, RefusedError):
                self.power_off(vm)

    def go_down(self, seconds: float, *, reboot: bool) -> None:
        """The host's end, in a thread of its own: who asked need not wait for the guests."""
        self.run.mkdir(parents=True, exist_ok=True)
        files.replace(self.run / DOWN, json.dumps({"seconds": seconds, "reboot": reboot}))
        threading.Thread(target=self.finish_down, name="vm down", daemon=True).start()

    def finish_down(self) -> bool:
        """Brings the host down if that was asked for, also of a hostd before this one."""
        try:
            asked = inventory.load(self.run / DOWN)
            if not asked:
                return False
            try:
                self.stop_with_host(asked["seconds"])
            finally:
                with self.connect() as link:
                    Client(link).power(reboot=asked["reboot"])
        except (VmError, RefusedError, LinkError, OSError) as e:
            say(f"going down: {e}")
        return True


def statuses(link: Link) -> list[VmStatus]:
    """Of every VM that the vmkernel has; those that go meanwhile are left out."""
    rows = []
    for handle in control.handles(link):
        try:
            rows.append(control.status(link, handle))
        except RefusedError as e:
            if e.code != errno.ENOENT:  # it is there: nobody may take it for gone
                raise
    return rows
