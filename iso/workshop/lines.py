# SPDX-License-Identifier: Apache-2.0
"""Prints lines of C and Python in the tree's own files beside what the first release may have."""

import subprocess
import sys
from pathlib import Path

#: language -> (suffixes, most lines that the first release may have)
LIMITS = {
    "C and assembly": ((".c", ".h", ".S", ".ld"), 30_000),
    "Python": ((".py",), 20_000),
}


def count(suffixes: tuple[str, ...]) -> int:
    files = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True).stdout
    paths = [Path(name) for name in files.splitlines() if name.endswith(suffixes)]
    return sum(len(path.read_bytes().splitlines()) for path in paths if path.exists())


def main() -> int:
    for language, (suffixes, limit) in LIMITS.items():
        lines = count(suffixes)
        over = f": {lines - limit:,} too many for the first release" if lines > limit else ""
        print(f"lines of {language}: {lines:,} of {limit:,}{over}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
