# SPDX-License-Identifier: Apache-2.0
"""packages.lock: version and digest of everything that the build fetches.

TOML, written by relock.py and read here. Three lists of tables:
  [[python]]  name, version, sha256 (of the wheel for Debian 12's CPython), product (bool: rides in
              the userworld image; false: only the workshop needs it)
  [[source]]  package, version, sha256 (of the upstream tar), folder (below build/src/)
  [[debian]]  package, version, sha256 (of the .deb): binary packages that ride in the image

usage: lock.py requirements [--product]     the Python pins in pip's format, on standard output
"""

import sys
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

LOCK = Path("packages.lock")


@dataclass(frozen=True, slots=True)
class PythonPin:
    name: str
    version: str
    sha256: str
    product: bool


@dataclass(frozen=True, slots=True)
class SourcePin:
    package: str
    version: str
    sha256: str
    folder: str


@dataclass(frozen=True, slots=True)
class DebianPin:
    package: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Lock:
    python: tuple[PythonPin, ...]
    source: tuple[SourcePin, ...]
    debian: tuple[DebianPin, ...]

    def requirements(self, product_only: bool = False) -> str:
        """The Python pins as a requirements file with hashes."""
        return "".join(
            f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}\n"
            for pin in self.python
            if pin.product or not product_only
        )


def load(path: Path = LOCK) -> Lock:
    data = tomllib.loads(path.read_text())
    return Lock(
        tuple(PythonPin(**row) for row in data.get("python", [])),
        tuple(SourcePin(**row) for row in data.get("source", [])),
        tuple(DebianPin(**row) for row in data.get("debian", [])),
    )


def dump(lock: Lock) -> str:
    """The file's text; `load` reads it back to an equal object."""
    out = ["# What the build fetches. Written by `make relock`; format: iso/workshop/lock.py."]
    for section, pins in (
        ("python", lock.python),
        ("source", lock.source),
        ("debian", lock.debian),
    ):
        for pin in pins:
            out.append(f"\n[[{section}]]")
            for key, value in asdict(pin).items():
                text = str(value).lower() if isinstance(value, bool) else f'"{value}"'
                out.append(f"{key} = {text}")
    return "\n".join(out) + "\n"


def main(argv: list[str]) -> int:
    if argv[:1] != ["requirements"]:
        print(__doc__, file=sys.stderr)
        return 2
    sys.stdout.write(load().requirements(product_only="--product" in argv))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
