# SPDX-License-Identifier: Apache-2.0
"""The document's file and its history. STATE/config.json is the newest revision, with its number,
time and author; STATE/config.history/N.json are the last ones before it."""

import json
import os
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from tepui.shell import files
from tepui.shell.config import plain
from tepui.shell.config.document import Document

KEPT = 50


@dataclass(frozen=True, slots=True)
class Revision:
    """time: seconds since 1970. reason: the command that made it."""

    number: int
    time: int
    user: str
    reason: str
    document: Document


FIRST = Revision(0, 0, "", "as made", Document())


def state() -> Path:
    """Where the host keeps what outlives a boot."""
    return Path(os.environ.get("TEPUI_STATE", "/var/lib/tepui"))


def run() -> Path:
    """Where the host keeps what ends with a boot."""
    return Path(os.environ.get("TEPUI_RUN", "/run"))


class Store:
    """Raises plain.ShapeError for a file that no release wrote."""

    def __init__(self, folder: Path | None = None) -> None:
        where = folder or state()
        self.path, self.history = where / "config.json", where / "config.history"

    @staticmethod
    def _load(path: Path) -> Revision:
        try:
            return plain.build(Revision, json.loads(path.read_text()), str(path))
        except ValueError as e:
            raise plain.ShapeError(f"{path}: {e}") from None

    def current(self) -> Revision:
        return self._load(self.path) if self.path.exists() else FIRST

    def revisions(self) -> list[Revision]:
        """Oldest first; the current one last."""
        numbers = sorted(int(p.stem) for p in self.history.glob("[0-9]*.json"))
        return [self._load(self.history / f"{n}.json") for n in numbers] + [self.current()]

    def find(self, number: int) -> Revision | None:
        return next((r for r in self.revisions() if r.number == number), None)

    def locked(self) -> AbstractContextManager[None]:
        """One process at a time changes the configuration and the host with it."""
        return files.locked(self.path)

    def save(self, document: Document, user: str, reason: str) -> Revision:
        """Makes `document` the current revision, unless it is that already."""
        before = self.current()
        if document == before.document:
            return before
        if self.path.exists():
            old = self.history / f"{before.number}.json"
            files.replace(old, self.path.read_text())
            (self.history / f"{before.number - KEPT}.json").unlink(missing_ok=True)
        new = Revision(before.number + 1, int(time.time()), user, reason, document)
        files.replace(self.path, json.dumps(plain.plain(new), indent=1))
        return new
