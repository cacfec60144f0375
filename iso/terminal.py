# SPDX-License-Identifier: Apache-2.0
"""Full-screen forms on a plain terminal: what every serial line and the vmkernel's own display
understand (ECMA-48 cursor movement and reverse video), 80 columns by 24 rows."""

import os
import select
import sys
import termios
import textwrap
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

COLUMNS, ROWS = 80, 24
#: How long the rest of a key's sequence may take to arrive, seconds.
SEQUENCE_WAIT = 0.2


class Key(StrEnum):
    """Keys that are no character; anything else is the character itself."""

    ENTER = "enter"
    ESCAPE = "escape"
    BACKSPACE = "backspace"
    TAB = "tab"
    UP = "up"
    DOWN = "down"
    OTHER = "other"


SEQUENCES = {"[A": Key.UP, "[B": Key.DOWN, "OA": Key.UP, "OB": Key.DOWN}
PLAIN = {
    "\r": Key.ENTER,
    "\n": Key.ENTER,
    "\t": Key.TAB,
    "\x7f": Key.BACKSPACE,
    "\b": Key.BACKSPACE,
    "\x1b": Key.ESCAPE,
}


class Terminal(Protocol):
    """Where screens are drawn and keys come from."""

    def write(self, text: str) -> None: ...

    def key(self) -> str: ...


class Tty:
    """The process's own terminal, in raw mode while `opened`."""

    @contextmanager
    def opened(self) -> Iterator["Tty"]:
        before = termios.tcgetattr(0)
        tty.setcbreak(0, termios.TCSADRAIN)  # what was typed ahead stays
        try:
            yield self
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)

    def write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    def _more(self) -> str:
        return (
            os.read(0, 1).decode("latin-1") if select.select([0], [], [], SEQUENCE_WAIT)[0] else ""
        )

    def key(self) -> str:
        char = os.read(0, 1).decode("latin-1")
        if not char:
            raise EOFError
        if char == "\x1b" and (more := self._more()):
            while len(more) < 8 and not ((len(more) > 1 and more[-1].isalpha()) or more[-1] == "~"):
                if not (char := self._more()):
                    break
                more += char
            return SEQUENCES.get(more, Key.OTHER)
        return PLAIN.get(char, char if char.isprintable() else Key.OTHER)


@dataclass(slots=True)
class Field:
    """A line of a form; hidden shows stars."""

    label: str
    value: str = ""
    hidden: bool = False


def _bar(text: str) -> str:
    return f"\x1b[7m {text:<{COLUMNS - 2}.{COLUMNS - 2}}\x1b[0m"


class Screens:
    """Draws one page at a time: title, body, the keys that work."""

    def __init__(self, terminal: Terminal, title: str) -> None:
        self.terminal, self.title = terminal, title

    def draw(
        self, head: str, body: Sequence[str], keys: str, cursor: tuple[int, int] = (0, 0)
    ) -> None:
        """cursor: row of the body and column, from 0."""
        out = ["\x1b[0m\x1b[2J\x1b[H", _bar(self.title), f"\x1b[3;3H{head}"]
        for row, line in enumerate(body[: ROWS - 7]):
            out.append(f"\x1b[{5 + row};3H{line}")
        out.append(f"\x1b[{ROWS};1H{_bar(keys)}\x1b[{5 + cursor[0]};{3 + cursor[1]}H")
        self.terminal.write("".join(out))

    def page(self, head: str, text: Sequence[str], keys: str, wanted: Sequence[str]) -> str:
        """Shows text until one of the wanted keys comes; returns it. Long texts scroll."""
        lines = [piece for line in text for piece in textwrap.wrap(line, COLUMNS - 4) or [""]]
        room, top = ROWS - 7, 0
        while True:
            more = "   Up/Down: more" if len(lines) > room else ""
            self.draw(head, lines[top : top + room], keys + more)
            key = self.terminal.key()
            if key in wanted:
                return key
            step = {Key.UP: -1, Key.DOWN: 1}.get(Key(key), 0) if key in list(Key) else 0
            top = max(0, min(len(lines) - room, top + step))

    def choose(self, head: str, rows: Sequence[str], note: str, start: int = 0) -> int | None:
        """The chosen row's index; None for Esc."""
        at = start
        while True:
            body = [note, ""]
            body += [f"\x1b[7m{r}\x1b[0m" if i == at else r for i, r in enumerate(rows)]
            self.draw(head, body, "Up/Down: choose   Enter: continue   Esc: back")
            key = self.terminal.key()
            if key in (Key.UP, Key.DOWN, Key.TAB):
                at = (at + (-1 if key == Key.UP else 1)) % len(rows)
            elif key == Key.ENTER:
                return at
            elif key == Key.ESCAPE:
                return None

    def form(self, head: str, fields: Sequence[Field], note: str) -> bool:
        """Fills the fields in; False for Esc. Enter on the last field ends."""
        at = 0
        while True:
            width = max(len(f.label) for f in fields) + 2
            shown = ["*" * len(f.value) if f.hidden else f.value for f in fields]
            body = [f"{f.label:<{width}}{s}" for f, s in zip(fields, shown, strict=True)]
            keys = "Tab: next field   Enter: continue   Esc: back"
            self.draw(
                head,
                [*body, "", *textwrap.wrap(note, COLUMNS - 4)],
                keys,
                (at, width + len(shown[at])),
            )
            key = self.terminal.key()
            field = fields[at]
            if key == Key.ESCAPE:
                return False
            if key == Key.ENTER and at == len(fields) - 1:
                return True
            if key in (Key.ENTER, Key.TAB, Key.DOWN, Key.UP):
                at = (at + (-1 if key == Key.UP else 1)) % len(fields)
            elif key == Key.BACKSPACE:
                field.value = field.value[:-1]
            elif len(key) == 1 and len(field.value) < 40:
                field.value += key

    def progress(self, head: str, done: int, total: int, what: str) -> None:
        filled = 50 * done // total if total else 0
        bar = f"[{'#' * filled}{'.' * (50 - filled)}] {100 * done // total if total else 0:3} %"
        self.draw(head, [bar, "", what], "Installing: leave the machine on")
