# SPDX-License-Identifier: Apache-2.0
"""esxcli system account|permission|auditrecords ...: who may log in, as what, and who did so."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from tepui.shell.command import FailedError, Opt, Role, Secret, command
from tepui.shell.config.store import state
from tepui.shell.hostd.accounts import AccountError, Accounts
from tepui.shell.hostd.tokens import ApiTokens
from tepui.shell.output import Style, iso_time, named
from tepui.shell.run import Context

ADMIN = Role.ADMINISTRATOR


def _accounts() -> Accounts:
    return Accounts(state() / "accounts.json")


def _tokens() -> ApiTokens:
    return ApiTokens(state() / "tokens.json")


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except AccountError as e:
        raise FailedError(str(e)) from e


@dataclass(frozen=True, slots=True)
class AccountRow:
    user_id: str = named("User ID")
    description: str = named("Description")
    role: str = named("Role")
    has_password: bool = named("Has Password")


@command("system account list", "List local accounts.", style=Style.TABLE)
def account_list(ctx: Context) -> list[AccountRow]:
    rows = _accounts().all().values()
    return [AccountRow(a.name, a.description, str(a.role), bool(a.key)) for a in rows]


Password = Annotated[str, Secret("-p", "The password, at least 7 characters; better typed.")]
Name = Annotated[str, Opt("-i", "The account's name.", name="id")]


@command("system account add", "Create a new account.", role=ADMIN)
def account_add(
    ctx: Context,
    name: Name,
    password: Password,
    role: Annotated[Role, Opt("-r", "What it may do.")] = Role.READ_ONLY,
    description: Annotated[str, Opt("-d", "Who it is.")] = "",
) -> None:
    with _refusals():
        _accounts().add(name, role, password, description)


@command("system account set", "Change an account's password.", role=ADMIN)
def account_set(ctx: Context, name: Name, password: Password) -> None:
    with _refusals():
        _accounts().set_password(name, password)


@command("system account remove", "Remove an account and its tokens.", role=ADMIN)
def account_remove(ctx: Context, name: Name) -> None:
    with _refusals():
        _accounts().remove(name)
    _tokens().remove_account(name)


@command("system permission set", "Change an account's role.", role=ADMIN)
def permission_set(ctx: Context, name: Name, role: Annotated[Role, Opt("-r", "The role.")]) -> None:
    with _refusals():
        _accounts().set_role(name, role)


@dataclass(frozen=True, slots=True)
class TokenRow:
    name: str
    user_id: str = named("User ID")
    role: str = named("Role")
    expires: str = named("Expires")


@command(
    "system account token list", "List the API tokens.", style=Style.TABLE, role=ADMIN, own=True
)
def token_list(ctx: Context) -> list[TokenRow]:
    return [
        TokenRow(t.name, t.account, str(t.role), iso_time(t.ends * 10**9) if t.ends else "never")
        for t in _tokens().all().values()
    ]


TokenName = Annotated[str, Opt("-n", "What the token is called.")]


@command(
    "system account token add", "Make an API token for a program; it is shown only now.",
    role=ADMIN, own=True,
)  # fmt: skip
def token_add(
    ctx: Context,
    token_name: TokenName,
    name: Name,
    role: Annotated[Role, Opt("-r", "The most that it may do.")] = Role.READ_ONLY,
    days: Annotated[int, Opt("-d", "How long it lives; 0: for ever.")] = 365,
) -> str:
    if name not in _accounts().all():
        raise FailedError(f"{name}: no such account")
    if not 0 <= days <= 36500 or not 0 < len(token_name) < 64:
        raise FailedError("days: 0 to 36500; a name of 1 to 63 characters")
    try:
        return _tokens().issue(token_name, name, role, days)
    except KeyError:
        raise FailedError(f"{token_name}: exists already") from None


@command("system account token remove", "Remove an API token.", role=ADMIN, own=True)
def token_remove(ctx: Context, token_name: TokenName) -> None:
    try:
        _tokens().remove(token_name)
    except KeyError:
        raise FailedError(f"{token_name}: no such token") from None


@command("system auditrecords list", "Show the audit log.", role=ADMIN, own=True)
def audit_list(ctx: Context) -> str:
    """The newest generation, and the one before where the newest is short."""
    texts = []
    for path in (ctx.audit.path.with_name(ctx.audit.path.name + ".1"), ctx.audit.path):
        try:
            texts.append(path.read_text())
        except FileNotFoundError:
            continue
    return "".join(texts).rstrip("\n")
