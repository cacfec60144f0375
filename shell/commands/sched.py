# SPDX-License-Identifier: Apache-2.0
"""esxcli sched ...: worlds and their CPU time."""

from dataclasses import dataclass

from tepui.shell.command import command
from tepui.shell.output import Style, named
from tepui.shell.run import Context

KINDS = ("kernel", "user", "vcpu", "idle")
STATES = ("NEW", "READY", "RUN", "WAIT", "COSTOP", "DEAD")


@dataclass(frozen=True, slots=True)
class WorldRow:
    world_id: int = named("World ID")
    name: str = named("Name")
    kind: str = named("Kind")
    state: str = named("State")
    used_ms: int = named("Used (ms)")
    ready_ms: int = named("Ready (ms)")
    costop_ms: int = named("Costop (ms)")
    switches: int = named("Switches")


@command("sched world list", "List all worlds with their CPU time.", style=Style.TABLE, own=True)
def world_list(ctx: Context) -> list[WorldRow]:
    return [
        WorldRow(
            w.id,
            w.name,
            KINDS[w.kind],
            STATES[w.state],
            w.used_ns // 10**6,
            w.ready_ns // 10**6,
            w.costop_ns // 10**6,
            w.switches,
        )
        for w in sorted(ctx.host.worlds(), key=lambda w: w.id)
    ]
