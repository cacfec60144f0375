# SPDX-License-Identifier: Apache-2.0
"""The audit log: who tried what, from where, and what came of it; one line each.

    2026-11-23T03:04:05Z login refused user="root" source="10.0.2.2" reason="wrong password"

Values are JSON strings, so nothing that somebody sends can look like a line of its own. What a
stranger can write is bounded three times, or it would push the history out of the log: a value has
VALUE_MAX bytes, a minute SOURCE_RATE refusals of a source and RATE of all (what is left out is
counted in the next line; a refused command is that of an account, and always written), and a full
file is kept in GENERATIONS older ones.
"""

import errno
import fcntl
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

LOG = Path("/var/log/audit.log")
SIZE_MAX, GENERATIONS = 1 << 20, 8  # then it becomes audit.log.1, that audit.log.2, ...
VALUE_MAX = 512
RATE, SOURCE_RATE, MINUTE = 120, 40, 60.0
#: Words of a command line in whose company passwords stand.
SECRETS = re.compile(
    r"pass|secret|token|credential|private|-stdin|\baccount\s+(add|set)\b", re.IGNORECASE
)


class AuditError(Exception):
    """The log cannot be written; for people."""


def bounded(text: str, most: int = VALUE_MAX) -> str:
    """A text, or its start and how long it was."""
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"


def without_secrets(line: str) -> str:
    """A shell command for the log: where it may carry a password only its program's name is left,
    and that only where it is no assignment."""
    if not SECRETS.search(line):
        return line
    first = line.split()[0]
    return "***" if re.search(r"[=<>|;&]", first) else f"{first} ***"


class Audit:
    """Appends to one file; processes may share it, each line is written under its lock."""

    def __init__(self, path: Path = LOG, clock: Callable[[], float] = time.monotonic) -> None:
        self.path, self._clock = path, clock
        self._since, self._refused, self._left_out = clock(), Counter[str](), 0

    def record(self, event: str, outcome: str, **details: str) -> None:
        """Writes a line; where that fails it is told on standard error. Callers that must not act
        unrecorded use `attempt` before."""
        stranger = outcome == "refused" and event != "command"
        if stranger and not self._room(details.get("source", "")):
            self._left_out += 1
            return
        if self._left_out:
            details["left_out"] = str(self._left_out)
            self._left_out = 0
        try:
            self._write(event, outcome, details)
        except OSError as e:
            # The login itself goes on: whoever mends the disk has to come in.
            what = f"{event} {outcome} is not recorded"
            print(f"audit: {self.path}: {e.strerror}: {what}", file=sys.stderr)

    def attempt(self, event: str, **details: str) -> None:
        """Records that something is about to be changed; AuditError where that cannot be."""
        try:
            self._write(event, "attempt", details)
        except OSError as e:
            raise AuditError(f"the audit log cannot be written: {e.strerror}") from e

    def _room(self, source: str) -> bool:
        """Whether this refusal is within the rates."""
        now = self._clock()
        if now - self._since >= MINUTE:
            self._since, self._refused = now, Counter()
        if self._refused.total() >= RATE or self._refused[source] >= SOURCE_RATE:
            return False
        self._refused[source] += 1
        return True

    def _write(self, event: str, outcome: str, details: dict[str, str]) -> None:
        import json  # 0.1 s on a slow machine, and most commands only look

        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        words = [f"{k}={json.dumps(bounded(v))}" for k, v in details.items() if v]
        line = (" ".join((stamp, event, outcome, *words)) + "\n").encode()
        while True:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(self.path, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if not self._is_current(descriptor):
                    continue
                if os.fstat(descriptor).st_size > SIZE_MAX:
                    self._rotate()
                    continue
                self._append(descriptor, line)
                return
            finally:
                os.close(descriptor)

    def _is_current(self, descriptor: int) -> bool:
        """False where another process has rotated between the opening and the lock."""
        try:
            return os.path.samestat(os.fstat(descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def _rotate(self) -> None:
        """Under the current file's lock."""
        older = [self.path.with_name(f"{self.path.name}.{n}") for n in range(1, GENERATIONS + 1)]
        for source, target in reversed(list(zip([self.path, *older], older, strict=False))):
            if source.exists():
                source.replace(target)

    @staticmethod
    def _append(descriptor: int, line: bytes) -> None:
        """A whole line, or none: a full disk takes back the part that it wrote."""
        size = os.fstat(descriptor).st_size
        written = os.write(descriptor, line)
        if written < len(line):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
