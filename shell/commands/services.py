# SPDX-License-Identifier: Apache-2.0
"""esxcli system ssh|ntp|hostname ...: services and the name of this host; its own console."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from tepui.shell import files
from tepui.shell.command import FailedError, Opt, Role, UsageError, command
from tepui.shell.config import change
from tepui.shell.config.document import Document, host_name
from tepui.shell.config.store import Store, state
from tepui.shell.output import named
from tepui.shell.run import Context
from tepui.shell.stream import Shell, Stream

ADMIN = Role.ADMINISTRATOR


def _edit(ctx: Context, reason: str, with_: Callable[[Document], Document]) -> None:
    change.edit(with_, ctx.user, reason)


def _document() -> Document:
    return Store().current().document


@dataclass(frozen=True, slots=True)
class SshServer:
    enabled: bool
    port: int


@command("system ssh server get", "Whether SSH is on.", own=True)
def ssh_get(ctx: Context) -> SshServer:
    return SshServer(_document().ssh.enabled, 22)


@command("system ssh server set", "Switch SSH on or off.", role=ADMIN, own=True)
def ssh_set(ctx: Context, enabled: Annotated[bool, Opt("-e", "Whether SSH is on.")]) -> None:
    reason = f"system ssh server set -e {str(enabled).lower()}"
    _edit(ctx, reason, lambda d: replace(d, ssh=replace(d.ssh, enabled=enabled)))


User = Annotated[str, Opt("-u", "Whose key it is.")]
Key = Annotated[str, Opt("-k", "The public key, as OpenSSH writes it.")]


@command("system ssh key list", "List the keys that open a user's console.", role=ADMIN)
def key_list(ctx: Context, user: User = "root") -> str:
    from tepui.shell.hostd import sshkeys

    return "\n".join(sshkeys.keys(state(), user))


def _set_keys(user: str, change_: Callable[[list[str]], list[str]]) -> None:
    from tepui.shell.hostd import sshkeys

    try:
        with files.locked(state() / "ssh/keys"):
            sshkeys.set_keys(state(), user, change_(sshkeys.keys(state(), user)))
    except ValueError as e:
        raise UsageError(str(e)) from e


@command("system ssh key add", "Let a key open a user's console.", role=ADMIN)
def key_add(ctx: Context, key: Key, user: User = "root") -> None:
    _set_keys(user, lambda old: [*old, key.strip()])


@command("system ssh key remove", "Take a key away.", role=ADMIN)
def key_remove(ctx: Context, key: Key, user: User = "root") -> None:
    def without(old: list[str]) -> list[str]:
        left = [line for line in old if line.split()[:2] != key.split()[:2]]
        if left == old:
            raise FailedError("no such key")
        return left

    _set_keys(user, without)


@dataclass(frozen=True, slots=True)
class NtpBlock:
    enabled: bool
    servers: list[str]


@command("system ntp get", "Display Network Time Protocol configuration.")
def ntp_get(ctx: Context) -> NtpBlock:
    ntp = _document().ntp
    return NtpBlock(ntp.enabled, list(ntp.servers))


@command("system ntp set", "Configure the Network Time Protocol client.", role=ADMIN)
def ntp_set(
    ctx: Context,
    enabled: Annotated[bool | None, Opt("-e", "Whether the clock follows the servers.")] = None,
    server: Annotated[tuple[str, ...], Opt("-s", "A server; may be repeated.")] = (),
) -> None:
    for name in server:
        try:
            host_name(name)
        except ValueError as e:
            raise UsageError(f"{name}: {e}") from e

    def changed(d: Document) -> Document:
        on = d.ntp.enabled if enabled is None else enabled
        return replace(d, ntp=replace(d.ntp, enabled=on, servers=server or d.ntp.servers))

    _edit(ctx, "system ntp set", changed)


@dataclass(frozen=True, slots=True)
class HostName:
    domain_name: str = named("Domain Name")
    fully_qualified_domain_name: str = named("Fully Qualified Domain Name")
    host_name: str = named("Host Name")


@command("system hostname get", "Get the host, domain or fully qualified name of this host.")
def hostname_get(ctx: Context) -> HostName:
    whole = _document().hostname
    host, _, domain = whole.partition(".")
    return HostName(domain, whole, host)


@command("system hostname set", "Set the name of this host.", role=ADMIN)
def hostname_set(
    ctx: Context, fqdn: Annotated[str, Opt("-f", "The name, with or without its domain.")]
) -> None:
    try:
        host_name(fqdn)
    except ValueError as e:
        raise UsageError(f"{fqdn}: {e}") from e
    _edit(ctx, "system hostname set", lambda d: replace(d, hostname=fqdn))
    change.set_hostname(fqdn)


@command(
    "system console", "The service console of this host: a shell.",
    role=ADMIN, own=True, interactive=True,
)  # fmt: skip
def console(ctx: Context) -> Stream:
    return Shell()
