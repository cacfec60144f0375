# SPDX-License-Identifier: Apache-2.0
"""esxcli system account ...: who may log in to hostd, and with which role."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tepui.shell.command import FailedError, Opt, Role, command
from tepui.shell.hostd.accounts import AccountError, Accounts
from tepui.shell.output import Style, named
from tepui.shell.run import Context

STORE = Path("/var/lib/tepui/accounts.json")


@dataclass(frozen=True, slots=True)
class AccountRow:
    user_id: str = named("User ID")
    description: str = named("Description")
    role: str = named("Role")
    has_password: bool = named("Has Password")


@command("system account list", "List local accounts.", style=Style.TABLE)
def account_list(ctx: Context) -> list[AccountRow]:
    rows = Accounts(STORE).all().values()
    return [AccountRow(a.name, a.description, str(a.role), bool(a.key)) for a in rows]


Password = Annotated[str, Opt("-p", "The password, at least 7 characters.")]
Name = Annotated[str, Opt("-i", "The account's name.", name="id")]


@command("system account add", "Create a new account.", role=Role.ADMINISTRATOR)
def account_add(
    ctx: Context,
    name: Name,
    password: Password,
    role: Annotated[Role, Opt("-r", "What it may do.")] = Role.READ_ONLY,
    description: Annotated[str, Opt("-d", "Who it is.")] = "",
) -> None:
    try:
        Accounts(STORE).add(name, role, password, description)
    except AccountError as e:
        raise FailedError(str(e)) from e


@command("system account set", "Change an account's password.", role=Role.ADMINISTRATOR)
def account_set(ctx: Context, name: Name, password: Password) -> None:
    try:
        Accounts(STORE).set_password(name, password)
    except AccountError as e:
        raise FailedError(str(e)) from e


@command("system account remove", "Remove an account.", role=Role.ADMINISTRATOR)
def account_remove(ctx: Context, name: Name) -> None:
    try:
        Accounts(STORE).remove(name)
    except AccountError as e:
        raise FailedError(str(e)) from e
