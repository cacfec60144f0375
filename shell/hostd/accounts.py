# SPDX-License-Identifier: Apache-2.0
"""Accounts with roles, their passwords (scrypt, RFC 7914) and the lock-out after failures.

The store is one JSON file, replaced atomically, mode 0600. An account without a password logs in at
the local console only, never here.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tepui.shell.command import Role

FAILURES, LOCK_SECONDS = 5, 15 * 60
N, R, P = 1 << 14, 8, 1
NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
ORDER = (Role.READ_ONLY, Role.OPERATOR, Role.ADMINISTRATOR)


class AccountError(Exception):
    """Why an account was not made or changed; for people."""


@dataclass(frozen=True, slots=True)
class Account:
    """salt and key are hex; key "" is no password."""

    name: str
    role: Role
    description: str = ""
    salt: str = ""
    key: str = ""

    def allows(self, role: Role) -> bool:
        return ORDER.index(self.role) >= ORDER.index(role)


def derive(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=N, r=R, p=P, maxmem=64 << 20, dklen=32)


class Accounts:
    """The store; clock() is in seconds and never goes back."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._failures: dict[str, tuple[int, float]] = {}

    def all(self) -> dict[str, Account]:
        """A fresh host has root without a password."""
        try:
            rows = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {"root": Account("root", Role.ADMINISTRATOR, "Administrator")}
        return {r["name"]: Account(**{**r, "role": Role(r["role"])}) for r in rows}

    def _save(self, accounts: dict[str, Account]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump([asdict(a) for a in accounts.values()], stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(self._path)

    def add(self, name: str, role: Role, password: str, description: str = "") -> None:
        accounts = self.all()
        if name in accounts:
            raise AccountError(f"{name}: exists already")
        if not NAME.fullmatch(name):
            raise AccountError(f"{name!r}: lower-case letters, digits, _ and -, at most 32")
        accounts[name] = self._with_password(Account(name, role, description), password)
        self._save(accounts)

    def set_password(self, name: str, password: str) -> None:
        accounts = self.all()
        if name not in accounts:
            raise AccountError(f"{name}: no such account")
        accounts[name] = self._with_password(accounts[name], password)
        self._save(accounts)
        self._failures.pop(name, None)

    def remove(self, name: str) -> None:
        accounts = self.all()
        account = accounts.pop(name, None)
        if account is None:
            raise AccountError(f"{name}: no such account")
        if not any(a.role == Role.ADMINISTRATOR for a in accounts.values()):
            raise AccountError(f"{name} is the last administrator")
        self._save(accounts)

    @staticmethod
    def _with_password(account: Account, password: str) -> Account:
        if len(password) < 7:
            raise AccountError("a password has at least 7 characters")
        salt = secrets.token_bytes(16)
        return replace(account, salt=salt.hex(), key=derive(password, salt).hex())

    def locked(self, name: str) -> bool:
        count, last = self._failures.get(name, (0, 0.0))
        return count >= FAILURES and self._clock() - last < LOCK_SECONDS

    def check(self, name: str, password: str) -> Account | None:
        """The account if the password is right and it is not locked; always as slow."""
        account = self.all().get(name)
        salt = bytes.fromhex(account.salt) if account else bytes(16)
        right = hmac.compare_digest(derive(password, salt).hex(), account.key if account else "")
        if self.locked(name) or account is None or not account.key:
            return None
        if right:
            self._failures.pop(name, None)
            return account
        count, last = self._failures.get(name, (0, 0.0))
        fresh = self._clock() - last >= LOCK_SECONDS
        self._failures[name] = (1 if fresh else count + 1, self._clock())
        return None
