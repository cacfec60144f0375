# SPDX-License-Identifier: Apache-2.0
"""Checks passwords in a thread of their own, so that no command waits for scrypt.

A source may have SOURCE_MAX logins waiting, all together WAITING_MAX; more are refused at once, and
nothing of them is kept.
"""

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tepui.shell.hostd.access import Access, RequestError
from tepui.shell.hostd.accounts import Account
from tepui.shell.hostd.gate import source_of

THREADS, WAITING_MAX, SOURCE_MAX = 1, 32, 8
#: Letters of a password that are looked at; more are refused.
PASSWORD_MAX = 1024


class Logins:
    """Of HTTPS and SSH together; used from the event loop's thread."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._pool = ThreadPoolExecutor(THREADS, "login")
        self._waiting: Counter[str] = Counter()

    async def login(self, name: str, password: str, address: str) -> Account:
        """Raises RequestError."""
        source = source_of(address)
        if self._waiting[source] >= SOURCE_MAX or self._waiting.total() >= WAITING_MAX:
            raise RequestError(429, "too many logins at once: try again")
        if len(password) > PASSWORD_MAX:
            raise RequestError(401, "wrong account or password")
        self._waiting[source] += 1
        # The count falls when the thread is done, not when the client has gone: what it started
        # still takes its turn.
        loop = asyncio.get_running_loop()
        future = loop.run_in_executor(self._pool, self.access.login, name, password, address)
        future.add_done_callback(lambda _: self._done(source))
        return await asyncio.shield(future)

    def _done(self, source: str) -> None:
        self._waiting[source] -= 1
        if not self._waiting[source]:
            del self._waiting[source]
