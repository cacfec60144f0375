# SPDX-License-Identifier: Apache-2.0
"""hostd's keeping of VMs: power, resets, restarts of hostd, over a vmkernel that a test plays."""

import errno
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tepui.shell import abi
from tepui.shell.hostd import keeper as keeping
from tepui.shell.hostd import vms
from tepui.shell.hostd.keeper import Keeper
from tepui.shell.link import Event, RefusedError
from tepui.shell.vm import control, spec
from tepui.shell.vm import service as vm_service
from tepui.shell.vm.control import VmState, VmStatus
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.inventory import Inventory
from tepui.shell.vm.memory import MIB
from tepui.shell.vm.service import NoHostdError, VmService

VMX = 'displayName = "{name}"\nmemSize = "64"\ntepui.kernel = "vmlinuz"\n'


@dataclass
class Kernel:
    """The vmkernel's VMs, and its events as hostd's link would give them."""

    vms: dict[int, VmStatus] = field(default_factory=dict)
    events: "queue.Queue[Event]" = field(default_factory=queue.Queue)
    births: list[str] = field(default_factory=list)
    pressed: list[int] = field(default_factory=list)
    power: list[int] = field(default_factory=list)
    refuse: str = ""
    refuse_status: list[int] = field(default_factory=list)  # errno of the next ones

    def request(self, operation: int, payload: bytes) -> None:
        assert operation == abi.lib().CTL_HOST_POWER
        self.power.append(abi.cast("ctl_host_power", payload).action)

    def __enter__(self) -> "Kernel":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def subscribe(self) -> Iterator[Event]:
        return iter(self.events.get, None)

    def birth(self, _link: Any, described: spec.VmSpec) -> int:
        if self.refuse:
            raise VmError(self.refuse)
        assert described.uuid not in {s.uuid for s in self.vms.values()}
        handle = len(self.births) + 1
        self.births.append(described.name)
        self.vms[handle] = VmStatus(
            handle, described.name, VmState.RUNNING, 0, 1, 64 * MIB, 0, 0, 0, 0, "", described.uuid
        )
        return handle

    def status(self, _link: Any, handle: int) -> VmStatus:
        if self.refuse_status:
            raise RefusedError(self.refuse_status.pop(), "refused")
        return self.vms[handle]

    def become(self, handle: int, state: VmState, reason: str = "") -> None:
        old = self.vms[handle]
        values = {n: getattr(old, n) for n in VmStatus.__slots__}
        self.vms[handle] = VmStatus(**values | {"state": state, "reason": reason})
        payload = abi.pack("vm_event", handle=handle, state=int(state))
        self.events.put(Event(abi.lib().CTL_VM_EVENT, payload))


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    k = Kernel()
    monkeypatch.setattr(control, "birth", k.birth)
    monkeypatch.setattr(control, "handles", lambda _link: sorted(k.vms))
    monkeypatch.setattr(control, "status", k.status)
    monkeypatch.setattr(control, "destroy", lambda _link, h: k.vms.pop(h))
    monkeypatch.setattr(control, "press_button", lambda _link, h: k.pressed.append(h))
    return k


@pytest.fixture
def hostd(kernel: Kernel, tmp_path: Path) -> Callable[[], Keeper]:
    """A hostd that has just been started, on the same state as the one before."""
    return lambda: Keeper(tmp_path / "vms.json", tmp_path / "run", lambda: kernel)  # type: ignore[arg-type,return-value]


