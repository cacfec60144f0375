# SPDX-License-Identifier: Apache-2.0
"""The audit log: who tried what, from where, and what came of it; one line each.

    2026-11-23T03:04:05Z login refused user="root" source="10.0.2.2" reason="wrong password"

Values are JSON strings, so nothing that somebody sends can look like a line of its own.
"""

import contextlib
import os
import time
from pathlib import Path

LOG = Path("/var/log/audit.log")
SIZE_MAX = 1 << 20  # then it becomes audit.log.1


class Audit:
    """Appends to one file; processes may share it, since a line is one write."""

    def __init__(self, path: Path = LOG) -> None:
        self.path = path

    def record(self, event: str, outcome: str, **details: str) -> None:
        import json  # 0.1 s on a slow machine, and most commands only look

        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        words = [f"{k}={json.dumps(v)}" for k, v in details.items() if v]
        line = " ".join((stamp, event, outcome, *words)) + "\n"
        # A log that cannot be written must not lock the administrator out who would mend it.
        with contextlib.suppress(OSError):
            if self.path.exists() and self.path.stat().st_size > SIZE_MAX:
                self.path.replace(self.path.with_name(self.path.name + ".1"))
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(self.path, flags, 0o600)
            try:
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
