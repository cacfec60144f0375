# SPDX-License-Identifier: Apache-2.0
"""Session tokens: 256 random bits that a client shows with each request; only hashes are kept."""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

IDLE_SECONDS, LIFE_SECONDS, SESSIONS_MAX = 30 * 60, 24 * 3600, 1024


@dataclass(slots=True)
class Session:
    account: str
    born: float
    used: float


class Tokens:
    """clock() is in seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[bytes, Session] = {}

    @staticmethod
    def _key(token: str) -> bytes:
        return hashlib.sha256(token.encode()).digest()

    def _alive(self, s: Session) -> bool:
        now = self._clock()
        return now - s.used < IDLE_SECONDS and now - s.born < LIFE_SECONDS

    def issue(self, account: str) -> str:
        """A fresh token; the one unused for longest goes when there are too many."""
        self._sessions = {k: s for k, s in self._sessions.items() if self._alive(s)}
        if len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[min(self._sessions, key=lambda k: self._sessions[k].used)]
        token, now = secrets.token_urlsafe(32), self._clock()
        self._sessions[self._key(token)] = Session(account, now, now)
        return token

    def account(self, token: str) -> str | None:
        """Whose token it is, while it is valid."""
        session = self._sessions.get(self._key(token))
        if session is None or not self._alive(session):
            return None
        session.used = self._clock()
        return session.account

    def revoke(self, token: str) -> None:
        self._sessions.pop(self._key(token), None)

    def revoke_account(self, account: str) -> None:
        self._sessions = {k: s for k, s in self._sessions.items() if s.account != account}
