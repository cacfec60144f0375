# SPDX-License-Identifier: Apache-2.0
"""Tokens: 256 random bits that a client shows with each request; only their hashes are kept.

A session's lives in memory and ends; an API token, for programs, is in a file until it is removed
or its day comes.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from tepui.shell import files
from tepui.shell.command import Role

IDLE_SECONDS, LIFE_SECONDS, SESSIONS_MAX = 30 * 60, 24 * 3600, 1024


def key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


@dataclass(slots=True)
class Session:
    """mark: the account's salt at login, so that a new password ends the old one's sessions."""

    account: str
    mark: str
    born: float
    used: float


class Tokens:
    """clock() is in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}

    def _alive(self, s: Session) -> bool:
        now = self._clock()
        return now - s.used < IDLE_SECONDS and now - s.born < LIFE_SECONDS

    def issue(self, account: str, mark: str) -> str:
        """A fresh token; the one unused for longest goes when there are too many."""
        self._sessions = {k: s for k, s in self._sessions.items() if self._alive(s)}
        if len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[min(self._sessions, key=lambda k: self._sessions[k].used)]
        token, now = secrets.token_urlsafe(32), self._clock()
        self._sessions[key(token)] = Session(account, mark, now, now)
        return token

    def find(self, token: str, *, touch: bool = True) -> Session | None:
        """The session while it lasts; touch: this is a use of it."""
        session = self._sessions.get(key(token))
        if session is None or not self._alive(session):
            return None
        if touch:
            session.used = self._clock()
        return session

    def revoke(self, token: str) -> None:
        self._sessions.pop(key(token), None)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """hash is hex; ends is in seconds since 1970, 0 for never."""

    name: str
    account: str
    role: Role
    ends: int
    hash: str


class ApiTokens:
    """The file of API tokens; read with each use, so that a removed one is dead at once."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock

    def all(self) -> dict[str, ApiToken]:
        try:
            rows = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        return {r["name"]: ApiToken(**{**r, "role": Role(r["role"])}) for r in rows}

    def _save(self, tokens: dict[str, ApiToken]) -> None:
        files.replace(self._path, json.dumps([asdict(t) for t in tokens.values()], indent=1))

    def issue(self, name: str, account: str, role: Role, days: int) -> str:
        """Raises KeyError when the name is taken. days: 0 for ever."""
        token = secrets.token_urlsafe(32)
        ends = int(self._clock()) + days * 86400 if days else 0
        with files.locked(self._path):
            tokens = self.all()
            if name in tokens:
                raise KeyError(name)
            tokens[name] = ApiToken(name, account, role, ends, key(token).hex())
            self._save(tokens)
        return token

    def find(self, token: str) -> ApiToken | None:
        wanted, now = key(token).hex(), self._clock()
        for t in self.all().values():
            if secrets.compare_digest(t.hash, wanted):
                return t if t.ends == 0 or now < t.ends else None
        return None

    def remove(self, name: str) -> None:
        """Raises KeyError."""
        with files.locked(self._path):
            tokens = self.all()
            del tokens[name]
            self._save(tokens)

    def remove_account(self, account: str) -> None:
        with files.locked(self._path):
            self._save({n: t for n, t in self.all().items() if t.account != account})
