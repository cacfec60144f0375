# SPDX-License-Identifier: Apache-2.0
"""esxcli vm ...: virtual machines that run on the host."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from tepui.shell.command import FailedError, Opt, Pos, Role, command
from tepui.shell.output import Style, named
from tepui.shell.run import Context
from tepui.shell.stream import Stream
from tepui.shell.vm import control, spec
from tepui.shell.vm.memory import VmError


@dataclass(frozen=True, slots=True)
class VmProcess:
    world_id: int = named("World ID")
    display_name: str = named("Display Name")
    state: str = named("State")
    cpus: int = named("CPUs")
    memory: int = named("Memory (MiB)")
    exits: int = named("Exits")
    reason: str = named("Reason")


@command(
    "vm process list",
    "List the virtual machines on this system.",
    style=Style.BLOCKS,
    header="{Display Name}",
)
def process_list(ctx: Context) -> list[VmProcess]:
    link = ctx.host.link
    rows = [control.status(link, h) for h in control.handles(link)]
    return [
        VmProcess(s.handle, s.name, s.state.name, s.cpus, s.memory >> 20, s.exits, s.reason)
        for s in rows
    ]


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
    link = ctx.host.link
    if type is Kill.SOFT:
        control.press_button(link, world_id)
        return
    control.stop(link, world_id)
    control.destroy(link, world_id)


@command(
    "vm run", "Start the virtual machine that a .vmx file describes.", role=Role.OPERATOR, own=True
)
def run(ctx: Context, vmx: Annotated[str, Pos("The .vmx file.")]) -> str:
    path = Path(vmx)
    try:
        return str(control.birth(ctx.host.link, spec.parse(path.read_text(), path.parent)))
    except VmError as e:
        raise FailedError(f"{vmx}: {e}") from e
    except OSError as e:
        raise FailedError(f"{e.filename or vmx}: {e.strerror}") from e


@command(
    "vm console", "The serial console of a virtual machine; Ctrl-] leaves it.",
    role=Role.OPERATOR, own=True, interactive=True,
)  # fmt: skip
def console(
    ctx: Context, world_id: Annotated[int, Opt("-w", "The World ID of the virtual machine.")]
) -> Stream:
    return Stream(control.console(ctx.host.link, world_id))
