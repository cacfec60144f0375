# SPDX-License-Identifier: Apache-2.0
"""passwd: a new password for an account of this host, as the console, SSH and the API know it.

usage: passwd [NAME]

Without NAME it is root's, whose console this is; then the present password is asked for, if there
is one. Scripts use `esxcli system account set -i NAME --password-stdin`.
"""

import sys
from collections.abc import Sequence
from getpass import getpass

from tepui.shell.audit import Audit
from tepui.shell.hostd.accounts import AccountError, Accounts
from tepui.shell.login import ACCOUNTS, ask

USER = "root"  # whoever has a shell


class PasswordError(Exception):
    """Why the password stays as it is; for people."""


def change(accounts: Accounts, name: str) -> None:
    """Asks and changes. Raises PasswordError, AccountError, OSError, EOFError."""
    if name not in accounts.all():
        raise PasswordError(f"{name}: no such account")
    if name == USER and ask(accounts, name, "Current password: ") is None:
        raise PasswordError("wrong password")
    password = getpass("New password: ")
    if getpass("New password again: ") != password:
        raise PasswordError("the two differ")
    accounts.set_password(name, password)


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in ("-h", "--help"):
        print((__doc__ or "").strip())
        return 0
    if len(words) > 1 or any(word.startswith("-") for word in words):
        print("usage: passwd [NAME]", file=sys.stderr)
        return 2
    name = words[0] if words else USER
    outcome, why = "refused", ""
    try:
        if not sys.stdin.isatty():
            raise PasswordError("a password is typed at a terminal; passwd --help")
        change(Accounts(ACCOUNTS), name)
        outcome = "done"
    except (PasswordError, AccountError, OSError) as error:
        why = str(error)
    except (EOFError, KeyboardInterrupt):
        print()
        why = "interrupted"
    Audit().record("password", outcome, user=USER, source="console", account=name, reason=why)
    if why:
        print(f"passwd: {why}; the password of {name} is unchanged", file=sys.stderr)
        return 1
    print(f"The password of {name} is changed.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
