# SPDX-License-Identifier: Apache-2.0
"""A serial console over a socket: waits for what the other side prints, types back."""

import codecs
import os
import re
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path

#: Slow machines stretch every timeout by this factor.
SCALE = float(os.environ.get("TEPUI_TIMEOUT_SCALE", "1"))

#: What the vmkernel prints when it has panicked; an expectation that does not ask for it fails.
PANIC = re.compile(r"^PANIC:", re.MULTILINE)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>()][0-9A-Z]?|\r")
UNFINISHED = re.compile(r"\x1b(?:\[[0-9;?]*)?$")


class ConsoleError(AssertionError):
    """What was expected did not come; the message holds the console's last lines."""


class Console:
    """`alive` tells whether the machine behind still runs; everything read goes to `log`."""

    def __init__(self, stream: socket.socket, log: Path, alive: Callable[[], bool]) -> None:
        self.stream = stream
        self.log = log.open("wb")
        self.alive = alive
        self.transcript = ""
        self.unfinished = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.position = 0

    def close(self) -> None:
        self.drain()
        self.stream.close()
        self.log.close()

    def drain(self, wait: float = 0) -> bool:
        """Takes what has arrived, waiting `wait` seconds for a first byte; False at the end."""
        while select.select([self.stream], [], [], wait)[0]:
            try:
                data = self.stream.recv(65536)
            except ConnectionResetError:
                return False
            if not data:
                return False
            self.log.write(data)
            self.log.flush()
            self.take(self.decoder.decode(data))
            wait = 0
        return True

    def take(self, text: str) -> None:
        """Adds what was read to the transcript, without escape sequences; one that has not
        arrived as a whole waits for its rest."""
        text = self.unfinished + text
        cut = UNFINISHED.search(text)
        end = cut.start() if cut else len(text)
        self.unfinished = text[end:]
        self.transcript += ESCAPES.sub("", text[:end])

    def expect(self, pattern: str, timeout: float = 60, *, panic: bool = False) -> re.Match[str]:
        """Waits until `pattern` (multi-line) appears behind the last match; returns the match.

        ConsoleError at the timeout (seconds), when the machine ends, and, unless `panic`, when
        the vmkernel panics."""
        wanted = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout * SCALE
        while True:
            running = self.alive()
            connected = self.drain(0.2 if running else 0)
            if match := wanted.search(self.transcript, self.position):
                self.position = match.end()
                return match
            if not panic and PANIC.search(self.transcript, self.position):
                self.drain(1)
                raise ConsoleError(self.complaint(pattern, "the vmkernel panicked"))
            if not running or not connected:
                raise ConsoleError(self.complaint(pattern, "the machine ended"))
            if time.monotonic() > deadline:
                raise ConsoleError(self.complaint(pattern, f"not within {timeout} s"))

    def expect_all(self, *patterns: str, timeout: float = 60) -> None:
        """Waits for all patterns behind the last match, in any order: who prints them differs."""
        start, ends = self.position, []
        for pattern in patterns:
            self.position = start
            ends.append(self.expect(pattern, timeout).end())
        self.position = max(ends)

    def command(self, line: str, timeout: float = 60) -> tuple[int, str]:
        """A line for the shell at its prompt: exit status and what it prints behind its echo."""
        start = self.position
        self.send(f"{line}; echo end=$?\n")
        found = self.expect(r"end=(\d+)\s", timeout)
        _, _, printed = self.transcript[start : found.start()].rpartition("$?")
        return int(found[1]), printed

    def complaint(self, pattern: str, reason: str) -> str:
        tail = "\n".join(self.transcript.splitlines()[-60:])
        return f"expected {pattern!r}: {reason}; the console's last lines:\n{tail}"

    def send(self, text: str) -> None:
        self.stream.sendall(text.encode())
