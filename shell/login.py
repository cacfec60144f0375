# SPDX-License-Identifier: Apache-2.0
"""login at a local terminal: an account that has a password is asked for it, root without one is
not. busybox's login, which knows no scrypt, then starts the session.

usage: login [--] [NAME]
"""

import os
import socket
import sys
from getpass import getpass
from pathlib import Path

from tepui.shell.audit import Audit
from tepui.shell.hostd.accounts import Account, Accounts

ACCOUNTS = Path("/var/lib/tepui/accounts.json")
TRIES = 3
USERS = ("root",)  # who has a shell: etc/passwd


def ask(accounts: Accounts, name: str, prompt: str = "Password: ") -> Account | None:
    """The account, once whoever sits here has shown to be it."""
    known = accounts.all().get(name)
    if known and not known.key:
        return known
    return accounts.check(name, getpass(prompt))


def main() -> int:
    names = [word for word in sys.argv[1:] if word != "--"]
    accounts, audit = Accounts(ACCOUNTS), Audit()
    for _ in range(TRIES):
        try:
            name = names.pop() if names else input(f"{socket.gethostname()} login: ")
            found = ask(accounts, name)
        except (EOFError, KeyboardInterrupt):
            return 1
        right = found is not None and name in USERS
        audit.record("login", "done" if right else "refused", user=name, source="console")
        if right:
            os.execv("/usr/bin/busybox", ["login", "-f", name])
        print("Login incorrect")
    return 1
