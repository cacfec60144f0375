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
from tepui.shell.password import password_fault

FAILURES, LOCK_SECONDS = 5, 15 * 60
#: Accounts and places whose failures are remembered.
PLACES_MAX = 4096
#: The key of an account that no password opens: no hash looks like this.
NO_KEY = "!"
OPTIONS = Path("/proc/cmdline")
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


def booted_from_disk(options: Path = OPTIONS) -> bool:
    """Whether this is an installed host: its boot menu names the bank (osdata.py)."""
    return re.search(r"(?:^|\s)bootbank=", options.read_text()) is not None


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
    """The store; clock() is in seconds and never goes back. Failures count against one password,
    where they come from: a new password, also when another process sets it, ends the lock, and who
    guesses in one place locks nobody out in another."""

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        installed: Callable[[], bool] = booted_from_disk,
    ) -> None:
        self._path, self._clock, self._installed = path, clock, installed
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(2)  # scrypt takes 16 MiB each time
        #: By account and place: key, count, last.
        self._failures: dict[tuple[str, str], tuple[str, int, float]] = {}

    def all(self) -> dict[str, Account]:
        """The live ISO has root without a password. The installer gives it one, so where an
        installed host has no accounts its own data is missing, and nobody gets in."""
        try:
            rows = json.loads(self._path.read_text())
        except FileNotFoundError:
            key = NO_KEY if self._installed() else ""
            return {"root": Account("root", Role.ADMINISTRATOR, "Administrator", key=key)}
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
        if fault := password_fault(password):
            raise AccountError(fault)
        salt = secrets.token_bytes(16)
        return replace(account, salt=salt.hex(), key=derive(password, salt).hex())

    def _failed(self, account: Account, place: str) -> int:
        """Failures that still count."""
        key, count, last = self._failures.get((account.name, place), ("", 0, 0.0))
        return count if key == account.key and self._clock() - last < LOCK_SECONDS else 0

    def locked(self, name: str, place: str = "") -> bool:
        account = self.all().get(name)
        return account is not None and self._failed(account, place) >= FAILURES

    def check(self, name: str, password: str, place: str = "") -> Account | None:
        """The account if the password is right and it is not locked for this place, a service with
        a source; always as slow. An empty password is no guess and does not count."""
        account = self.all().get(name)
        salt = bytes.fromhex(account.salt) if account else bytes(16)
        with self._slots:
            key = derive(password, salt).hex()
        with self._lock:
            if account and account.key.startswith("$"):
                key = crypt(password, account.key)
            right = hmac.compare_digest(key, account.key if account else "")
            if account is None or not account.key:
                return None
            if (failed := self._failed(account, place)) >= FAILURES:
                return None
            if right:
                self._failures.pop((name, place), None)
                return account
            if password:
                self._note(name, place, account.key, failed + 1)
            return None

    def _note(self, name: str, place: str, key: str, failed: int) -> None:
        """Remembers a failure; the oldest is forgotten where there are too many."""
        self._failures.pop((name, place), None)
        if len(self._failures) >= PLACES_MAX:
            del self._failures[next(iter(self._failures))]
        self._failures[name, place] = (key, failed, self._clock())
