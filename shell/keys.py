# SPDX-License-Identifier: Apache-2.0
"""Single keys from the terminal, for programs that draw on it."""

import os
import re
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Self

#: What terminals send for function keys: the screen (TERM=linux), xterm, VT220.
FUNCTION = {
    "\x1b[[B": "F2", "\x1bOQ": "F2", "\x1b[12~": "F2",
    "\x1b[[D": "F4", "\x1bOS": "F4", "\x1b[14~": "F4", "\x1b[23~": "F11", "\x1b[24~": "F12",
}  # fmt: skip
SEQUENCE = re.compile(r"\x1b(?:\[\[?[0-9;]*[A-Za-z~]|O[A-Z])|.", re.DOTALL)


class Keys:
    """The terminal in raw mode while the context lasts."""

    def __init__(self) -> None:
        self.fd = sys.stdin.fileno()
        self.left = ""

    def __enter__(self) -> Self:
        self.saved = termios.tcgetattr(self.fd)
        self.raw()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.cooked()

    def raw(self) -> None:
        tty.setraw(self.fd)

    def cooked(self) -> None:
        """The terminal as it was found."""
        termios.tcsetattr(self.fd, termios.TCSADRAIN, self.saved)

    def get(self, wait: float | None) -> str:
        """A key within so many seconds: a character, a name of FUNCTION, or "" for none."""
        if not self.left:
            if not select.select([self.fd], [], [], wait)[0]:
                return ""
            data = os.read(self.fd, 256)
            if not data:
                raise EOFError
            self.left = data.decode("utf-8", "replace")
        found = SEQUENCE.match(self.left)
        key = found[0] if found else self.left
        self.left = self.left[len(key) :]
        return FUNCTION.get(key, key)

    def line(self, prompt: str) -> str:
        """A line, typed with the terminal's own editing."""
        self.cooked()
        try:
            return input(prompt)
        except EOFError:
            return ""
        finally:
            self.raw()
