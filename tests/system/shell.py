# SPDX-License-Identifier: Apache-2.0
"""A person at the serial console: logs in, runs lines, reads what they print."""

import itertools
import json
from pathlib import Path
from typing import Any

from tests.system.machine import READY, ROOT, Machine

PROGRAMS = ROOT / "tests/system/programs"
PIECE = 3000  # bytes typed before the host is asked whether they arrived


class Shell:
    """A logged-in session on a machine's serial console."""

    def __init__(self, machine: Machine, booted: bool = False, password: str = "") -> None:
        """`booted`: the console has shown READY already. `password`: root's, "" for none."""
        self.machine = machine
        self.console = machine.console
        self.marks = 0
        if not booted:
            self.console.expect(READY, 120)
        self.console.expect("login: ", 120)
        self.console.send("root\r")
        if password:
            self.console.expect("Password: ", 120)
            self.console.send(f"{password}\r")
        self.console.expect(r"\] ", 120)

    def run(self, command: str, timeout: float = 120) -> tuple[int, str]:
        """Exit status and output of a line of the shell."""
        self.marks += 1
        mark = f"mark-{self.marks}"
        self.console.send(f"echo {mark}-begin; {command}; echo {mark}-end-$?\r")
        found = self.console.expect(
            rf"(?s)\n{mark}-begin\r?\n(?P<text>.*?){mark}-end-(?P<rc>\d+)", timeout
        )
        return int(found["rc"]), found["text"].replace("\r\n", "\n")

    def json(self, command: str) -> Any:
        rc, text = self.run(f"esxcli --formatter=json {command}")
        assert rc == 0, text
        return json.loads(text)

    def put(self, source: Path) -> str:
        """Types a program into a file of the host; its path there.

        In pieces that a terminal's input queue (4 KiB) holds: it has no flow control."""
        target = f"/tmp/{source.name}"
        lines, to = source.read_text().splitlines(keepends=True), ">"
        while lines:
            size = itertools.accumulate(len(line) for line in lines)
            count = max(1, sum(total <= PIECE for total in size))
            piece, lines = "".join(lines[:count]), lines[count:]
            rc, text = self.run(f"cat {to}{target} <<'END'\n{piece}END\n true")
            assert rc == 0, text
            to = ">>"
        return target
