# SPDX-License-Identifier: Apache-2.0
"""Fetches the source packages of packages.lock, checks their digests, unpacks them.

usage: fetch.py     leaves build/src/FOLDER/ of every source package

What is there with the right digest is not fetched again; binary packages are debs.py's.
"""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tepui.iso.workshop import apt, lock

SOURCES = Path("build/src")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def verify(path: Path, expected: str, what: str) -> None:
    if sha256(path) != expected:
        path.unlink()
        raise apt.AptError(f"{what}: its content differs from what packages.lock pins")


def source(pin: lock.SourcePin) -> None:
    """Unpacks a source package to build/src/FOLDER, without the tar's top folder."""
    target = SOURCES / pin.folder
    mark = target / ".sha256"
    if mark.exists() and mark.read_text() == pin.sha256:
        return
    apt.update()
    print(f"  fetch   {pin.package} {pin.version}")
    tar = apt.fetch_source(pin.package, pin.version, Path("build/tars"))
    verify(tar, pin.sha256, f"source {pin.package} {pin.version}")
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    subprocess.run(["tar", "-xf", tar, "-C", target, "--strip-components=1"], check=True)
    mark.write_text(pin.sha256)


def main() -> int:
    try:
        for pin in lock.load().source:
            source(pin)
    except apt.AptError as error:
        print(error, file=sys.stderr)
        print("If the version has vanished from the archive: make relock", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
