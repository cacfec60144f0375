# SPDX-License-Identifier: Apache-2.0
"""`make bench-compare OLD.json`: what changed between two runs of `make bench`.

    python -m tests.bench.compare OLD.json [NEW.json]

A line a figure: name, old, new, ratio; `better` or `worse` behind those that differ by more than
2%, which figures under -icount do not do by themselves. Exit status: 1 when one is worse, 2 for
wrong usage.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
NEW = ROOT / "build/bench.json"
TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Run:
    """`rows` by the figure's name."""

    title: str
    rows: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises OSError, and ValueError for what is no such file. Before 2.1 there was a list of
        rows only."""
        found = json.loads(path.read_text())
        if isinstance(found, list):
            found = {"commit": "unknown commit", "date": "unknown date", "figures": found}
        try:
            rows = {row["name"]: row for row in found["figures"]}
            return cls(f"{path}: {found['commit']}, {found['date']}", rows)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} was not written by make bench") from error


@dataclass(frozen=True, slots=True)
class Change:
    name: str
    old: float
    new: float
    better: str  # "lower" or "higher"

    @property
    def ratio(self) -> float:
        if self.old:
            return self.new / self.old
        return 1.0 if self.new == self.old else float("inf")

    @property
    def verdict(self) -> str:
        """ "", "better" or "worse"."""
        if abs(self.new - self.old) <= TOLERANCE * abs(self.old):
            return ""
        return "better" if (self.new < self.old) == (self.better == "lower") else "worse"

    def __str__(self) -> str:
        line = f"{self.name:<40}{self.old:>16,.0f}{self.new:>16,.0f}{self.ratio:>9.3f}"
        return f"{line}  {self.verdict}".rstrip()


def changes(old: Run, new: Run) -> list[Change]:
    """Of the figures that both have, in the new one's order."""
    return [
        Change(name, old.rows[name]["value"], row["value"], row["better"])
        for name, row in new.rows.items()
        if name in old.rows
    ]


def main(argv: Sequence[str]) -> int:
    if len(argv) not in (1, 2):
        print("usage: make bench-compare OLD.json", file=sys.stderr)
        return 2
    try:
        old, new = Run.read(Path(argv[0])), Run.read(Path(argv[1]) if argv[1:] else NEW)
    except (OSError, ValueError) as error:
        print(f"bench-compare: {error}", file=sys.stderr)
        return 2
    print(f"old  {old.title}\nnew  {new.title}")
    found = changes(old, new)
    print(*found, sep="\n")
    for title, ones, others in (("only old", old, new), ("only new", new, old)):
        if names := [name for name in ones.rows if name not in others.rows]:
            print(f"{title}: {', '.join(names)}")
    worse = [change.name for change in found if change.verdict == "worse"]
    print(f"worse by more than {TOLERANCE:.0%}: {', '.join(worse) or 'none'}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
