# SPDX-License-Identifier: Apache-2.0
"""Accounts with roles, their passwords (scrypt, RFC 7914) and the lock-out after failures.

The store is one JSON file, replaced atomically, mode 0600. An account without a password logs in at
the local console only, never here.
"""

import ctypes
import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tepui.shell import files
from tepui.shell.command import Role

FAILURES, LOCK_SECONDS = 5, 15 * 60
N, R, P = 1 << 14, 8, 1
NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
ORDER = (Role.READ_ONLY, Role.OPERATOR, Role.ADMINISTRATOR)


class AccountError(Exception):
    """Why an account was not made or changed; for people."""


@dataclass(frozen=True, slots=True)
class Account:
    """salt and key are hex; key "" is no password, one with $ in front crypt(5)'s."""

    name: str
    role: Role
    description: str = ""
    salt: str = ""
    key: str = ""

    def allows(self, role: Role) -> bool:
        return ORDER.index(self.role) >= ORDER.index(role)


def derive(password: str, salt: bytes) -> bytes:
    raw = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(raw, salt=salt, n=N, r=R, p=P, maxmem=64 << 20, dklen=32)


def crypt(password: str, setting: str) -> str:
    """crypt(3), "" where it refuses; one thread at a time."""
    function = ctypes.CDLL("libcrypt.so.1").crypt
    function.restype = ctypes.c_char_p
    raw = password.encode("utf-8", "surrogatepass")
    return "" if b"\0" in raw else (function(raw, setting.encode()) or b"").decode()


class Accounts:
    """The store; clock() is in seconds and never goes back. Failures count against one password:
    a new one, also when another process sets it, ends the lock."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(2)  # scrypt takes 16 MiB each time
        self._failures: dict[str, tuple[str, int, float]] = {}  # key, count, last

    def all(self) -> dict[str, Account]:
        """A fresh host has root without a password."""
        try:
            rows = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {"root": Account("root", Role.ADMINISTRATOR, "Administrator")}
        return {r["name"]: Account(**{**r, "role": Role(r["role"])}) for r in rows}

    @contextmanager
    def _changing(self, name: str) -> Iterator[dict[str, Account]]:
        """All accounts, to change that one; what they are afterwards is saved."""
        with files.locked(self._path):
            accounts = self.all()
            yield accounts
            if not any(a.role == Role.ADMINISTRATOR for a in accounts.values()):
                raise AccountError(f"{name} is the last administrator")
            rows = [asdict(a) for a in accounts.values()]
            files.replace(self._path, json.dumps(rows, indent=1))

    def _change(self, name: str, change: Callable[[Account], Account]) -> None:
        with self._changing(name) as accounts:
            if name not in accounts:
                raise AccountError(f"{name}: no such account")
            accounts[name] = change(accounts[name])

    def add(self, name: str, role: Role, password: str, description: str = "") -> None:
        if not NAME.fullmatch(name):
            raise AccountError(f"{name!r}: lower-case letters, digits, _ and -, at most 32")
        with self._changing(name) as accounts:
            if name in accounts:
                raise AccountError(f"{name}: exists already")
            accounts[name] = self._with_password(Account(name, role, description), password)

    def set_password(self, name: str, password: str) -> None:
        self._change(name, lambda old: self._with_password(old, password))

    def set_hash(self, name: str, key: str) -> None:
        """Sets the password by its hash ($5$ or $6$), as kickstart files carry it."""
        self._change(name, lambda old: replace(old, salt="", key=key))

    def set_role(self, name: str, role: Role) -> None:
        self._change(name, lambda old: replace(old, role=role))

    def remove(self, name: str) -> None:
        with self._changing(name) as accounts:
            if accounts.pop(name, None) is None:
                raise AccountError(f"{name}: no such account")

    @staticmethod
    def _with_password(account: Account, password: str) -> Account:
        if len(password) < 7:
            raise AccountError("a password has at least 7 characters")
        salt = secrets.token_bytes(16)
        return replace(account, salt=salt.hex(), key=derive(password, salt).hex())

    def _failed(self, account: Account) -> int:
        """Failures that still count."""
        key, count, last = self._failures.get(account.name, ("", 0, 0.0))
        return count if key == account.key and self._clock() - last < LOCK_SECONDS else 0

    def locked(self, name: str) -> bool:
        account = self.all().get(name)
        return account is not None and self._failed(account) >= FAILURES

    def check(self, name: str, password: str) -> Account | None:
        """The account if the password is right and it is not locked; always as slow."""
        account = self.all().get(name)
        salt = bytes.fromhex(account.salt) if account else bytes(16)
        with self._slots:
            key = derive(password, salt).hex()
        with self._lock:
            if account and account.key.startswith("$"):
                key = crypt(password, account.key)
            right = hmac.compare_digest(key, account.key if account else "")
            if account is None or not account.key or (failed := self._failed(account)) >= FAILURES:
                return None
            if right:
                self._failures.pop(name, None)
                return account
            self._failures[name] = (account.key, failed + 1, self._clock())
            return None
