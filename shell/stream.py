# SPDX-License-Identifier: Apache-2.0
"""Consoles: bytes both ways between a terminal here and a guest's serial line, or a shell of the
host on a terminal of its own. Interactive commands return a Stream; `attach` is a person's end."""

import contextlib
import fcntl
import os
import select
import signal
import struct
import sys
import termios
from collections.abc import Iterator, Sequence
from typing import Protocol

DETACH = b"\x1d"  # Ctrl-], as telnet has it
EOT = b"\x04"
CHUNK = 16384


class Connection(Protocol):
    """What `attach` needs; recv gives b"" at the end and may be called when fileno is readable."""

    def fileno(self) -> int: ...
    def recv(self) -> bytes | None: ...
    def send(self, data: bytes) -> None: ...
    def resize(self, columns: int, rows: int) -> None: ...
    def close(self) -> int: ...


class Stream:
    """An open file as a console; owns the descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def fileno(self) -> int:
        return self.descriptor

    def recv(self) -> bytes | None:
        try:
            return os.read(self.descriptor, CHUNK)
        except BlockingIOError:
            return None
        except OSError:  # EIO: the terminal's last user has gone
            return b""

    def send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.descriptor, data) :]

    def resize(self, columns: int, rows: int) -> None:
        """Tells programs on it how large the person's window is."""

    def close(self) -> int:
        """Ends it; the exit status of what ran there."""
        os.close(self.descriptor)
        return 0


class Shell(Stream):
    """The service console, or one command of it, on a pseudo-terminal."""

    def __init__(self, command: Sequence[str] = (), term: str = "xterm") -> None:
        import subprocess

        master, slave = os.openpty()
        super().__init__(master)
        environment = {"HOME": "/root", "USER": "root", "TERM": term, "PATH": os.defpath}
        # setsid -c makes the terminal the session's own without code between fork and exec.
        self.process = subprocess.Popen(
            ["setsid", "-c", "sh", "-l", *command],
            stdin=slave, stdout=slave, stderr=slave, env=environment, cwd="/",
        )  # fmt: skip
        os.close(slave)

    def resize(self, columns: int, rows: int) -> None:
        with contextlib.suppress(OSError, struct.error):
            size = struct.pack("HHHH", rows, columns, 0, 0)
            fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, size)

    def close(self) -> int:
        from subprocess import TimeoutExpired

        super().close()
        for signum in (signal.SIGHUP, signal.SIGKILL):
            try:
                return self.process.wait(2)
            except TimeoutExpired:
                self.process.send_signal(signum)
        return self.process.wait()


@contextlib.contextmanager
def raw(descriptor: int) -> Iterator[None]:
    """The terminal hands every key through while this lasts."""
    if not os.isatty(descriptor):
        yield
        return
    import tty

    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSADRAIN)  # what was typed already stays
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def attach(there: Connection, at_end: bytes = b"") -> int:
    """Joins this process's terminal to a console until either ends or Ctrl-] is typed.

    at_end: sent when the input here ends. Returns the console's exit status.
    """
    here, out = sys.stdin.fileno(), sys.stdout.fileno()
    terminal = os.isatty(here)
    if terminal:
        size = os.get_terminal_size(here)
        there.resize(size.columns, size.lines)
    watched = [here, there.fileno()]
    try:
        with raw(here):
            while True:
                ready = select.select(watched, [], [])[0]
                if there.fileno() in ready:
                    data = there.recv()
                    if data == b"":
                        break
                    while data:
                        data = data[os.write(out, data) :]
                if here in ready:
                    typed = os.read(here, CHUNK)
                    if terminal and (not typed or DETACH in typed):
                        if before := typed.partition(DETACH)[0]:
                            there.send(before)
                        break
                    # The end of piped input is told to the console, whose output goes on.
                    if not typed:
                        watched.remove(here)
                    there.send(typed or at_end)
    finally:
        status = there.close()
    return status
