# SPDX-License-Identifier: Apache-2.0
"""esxcli system ...: version, uptime, modules, processes, counters, log, power."""

from dataclasses import dataclass
from typing import Annotated

from tepui.shell.command import FailedError, Opt, Role, command
from tepui.shell.output import Style, iso_time, named
from tepui.shell.run import Context
from tepui.shell.vm.errors import VmError
from tepui.shell.vm.service import VmService


@dataclass(frozen=True, slots=True)
class Version:
    product: str
    version: str
    build: str
    update: int
    patch: int


@command("system version get", "Display the product name, version and build information.")
def version_get(ctx: Context) -> Version:
    info = ctx.host.info()
    return Version("Tepui", info.version, f"Releasebuild-{info.build_id[:8]}", 0, 0)


@command(
    "system stats uptime get", "Display the number of microseconds the system has been running."
)
def uptime_get(ctx: Context) -> int:
    return ctx.host.info().uptime_ns // 1000


@dataclass(frozen=True, slots=True)
class Counter:
    name: str
    value: int
    description: str


@command("system stats counter list", "List the vmkernel's counters.", style=Style.TABLE, own=True)
def counter_list(
    ctx: Context,
    prefix: Annotated[str, Opt("-p", "Only counters whose name starts so.")] = "",
) -> list[Counter]:
    stats = sorted(ctx.host.stats(), key=lambda s: s.name)
    return [Counter(s.name, s.value, s.help) for s in stats if s.name.startswith(prefix)]


@command("system time get", "Display the current system time.")
def time_get(ctx: Context) -> str:
    return iso_time(ctx.host.info().realtime_ns)


@command("system boot options get", "Display the boot command line.", own=True)
def boot_options_get(ctx: Context) -> str:
    return ctx.host.options()


@dataclass(frozen=True, slots=True)
class Module:
    name: str
    is_loaded: bool = named("Is Loaded")
    is_enabled: bool = named("Is Enabled")


@command("system module list", "List the drivers in the vmkernel's image.", style=Style.TABLE)
def module_list(ctx: Context) -> list[Module]:
    rows = [Module("vmkernel", True, True)]
    return rows + [Module(d.name, d.bound > 0, True) for d in ctx.host.drivers()]


@dataclass(frozen=True, slots=True)
class ModuleInfo:
    module: str
    description: str
    specification: str
    devices: int
    hcl_rows: int = named("HCL Rows")


@command("system module get", "Show information for a driver.")
def module_get(
    ctx: Context, module: Annotated[str, Opt("-m", "The name of the module.")]
) -> ModuleInfo:
    for d in ctx.host.drivers():
        if d.name == module:
            return ModuleInfo(d.name, d.desc, d.spec, d.bound, d.rows)
    raise FailedError(f"No module named '{module}'", "`system module list` shows them")


@dataclass(frozen=True, slots=True)
class Process:
    name: str
    world_id: int = named("World ID")
    process_id: int = named("Process ID")


@command("system process list", "List the userworld processes.", style=Style.TABLE)
def process_list(ctx: Context) -> list[Process]:
    worlds = [w for w in ctx.host.worlds() if w.kind == 1]
    return [Process(w.name, w.id, w.pid) for w in sorted(worlds, key=lambda w: w.id)]


@command("system syslog list", "Show the vmkernel's log.", own=True)
def syslog_list(ctx: Context) -> str:
    parts: list[str] = []
    sequence = 0
    while True:
        sequence, text = ctx.host.log(sequence)
        if not text:
            return "".join(parts).rstrip("\n")
        parts.append(text)


@command("system syslog mark", "Mark the log with a line.", role=Role.OPERATOR)
def syslog_mark(ctx: Context, message: Annotated[str, Opt("-s", "The text of the line.")]) -> None:
    ctx.host.log_mark(message)


Reason = Annotated[str, Opt("-r", "Why the host goes down; it is logged.")]
Guests = Annotated[
    int, Opt("-g", "Seconds that guests have to shut down; 0: they are switched off.")
]


def down(ctx: Context, what: str, reason: str, guests: int, *, reboot: bool) -> None:
    """Guests first, through hostd; a host without hostd goes down all the same."""
    ctx.host.log_mark(f"{what}: {reason}")
    try:
        VmService(wait=2).down(guests, reboot=reboot)
    except VmError as e:
        ctx.host.log_mark(f"{what}: guests are not shut down: {e}")
        ctx.host.power(reboot=reboot)


@command("system shutdown poweroff", "Power off the system.", role=Role.ADMINISTRATOR)
def poweroff(ctx: Context, reason: Reason, guests: Guests = 60) -> None:
    down(ctx, "power off", reason, guests, reboot=False)


@command("system shutdown reboot", "Reboot the system.", role=Role.ADMINISTRATOR)
def reboot(ctx: Context, reason: Reason, guests: Guests = 60) -> None:
    down(ctx, "reboot", reason, guests, reboot=True)