def vmx(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name / f"{name}.vmx"
    path.parent.mkdir()
    path.write_text(VMX.format(name=name))
    return path


@contextmanager
def watching(keeper: Keeper, kernel: Kernel) -> Iterator[None]:
    thread = threading.Thread(target=keeper.watch, daemon=True)
    thread.start()
    yield
    keeper.closing = True
    kernel.events.put(Event(0, b""))
    kernel.events.put(None)  # type: ignore[arg-type]
    thread.join(30)
    assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    """Waits for what other threads do."""
    done = threading.Event()
    for _ in range(3000):
        if condition():
            return
        done.wait(0.01)
    raise AssertionError("never")


def test_the_inventory_survives(tmp_path: Path, hostd: Callable[[], Keeper]) -> None:
    keeper = hostd()
    web, db = (keeper.register(vmx(tmp_path, n)) for n in ("web", "db"))
    keeper.set_autostart(db, True)
    keeper.unregister(web)
    again = hostd()
    assert [(v.id, v.name, v.autostart) for v in again.vms()] == [(2, "db", True)]
    assert again.register(web.vmx).id == 3
    with pytest.raises(VmError, match="registered already"):
        again.register(web.vmx)
    with pytest.raises(VmError, match="no VM is called nobody"):
        again.find("nobody")


def test_a_copied_vmx_gets_an_identity_of_its_own(
    tmp_path: Path, hostd: Callable[[], Keeper]
) -> None:
    keeper = hostd()
    first = keeper.register(vmx(tmp_path, "web"))
    path = tmp_path / "copy.vmx"
    path.write_text(first.vmx.read_text())
    second = keeper.register(path)
    assert first.uuid and second.uuid and first.uuid != second.uuid
    with pytest.raises(VmError, match="several"):
        keeper.find("web")


def test_power(tmp_path: Path, hostd: Callable[[], Keeper], kernel: Kernel) -> None:
    keeper = hostd()
    vm = keeper.register(vmx(tmp_path, "web"))
    with pytest.raises(VmError, match="is powered off"):
        keeper.power_off(vm)
    handle = keeper.power_on(vm)
    with pytest.raises(VmError, match="is powered on"):
        keeper.power_on(vm)
    with pytest.raises(VmError, match="is powered on"):
        keeper.unregister(vm)
    keeper.shutdown(vm)
    assert kernel.pressed == [handle]
    keeper.reset(vm)
    assert list(kernel.vms) == [2]
    keeper.power_off(vm)
    assert kernel.vms == {} and not keeper.wanted
    kernel.refuse = "no memory"
    with pytest.raises(VmError, match="no memory"):
        keeper.power_on(vm)
    assert not keeper.wanted


def test_a_guest_that_resets_is_born_again(
    tmp_path: Path, hostd: Callable[[], Keeper], kernel: Kernel
) -> None:
    keeper = hostd()
    vm = keeper.register(vmx(tmp_path, "web"))
    with watching(keeper, kernel):
        keeper.power_on(vm)
        kernel.become(1, VmState.RESETTING)
        until(lambda: 2 in kernel.vms)
        kernel.become(2, VmState.OFF, "the guest switched itself off")
        until(lambda: not kernel.vms)
    assert keeper.state(vm).last == "the guest switched itself off" and not keeper.wanted


@pytest.mark.parametrize("found", [VmState.RESETTING, VmState.CREATED, None])
def test_a_reset_outlives_hostd(
    tmp_path: Path, hostd: Callable[[], Keeper], kernel: Kernel, found: VmState | None
) -> None:
    """hostd died before the rebirth, within it, or between its steps."""
    keeper = hostd()
    keeper.power_on(keeper.register(vmx(tmp_path, "web")))
    if found is None:
        kernel.vms.clear()
    else:
        kernel.become(1, found)
    again = hostd()
    again.reconcile_all()
    assert [s.state for s in kernel.vms.values()] == [VmState.RUNNING]
    assert kernel.births == ["web", "web"]
    again.reconcile_all()
    assert kernel.births == ["web", "web"]


def test_running_vms_do_not_notice_a_restart(
    tmp_path: Path, hostd: Callable[[], Keeper], kernel: Kernel
) -> None:
    keeper = hostd()
    vm = keeper.register(vmx(tmp_path, "web"))
    keeper.power_on(vm)
    before = dict(kernel.vms)
    again = hostd()
    again.reconcile_all()
    assert kernel.vms == before and again.state(vm).on


def test_a_refusal_is_not_the_end_of_a_vm(
    tmp_path: Path, hostd: Callable[[], Keeper], kernel: Kernel
) -> None:
    """A VM that cannot be asked still runs; one that went meanwhile is off."""
    keeper = hostd()
    vm = keeper.register(vmx(tmp_path, "web"))
    keeper.power_on(vm)
    for call in (keeper.reconcile, keeper.power_on, keeper.state):
        kernel.refuse_status = [errno.ENOMEM]
        with pytest.raises(RefusedError):
            call(vm)
    assert kernel.births == ["web"] and list(kernel.vms) == [1]
    kernel.refuse_status = [errno.ENOENT]
    assert not keeper.state(vm).on


def test_a_refusal_does_not_end_the_watch(
    tmp_path: Path,
    hostd: Callable[[], Keeper],
    kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "RETRY", 0)
    keeper = hostd()
    keeper.power_on(keeper.register(vmx(tmp_path, "web")))
    with watching(keeper, kernel):
        kernel.events.put(Event(0, b""))
        until(kernel.events.empty)  # what comes now, the watch sees as an event
        kernel.refuse_status = [errno.ENOMEM]
        kernel.become(1, VmState.RESETTING)
        until(lambda: 2 in kernel.vms)
    assert kernel.births == ["web", "web"]


def test_a_birth_that_was_given_up_is_cleared(
    tmp_path: Path, hostd: Callable[[], Keeper], kernel: Kernel
) -> None:
    keeper = hostd()
    vm = keeper.register(vmx(tmp_path, "web"))
    kernel.birth(None, vm.spec())
    kernel.become(1, VmState.CREATED)
    keeper.reconcile_all()
    assert kernel.vms == {}


def test_autostart_happens_once_a_boot(
    tmp_path: Path, hostd: Callable[[], Keeper], kernel: Kernel
) -> None:
    keeper = hostd()
    one, two = (keeper.register(vmx(tmp_path, n)) for n in ("one", "two"))
    keeper.set_autostart(two, True)
    keeper.start_with_host()
    assert kernel.births == ["two"]
    keeper.power_off(two)
    hostd().start_with_host()
    assert kernel.births == ["two"] and not keeper.state(one).on


def test_guests_go_down_with_the_host(
    tmp_path: Path, hostd: Callable[[], Keeper], kernel: Kernel
) -> None:
    keeper = hostd()
    for name in ("one", "two"):
        keeper.power_on(keeper.register(vmx(tmp_path, name)))
    keeper.stop_with_host(0)
    assert kernel.pressed == [1, 2] and kernel.vms == {}


def test_the_host_goes_down_after_its_guests_and_nobody_waits(
    tmp_path: Path, hostd: Callable[[], Keeper], kernel: Kernel
) -> None:
    keeper = hostd()
    assert not keeper.finish_down()
    keeper.power_on(keeper.register(vmx(tmp_path, "web")))
    keeper.go_down(3600, reboot=True)  # the guest ignores its button
    until(lambda: kernel.pressed == [1])
    assert kernel.power == [] and 1 in kernel.vms
    kernel.vms.clear()
    until(lambda: kernel.power == [abi.lib().CTL_POWER_REBOOT])
    assert hostd().finish_down()  # as one that starts before the power goes
    assert kernel.power == [abi.lib().CTL_POWER_REBOOT] * 2


def test_a_broken_inventory_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "vms.json"
    for text in ("{", "[]", '{"vms": {"x": {}}}', '{"vms": {"1": {}}}'):
        path.write_text(text)
        with pytest.raises(VmError):
            Inventory.read(path)


def test_requests_over_the_socket(
    tmp_path: Path,
    hostd: Callable[[], Keeper],
    kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vm_service, "WAIT", 0)
    service = VmService(tmp_path / "sock")
    with pytest.raises(NoHostdError):
        service.vms()
    server = vms.Server(hostd(), service.path)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert service.path.stat().st_mode & 0o777 == 0o600
    number = service.register(vmx(tmp_path, "web"))
    service.edit("web", {"numvcpus": "3"}, autostart=True)
    assert service.power("web", "on") == 1
    info = service.find(str(number))
    assert (info.cpus, info.state, info.power, info.handle) == (3, "running", "Powered on", 1)
    assert UUID(info.uuid) == kernel.vms[1].uuid and info.autostart
    with pytest.raises(VmError, match="numvcpus is not a number"):
        service.edit("web", {"numvcpus": "many"})
    for call in ("nothing", "__init__", "power"):
        with pytest.raises(VmError):
            service.call(call, what=1)
    service.kill(1, soft=False)
    assert service.vms()[0].state == "off"
    Path(info.vmx).write_text("no vmx")
    assert service.vms()[0].state == "invalid"
    server.shutdown()
    server.server_close()
