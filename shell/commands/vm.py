# SPDX-License-Identifier: Apache-2.0
"""esxcli vm ...: virtual machines that run on the host."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

from tepui.shell.command import FailedError, Opt, Pos, Role, UsageError, command
from tepui.shell.output import Style, named
from tepui.shell.run import Context
from tepui.shell.stream import Stream
from tepui.shell.vm import control
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.inventory import Inventory
from tepui.shell.vm.service import VmService


@dataclass(frozen=True, slots=True)
class VmProcess:
    world_id: int = named("World ID")
    process_id: int = named("Process ID")
    cartel: int = named("VMX Cartel ID")
    uuid: str = named("UUID")
    display_name: str = named("Display Name")
    config_file: str = named("Config File")


@command(
    "vm process list",
    "List the virtual machines on this system.",
    style=Style.BLOCKS,
    header="{Display Name}",
)
def process_list(ctx: Context) -> list[VmProcess]:
    link = ctx.host.link
    files = {v.uuid: str(v.vmx) for v in Inventory.read().vms.values()}
    rows = [control.status(link, h) for h in control.handles(link)]
    return [
        VmProcess(s.handle, 0, s.handle, in_pairs(s.uuid), s.name, files.get(s.uuid, ""))
        for s in rows
        if s.state in (control.VmState.RUNNING, control.VmState.RESETTING)
    ]


def in_pairs(uuid: UUID) -> str:
    """56 4d ... 0a-8d 9f ... 5a, as VMware writes them."""
    return f"{uuid.bytes[:8].hex(' ')}-{uuid.bytes[8:].hex(' ')}"


class Kill(StrEnum):
    """How a VM is ended: by its power button, or at once."""

    SOFT = "soft"
    HARD = "hard"
    FORCE = "force"


@command("vm process kill", "Power a virtual machine off.", role=Role.OPERATOR)
def process_kill(
    ctx: Context,
    world_id: Annotated[int, Opt("-w", "The World ID of the virtual machine.")],
    type: Annotated[Kill, Opt("-t", "soft: its power button; hard, force: at once.")],  # noqa: A002
) -> None:
    try:
        VmService().kill(world_id, soft=type is Kill.SOFT)
    except VmError as e:
        raise FailedError(str(e)) from e


@command(
    "vm run",
    "Start the virtual machine that a .vmx file describes.",
    role=Role.ADMINISTRATOR,  # it registers, as `vm register` does
    own=True,
)
def run(ctx: Context, vmx: Annotated[str, Pos("The .vmx file.")]) -> str:
    path, service = Path(vmx).resolve(), VmService()
    try:
        if all(v.vmx != str(path) for v in service.vms()):
            service.register(path)
        return str(service.power(str(path), "on"))
    except VmError as e:
        raise FailedError(str(e)) from e


@command(
    "vm console", "The serial console of a virtual machine; Ctrl-] leaves it.",
    role=Role.OPERATOR, own=True, interactive=True,
)  # fmt: skip
def console(
    ctx: Context,
    vm: Annotated[str, Pos("The VM: its name, Vmid or .vmx file.", complete="vm")] = "",
    world_id: Annotated[int, Opt("-w", "Its World ID instead.")] = 0,
) -> Stream:
    if bool(vm) == bool(world_id):
        raise UsageError("Give either a virtual machine or its World ID")
    try:
        handle = world_id or VmService().find(vm).handle
    except VmError as e:
        raise FailedError(str(e)) from e
    if not handle:
        raise FailedError(f"{vm} is powered off", f"`vm power on {vm}` switches it on")
    return Stream(control.console(ctx.host.link, handle))
