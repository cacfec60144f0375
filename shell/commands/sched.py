# SPDX-License-Identifier: Apache-2.0
"""esxcli sched ...: worlds, their CPU time, and the groups that share it."""

from dataclasses import dataclass
from typing import Annotated

from tepui.shell.command import FailedError, Opt, Role, command
from tepui.shell.output import Style, named
from tepui.shell.records import Group
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


@dataclass(frozen=True, slots=True)
class GroupRow:
    path: str = named("Group Path")
    shares: int = named("Shares")
    min_pct: int = named("Min (%)")
    max_pct: int = named("Max (%)")
    members: int = named("Members")
    used_ms: int = named("Used (ms)")


def _by_path(ctx: Context) -> dict[str, Group]:
    """Every group by its path from the root: host, host/system."""
    groups = {g.id: g for g in ctx.host.groups()}

    def path(g: Group) -> str:
        return f"{path(groups[g.parent])}/{g.name}" if g.id else g.name

    return {path(g): g for g in groups.values()}


@command(
    "sched group list",
    "List the groups among which CPU time is shared out.",
    style=Style.TABLE,
    own=True,
)
def group_list(ctx: Context) -> list[GroupRow]:
    return [
        GroupRow(path, g.shares, g.min_pct, g.max_pct, g.members, g.used_ns // 10**6)
        for path, g in sorted(_by_path(ctx).items())
    ]


@command(
    "sched group set",
    "Set what a group gets of the CPUs, until it ends.",
    role=Role.ADMINISTRATOR,
    own=True,
)
def group_set(
    ctx: Context,
    group_path: Annotated[str, Opt("-g", "The group's path, for example host/system.")],
    shares: Annotated[int | None, Opt("-s", "Shares of CPU time; 1000 is normal.")] = None,
    min_pct: Annotated[
        int | None, Opt("-i", "Percent of one CPU that it has for certain.", "min")
    ] = None,
    max_pct: Annotated[
        int | None, Opt("-m", "Percent of one CPU at most; 0: no limit.", "max")
    ] = None,
) -> None:
    g = _by_path(ctx).get(group_path)
    if g is None:
        raise FailedError(f"No group with the path {group_path!r}")
    given = ((shares, g.shares), (min_pct, g.min_pct), (max_pct, g.max_pct))
    ctx.host.set_group(g.id, *(old if new is None else new for new, old in given))
